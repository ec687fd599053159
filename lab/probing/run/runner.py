"""Runs many cells in child processes: one that hangs, crashes or leaks costs one cell, and the others are observed.

The platform decides how children are made: forked, one for each cell (``run.fork``), or spawned, one for many cells
(``run.spawn``). The environment variable LAB_PROBE_START, ``fork`` or ``spawn``, overrides it.

Several cells run at a time, as most of them wait most of the time; probes with ``alone`` come last, one by one. When
``run`` returns or raises it has left nothing behind: no process, no descriptor, no file. Therefore the handlers of stop
signals only note the signal, and we act on it between two steps.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import tempfile
import threading
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Type

from lab import facts, records
from lab.backends import spelling
from lab.capabilities import has
from lab.errors import Broken, Usage, reason
from lab.probing import watchers
from lab.probing.run import fork, leaks, spawn
from lab.probing.run.child import Task
from lab.probing.run.endings import Ending
from lab.probing.run.pool import Pool
from lab.records import Observation
from lab.text import shown

PATIENCE = 20.0
"""Seconds for one cell, before the factor ``slow``; the slowest cells take two."""

FORK, SPAWN = "fork", "spawn"
SWITCH = "LAB_PROBE_START"

_TICK = 0.05
"""Seconds between two looks for what no descriptor reports: a deadline, a stop signal."""


class Settings(NamedTuple):
    """How to run: the factor that stretches all waits, how many cells at a time (0: as fits this machine), ``fork`` or
    ``spawn`` ("": as fits this platform), and the seconds for one cell, before the factor."""

    slow: float = 1.0
    jobs: int = 0
    isolation: str = ""
    patience: float = PATIENCE


def run(tasks: Sequence[Task], settings: Settings, on_result: Callable[[Task, Observation], None]
        ) -> List[Observation]:
    """Observe all tasks; return their observations in the same order. We call ``on_result`` as each one ends.

    Broken cells are run once more at the end, one at a time: most set-ups that fail do so because the machine is busy,
    and nothing has been observed yet. The detail of the second run has the first reason as ``broken_before``.

    Raises ``Broken`` if no child can be made, and KeyboardInterrupt after a stop signal.
    """
    found: Dict[int, Observation] = {}
    numbers = {id(task): number for number, task in enumerate(tasks)}

    def note(task: Task, fields: Dict[str, Any]) -> None:
        found[numbers[id(task)]] = made = observation(task, fields)
        on_result(task, made)

    with _Interrupts() as interrupts, _Directory() as directory:
        rest = [task for task in tasks if not _is_refused(task, note)]
        pool = _pool(settings, directory.path, interrupts)
        broken: Dict[int, Tuple[Task, str]] = {}
        try:
            jobs = settings.jobs or default_jobs()
            together = [task for task in rest if not task.cell.probe.alone]
            alone = [task for task in rest if task.cell.probe.alone]
            for some, many in ((together, jobs), (alone, 1)):
                for task, fields in _each(pool, some, many, directory, interrupts):
                    if fields["outcome"] == "broken":
                        broken[id(task)] = task, fields["reason"]
                    else:
                        note(task, fields)
            for task, fields in _each(pool, [task for task, _ in broken.values()], 1, directory, interrupts):
                if fields["outcome"] == "observed":
                    fields["detail"]["broken_before"] = broken[id(task)][1]
                note(task, fields)
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ENOSPC, errno.EINVAL):  # from the output (EINVAL: a pipe on Windows)
                raise
            raise Broken("no more children can be started: %s; give --jobs 1, or raise the limits" % reason(error)
                         ) from error
        finally:
            pool.close()
    return [found[number] for number in range(len(tasks))]


def default_jobs() -> int:
    """Eight, or two for each processor if that is more, up to 32: most cells wait most of the time. On two processors,
    the catalogue takes twice as long with four as with eight, and with sixteen it is no faster."""
    return min(32, max(8, 2 * (facts.cpus() or 1)))


def observation(task: Task, fields: Dict[str, Any]) -> Observation:
    """The record of an outcome; ``broken`` if the probe's token or detail cannot be in a record."""
    values: Dict[str, Any] = {"token": None, "expected": None, "trials": "", "detail": {}, "reason": None,
                              "seconds": 0.0, **fields, "probe": task.cell.probe.id, "backend": task.cell.backend}
    values["seconds"] = round(values["seconds"], 6)
    try:
        made = Observation(**values)
        records.dump(made)
    except (TypeError, ValueError) as error:
        made = Observation(task.cell.probe.id, task.cell.backend, "broken", None, None, "", {},
                           "what it saw is no record: %s" % str(error)[:200], 0.0)
    return made


