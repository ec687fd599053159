"""The part of a report that counts: a row for each target, and the last line."""

from __future__ import annotations

from collections import Counter
from typing import Callable, Dict, Iterator, List

from rich.console import Console

from lab.facts import platform_line
from lab.harness.console import literal
from lab.harness.verifying.findings import Findings
from lab.harness.verifying.judge import FAILURES, JudgedCell
from lab.harness.verifying.reports.layout import style_of, table

_ASIDES: Dict[str, Callable[[JudgedCell], bool]] = {
    "unverified": lambda each: each.unverified and not each.failed, "flaky": lambda each: each.observation.flaky,
    "unsteady": lambda each: each.unsteady}
"""What we count besides verdicts; a column appears where its count is not 0 everywhere."""


def print_summary(console: Console, found: Findings) -> None:
    """A row for each target: its platform, and how many of its cells have which verdict."""
    every = found.cells
    verdicts = [name for name in ("as-expected", "known-deviation", *FAILURES, "unsupported", "excluded")
                if any(each.verdict == name for each in every)]
    asides = {name: asked for name, asked in _ASIDES.items() if any(map(asked, every))}
    made = table()
    made.add_column("target", min_width=min(40, max([6, *map(len, found.judged)])))
    made.add_column("platform", overflow="fold")
    for name in verdicts:
        made.add_column(name.replace("-", "\n"), justify="right", min_width=max(map(len, name.split("-"))))
    for name in asides:
        made.add_column("of them\n" + name, justify="right", min_width=max(7, len(name)))
    for target, cells in found.judged.items():
        counts = Counter(each.verdict for each in cells)
        row = [literal(target), literal(platform_line(found.records[target].platform.facts))]
        row += ["[%s]%s[/]" % (style_of(name), counts[name] or "") for name in verdicts]
        made.add_row(*row, *(str(sum(map(asked, cells)) or "") for asked in asides.values()))
    console.print(made)
    console.print()


def last_line(found: Findings) -> str:
    """The whole run in one line, as markup."""
    every = found.cells
    counts = Counter(each.verdict for each in every)
    probes = len({each.observation.probe for each in every})
    head = "%d probes, %d observations: " % (probes, len(every) - counts["unsupported"])
    bad: List[str] = list(_bad(counts))
    if found.disputes:
        bad.append("%d disputes between targets that share a kernel" % len(found.disputes))
    if found.errors:
        bad.append("%d targets could not be observed" % len(found.errors))
    if bad:
        return head + "[bold red]%s[/]." % literal(", ".join(bad))
    known = counts["known-deviation"]
    unverified = sum(each.unverified for each in every if each.verdict == "known-deviation")
    unsteady = sum(each.unsteady for each in every)
    return head + "[bold green]all as expected[/]%s%s%s." % (
        ", %d of them known platform differences" % known if known else "",
        ", %d of these known from documents only" % unverified if unverified else "",
        ", %d only on the second run" % unsteady if unsteady else "")


def _bad(counts: Counter[str]) -> Iterator[str]:
    for verdict in FAILURES:
        if counts[verdict]:
            yield "%d %s" % (counts[verdict], verdict)
