"""`lab verify` in four steps, each of which hands a value to the next: observe, judge, re-run, report.

    observe   every target returns records, or an error       observing.py
    judge     every cell of the records gets a verdict        judge.py, axes.py
    re-run    unexpected and broken results, once, alone      rerun.py
    report    the terminal, JUnit XML and the exit code       findings.py, reports/
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Sequence

from rich.console import Console

from lab.errors import EXIT_OK
from lab.harness.verifying import axes, expectations, judge, observing, rerun, serve_check
from lab.harness.verifying.expectations import Row
from lab.harness.verifying.findings import Findings
from lab.harness.verifying.observing import Observed
from lab.harness.verifying.reports import junit, terminal
from lab.harness.verifying.wanted import Wanted
from lab.records import Records


class Verdicts(NamedTuple):
    """The verdicts by target, and the cells on which targets that share a kernel disagree."""

    judged: Dict[str, List[judge.JudgedCell]]
    disputes: List[axes.Dispute]


def run(wanted: Wanted, console: Console) -> int:
    """Run the four steps. Returns the exit code. Raises ``LabError`` where there is nothing to report."""
    rows = expectations.load_all()
    served = serve_check.check_all(console) if wanted.serves else EXIT_OK
    with observing.prepared(wanted) as observer:
        observed = observing.observe(observer, wanted.targets)
        if not wanted.once:
            observed = rerun.broken_targets(observer, wanted.targets, observed)
        verdicts = _judge(wanted, rows, observed.records)
        cells = {} if wanted.once else rerun.unexpected_cells(verdicts.judged, verdicts.disputes)
        if cells:
            observed = rerun.rerun(observer, wanted.targets, observed, cells)
            verdicts = _judge(wanted, rows, observed.records)
    if wanted.has_selector and not observed.records and len(observed.errors) == 1:
        raise next(iter(observed.errors.values()))
    return max(served, _report(wanted, console, _findings(wanted, observed, verdicts)))


def _judge(wanted: Wanted, rows: Sequence[Row], records: Mapping[str, Records]) -> Verdicts:
    judged = {name: judge.judge(name, each, rows, wanted.excludes) for name, each in records.items()}
    return Verdicts(judged, axes.disputes(records, judged))


def _findings(wanted: Wanted, observed: Observed, verdicts: Verdicts) -> Findings:
    found = Findings(observed.records, observed.errors, verdicts.judged, verdicts.disputes,
                     absent={name: wanted.absent(each) for name, each in observed.records.items()},
                     merged=wanted.merged, unavailable=wanted.unavailable)
    return found._replace(unused=judge.unused(wanted.excludes, found.cells))


def _report(wanted: Wanted, console: Console, found: Findings) -> int:
    terminal.report(console, found)
    if wanted.junit:
        junit.write(wanted.junit, found)
    return found.exit_code
