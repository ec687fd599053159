"""The version of kernel.org's source that a Linux kernel is built from, by what uname(2) says.

Fixes of the kernel are known by that version. A distribution's release often keeps to the first one of its series:
Debian's ``5.10.0-32-cloud-amd64`` has every fix up to 5.10.223.
"""

from __future__ import annotations

import re
from typing import Optional


def upstream(release: str, version: str) -> Optional[str]:
    """That version, e.g. ``5.10.223``; None where nothing tells.

    Debian and its derivatives write it into uname's version: ``#1 SMP Debian 5.10.223-1 (2024-08-10)``, on Raspberry Pi
    OS with an epoch, ``Debian 1:6.6.31-1+rpt1``. Elsewhere it is the number that the release begins with, which is too
    low on Ubuntu: its ``5.15.0-91-generic`` is 5.15.0 here, for uname(2) says nothing about the fixes in it.
    """
    match = re.search(r"\bDebian (?:\d+:)?(\d+(?:\.\d+)+)", version) or re.match(r"(\d+(?:\.\d+)*)", release)
    return match.group(1) if match is not None else None
