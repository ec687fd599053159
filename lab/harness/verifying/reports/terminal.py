"""The report on the terminal. Unexpected results come last, because a reader looks there first.

Each of them comes with its claim, the expected and the observed token, and the command that repeats it. A known
difference is one line with its reason. Cells that did not run are listed, so that nobody takes them for fine.
"""

from __future__ import annotations

from collections import Counter
from typing import Dict, Sequence

from rich.console import Console

from lab.harness.console import literal
from lab.harness.verifying import axes, compare
from lab.harness.verifying.findings import Findings
from lab.harness.verifying.judge import JudgedCell
from lab.harness.verifying.reports.platforms import print_axes, print_differences, print_known
from lab.harness.verifying.reports.problems import print_disputes, print_failures, print_unsteady
from lab.harness.verifying.reports.totals import last_line, print_summary


def report(console: Console, found: Findings) -> None:
    """Print it."""
    every = found.cells
    differences = compare.observations(
        {target: [each.observation for each in cells] for target, cells in found.judged.items()})
    differing = {(one.probe, one.backend) for one in differences}
    first = next(iter(found.judged.values()), ())
    print_differences(console, found.judged, differences)
    print_known(console, [each for each in first if each.cell not in differing])
    print_axes(console, list(axes.steps(found.records, found.judged)))
    print_summary(console, found)
    _print_unsupported(console, every)
    _print_notes(console, found)
    if found.disputes or any(each.failed or each.unsteady for each in every):
        console.print()
    print_unsteady(console, [each for each in every if each.unsteady])
    print_disputes(console, found.disputes)
    print_failures(console, [each for each in every if each.failed])
    console.print(last_line(found), soft_wrap=True)


def _print_unsupported(console: Console, every: Sequence[JudgedCell]) -> None:
    """Each reason for ``unsupported``: of how many cells, on which targets."""
    reasons: Dict[str, Counter[str]] = {}
    for each in every:
        if each.verdict == "unsupported":
            reasons.setdefault(each.observation.reason or "", Counter())[each.target] += 1
    targets = {each.target for each in every}
    for why, counts in sorted(reasons.items(), key=lambda item: -sum(item[1].values())):
        where = "" if len(counts) == len(targets) else " of %s" % ", ".join(sorted(counts))
        console.print("[dim]unsupported %4d%s: %s[/]" % (sum(counts.values()), literal(where), literal(why)),
                      soft_wrap=True)


def _print_notes(console: Console, found: Findings) -> None:
    """What did not run, and what does not count."""
    def note(style: str, label: str, text: str) -> None:
        console.print("[%s]%s[/]  %s" % (style, label, literal(text)), soft_wrap=True)

    for line in found.merged:
        note("bold", "merged", line)
    for name, why in found.unavailable.items():
        note("dim", "not here", "%s: %s" % (name, why))
    for target, cells in found.absent.items():
        if cells:
            some = ", ".join("%s on %s" % cell for cell in cells[:3])
            note("bold", "not run", "%d cells are not in the records of %s: %s%s" % (
                len(cells), target, some, ", ..." if len(cells) > 3 else ""))
    for target, error in found.errors.items():
        note("bold red", "not observed", "%s: %s" % (target, error))
    for each in found.cells:
        if each.exclude is not None:
            note("cyan", "excluded", "%s of %s: %s" % (each.exclude, each.target, each.exclude.reason))
    for exclude in found.unused:
        note("bold magenta", "unused", "the exclude of %s excluded nothing; remove it" % str(exclude))
