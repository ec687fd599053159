"""Observes targets side by side, shows a progress bar for each, and writes the records of each as soon as it returns.

A target that cannot be observed costs only itself. Ctrl-C stops every target; the records that are already in --out
stay there.
"""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Dict, Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lab import records
from lab.errors import Broken, LabError, NotHere, reason
from lab.harness import pyz
from lab.harness.console import literal
from lab.harness.targets import Request, Target
from lab.harness.targets._base import Progress as Watch
from lab.harness.verifying import judge, schema
from lab.harness.verifying.wanted import Wanted, cells
from lab.records import Records
from lab.text import shown

Outcome = Union[Records, LabError]
"""What a target returned, or the error that it raised."""


class Observed(NamedTuple):
    """What came of the targets, by name and in the order in which the user gave them; each has records or an error."""

    records: Mapping[str, Records]
    errors: Mapping[str, LabError]


class Observer(NamedTuple):
    """What all targets of one run share.

    request: what every target is to observe. bar: on standard error. jobs: targets at a time.
    out: a folder for records, or None. has_selector: whether the run tests a selector class.
    """

    request: Request
    bar: Progress
    jobs: int
    out: Optional[Path]
    has_selector: bool


@contextlib.contextmanager
def prepared(wanted: Wanted) -> Iterator[Observer]:
    """Build lab.pyz in a temporary folder and show a progress bar, both until the block ends."""
    with tempfile.TemporaryDirectory(prefix="lab") as folder, _bar() as bar:
        lab = Path(folder, "lab.pyz")
        pyz.build(lab)

        def say(text: str) -> None:
            bar.console.print(literal(text), soft_wrap=True)

        request = Request(wanted.names, wanted.backends, wanted.slow, lab, wanted.python, say)
        yield Observer(request, bar, wanted.jobs, wanted.out, wanted.has_selector)


def observe(observer: Observer, targets: Sequence[Target]) -> Observed:
    """Observe all of these, side by side, and write their records. Raises ``Broken`` where --out cannot be written."""
    found: Dict[str, Records] = {}
    errors: Dict[str, LabError] = {}
    with started(observer, [(target, observer.request) for target in targets], observer.jobs) as outcomes:
        for target, outcome in outcomes:
            if isinstance(outcome, LabError):
                errors[target.name] = outcome
            else:
                found[target.name] = outcome
                write(observer.out, target.name, outcome)
    return Observed(found, errors)


@contextlib.contextmanager
def started(observer: Observer, tasks: Sequence[Tuple[Target, Request]], jobs: int, label: str = ""
            ) -> Iterator[Iterator[Tuple[Target, Outcome]]]:
    """Start these tasks, ``jobs`` of them at a time. The block reads what comes of each, in their order. Stop all
    targets where the block raises, Ctrl-C included. ``label``: what the progress bar adds to their names."""
    with ThreadPoolExecutor(jobs) as pool:
        running = [(target, pool.submit(target.collect, request, _progress(observer.bar, target.name + label, request)))
                   for target, request in tasks]
        try:
            yield ((target, _outcome(observer, target, job)) for target, job in running)
        except BaseException:
            for _, job in running:
                job.cancel()
            for target, _ in running:
                target.stop()
            raise


def _outcome(observer: Observer, target: Target, job: Future[Records]) -> Outcome:
    """Wait for a task. Its records, under today's ids, or its error; any other exception is raised."""
    try:
        found = judge.updated(job.result())
    except LabError as error:
        return error
    if not found.observations:
        return Broken("%s: its records contain nothing that you asked for" % shown(target.name))
    lacking = _lacking_selector(found) if observer.has_selector else None
    return lacking or found


def _lacking_selector(found: Records) -> Optional[NotHere]:
    """The error for a selector class that the target lacks: every cell is unsupported, for one and the same reason."""
    why = {each.reason for each in found.observations if each.outcome == "unsupported"}
    if len(why) == 1 and all(each.outcome == "unsupported" for each in found.observations):
        return NotHere("--selector: %s is not here: %s" % (found.observations[0].backend, why.pop()))
    return None


def _bar() -> Progress:
    return Progress(TextColumn("{task.description}", markup=False), BarColumn(24), MofNCompleteColumn(),
                    TimeElapsedColumn(), console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _progress(bar: Progress, text: str, request: Request) -> Watch:
    task: TaskID = bar.add_task(text, total=len(cells(request.names, request.backends)))
    return lambda done: bar.update(task, completed=done)


def in_order(targets: Iterable[Target], found: Mapping[str, Records]) -> Dict[str, Records]:
    """These records in the order of the targets."""
    return {target.name: found[target.name] for target in targets if target.name in found}


def write(folder: Optional[Path], name: str, found: Records) -> None:
    """Write the records of the target of that name to ``folder``; None: nowhere. Raises ``Broken``."""
    if folder is None:
        return
    path = folder / (re.sub(r"[^\w.-]+", "-", re.sub(r"\.jsonl$", "", name)).strip("-") + ".jsonl")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        records.save(path, found)
        schema.validate(path)  # other programs will read it by this schema
    except OSError as error:
        raise Broken("--out: %s cannot be written: %s" % (path, reason(error))) from error
