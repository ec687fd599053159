"""The four I/O models of the literature (Stevens, UNP 6.2), with one interface and the same handlers.

    blocking       one thread for each connection; each sleeps in its own recv
    nonblocking    busy polling: try every socket again and again, and never sleep
    multiplexing   sleep in one call of a backend that watches all sockets
    asynchronous   asyncio; on Windows its Proactor, where the kernel itself completes the reads

To use a model, create it from a ``Plan`` and call ``run``. ``run`` serves until another thread or a signal handler
calls ``stop``, then closes the listeners and everything else that it opened.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any, ClassVar, Dict, List, Optional

from lab.server.handlers import Factory
from lab.server.limits import Limits, Stats
from lab.server.log import Log


@dataclass(frozen=True)
class Plan:
    """What a server serves, in any model. The model takes ownership of the listening sockets."""

    listeners: List[socket.socket]
    handler: Factory
    limits: Limits
    log: Log
    backend: Optional[str] = None  # the backend's name, for the multiplexing model; None: the best on this platform
    trace: bool = False


class Model:
    """One way to serve a plan. ``can_trace``: it has waits to trace. ``takes_backend``: a plan may name its backend."""

    name: ClassVar[str]
    can_trace: ClassVar[bool] = False
    takes_backend: ClassVar[bool] = False

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def describe(self) -> Dict[str, Any]:
        """The model's part of the ready line, by key, e.g. its backend and trigger."""
        return {"model": self.name}

    def wakeup_fd(self) -> int:
        """A descriptor for ``signal.set_wakeup_fd``: a byte in it ends the model's wait. -1 if the model needs none."""
        return -1

    def run(self) -> Stats:
        """Serve until ``stop``. Returns the counters."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop accepting, send the output that is left, then end. A second call ends at once."""
        raise NotImplementedError