def _is_refused(task: Task, note: Callable[[Task, Dict[str, Any]], None]) -> bool:
    """Whether this platform lacks the backend, which needs no child to find out. We do not check a foreign class here:
    its module is imported in children only."""
    why = None if spelling.is_foreign(task.cell.backend) else watchers.why_not(task.cell.backend)
    if why is not None:
        note(task, {"outcome": "unsupported", "reason": why})
    return why is not None


def _pool(settings: Settings, directory: str, interrupts: _Interrupts) -> Pool:
    patience = settings.patience * settings.slow
    if isolation(settings.isolation) == SPAWN:
        return spawn.Pool(settings.slow, patience, directory)
    leaks.warm_up()  # once, for all children
    return fork.Pool(settings.slow, patience, interrupts.restore)


def isolation(wanted: str = "") -> str:
    """How children are made here: ``FORK`` or ``SPAWN``. Raises ``Usage`` if what the user wants is not possible."""
    asked = wanted or os.environ.get(SWITCH, "")
    can_fork = has("fork") and threading.active_count() == 1
    if asked not in ("", FORK, SPAWN):
        raise Usage('%s="%s": give %s or %s' % (SWITCH, shown(asked), FORK, SPAWN))
    if asked == FORK and not can_fork:
        raise Usage("%s=fork: this platform has no fork(), or other threads run; leave it unset" % SWITCH)
    # macOS has a fork, but its libraries may crash in a forked child (bpo-33725).
    return asked or (FORK if can_fork and sys.platform != "darwin" else SPAWN)


def _each(pool: Pool, tasks: Iterable[Task], jobs: int, directory: _Directory, interrupts: _Interrupts
          ) -> Iterable[Ending]:
    """Run these tasks, ``jobs`` at a time; yield each as it ends."""
    waiting = list(reversed(list(tasks)))
    while waiting or pool.busy:
        while waiting and pool.busy < jobs:
            task = waiting.pop()
            pool.start(task, directory.make(task))
        for ending in pool.wait(_TICK):
            directory.remove(ending.task)
            yield ending
        interrupts.check()


class _Directory:
    """A temporary directory for the run, with one for each task, removed at the end."""

    def __enter__(self) -> _Directory:
        self.path = tempfile.mkdtemp(prefix="lab")  # short: unix sockets are made in it (108 bytes, macOS 104)
        self._made: Dict[int, str] = {}
        self._count = 0
        return self

    def make(self, task: Task) -> str:
        """Make a directory for a task; return its path."""
        self._count += 1
        self._made[id(task)] = path = os.path.join(self.path, str(self._count))
        os.mkdir(path)
        return path

    def remove(self, task: Task) -> None:
        """Remove the directory of a task with its content."""
        shutil.rmtree(self._made.pop(id(task)), ignore_errors=True)  # on Windows a worker may hold it open still

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class _Interrupts:
    """Notes stop signals while a run lasts. At the end of the run a signal other than Ctrl-C and Ctrl-Break is raised
    again, and has the effect that it would have had at once."""

    def __init__(self) -> None:
        self._received: List[int] = []
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> _Interrupts:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):  # nohup
                    self._before[number] = signal.signal(number, lambda number, frame: self._received.append(number))
        return self

    def check(self) -> None:
        """Raise KeyboardInterrupt if a stop signal has come."""
        if self._received:
            raise KeyboardInterrupt

    def restore(self) -> None:
        """Restore the handlers from before the run."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.restore()
        if self._received and self._received[0] not in (signal.SIGINT, getattr(signal, "SIGBREAK", None)):
            signal.raise_signal(self._received[0])
        if kind is None:
            self.check()
