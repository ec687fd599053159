"""`lab diff`: the facts and the observations in which two platforms, or two runs on one, differ."""

from __future__ import annotations

import argparse
import sys
from typing import Any, List

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab import records
from lab.errors import EXIT_DEVIATION, EXIT_OK
from lab.harness.verifying import compare
from lab.harness.verifying.judge import updated
from lab.records import Records

EPILOG = ("Exit codes: 0 no observation differs (facts may), 1 some do, 2 a file cannot be read or contains no valid "
          "records.")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lab diff`."""
    parser.add_argument("a", metavar="A", help="a file of records, from `lab probe --jsonl` or `lab verify --out`")
    parser.add_argument("b", metavar="B", help="another one")
    parser.epilog = EPILOG


def run(options: argparse.Namespace) -> int:
    """Print facts that differ, then observations that differ. Returns the exit code. Raises ``Usage`` for a file that
    cannot be read or contains no valid records."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    return _compare(console, updated(records.load(options.a)), updated(records.load(options.b)))


def _compare(console: Console, a: Records, b: Records) -> int:
    _facts(console, compare.platforms([a, b]))
    sides = {"A": a.observations, "B": b.observations}
    found = compare.observations(sides)
    _observations(console, found)
    for name, cells in compare.answered_by_one(sides).items():
        console.print("only %s answers %d cells: %s" % (name, len(cells), _some(cells)), soft_wrap=True)
    answered = [{(each.probe, each.backend) for each in side if compare.answer(each)} for side in sides.values()]
    console.print("%d of %d observations that both have differ." % (len(found), len(answered[0] & answered[1])),
                  soft_wrap=True)
    return EXIT_DEVIATION if found else EXIT_OK


def _facts(console: Console, found: List[compare.FactDifference]) -> None:
    if not found:
        console.print("no facts differ")
        return
    table = _table("facts that differ", "A", "B")
    for each in found:
        table.add_row(each.path, *(escape(_show(value)) for value in each.values))
    console.print(table)
    console.print()


def _observations(console: Console, found: List[compare.Difference]) -> None:
    if not found:
        return
    table = _table("observations that differ", "backend", "A", "B")
    for each in found:
        said = {name: token for token, names in each.answers.items() for name in names}
        table.add_row(each.probe, each.backend, escape(said["A"]), escape(said["B"]))
    console.print(table)
    console.print()


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _show(value: Any) -> str:
    """A fact as one short line, escaped for the terminal."""
    text = "-" if value is None else value if isinstance(value, str) else str(value)
    return ascii(text)[1:-1][:200]


def _some(cells: List[compare.Cell]) -> str:
    shown = ", ".join("%s on %s" % cell for cell in cells[:3])
    return shown + (", ..." if len(cells) > 3 else "")
