"""Forks one child for each cell: the fastest isolation, and the cleanest, as no cell meets what another one left.

The child leads a session of its own: a probe that kills its process group costs one cell, Ctrl-C on the terminal does
not reach it, and we can kill everything that it started. It answers through a pipe that no other child has. This needs
a process with a single thread, since a fork copies the locks that other threads hold, but not those threads.
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

LINGER = 2.0
"""Seconds, before the factor ``slow``, that a child may take to exit once it has answered."""


class _Child:
    """One child that is running."""

    def __init__(self, task: Task, pid: int, fd: int, patience: float, linger: float) -> None:
        self.task = task
        self.pid = pid
        self.fd = fd
        self.began = time.monotonic()
        self.deadline = self.began + patience
        self._linger = linger
        self._has_answered = False
        self.said = bytearray()
        self.has_closed = False  # its side of the pipe

    def read(self) -> None:
        """Read a piece of its answer. Once that is complete, the child has to exit."""
        piece = os.read(self.fd, 1 << 16)
        self.said += piece
        if not piece:
            self.has_closed = True
        elif piece.endswith(b"\n") and not self._has_answered:
            self._has_answered = True
            self.deadline = time.monotonic() + self._linger


class Pool:
    """Forked children. Each calls ``in_child`` before anything else. ``patience`` is in seconds, after the factor."""

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
        """How many tasks are running."""
        return len(self._children)

    def start(self, task: Task, directory: str) -> None:
        """Begin with a task, in a new child."""
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
        self._children[reader] = _Child(task, pid, reader, self._patience, LINGER * self._slow)

    def _be_child(self, task: Task, directory: str, reader: int, writer: int) -> None:
        code = 1
        try:
            _os.setsid()
            self._in_child()
            for fd in (reader, *self._children):
                os.close(fd)
            while writer < 3:  # if one of the standard streams was closed when we began
                writer = os.dup(writer)
            redirect()
            left = memoryview(answer(task, self._slow, directory))
            while left:
                left = left[os.write(writer, left):]
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        finally:
            os._exit(code)  # without flushing the parent's buffers, and without its clean-up

    def wait(self, timeout: float) -> List[Ending]:
        """The tasks that have ended, within ``timeout``; perhaps none."""
        speaking = [fd for fd, child in self._children.items() if not child.has_closed]
        if len(speaking) < len(self._children):
            timeout = 0.001  # a child has closed its pipe, and is about to exit
        for fd in _readable(speaking, timeout):
            self._children[fd].read()
        endings = [self._look_at(child) for child in list(self._children.values())]
        return [ending for ending in endings if ending is not None]

    def _look_at(self, child: _Child) -> Optional[Ending]:
        """How a child ended, or None if it is still running. We ask the system: the end of the pipe does not tell, as
        a grandchild may hold the pipe open."""
        pid, status = _os.waitpid(child.pid, _os.WNOHANG)
        is_late = not pid and time.monotonic() > child.deadline
        if not pid and not is_late and len(child.said) <= MOST:
            return None
        code = exit_code(status) if pid else kill(child.pid, self._slow)
        survivors = kill_survivors(child.pid, self._slow)
        while len(child.said) <= MOST and not child.has_closed and _readable([child.fd], 0):
            child.read()  # what came after the last look at the pipe
        os.close(child.fd)
        del self._children[child.fd]
        line, end, _ = bytes(child.said).partition(b"\n")
        fields: Dict[str, Any]
        if len(child.said) > MOST:
            fields = {"outcome": "broken", "reason": TOO_LONG}
        elif end:
            slow_end = "it had not exited %g s after its answer, and was killed" % (LINGER * self._slow)
            fields = answered(line, survivors, slow_end if is_late else "")
        elif is_late:
            fields = {"outcome": "timeout", "reason": late(self._patience)}
        else:
            fields = {"outcome": "crash", "reason": death(code)}
        fields.setdefault("seconds", time.monotonic() - child.began)
        return Ending(child.task, fields)

    def close(self) -> None:
        """Kill all children, and reap them."""
        for child in self._children.values():
            kill(child.pid, self._slow)
            kill_survivors(child.pid, self._slow)
            os.close(child.fd)
        self._children.clear()


def _readable(fds: List[int], timeout: float) -> List[int]:
    if not has("poll"):
        return list(select.select(fds, [], [], timeout)[0])
    poll = _select.poll()
    for fd in fds:
        poll.register(fd, _select.POLLIN)
    return [fd for fd, _ in poll.poll(timeout * 1000)]
