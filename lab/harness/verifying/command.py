"""`lab verify`: does this platform behave like the one that was tested on? Every target observed, judged, compared.

Targets run side by side, as many as there are processors; each brings records back, whatever kind it is. One that
cannot be observed costs only itself, and the exit code. What surprises, or breaks, is asked again (``rerun.py``).
"""

from __future__ import annotations

import argparse
import os
import re
import selectors
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Sequence, Set, Tuple

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lab import quantities, records
from lab.backends import spelling
from lab.errors import EXIT_DEVIATION, EXIT_OK, Broken, LabError, NotHere, Usage, reason
from lab.harness import pyz, targets
from lab.harness.targets import Request, Target
from lab.harness.targets._base import Progress as Watch
from lab.harness.verifying import axes, expectations, judge, matrix, rerun, schema, serving
from lab.harness.verifying.compare import Cell
from lab.harness.verifying.expectations import Row
from lab.harness.verifying.reports import junit, terminal
from lab.probing.catalogue import catalogue, find, promised
from lab.probing.probe import NONE, OURS, SELECTORS
from lab.records import Records

EPILOG = """\
Targets: %s. What surprises or breaks is asked once more at the end, alone; what surprises no more is told, and does not
count. Exit codes: 0 all as expected, or known; 1 something else was observed, or a known deviation was not; 4 a set-up
failed and nothing could be observed.""".replace("\n", " ")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lab verify`."""
    add = parser.add_argument
    add("--target", action="append", default=[], metavar="T", help="where to observe; may be repeated; default: here")
    add("--matrix", metavar="NAME", help="the targets of this set of docker/matrix.toml: %s" % ", ".join(matrix.load()))
    add("--python", metavar="PATH", help="the interpreter in images; default: it is found")
    add("--only", action="append", default=[], metavar="ID", help="this probe or topic; may be repeated; default: all")
    add("--backend", action="append", default=[], metavar="B", help="on this backend; may be repeated; default: all")
    add("--selector", metavar="PKG.MOD:CLASS", help="this class, as a selectors.BaseSelector, and nothing else")
    add("--serve", action="store_true", help="first serve and verify real bytes on every backend and model here")
    add("--slow", type=quantities.factor, default=1.0, metavar="F",
        help="multiply all waits by this: 4 for an emulated machine; default: 1")
    add("--jobs", type=quantities.positive, default=os.cpu_count() or 1, metavar="N", help="targets at a time")
    add("--once", action="store_true", help="judge by what is observed first: ask nothing again")
    add("--exclude", type=Path, metavar="FILE", help="TOML with [[exclude]] probe, backend, reason: what not to count")
    add("--junit", type=Path, metavar="FILE", help="write the verdicts as JUnit XML")
    add("--out", type=Path, metavar="DIR", help="keep the records there, one file a target")
    parser.epilog = EPILOG % ", ".join(kind.spelling for kind in targets.kinds().values())


def run(options: argparse.Namespace) -> int:
    """Observe, judge, report. Returns the exit code."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    rows = expectations.load_all()
    excludes = judge.read_excludes(options.exclude) if options.exclude else []
    for name in options.only:
        find(name)  # before anything runs
    for name in options.backend:
        if name not in (*OURS, *NONE) and not spelling.is_foreign(name):
            raise Usage('no backend "%s"; they are: %s' % (ascii(name)[1:-1], ", ".join((*OURS, *NONE))))
    spellings, absent_images = matrix.choose(options.matrix) if options.matrix else ([], {})
    chosen = targets.parse([*options.target, *spellings] or ["here"])
    served = serving.serve_all(console) if options.serve else 0
    found, failed = _observe(chosen, options, rows, excludes)
    if options.selector and not found and len(failed) == 1:
        raise next(iter(failed.values()))  # there is nothing to report of
    judged, disputes = _judge(found, rows, excludes)
    everything = [each for cells in judged.values() for each in cells]
    absent = {name: _absent(options, each) for name, each in found.items()}
    terminal.report(console, found, judged, failed, judge.unused(excludes, everything), absent, disputes)
    for name, why in absent_images.items():
        console.print("[dim]not here   %s: %s[/]" % (name, escape(why)), soft_wrap=True)
    if options.junit:
        junit.write(options.junit, judged, failed)
    return max([served, judge.exit_code(everything), EXIT_DEVIATION if disputes else EXIT_OK,
                *(error.exit_code for error in failed.values())])


def _judge(found: Mapping[str, Records], rows: Sequence[Row], excludes: Sequence[judge.Exclude]) -> Tuple[
        Dict[str, List[judge.Judged]], List[axes.Dispute]]:
    """The verdicts by target, and what targets on one kernel disagree on."""
    judged = {name: judge.judge(name, each, rows, excludes) for name, each in found.items()}
    return judged, axes.disputes(found, judged)


def _observe(chosen: Sequence[Target], options: argparse.Namespace, rows: Sequence[Row],
             excludes: Sequence[judge.Exclude]) -> Tuple[Dict[str, Records], Dict[str, LabError]]:
    """Records, or why there are none, by target. What has been observed is kept at once, whatever comes then."""
    found: Dict[str, Records] = {}
    failed: Dict[str, LabError] = {}
    wanted: Dict[str, Set[Cell]] = {}

    def first(target: Target, job: Future[Records]) -> None:
        try:
            made = judge.current(job.result())
            if not made.observations:
                raise Broken("%s: nothing that was asked for is in its records" % ascii(target.name)[1:-1])
            if options.selector:
                _check_selector(made)
        except LabError as error:  # the others are observed all the same
            failed.setdefault(target.name, error)
        else:
            if target.name in failed:
                bar.console.print("%s, but not when it was asked again" % failed.pop(target.name), markup=False)
            found[target.name] = made
            _keep(options.out, target.name, made)

    def second(target: Target, job: Future[Records]) -> None:
        try:
            new = judge.current(job.result())
        except LabError:  # it was there a minute ago, and what it said then stands
            return
        found[target.name] = made = rerun.merged(found[target.name], new.observations, wanted[target.name])
        _keep(options.out, target.name, made)

    with tempfile.TemporaryDirectory(prefix="lab") as folder, _bar() as bar:
        lab = Path(folder, "lab.pyz")
        pyz.build(lab)
        request = Request(tuple(_names(options)), tuple(_backends(options)), options.slow, lab, options.python,
                          bar.console.print)
        _collect(bar, [(target, request) for target in chosen], options.jobs, first)
        if not options.once:
            _collect(bar, [(target, request) for target in rerun.broken(chosen, failed)], 1, first)
            wanted.update(rerun.surprises(*_judge(found, rows, excludes)))
            _collect(bar, [(target, rerun.narrowed(request, wanted[target.name])) for target in chosen
                           if target.observes and target.name in wanted], 1, second)
    return {target.name: found[target.name] for target in chosen if target.name in found}, failed


def _collect(bar: Progress, requests: Sequence[Tuple[Target, Request]], jobs: int,
             done: Callable[[Target, Future[Records]], None]) -> None:
    """Have these observe, so many at a time; ``done`` is told of each in their order."""
    with ThreadPoolExecutor(jobs) as pool:
        running = [(target, pool.submit(target.collect, request, _watched(bar, target, request)))
                   for target, request in requests]
        try:
            for target, job in running:
                done(target, job)
        except BaseException:  # Ctrl-C: let nobody work on for nothing
            for _, job in running:
                job.cancel()
            for target, _ in running:
                target.stop()
            raise


def _names(options: argparse.Namespace) -> List[str]:
    """The probes to run; empty for all. A selector is held to what selectors promise and to our own contract."""
    if options.only or not options.selector:
        return list(options.only)
    return [probe.id for probe in promised("selectors", "backend")]


def _backends(options: argparse.Namespace) -> List[str]:
    if options.selector is None:
        return list(options.backend)
    foreign = "selectors:" + options.selector
    if not spelling.is_well_formed(foreign):
        raise Usage("--selector: %s is no PKG.MOD:CLASS; try selectors:EpollSelector" % ascii(options.selector)[1:-1])
    module, kind = spelling.class_of(foreign)
    if module == "selectors" and kind == "DefaultSelector":
        kind = selectors.DefaultSelector.__name__
    own = spelling.of_class(module, kind)  # of a class of Python's own, all that is known of its backend holds
    return [*options.backend, own if own in SELECTORS else foreign]


def _check_selector(found: Records) -> None:
    """Raise ``NotHere`` for a class of Python's own that the target lacks."""
    why = {each.reason for each in found.observations if each.outcome == "unsupported"}
    if len(why) == 1 and all(each.outcome == "unsupported" for each in found.observations):
        raise NotHere("--selector: %s is not here: %s" % (found.observations[0].backend, why.pop()))


def _bar() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(),
                    console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _watched(bar: Progress, target: Target, request: Request) -> Watch:
    is_again = any(task.description == target.name for task in bar.tasks)
    task: TaskID = bar.add_task(target.name + (", again" if is_again else ""),
                                total=len(_cells(request.names, request.backends)))
    return lambda done: bar.update(task, completed=done)


def _cells(names: Sequence[str], backends: Sequence[str]) -> List[Tuple[str, str]]:
    """(probe, backend) of all that is asked for, in the catalogue's order."""
    wanted = {probe.id for name in names for probe in find(name)}
    found = []
    for probe in catalogue():
        if not wanted or probe.id in wanted:
            extra = [name for name in backends if spelling.is_foreign(name) and set(SELECTORS) <= set(probe.on)]
            found += [(probe.id, name) for name in (*probe.on, *extra) if not backends or name in backends]
    return found


def _absent(options: argparse.Namespace, found: Records) -> List[Tuple[str, str]]:
    """What was asked for and is not in the records: they are older, cut short, or of fewer probes."""
    there = {(each.probe, each.backend) for each in found.observations}
    return [cell for cell in _cells(_names(options), _backends(options)) if cell not in there]


def _keep(folder: Path, name: str, found: Records) -> None:
    """Write the records of one target to ``folder``, if there is one."""
    if folder is None:
        return
    path = folder / (re.sub(r"[^\w.-]+", "-", re.sub(r"\.jsonl$", "", name)).strip("-") + ".jsonl")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write(records.dump(found.platform) + "\n")
            file.writelines(records.dump(each) + "\n" for each in found.observations)
        schema.validate(path)  # what others will read is checked as they would
    except OSError as error:
        raise Broken("--out: %s cannot be written: %s" % (path, reason(error))) from error
