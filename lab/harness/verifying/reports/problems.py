"""The part of a report that is about cells that failed: unsteady ones, disputes, unexpected results."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from rich.console import Console
from rich.table import Table

from lab.harness.console import literal
from lab.harness.verifying import axes, compare
from lab.harness.verifying.judge import BEFORE, FAILURES, JudgedCell
from lab.harness.verifying.reports.layout import backend, heading, print_labelled, style_of
from lab.harness.verifying.reports.words import NOT_REPRODUCED, explain


def print_unsteady(console: Console, found: Sequence[JudgedCell]) -> None:
    """The cells that failed on the first run only: what each run observed."""
    if not found:
        return
    heading(console, "unsteady: " + NOT_REPRODUCED, "yellow")
    for each in found:
        seen = each.observation
        console.print("[bold]%s[/]  %s of %s" % (seen.probe, backend(seen.backend), literal(each.target)),
                      soft_wrap=True)
        print_labelled(console, [("first run", str(seen.detail[BEFORE])), ("second run", compare.answer(seen))])
    console.print()


def print_failures(console: Console, found: Sequence[JudgedCell]) -> None:
    """One entry for all cells of a probe that fail in the same way, on whichever backends and targets."""
    if not found:
        return
    heading(console, "unexpected results", "red")
    groups: Dict[Tuple[str, str, Optional[str], Optional[str], Optional[str]], List[JudgedCell]] = {}
    for each in sorted(found, key=lambda each: FAILURES.index(each.verdict)):
        seen = each.observation
        groups.setdefault((each.verdict, seen.probe, seen.expected, seen.token, seen.reason), []).append(each)
    for cells in groups.values():
        first = cells[0]
        console.print("[%s]%s[/]  [bold]%s[/]" % (style_of(first.verdict), first.verdict, first.observation.probe),
                      soft_wrap=True)
        print_labelled(console, [("on", _places(cells)), *explain(first)])
        console.print()


def _places(cells: Sequence[JudgedCell]) -> str:
    """Where these were observed: ``poll, epoll of here; select of python:3.8.18``."""
    targets: Dict[str, List[str]] = {}
    for each in cells:
        targets.setdefault(each.observation.backend, []).append(each.target)
    backends: Dict[Tuple[str, ...], List[str]] = {}
    for name, names in targets.items():
        backends.setdefault(tuple(names), []).append(backend(name))
    return "; ".join("%s of %s" % (", ".join(found), ", ".join(names)) for names, found in backends.items())


def print_disputes(console: Console, found: Sequence[axes.Dispute]) -> None:
    """The cells on which targets that share a kernel disagree although the kernel answers, and who says what."""
    if not found:
        return
    heading(console, "targets that share a kernel disagree, and no expectation explains it", "red")
    for kernel, one in found:
        console.print("[bold]%s[/]  %s, on %s" % (one.probe, backend(one.backend), literal(kernel)),
                      soft_wrap=True)
        made = Table.grid(padding=(0, 2, 0, 0))
        made.add_column(no_wrap=True)
        made.add_column(overflow="fold")
        for token, names in one.answers.items():
            made.add_row("  " + literal(token), literal(", ".join(names)))
        console.print(made)
    console.print()
