"""The nonblocking model: busy polling, which tries every socket again and again and gets EAGAIN from the idle ones.

The model never sleeps. So it reads a byte as soon as it arrives, and spends a whole processor on EAGAIN until then. It
is the event loop of the multiplexing model, on a backend that reports every socket as ready: loop, connections and
limits are the same code. Comparing the CPU times of the two models shows what a backend saves.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from lab.backends import Backend, Feature, Ready
from lab.server.models.multiplexing import Multiplexing


class EverythingReady(Backend):
    """A backend that never waits, and reports every registered descriptor as ready for all of its interest."""

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
