"""The four I/O models of the literature (Stevens, UNP 6.2), behind one interface, on the same handlers.

    blocking       a thread a connection; each sleeps in its own recv
    nonblocking    busy polling: ask every socket again and again, and sleep never
    multiplexing   ask a backend once for all of them, and sleep there
    asynchronous   asyncio; on Windows its Proactor, where the kernel completes the reads itself

A model is made of a ``Plan``, ``run`` serves until ``stop``, from any thread or signal handler; ``run`` closes the
listeners and everything else it opened.
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
    """What a server is to do, whichever way it waits. The listening sockets pass to the model."""

    listeners: List[socket.socket]
    handler: Factory
    limits: Limits
    log: Log
    backend: Optional[str] = None  # by name; None: the best here. For the multiplexing model
    trace: bool = False


class Model:
    """One way to serve a plan."""

    name: ClassVar[str]
    can_trace: ClassVar[bool] = False
    takes_backend: ClassVar[bool] = False

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def describe(self) -> Dict[str, Any]:
        """What the ready line says of it, e.g. backend and trigger."""
        return {"model": self.name}

    def wakeup_fd(self) -> int:
        """A descriptor for ``signal.set_wakeup_fd`` that ends the model's wait; -1 where none is needed."""
        return -1

    def run(self) -> Stats:
        """Serve until stopped."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop accepting, flush, end; called again, end at once."""
        raise NotImplementedError
