"""The program of a spawned worker: it reads a cell as a line of JSON, observes it, writes a line of JSON, and repeats.

``run.spawn`` starts it. The first line of its output is empty: it says that the worker is ready, and the time of the
first cell counts from then on.
"""

from __future__ import annotations

import importlib
import json
import os
from typing import Any, Dict

from lab.probing.probe import REGISTRY, Probe
from lab.probing.run import leaks
from lab.probing.run.child import Task, answer, redirect
from lab.probing.run.observe import Cell


def main() -> None:
    """Serve until the input ends."""
    reader, writer = _away(0), _away(1)
    redirect()
    leaks.warm_up()
    with os.fdopen(reader, "rb") as requests:
        os.write(writer, b"\n")
        for line in requests:
            asked = json.loads(line)
            task = Task(Cell(_probe(asked["module"], asked["probe"]), asked["backend"]), asked["as_control"])
            left = memoryview(answer(task, asked["slow"], asked["directory"]))
            while left:
                left = left[os.write(writer, left):]


def _away(fd: int) -> int:
    """A duplicate of that descriptor above 2, as a probe may print to or close 0 to 2. Other programs do not inherit
    it."""
    lower = []
    found = os.dup(fd)
    while found < 3:
        lower.append(found)
        found = os.dup(fd)
    for each in lower:
        os.close(each)
    return found


_known: Dict[str, Any] = {}


def _probe(module: str, identity: str) -> Probe:
    """The probe of that id. We import only its own module, as all of them take seconds where files are slow."""
    importlib.import_module(module)
    _known.update((probe.id, probe) for probe in REGISTRY[len(_known):])
    found: Probe = _known[identity]
    return found
