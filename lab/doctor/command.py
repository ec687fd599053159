"""`lab doctor`: its options, and what it prints. It changes nothing, and exits with 0 whatever it finds."""

from __future__ import annotations

import argparse
import json
import os
import sys

from lab.doctor.finding import examine
from lab.doctor.showing import as_text
from lab.errors import EXIT_OK
from lab.terminal import is_coloured


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab doctor`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Look, print, return 0. Raises ``Usage`` where LAB_BACKENDS names a backend that does not exist."""
    report = examine()
    print(json.dumps(report) if options.json else as_text(report, is_coloured(sys.stdout, os.environ)))
    return EXIT_OK
