"""Numbers with units: how we parse them from options, and how we print them in results.

On the command line, K, M and G are powers of 1024 (``64K``, ``100M``, ``1G``), as in every load tool. Printed bytes and
rates use powers of 1000 (``100.0 MB``), as network speeds do.
"""

from __future__ import annotations

import argparse
import re

from lab.waits import LONGEST_WAIT

_FACTOR = {"": 1, "K": 1024, "M": 1024 ** 2, "G": 1024 ** 3}


def byte_count(text: str) -> int:
    """Parse ``64K`` as 65536. For argparse: raises ``ArgumentTypeError`` with one line."""
    match = re.match(r"^(\d+)([KMG]?)i?B?$", text.strip(), re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError("%r is no number of bytes; write e.g. 4096, 64K or 100M" % text)
    return int(match.group(1)) * _FACTOR[match.group(2).upper()]


def seconds(text: str) -> float:
    """``2.5``, ``300ms`` or ``1m`` as seconds, from 0 to LONGEST_WAIT. For argparse."""
    match = re.match(r"^(\d+(?:\.\d*)?|\.\d+)(ms|s|m)?$", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError("%r is no number of seconds; write e.g. 2.5, 300ms or 1m" % text)
    span = float(match.group(1)) * {"ms": 1e-3, None: 1.0, "s": 1.0, "m": 60.0}[match.group(2)]
    if span > LONGEST_WAIT:
        raise argparse.ArgumentTypeError("%s is more than %d seconds" % (text, LONGEST_WAIT))
    return span


def positive(text: str) -> int:
    """A whole number from 1. For argparse."""
    if not re.match(r"^\d+$", text.strip()) or int(text) < 1:
        raise argparse.ArgumentTypeError("%r is no whole number from 1" % text)
    return int(text)


def factor(text: str) -> float:
    """A number from 0.1 to 100 by which to multiply. For argparse."""
    match = re.match(r"^(\d+(?:\.\d*)?|\.\d+)$", text.strip())
    if match is None or not 0.1 <= float(text) <= 100.0:
        raise argparse.ArgumentTypeError("%r is no number from 0.1 to 100" % text)
    return float(text)


def format_bytes(count: float) -> str:
    """``1.5 MB``; up to 999 bytes exact."""
    if count < 1000:
        return "%d B" % count
    for unit, factor in (("kB", 1e3), ("MB", 1e6)):
        if count / factor < 999.95:
            return "%.1f %s" % (count / factor, unit)
    return "%.1f GB" % (count / 1e9)


def format_seconds(span: float) -> str:
    """Three figures with a fitting unit: ``12.3 us``, ``4.56 ms``, ``78.9 s``."""
    for unit, factor in (("ns", 1e9), ("us", 1e6), ("ms", 1e3)):
        if span * factor < 999.5:
            return "%.3g %s" % (span * factor, unit)
    return "%.3g s" % span if span < 999.5 else "%.0f s" % span
