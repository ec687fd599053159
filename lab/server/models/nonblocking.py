"""Non-blocking I/O by busy polling: ask every socket, again and again; whoever has nothing says EAGAIN.

Nothing waits, so the first byte is seen at once, and a processor is spent on saying "not yet". That is event-loop
code on a backend that calls everything ready, so it is that: the loop, the connections and the limits are those of
the multiplexing model. What the answer to "is it ready?" is worth can be read off the two CPU times.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from lab.backends import Backend, Feature, Ready
from lab.server.models.multiplexing import Multiplexing


class EverythingReady(Backend):
    """Reports every registered descriptor as ready for all that it is watched for, at once, always."""

    name = "none"
    features = frozenset({Feature.NO_FD_LIMIT, Feature.ANY_FD, Feature.LIVE})

    def __init__(self) -> None:
        super().__init__()
        self._interest: Dict[int, int] = {}

    def wait(self, timeout: Optional[float] = None) -> Ready:
        data = self._data
        return [(data[fd], interest) for fd, interest in self._interest.items()]

    def _add(self, fd: int, interest: int) -> None:
        self._interest[fd] = interest

    def _change(self, fd: int, interest: int) -> None:
        self._interest[fd] = interest

    def _remove(self, fd: int) -> None:
        del self._interest[fd]


class Nonblocking(Multiplexing):
    """One thread that never sleeps."""

    name = "nonblocking"
    takes_backend = False

    def make_backend(self) -> Backend:
        return EverythingReady()

    def describe(self) -> Dict[str, Any]:
        return {"model": self.name}
