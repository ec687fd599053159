"""Spawned workers, for platforms without a fork that works: each serves many cells, as a start takes long.

A worker is a second process of this interpreter that runs ``run.worker``, in a new session or process group. We send it
one cell a line, and it answers with one line each; a thread of ours reads the answers, since on Windows one cannot wait
for a pipe. We replace a worker after anything that may have changed its state: a crash, a hang, a leak, a broken
set-up, and on Linux a table of descriptors that has outgrown select, as the kernel never shrinks it (see probe
limits/number-above-table).
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from typing import Any, Dict, List, Optional

from lab.capabilities import has
from lab.errors import Broken, NotHere
from lab.probing.run.child import Task
from lab.probing.run.endings import MOST, TOO_LONG, Ending, answered, death, kill_group, kill_survivors, late
from lab.text import shown

START = 60.0
"""Seconds until a worker must be ready; Wine takes several."""

_SELECTS = 1024
"""How many descriptors select can number: FD_SETSIZE, on every POSIX system."""

END = 5.0
"""Seconds, before the factor ``slow``, for a worker to exit once its input has ended or it was killed."""

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from %s import %s; %s"


def command(module: str, name: str, call: str) -> List[str]:
    """The command line that imports ``name`` from ``module`` and runs ``call`` in another process of this interpreter,
    with the same flags and the same path, so from the same tree, wheel or lab.pyz. Raises ``NotHere`` if Python does
    not know its own executable."""
    if not sys.executable:
        raise NotHere("this Python does not know its own executable, so no worker can be started; run another one")
    flags: List[str] = getattr(subprocess, "_args_from_interpreter_flags", list)()
    return [sys.executable, *flags, "-c", _PROGRAM % (module, name, call), *map(os.path.abspath, sys.path)]


class _Worker:
    """One process, the thread that reads its answers, and the task that it is working on."""

    def __init__(self, events: Any, complaints: Any, slow: float) -> None:
        self._slow = slow
        options: Dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self.process = subprocess.Popen(command("lab.probing.run.worker", "main", "main()"), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=complaints, bufsize=0, **options)
        self.task: Optional[Task] = None
        self.is_ready = self.is_dead = False
        self.began = self.deadline = time.monotonic()
        self._thread = threading.Thread(target=self._listen, args=(events,), daemon=True)
        self._thread.start()

    def _listen(self, events: Any) -> None:
        """Put each line into the queue, and None once the worker's output ends."""
        assert self.process.stdout is not None
        fd, said, piece = self.process.stdout.fileno(), bytearray(), b" "
        while piece and len(said) <= MOST:
            piece = os.read(fd, 1 << 16)
            *lines, rest = (said + piece).split(b"\n")
            said = bytearray(rest)
            for line in lines:
                events.put((self, bytes(line)))
        events.put((self, bytes(said) if len(said) > MOST else None))

    def send(self, request: Dict[str, Any]) -> None:
        """Send a cell to the worker. Raises OSError if it has ended meanwhile."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode("ascii") + b"\n")

    def notice_death(self) -> None:
        """Kill the children of a worker that has died: while they hold its pipe open, we read no end of file."""
        if self.process.poll() is not None and not self.is_dead:
            self.is_dead = True
            if sys.platform != "win32":
                kill_survivors(self.process.pid, self._slow)

    def has_outgrown_select(self) -> bool:
        """Whether the worker's table of descriptors is larger than select can number; False without /proc, which
        tells."""
        if not has("proc"):
            return False
        try:
            with open("/proc/%d/status" % self.process.pid, encoding="ascii", errors="replace") as file:
                return any(int(line.split()[1]) >= _SELECTS for line in file if line.startswith("FDSize:"))
        except OSError:  # ENOENT: no Linux, or it has ended
            return False

    def end(self, at_once: bool) -> int:
        """End its input and wait for it to exit, or kill it; kill what it had left running too. Returns its exit code,
        negative for a signal's number. ``at_once``: do not wait for it to exit by itself."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            code = self.process.wait(0 if at_once else END * self._slow)
        except subprocess.TimeoutExpired:
            if sys.platform != "win32":
                kill_group(self.process.pid)
            self.process.kill()
            code = self.process.wait(END * self._slow)
        if sys.platform != "win32":
            kill_survivors(self.process.pid, self._slow)
        self._thread.join(END * self._slow)
        self.process.stdout.close()
        return code


