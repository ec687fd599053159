"""One forked child a cell: the quickest isolation, and the cleanest, as no cell meets what another left.

The child leads a session of its own: a probe that kills its process group costs one cell, Ctrl-C on the terminal does
not reach it, and whatever it started can be killed with it. Its answer comes through a pipe that no other child has.
Only for a process with a single thread, since a fork copies locks that other threads hold, but not those threads.
"""

from __future__ import annotations

import os
import select
import sys
import time
from typing import Any, Callable, Dict, List, Optional

from lab.capabilities import has
from lab.probing.run.child import Task, answer, redirect
from lab.probing.run.endings import MOST, TOO_LONG, Ending, answered, death, kill, kill_survivors, late
from lab.wait_status import exit_code

_os: Any = os  # typed loosely, as the next: what only POSIX has
_select: Any = select

_LINGER = 2.0
"""Seconds that a child may take to end once it has answered."""


class _Child:
    """One that runs."""

    def __init__(self, task: Task, pid: int, fd: int, patience: float) -> None:
        self.task = task
        self.pid = pid
        self.fd = fd
        self.began = time.monotonic()
        self.deadline = self.began + patience
        self.said = bytearray()
        self.has_closed = False  # its side of the pipe

    def read(self) -> None:
        """Take what it says."""
        piece = os.read(self.fd, 1 << 16)
        self.said += piece
        if not piece:
            self.has_closed = True
        elif piece.endswith(b"\n"):
            self.deadline = min(self.deadline, time.monotonic() + _LINGER)


class Pool:
    """Forked children. ``in_child`` is called in each before anything else."""

    def __init__(self, slow: float, patience: float, in_child: Callable[[], None]) -> None:
        self._slow = slow
        self._patience = patience
        self._in_child = in_child
        self._children: Dict[int, _Child] = {}  # by descriptor
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()  # or each child would have it in its buffer too

    @property
    def busy(self) -> int:
        """How many tasks run."""
        return len(self._children)

    def start(self, task: Task, directory: str) -> None:
        """Begin with it, in a new child."""
        reader, writer = os.pipe()
        try:
            pid = _os.fork()
            if pid == 0:
                self._be_child(task, directory, reader, writer)
        except OSError:  # EAGAIN, ENOMEM: no room for a child
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self._children[reader] = _Child(task, pid, reader, self._patience)

    def _be_child(self, task: Task, directory: str, reader: int, writer: int) -> None:
        code = 1
        try:
            _os.setsid()
            self._in_child()
            for fd in (reader, *self._children):
                os.close(fd)
            while writer < 3:  # where one of these was closed when we began
                writer = os.dup(writer)
            redirect()
            left = memoryview(answer(task, self._slow, directory))
            while left:
                left = left[os.write(writer, left):]
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        finally:
            os._exit(code)  # not the parent's way out: its buffers and what it cleans up are not ours

    def wait(self, timeout: float) -> List[Ending]:
        """Those that have ended, within ``timeout``; maybe none."""
        speaking = [fd for fd, child in self._children.items() if not child.has_closed]
        if len(speaking) < len(self._children):
            timeout = 0.001  # one has closed its pipe, and is about to end
        for fd in _readable(speaking, timeout):
            self._children[fd].read()
        endings = [self._look_at(child) for child in list(self._children.values())]
        return [ending for ending in endings if ending is not None]

    def _look_at(self, child: _Child) -> Optional[Ending]:
        """How this one ended, or None where it runs on. Asked of the system, not concluded from its pipe, which a
        child of its own may hold open."""
        pid, status = _os.waitpid(child.pid, _os.WNOHANG)
        is_late = not pid and time.monotonic() > child.deadline
        if not pid and not is_late and len(child.said) <= MOST:
            return None
        code = exit_code(status) if pid else kill(child.pid)
        survivors = kill_survivors(child.pid)
        while len(child.said) <= MOST and not child.has_closed and _readable([child.fd], 0):
            child.read()  # what came after the last look at the pipe
        os.close(child.fd)
        del self._children[child.fd]
        line, end, _ = bytes(child.said).partition(b"\n")
        fields: Dict[str, Any]
        if len(child.said) > MOST:
            fields = {"outcome": "broken", "reason": TOO_LONG}
        elif end:
            fields = answered(line, survivors or is_late)
        elif is_late:
            fields = {"outcome": "timeout", "reason": late(self._patience)}
        else:
            fields = {"outcome": "crash", "reason": death(code)}
        fields.setdefault("seconds", time.monotonic() - child.began)
        return Ending(child.task, fields)

    def close(self) -> None:
        """Kill what runs, and reap it."""
        for child in self._children.values():
            kill(child.pid)
            kill_survivors(child.pid)
            os.close(child.fd)
        self._children.clear()


def _readable(fds: List[int], timeout: float) -> List[int]:
    if not has("poll"):
        return list(select.select(fds, [], [], timeout)[0])
    poll = _select.poll()
    for fd in fds:
        poll.register(fd, _select.POLLIN)
    return [fd for fd, _ in poll.poll(timeout * 1000)]
