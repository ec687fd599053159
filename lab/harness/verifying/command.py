"""`lab verify`: its options, checked and turned into one value; ``campaign`` does the work."""

from __future__ import annotations

import argparse
import os
import selectors
from pathlib import Path
from typing import Optional, Sequence, Tuple

from lab import quantities
from lab.backends import spelling
from lab.errors import Usage
from lab.harness import targets
from lab.harness.console import console
from lab.harness.verifying import campaign, judge, matrix
from lab.harness.verifying.wanted import Wanted
from lab.probing.catalogue import find, promised
from lab.probing.probe import NONE, OURS, SELECTORS
from lab.text import shown

EPILOG = """\
Targets: %s. Unexpected or broken results are re-run once at the end, one at a time; one that is then as expected is
listed as unsteady and does not fail the run. Exit codes: 0 everything is as expected or a known difference of the
platform; 1 something else was observed, or a known difference was not; 4 a set-up failed, so that nothing could be
observed.""".replace("\n", " ")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lab verify`."""
    add = parser.add_argument
    add("--target", action="append", default=[], metavar="T", help="where to observe; may be repeated; default: here")
    add("--matrix", metavar="NAME", help="the targets of this set of docker/matrix.toml: %s" % ", ".join(matrix.load()))
    add("--python", metavar="PATH", help="the interpreter in images; default: lab verify looks for one")
    add("--only", action="append", default=[], metavar="ID", help="this probe or topic; may be repeated; default: all")
    add("--backend", action="append", default=[], metavar="B", help="on this backend; may be repeated; default: all")
    add("--selector", metavar="PKG.MOD:CLASS", help="only this class, as a selectors.BaseSelector")
    add("--serve", action="store_true", help="first serve on every backend and I/O model here, and check each byte")
    add("--slow", type=quantities.factor, default=1.0, metavar="F",
        help="multiply all waits by this: 4 for an emulated machine; default: 1")
    add("--jobs", type=quantities.positive, default=os.cpu_count() or 1, metavar="N",
        help="targets at a time; default: one for each processor")
    add("--once", action="store_true", help="judge the first results; re-run nothing")
    add("--exclude", type=Path, metavar="FILE", help="TOML with [[exclude]] probe, backend, reason: what not to count")
    add("--junit", type=Path, metavar="FILE", help="write the verdicts as JUnit XML")
    add("--out", type=Path, metavar="DIR", help="write the records there, one file for each target")
    parser.epilog = EPILOG % ", ".join(kind.spelling for kind in targets.kinds().values())


def run(options: argparse.Namespace) -> int:
    """Observe, judge, re-run, report. Returns the exit code."""
    return campaign.run(_wanted(options), console())


def _wanted(options: argparse.Namespace) -> Wanted:
    """The options as a value. Raises ``Usage`` for one that makes no sense, ``NotHere`` for what this machine lacks."""
    excludes = judge.read_excludes(options.exclude) if options.exclude else []
    for name in options.only:
        find(name)  # raises Usage
    for name in options.backend:
        if name not in (*OURS, *NONE) and not spelling.is_foreign(name):
            raise Usage('no backend "%s"; they are: %s' % (shown(name), ", ".join((*OURS, *NONE))))
    selector = _selector(options.selector) if options.selector is not None else None
    spellings, unavailable = matrix.choose(options.matrix) if options.matrix else ([], {})
    chosen = targets.choose([*options.target, *spellings] or ["here"])
    return Wanted(
        targets=tuple(chosen.targets), merged=tuple(chosen.merged), unavailable=unavailable,
        names=_names(options.only, selector), backends=(*options.backend, *([selector] if selector else [])),
        has_selector=selector is not None, python=options.python, slow=options.slow, jobs=options.jobs,
        serves=options.serve, once=options.once, excludes=tuple(excludes), junit=options.junit, out=options.out)


def _names(only: Sequence[str], selector: Optional[str]) -> Tuple[str, ...]:
    """The probes to run; empty for all. A selector class must do what selectors promise, and keep our own contract."""
    if only or selector is None:
        return tuple(only)
    return tuple(probe.id for probe in promised("selectors", "backend"))


def _selector(text: str) -> str:
    """The backend that stands for a selector class. A class of Python's own is the backend of its name, so that the
    expectations of that backend apply. Raises ``Usage``."""
    foreign = "selectors:" + text
    if not spelling.is_well_formed(foreign):
        raise Usage("--selector: %s is no PKG.MOD:CLASS; try selectors:EpollSelector" % shown(text))
    module, kind = spelling.class_of(foreign)
    if module == "selectors" and kind == "DefaultSelector":
        kind = selectors.DefaultSelector.__name__
    own = spelling.of_class(module, kind)
    return own if own in SELECTORS else foreign
