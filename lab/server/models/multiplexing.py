"""The multiplexing model: one thread sleeps in one call of a backend, which watches all connections at once."""

from __future__ import annotations

from typing import Any, Dict

from lab.backends import Backend, create
from lab.server.limits import Stats
from lab.server.loop import Loop
from lab.server.models import Model, Plan
from lab.server.trace import TracedSocket, Tracer


class Multiplexing(Model):
    """The event loop of ``lab.server.loop`` on the backend that the plan names."""

    name = "multiplexing"
    can_trace = True
    takes_backend = True

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        backend = self.make_backend()
        self._said = {"backend": backend.name, "trigger": str(backend.trigger)}
        listeners = plan.listeners
        if plan.trace:
            backend = tracer = Tracer(backend, plan.log, skip_idle=self.name == "nonblocking")
            listeners = [TracedSocket(tracer, sock) for sock in listeners]
        self._listening = [sock.fileno() for sock in listeners]
        self.loop = Loop(backend, listeners, plan.handler, plan.limits, plan.log)

    def make_backend(self) -> Backend:
        """Create the backend to wait on. Raises as ``lab.backends.create``."""
        return create(self.plan.backend)

    def describe(self) -> Dict[str, Any]:
        return self._said

    def wakeup_fd(self) -> int:
        return self.loop.waker.signal_fd

    def run(self) -> Stats:
        if self.plan.trace and not self.plan.log.as_json:
            self.plan.log.line("trace: descriptor %s listens, %d is the waker; r and w mean watched for READ and WRITE"
                               % (" and ".join(str(fd) for fd in self._listening), self.loop.waker.fd))
        stats = self.loop.run()
        stats.extra["empty_reads"] = self.loop.empty_reads
        return stats

    def stop(self) -> None:
        self.loop.stop()
