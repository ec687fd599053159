"""`lab images`: list the Linux images, pull or make them, and pin their references.

`lab images build` works on several images at a time. If one fails, the others go on. The command then fails, too,
unless the user did not name that image and no registry in reach has it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from lab import quantities
from lab.errors import EXIT_OK, LabError, NotHere
from lab.harness import engine, images
from lab.harness.console import console, literal
from lab.harness.images import Row, make, registry
from lab.text import escaped

Outcome = Union[make.Obtained, LabError]

EPILOG = """\
With --source auto, the command pulls an image if it can reach a registry, and otherwise makes it from Debian's
packages."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab images`."""
    commands = parser.add_subparsers(dest="what", metavar="WHAT", title="commands", required=True)
    for name, (function, text) in _COMMANDS.items():
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.set_defaults(images=function)
        if name != "list":
            made.add_argument("id", nargs="*", metavar="ID", help="an image of `lab images list`; default: all of them")
        if name == "build":
            add = made.add_argument
            add("--source", choices=make.SOURCES, default="auto", help="where the images come from; default: auto")
            add("--fresh", action="store_true", help="pull or make images again that the engine has already")
            add("--jobs", type=quantities.positive, default=os.cpu_count() or 1, metavar="N", help="work on N images "
                "at a time; default: one for each processor")
            made.epilog = EPILOG


def run(options: argparse.Namespace) -> int:
    """List, build or pin images. Returns the exit code."""
    return int(options.images(options, console()))


# lab images list

def _list(options: argparse.Namespace, console: Console) -> int:
    table = Table("image", "python", "libc", "arch", "family", "from", "here", box=None, pad_edge=False)
    notes: Dict[str, List[str]] = {}
    client = engine.connect()
    try:
        for row in images.load().values():
            found = make.local_image(client, row)
            here = "%s, %s (%s)" % (row.tag, _size(found.bytes), found.source) if found is not None else "-"
            sources = ["registry"] * (row.registry is not None) + ["debian"] * (row.debian is not None)
            table.add_row(row.id, row.python, row.libc, row.arch, row.family, ", ".join(sources), here)
            for why in make.obstacles(client, row):
                notes.setdefault(why, []).append(row.id)
    finally:
        client.close()
    console.print(table)
    _print_reasons(console, "", notes)
    return EXIT_OK


def _print_reasons(console: Console, what: str, found: Mapping[str, Sequence[str]]) -> None:
    """Print each reason once, with the names of all images that it concerns."""
    for why, names in found.items():
        console.print("%s%s: %s" % (what, ", ".join(names), literal(why)), soft_wrap=True)


# lab images build

def _build(options: argparse.Namespace, console: Console) -> int:
    rows = [images.find(name) for name in dict.fromkeys(options.id)] or list(images.load().values())
    client = engine.connect()
    try:
        outcomes = _make_all(client, rows, Build(options.source, options.fresh, options.jobs), console)
    finally:
        client.close()
    if options.id and len(rows) == 1:
        for error in outcomes.values():
            if isinstance(error, LabError):
                raise error
    return _report(console, rows, outcomes, bool(options.id))


class Build(NamedTuple):
    """How to make images. source: one of ``make.SOURCES``. fresh: make those that the engine has, too. jobs: the number
    of images at a time."""

    source: str
    fresh: bool
    jobs: int


def _make_all(client: Any, rows: Sequence[Row], build: Build, console: Console) -> Dict[str, Outcome]:
    """Obtain all images, ``build.jobs`` at a time, and print a line for each that the engine has now. Returns the
    results or errors by id."""
    outcomes: Dict[str, Outcome] = {}
    with ThreadPoolExecutor(build.jobs) as pool, _bar(console) as bar:
        stopped: List[bool] = []
        jobs = {pool.submit(_make_one, client, row, build, bar, stopped): row for row in rows}
        try:
            for job in as_completed(jobs):
                row = jobs[job]
                outcome, seconds = job.result()
                outcomes[row.id] = outcome
                if isinstance(outcome, make.Obtained):
                    console.print("%s: %s, %s, %.1f s" % (row.id, literal(outcome.how), _size(outcome.bytes), seconds),
                                  soft_wrap=True)
        except BaseException:  # Ctrl-C: stop the other threads, too
            stopped.append(True)
            for job in jobs:
                job.cancel()
            _end_builds(client)
            raise
    return outcomes


def _make_one(client: Any, row: Row, build: Build, bar: Progress, stopped: List[bool]) -> Tuple[
        Outcome, float]:
    task = bar.add_task(row.id, what="")

    def say(what: str) -> None:
        if stopped:
            raise KeyboardInterrupt
        bar.update(task, what=literal(what))

    started = time.monotonic()
    try:
        return make.obtain(client, row, say, build.source, build.fresh), time.monotonic() - started
    except LabError as error:  # return it, so that the other images go on
        return error, time.monotonic() - started
    finally:
        bar.remove_task(task)


def _end_builds(client: Any) -> None:
    """Remove the containers that compile or install, so that the threads that wait for them return."""
    mine = engine.labels("build")
    for container in client.containers.list(all=True, ignore_removed=True, filters={
            "label": ["%s=%s" % item for item in mine.items()]}):
        engine.remove(container)


def _bar(console: Console) -> Progress:
    return Progress(SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[what]}"),
                    TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)


def _report(console: Console, rows: Sequence[Row], outcomes: Mapping[str, Outcome], is_asked: bool) -> int:
    """Print which images were not pulled and which are not available, each reason once. Returns the exit code."""
    code = EXIT_OK
    not_pulled: Dict[str, List[str]] = {}
    not_here: Dict[str, List[str]] = {}
    for row in rows:
        outcome = outcomes[row.id]
        if isinstance(outcome, make.Obtained):
            if outcome.why_not_pulled:
                not_pulled.setdefault(outcome.why_not_pulled, []).append(row.id)
        elif isinstance(outcome, NotHere) and row.debian is None and not is_asked:
            not_here.setdefault(str(outcome).replace(row.id + ": ", "", 1), []).append(row.id)
        else:
            sys.stderr.write("lab images: %s\n" % escaped(str(outcome)))
            code = max(code, outcome.exit_code)
    _print_reasons(console, "not pulled: ", not_pulled)
    _print_reasons(console, "not available: ", not_here)
    return code


# lab images pin

def _pin(options: argparse.Namespace, console: Console) -> int:
    before = images.load()
    for name, digest in registry.pin(only=options.id).items():
        is_new = before[name].registry != "%s@%s" % (registry.unpinned(before[name].registry or ""), digest)
        console.print("%s: %s%s" % (name, digest, "" if is_new else ", as before"), soft_wrap=True, markup=False)
    return EXIT_OK


def _size(count: int) -> str:
    return "%.0f MB" % (count / 1e6)


_COMMANDS = {
    "list": (_list, "list all images, those that the engine has, and the reasons why others are not available"),
    "build": (_build, "pull images, or make them from Debian's packages"),
    "pin": (_pin, "look up the digests of the registries' tags, and write them into images.toml"),
}
