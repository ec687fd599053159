"""`lab diff`: what two platforms, or two runs, do differently."""

from __future__ import annotations

import argparse
import sys
from typing import Any, List, Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab import records
from lab.errors import EXIT_DEVIATION, EXIT_OK
from lab.harness.verifying import compare
from lab.harness.verifying.judge import current

EPILOG = "Exit codes: 0 no observation differs (facts may), 1 some do, 2 a file is not to be trusted."


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lab diff`."""
    parser.add_argument("a", metavar="A", help="a file of records, as `lab probe --jsonl` and `lab verify --out` make")
    parser.add_argument("b", metavar="B", help="another one")
    parser.epilog = EPILOG


def run(options: argparse.Namespace) -> int:
    """Print facts that differ, then observations that differ. Returns the exit code."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    sides = [current(records.load(path)) for path in (options.a, options.b)]
    _facts(console, compare.platforms(sides))
    named: Mapping[str, Any] = {"A": sides[0].observations, "B": sides[1].observations}
    found = compare.observations(named)
    _observations(console, found)
    for name, cells in compare.only_once(named).items():
        console.print("only %s answers %d cells: %s" % (name, len(cells), _some(cells)), soft_wrap=True)
    both = len({(each.probe, each.backend) for each in sides[0].observations if compare.answer(each)}
               & {(each.probe, each.backend) for each in sides[1].observations if compare.answer(each)})
    console.print("%d of %d observations that both have differ." % (len(found), both), soft_wrap=True)
    return EXIT_DEVIATION if found else EXIT_OK


def _facts(console: Console, found: List[compare.FactDifference]) -> None:
    if not found:
        console.print("the platforms are the same")
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
    """A fact as one short line that a terminal cannot mistake for a command."""
    text = "-" if value is None else value if isinstance(value, str) else str(value)
    return ascii(text)[1:-1][:200]


def _some(cells: List[compare.Cell]) -> str:
    shown = ", ".join("%s on %s" % cell for cell in cells[:3])
    return shown + (", ..." if len(cells) > 3 else "")
