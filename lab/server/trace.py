"""`lab serve --trace`: log one line for each wait: watched, how long it took, what was ready, then read and written.

Run ``lab serve --trace`` on epoll and on epoll-et, send both the same bytes, and compare. Level trigger reports again
what the server leaves unread. Under edge trigger the server reads until EAGAIN, because no event would come again. The
rest of the server does not know about tracing: ``Tracer`` wraps the backend, and the listeners are ``TracedSocket``
objects, which accept ``TracedSocket`` objects.

A line covers one wait and the reads and writes that followed, so the tracer writes it when the next wait begins. The
busy-polling model makes a million waits in which nothing happens; the tracer counts those and reports them together.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Dict, List, Optional, Tuple

from lab.backends import Backend, Ready
from lab.events import names, spell
from lab.server.log import Log

_SHORT = {"READ": "r", "WRITE": "w"}


class Tracer(Backend):
    """A backend that wraps another and logs each wait. ``skip_idle``: count waits in which no byte moved, instead of
    writing a line for each."""

    name = "traced"

    def __init__(self, inner: Backend, log: Log, skip_idle: bool = False) -> None:
        super().__init__()
        self.inner = inner
        self.name = inner.name  # type: ignore[misc]
        self.trigger = inner.trigger  # type: ignore[misc]
        self.features = inner.features  # type: ignore[misc]
        self._log = log
        self._skip_idle = skip_idle
        self._count = 0
        self._skipped = 0
        self._interest: Dict[int, int] = {}
        self._ready: Dict[int, int] = {}
        self._watched: Dict[int, int] = {}
        self._timeout: Optional[float] = None
        self._seconds = 0.0
        self._done: Dict[str, Dict[int, List[Any]]] = {}

    def wait(self, timeout: Optional[float] = None) -> Ready:
        self._write_last_wait()
        self._count += 1
        self._timeout = timeout
        self._watched = dict(self._interest)
        start = time.perf_counter()
        ready = self.inner.wait(timeout)
        self._seconds = time.perf_counter() - start
        self._ready = {fd: event for (fd, _), event in ready}
        return [(data, event) for (_, data), event in ready]

    def record(self, what: str, fd: int, outcome: Any) -> None:
        """Note what a socket did since the last wait. ``what``: accepted, read, wrote, shut or closed. ``outcome``: a
        number of bytes, the name of an error, or a new descriptor."""
        self._done.setdefault(what, {}).setdefault(fd, []).append(outcome)

    def register(self, fd: int, interest: int, data: Any = None) -> None:
        self.inner.register(fd, interest, (fd, data))
        self._data[fd] = data
        self._interest[fd] = interest

    def modify(self, fd: int, interest: int) -> None:
        self.inner.modify(fd, interest)
        if self._interest.get(fd) == interest:
            self.record("rearmed", fd, spell(interest))
        self._interest[fd] = interest

    def unregister(self, fd: int) -> None:
        self.inner.unregister(fd)
        self._interest.pop(fd, None)
        self._data.pop(fd, None)

    def close(self) -> None:
        self._write_last_wait()
        super().close()
        self.inner.close()

    def _write_last_wait(self) -> None:
        """Write the line about the last wait, if there was one."""
        if not self._count:
            return
        done, self._done = self._done, {}
        if self._skip_idle and not _moved(done):
            self._skipped += 1
            return
        skipped, self._skipped = self._skipped, 0
        if self._log.as_json:
            fields: Dict[str, Any] = dict(
                wait=self._count, timeout=self._timeout, seconds=self._seconds, idle_before=skipped,
                watched={fd: names(mask) for fd, mask in self._watched.items()},
                ready={fd: names(mask) for fd, mask in self._ready.items()}, **done)
            self._log.event("wait", "", **fields)
        else:
            self._log.line(self._line(done, skipped))

    def _line(self, done: Dict[str, Dict[int, List[Any]]], skipped: int) -> str:
        watched = " ".join("%d%s" % (fd, "".join(_SHORT[name] for name in names(mask)))
                           for fd, mask in sorted(self._watched.items()))
        ready = " ".join("%d:%s" % (fd, spell(mask)) for fd, mask in self._ready.items())
        actions = "".join("  %s %s" % (what, " ".join("%d:%s" % (fd, _outcomes(outcomes))
                                                    for fd, outcomes in each.items()))
                        for what, each in done.items())
        before = "  (%d waits before it moved no byte)" % skipped if skipped else ""
        return "wait %d  %8.3f ms  watched %s  ready %s%s%s" % (
            self._count, self._seconds * 1e3, watched or "nothing", ready or "nothing", actions, before)


def _moved(done: Dict[str, Dict[int, List[Any]]]) -> bool:
    return any(outcome != "EAGAIN" for each in done.values() for outcomes in each.values() for outcome in outcomes)


def _outcomes(outcomes: List[Any]) -> str:
    """``1024,1024,EAGAIN``; many equal ones as ``1024x60``."""
    runs: List[Tuple[Any, int]] = []
    for outcome in outcomes:
        if runs and runs[-1][0] == outcome:
            runs[-1] = (outcome, runs[-1][1] + 1)
        else:
            runs.append((outcome, 1))
    return ",".join(str(outcome) if count == 1 else "%sx%d" % (outcome, count) for outcome, count in runs)


class TracedSocket(socket.socket):
    """A socket that reports each of its calls to a tracer. It takes over the descriptor of ``sock``."""

    def __init__(self, tracer: Tracer, sock: socket.socket) -> None:
        timeout = sock.gettimeout()
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.settimeout(timeout)  # a new socket object assumes blocking mode; in it PyPy retries after EAGAIN
        self._tracer = tracer

    def accept(self) -> Tuple[socket.socket, Any]:
        sock, where = self._traced("accepted", super().accept, lambda pair: pair[0].fileno())
        return TracedSocket(self._tracer, sock), where

    def recv_into(self, *args: Any) -> int:
        return int(self._traced("read", lambda: super(TracedSocket, self).recv_into(*args),
                                lambda count: count or "EOF"))

    def send(self, *args: Any) -> int:
        return int(self._traced("wrote", lambda: super(TracedSocket, self).send(*args), lambda count: count))

    def shutdown(self, how: int) -> None:
        self._tracer.record("shut", self.fileno(), "WR" if how == socket.SHUT_WR else how)
        super().shutdown(how)

    def close(self) -> None:
        if self.fileno() >= 0:
            self._tracer.record("closed", self.fileno(), "done")
        super().close()

    def _traced(self, what: str, call: Any, outcome: Any) -> Any:
        fd = self.fileno()
        try:
            result = call()
        except BlockingIOError:
            self._tracer.record(what, fd, "EAGAIN")
            raise
        except OSError as error:
            self._tracer.record(what, fd, type(error).__name__)
            raise
        self._tracer.record(what, fd, outcome(result))
        return result
