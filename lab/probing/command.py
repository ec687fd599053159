"""`lab probe`: runs probes in this interpreter, and prints what they observe.

It observes and does not judge. It prints tokens that differ from what the source promises first, but they do not change
the exit code: the harness knows which platforms differ, and `lab verify` judges by that. The exit code says whether the
observations are trustworthy: 1 if a cell crashed, hung, left something behind, or observed the same as its control; 4
if a set-up failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import datetime, timezone
from typing import Dict, List, Optional, Sequence

from lab import quantities, records
from lab.backends import spelling
from lab.errors import EXIT_BROKEN, EXIT_DEVIATION, EXIT_OK
from lab.facts import facts
from lab.probing import selection
from lab.probing.run import controls, runner
from lab.probing.run.child import Task
from lab.probing.show import details, report
from lab.records import Observation, Platform
from lab.terminal import Paint, ProgressLine, is_coloured

_EPILOG = """\
A token that differs from what the source promises does not change the exit code: `lab verify` judges, as it knows the
platforms. Exit codes: 0 all cells observed or unsupported; 1 a crash, a timeout, a leak, or a control that observed the
same; 4 a set-up failed. LAB_BACKENDS=a,b switches all other backends off; LAB_PROBE_START=fork|spawn chooses how child
processes are made."""

_USAGE = """\
%(prog)s [-h] [--topic T] [--backend B] [--slow F] [--jobs N]
                 [--list | --jsonl | --control] [ID ...]"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lab probe`."""
    parser.usage = _USAGE  # made by argparse, it is another one on 3.8
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("names", nargs="*", metavar="ID", help="a probe (hangup/half-close) or a topic (hangup); default: all")
    add("--topic", action="append", default=[], metavar="T", help="all probes of this topic; may be repeated")
    add("--backend", action="append", default=[], metavar="B", help="on this backend only; may be repeated. "
        "%s is a foreign selector class" % spelling.FOREIGN)
    add("--slow", type=quantities.factor, default=1.0, metavar="F", help="multiply all waits by this: 4 for an "
        "emulated machine; default: 1")
    add("--jobs", type=quantities.positive, default=0, metavar="N", help="cells at a time; default: 8, or two "
        "for each CPU")
    add = parser.add_mutually_exclusive_group().add_argument
    add("--list", action="store_true", help="print the ids and claims, and run nothing")
    add("--jsonl", action="store_true", help="print records, one JSON object a line")
    add("--control", action="store_true", help="run each control too: it must observe something else")


def run(options: argparse.Namespace) -> int:
    """Observe and print. Returns the exit code. Raises ``Usage``, ``NotHere`` or ``Broken``."""
    probes = selection.probes(options.names, options.topic)
    cells = selection.cells(probes, options.backend, options.slow)
    paint = Paint(is_coloured(sys.stdout, os.environ))
    if options.list:
        print(report.catalogue([probe for probe in probes if any(cell.probe is probe for cell in cells)], paint))
        return EXIT_OK
    platform = Platform.of(facts(), options.slow, datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
    tasks = [Task(cell) for cell in cells]
    beside = controls.tasks(tasks) if options.control else []
    settings = runner.Settings(options.slow, options.jobs)
    began = time.monotonic()
    if options.jsonl:
        print(records.dump(platform), flush=True)
    with ProgressLine(sys.stderr) as line:
        progress = _Progress(line, len(tasks) + len(beside), _InOrder(tasks) if options.jsonl else None)
        found = runner.run([*tasks, *beside], settings, progress.note)
    agreeing = controls.judge(tasks, beside, found) if options.control else []
    seen = found[:len(tasks)]
    if not options.jsonl:
        ran = report.Ran(platform, list(zip(tasks, seen)), list(zip(beside, found[len(tasks):])), agreeing,
                          time.monotonic() - began)
        print(details.details(ran, paint) if len({cell.probe.id for cell in cells}) == 1
              else report.tables(ran, paint))
    return exit_code(found, bool(agreeing))


def exit_code(found: Sequence[Observation], agreeing: bool) -> int:
    """The exit code: whether these observations are trustworthy. ``agreeing``: a control observed the same."""
    outcomes = {each.outcome for each in found}
    if agreeing or outcomes & {"crash", "timeout", "leak"}:
        return EXIT_DEVIATION
    return EXIT_BROKEN if "broken" in outcomes else EXIT_OK


class _InOrder:
    """Prints records in the order of the tasks, each as soon as all records before it are printed."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._expected = [id(task) for task in reversed(tasks)]
        self._there: Dict[int, Observation] = {}

    def note(self, task: Task, observation: Observation) -> None:
        """Note that a task has ended."""
        self._there[id(task)] = observation
        lines: List[str] = []
        while self._expected and self._expected[-1] in self._there:
            lines.append(records.dump(self._there.pop(self._expected.pop())))
        if lines:
            print("\n".join(lines), flush=True)


class _Progress:
    """Counts the cells that have ended, on a line of a terminal, and hands each observation on to a printer."""

    def __init__(self, line: ProgressLine, total: int, printer: Optional[_InOrder]) -> None:
        self._line = line
        self._total = total
        self._printer = printer
        self._done = 0

    def note(self, task: Task, observation: Observation) -> None:
        """Note that a task has ended."""
        self._done += 1
        if self._printer is not None:
            self._printer.note(task, observation)
        self._line.show("%d/%d %s" % (self._done, self._total, task.cell.name))
