"""Many cells, each in a child process: one that hangs, crashes or leaks costs one cell, and the others are observed.

How a child is made is the platform's matter: forked, one a cell (``_fork``), or spawned, one for many (``_spawn``).
The environment variable LAB_PROBE_START says ``fork`` or ``spawn`` to have the one or the other.

Several run at a time, as most of them wait most of the time; probes with ``alone`` come last and one by one. Nothing is
left behind when ``run`` returns or raises: no process, no descriptor, no file. So a stop signal is only noted when it
comes, and heeded between two steps.
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
from lab.capabilities import has
from lab.errors import Broken, Usage, reason
from lab.probing import watchers
from lab.probing.probe import EVERY
from lab.probing.run import fork, leaks, spawn
from lab.probing.run.child import Task
from lab.probing.run.endings import Ending
from lab.probing.run.pool import Pool
from lab.records import Observation

PATIENCE = 20.0
"""Seconds for one cell; the slowest that end at all take two."""

FORK, SPAWN = "fork", "spawn"
SWITCH = "LAB_PROBE_START"

_TICK = 0.05
"""Seconds between two looks for what no descriptor tells: a deadline, a stop signal."""


class Settings(NamedTuple):
    """How to run: the factor by which all waits are stretched, how many cells at a time (0: as fits this machine),
    ``fork`` or ``spawn`` ("": as fits this platform), and the seconds for one cell, before the factor."""

    slow: float = 1.0
    jobs: int = 0
    isolation: str = ""
    patience: float = PATIENCE


def run(tasks: Sequence[Task], settings: Settings, on_result: Callable[[Task, Observation], None]
        ) -> List[Observation]:
    """Observe all; what became of each, in the order of the tasks. ``on_result`` is called as each one ends.

    What is broken is run once more at the end, with nothing beside it: most set-ups that fail do so on a busy machine,
    and nothing has been observed yet. The detail of what comes then tells the reason, as ``broken_before``.

    Raises ``Broken`` where no child can be made, and KeyboardInterrupt when the user has had enough.
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
            if error.errno in (errno.EPIPE, errno.ENOSPC, errno.EINVAL):  # of the output (EINVAL: Windows' broken pipe)
                raise
            raise Broken("no more children can be started: %s; give --jobs 1, or raise the limits" % reason(error)
                         ) from error
        finally:
            pool.close()
    return [found[number] for number in range(len(tasks))]


def default_jobs() -> int:
    """Eight, or two for each processor, up to 32: most cells wait most of the time. On two processors the catalogue
    takes twice as long with four, and with sixteen no less than with eight."""
    return min(32, max(8, 2 * (facts.cpus() or 1)))


def observation(task: Task, fields: Dict[str, Any]) -> Observation:
    """The record of an outcome; ``broken`` where the probe's words cannot be in a record."""
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
    """Whether this platform lacks the backend, so that no child is needed to say so. Not asked for a foreign class:
    its module is imported in children only."""
    why = watchers.why_not(task.cell.backend) if task.cell.backend in EVERY else None
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
    """How children are made here. Raises ``Usage`` for what is not possible."""
    asked = wanted or os.environ.get(SWITCH, "")
    can_fork = has("fork") and threading.active_count() == 1
    if asked not in ("", FORK, SPAWN):
        raise Usage('%s="%s": give %s or %s' % (SWITCH, ascii(asked)[1:-1], FORK, SPAWN))
    if asked == FORK and not can_fork:
        raise Usage("%s=fork: this platform has no fork(), or other threads run; leave it unset" % SWITCH)
    # macOS has a fork, but what its libraries do in a forked child may crash (bpo-33725).
    return asked or (FORK if can_fork and sys.platform != "darwin" else SPAWN)


def _each(pool: Pool, tasks: Iterable[Task], jobs: int, directory: _Directory, interrupts: _Interrupts
          ) -> Iterable[Ending]:
    """Run these, so many at a time; each as it ends."""
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
        """A new directory for that task."""
        self._count += 1
        self._made[id(task)] = path = os.path.join(self.path, str(self._count))
        os.mkdir(path)
        return path

    def remove(self, task: Task) -> None:
        """Remove it, with what is left in it."""
        shutil.rmtree(self._made.pop(id(task)), ignore_errors=True)  # on Windows a worker may hold it open still

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class _Interrupts:
    """Stop signals, noted while a run lasts. But for Ctrl-C and Ctrl-Break, one ends us at the end as it would have at
    once."""

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
        """Raise KeyboardInterrupt where one has come."""
        if self._received:
            raise KeyboardInterrupt

    def restore(self) -> None:
        """Handle them as before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.restore()
        if self._received and self._received[0] not in (signal.SIGINT, getattr(signal, "SIGBREAK", None)):
            signal.raise_signal(self._received[0])
        if kind is None:
            self.check()
