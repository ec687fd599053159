"""`python -m tests.core.probing.scripted_run fork|spawn PATIENCE SLOW NAME...`: run scripted probes, a good one after
each.

A line of JSON for each cell, and one at the end for what is left in this process. In a process of its own, because the
runner forks, and the tests' own process has other threads.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any, List

from lab.probing import selection
from lab.probing.run import runner
from lab.probing.run.child import Task
from lab.probing.run.observe import Cell

_os: Any = os
GONE = 5.0
"""Seconds to wait until a killed process is gone."""


def descriptors() -> List[str]:
    """The descriptors that are open now."""
    try:
        return sorted(name for name in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + name))
    except OSError:  # ENOENT: no /proc
        return []


def has_children() -> bool:
    """Whether this process has any children."""
    try:
        _os.waitpid(-1, getattr(os, "WNOHANG", 0))
    except ChildProcessError:
        return False
    return True


def is_gone(pid: int) -> bool:
    """Whether that process ends soon; the init process reaps an orphan."""
    deadline = time.monotonic() + GONE
    while time.monotonic() < deadline:
        try:
            with open("/proc/%d/stat" % pid) as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (OSError, IndexError):  # ENOENT, ESRCH
            return True
        time.sleep(0.01)
    return False


def main(isolation: str, patience: float, slow: float, names: List[str]) -> None:
    probes = {probe.id.partition("/")[2]: probe for probe in selection.probes(["scripted-probes"], [])}
    tasks = []
    for name in names:
        tasks += [Task(Cell(probes[name], "none")), Task(Cell(probes["fine"], "none"))]
    before = descriptors(), threading.active_count()
    order: List[str] = []
    found = runner.run(tasks, runner.Settings(slow=slow, jobs=4, isolation=isolation, patience=patience),
                        lambda task, made: order.append(made.probe))
    after = descriptors(), threading.active_count()
    for bad, good in zip(found[::2], found[1::2]):
        print(json.dumps([dict(bad._asdict()), good.outcome == "observed" and good.token]))
    pids = [made.detail["pid"] for made in found if "pid" in made.detail]
    print(json.dumps({"before": before, "after": after, "children": has_children(), "order": order,
                      "alive": [pid for pid in pids if not is_gone(pid)]}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
