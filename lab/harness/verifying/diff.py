"""`lab diff`: the facts and the observations in which two platforms, or two runs on one, differ."""

from __future__ import annotations

import argparse
from typing import List

from rich.console import Console
from rich.table import Table

from lab import records
from lab.errors import EXIT_DEVIATION, EXIT_OK
from lab.harness.console import console, literal, short
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
    return _compare(console(), updated(records.load(options.a)), updated(records.load(options.b)))


def _compare(output: Console, a: Records, b: Records) -> int:
    _facts(output, compare.platforms([a, b]))
    sides = {"A": a.observations, "B": b.observations}
    found = compare.observations(sides)
    _observations(output, found)
    for name, cells in compare.answered_by_one(sides).items():
        output.print("only %s answers %d cells: %s" % (name, len(cells), _some(cells)), soft_wrap=True)
    answered = [{(each.probe, each.backend) for each in side if compare.answer(each)} for side in sides.values()]
    output.print("%d of %d observations that both have differ." % (len(found), len(answered[0] & answered[1])),
                  soft_wrap=True)
    return EXIT_DEVIATION if found else EXIT_OK


def _facts(output: Console, found: List[compare.FactDifference]) -> None:
    if not found:
        output.print("no facts differ")
        return
    table = _table("facts that differ", "A", "B")
    for each in found:
        table.add_row(short(each.path), *("-" if value is None else short(value) for value in each.values))
    output.print(table)
    output.print()


def _observations(output: Console, found: List[compare.Difference]) -> None:
    if not found:
        return
    table = _table("observations that differ", "backend", "A", "B")
    for each in found:
        said = {name: token for token, names in each.answers.items() for name in names}
        table.add_row(*map(literal, (each.probe, each.backend, said["A"], said["B"])))
    output.print(table)
    output.print()


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _some(cells: List[compare.Cell]) -> str:
    shown = ", ".join("%s on %s" % cell for cell in cells[:3])
    return shown + (", ..." if len(cells) > 3 else "")
