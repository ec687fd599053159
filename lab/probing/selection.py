"""Turns what the user names (ids, topics, backends, foreign selector classes) into the cells to run."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from typing import List, Sequence

from lab.backends import here, spelling
from lab.errors import NotHere, Usage
from lab.probing.catalogue import catalogue, find, topics
from lab.probing.probe import NONE, OURS, SELECTORS, Probe
from lab.probing.run.observe import Cell
from lab.probing.run.spawn import START, command
from lab.text import shown

MODULES = "LAB_PROBE_MODULES"
"""The environment variable that names further modules with probes, ``pkg.mod,pkg.other``: each is a topic."""


def probes(names: Sequence[str], only: Sequence[str]) -> List[Probe]:
    """The probes of these ids or topics, or all, in the order of the catalogue; ``only`` are topics. Raises ``Usage``
    for an unknown name."""
    _import_more()
    everything = catalogue()
    known = {probe.topic for probe in everything}
    for topic in only:
        if topic not in known:
            raise Usage('no topic "%s"; topics: %s' % (shown(topic), ", ".join(topics())))
    wanted = {probe.id for name in (*names, *only) for probe in find(name)}
    return [probe for probe in everything if not (names or only) or probe.id in wanted]


def cells(chosen: Sequence[Probe], backends: Sequence[str], slow: float = 1.0) -> List[Cell]:
    """Each probe on each backend that it asks, or only on the named ones. ``slow`` stretches the wait for the import of
    a foreign class. Raises ``Usage`` for an unknown backend, or if no cell is left, and ``NotHere`` for a foreign class
    that cannot be imported."""
    here()  # raises Usage if LAB_BACKENDS names an unknown backend
    known = (*OURS, *NONE)
    for name in backends:
        if spelling.is_foreign(name):
            _check_foreign(name, START * slow)
        elif name not in known:
            raise Usage('no backend "%s"; they are: %s, %s' % (
                shown(name), ", ".join(known), spelling.FOREIGN))
    found = []
    for probe in chosen:
        names = [name for name in probe.on if not backends or name in backends]
        if set(SELECTORS) <= set(probe.on):
            names += [name for name in dict.fromkeys(backends) if name not in known]
        found += [Cell(probe, name) for name in names]
    if not found:
        raise Usage("none of these probes asks %s; they ask %s" % (
            ", ".join(backends), ", ".join(sorted({name for probe in chosen for name in probe.on}))))
    return found


def _check_foreign(name: str, timeout: float) -> None:
    """Import the class and make an object of it in a child, so that what the module does on import does not happen in
    this process."""
    if not spelling.is_well_formed(name):
        raise Usage("%s is no %s" % (shown(name), spelling.FOREIGN))
    program = command("lab.probing.watchers", "unfit", "sys.exit(unfit(%r))" % name)
    try:
        done = subprocess.run(program, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise NotHere("%s: its import takes more than %g s" % (name, timeout)) from None
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if done.returncode:  # with exit code 0, stderr has warnings only
        why = said[-1] if said else "its import ended the process with exit code %d" % done.returncode
        hint = "; run in the interpreter that has it, or set PYTHONPATH" if "cannot be imported" in why else ""
        raise NotHere("%s is not here: %s%s" % (name, shown(why), hint))


def _import_more() -> None:
    for name in os.environ.get(MODULES, "").split(","):
        if name.strip() and name.strip() not in sys.modules:
            try:
                importlib.import_module(name.strip())
            except ImportError as error:
                raise Usage("%s: %s cannot be imported: %s" % (MODULES, shown(name), error)) from None