class Pool:
    """Workers, started when one is needed. A file in ``directory`` takes their error output, for those that fail to
    start. ``patience`` is in seconds, after the factor."""

    def __init__(self, slow: float, patience: float, directory: str) -> None:
        self._slow = slow
        self._patience = patience
        self._complaints: Any = open(os.path.join(directory, "complaints"), "w+b")  # noqa: SIM115  # close() does
        self._events: Any = queue.Queue()
        self._idle: List[_Worker] = []
        self._at_work: List[_Worker] = []

    @property
    def busy(self) -> int:
        """How many tasks are running."""
        return len(self._at_work)

    def start(self, task: Task, directory: str) -> None:
        """Begin with a task, in an idle worker or in a new one."""
        request = {"module": task.cell.probe.run.__module__, "probe": task.cell.probe.id, "backend": task.cell.backend,
                   "as_control": task.as_control, "slow": self._slow, "directory": directory}
        worker = self._idle.pop() if self._idle else _Worker(self._events, self._complaints, self._slow)
        self._at_work.append(worker)
        worker.task = task
        worker.began = time.monotonic()
        worker.deadline = worker.began + (self._patience if worker.is_ready else START * self._slow)
        try:
            worker.send(request)
        except OSError:  # EPIPE, EINVAL on Windows: it has ended, which the listening thread notices too
            pass

    def wait(self, timeout: float) -> List[Ending]:
        """The tasks that have ended, within ``timeout``; perhaps none. Raises ``Broken`` if a worker does not start."""
        endings = []
        try:
            events = [self._events.get(timeout=timeout)]
            while not self._events.empty():
                events.append(self._events.get())
        except queue.Empty:
            events = []
        for worker, line in events:
            if worker in self._at_work:
                endings += self._hear(worker, line)
            elif worker in self._idle:  # it ended while it had nothing to do
                self._idle.remove(worker)
                worker.end(at_once=False)
        now = time.monotonic()
        for worker in self._at_work:
            worker.notice_death()
        for worker in [each for each in self._at_work if now > each.deadline]:
            if not worker.is_ready:
                raise self._broken("is not ready after %g s" % (START * self._slow))
            endings.append(self._finish(worker, {"outcome": "timeout", "reason": late(self._patience)}))
            worker.end(at_once=True)
        return endings

    def _hear(self, worker: _Worker, line: Optional[bytes]) -> List[Ending]:
        """Take a line, or the end of output, from a worker at work; return how its task ended, or nothing yet."""
        if line is None:
            code = worker.end(at_once=False)
            if not worker.is_ready:
                raise self._broken("ended with exit code %d" % code)
            return [self._finish(worker, {"outcome": "crash", "reason": death(code)})]
        if not worker.is_ready:
            worker.is_ready = True
            worker.began = time.monotonic()
            worker.deadline = worker.began + self._patience
            return []
        is_whole = len(line) <= MOST
        ending = self._finish(worker, answered(line) if is_whole else {"outcome": "broken", "reason": TOO_LONG})
        if is_whole and ending.fields["outcome"] in ("observed", "unsupported") and not worker.has_outgrown_select():
            self._idle.append(worker)
        else:
            worker.end(at_once=True)
        return [ending]

    def _finish(self, worker: _Worker, fields: Dict[str, Any]) -> Ending:
        self._at_work.remove(worker)
        task = worker.task
        assert task is not None
        fields.setdefault("seconds", time.monotonic() - worker.began)
        return Ending(task, fields)

    def _broken(self, what: str) -> Broken:
        self._complaints.seek(0)
        said = self._complaints.read().decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        return Broken("a worker (%s) %s: %s; run `lab doctor`, or set LAB_PROBE_START=fork" % (
            sys.executable, what, shown(said[-1])))

    def close(self) -> None:
        """End the idle workers, and kill those at work."""
        for worker in self._idle:
            worker.end(at_once=False)
        for worker in self._at_work:
            worker.end(at_once=True)
        self._idle, self._at_work = [], []
        self._complaints.close()
