"""Scripted faults: watchers that answer wrongly, to show that a probe would notice.

They are the last resort as a control, for observations that neither another backend nor another set-up changes.

    deaf        never reports anything
    eager       reports at once every event that was asked for, whether it is ready or not
    forgetful   reports each descriptor once, and never again
    persistent  repeats the last answer that was not empty
"""

from __future__ import annotations

import time
from typing import Dict, Optional, Type

from lab.probing.watchers import Answer, Watcher


class _Faulty(Watcher):
    """Passes every call on to another watcher."""

    def __init__(self, inner: Watcher) -> None:
        self.name = inner.name
        self.api = inner.api
        self._inner = inner
        self._want: Dict[int, str] = {}

    def watch(self, fd: int, want: str = "r") -> None:
        self._inner.watch(fd, want)
        self._want[fd] = want

    def rewatch(self, fd: int, want: str) -> None:
        self._inner.rewatch(fd, want)
        self._want[fd] = want

    def unwatch(self, fd: int) -> None:
        self._inner.unwatch(fd)
        self._want.pop(fd, None)

    def ask(self, timeout: Optional[float] = 0.0) -> Answer:
        return self._inner.ask(timeout)

    def close(self) -> None:
        self._inner.close()


class Deaf(_Faulty):
    """Never reports anything."""

    def ask(self, timeout: Optional[float] = 0.0) -> Answer:
        time.sleep(max(timeout or 0.0, 0.0))
        return []


class Eager(_Faulty):
    """Reports at once every event that was asked for."""

    def ask(self, timeout: Optional[float] = 0.0) -> Answer:
        return [(fd, "eager " + want) for fd, want in self._want.items()]


class Forgetful(_Faulty):
    """Reports each descriptor once."""

    def __init__(self, inner: Watcher) -> None:
        super().__init__(inner)
        self._told: Dict[int, bool] = {}

    def ask(self, timeout: Optional[float] = 0.0) -> Answer:
        answer = [(fd, mask) for fd, mask in self._inner.ask(timeout) if fd not in self._told]
        self._told.update((fd, True) for fd, _ in answer)
        return answer


class Persistent(_Faulty):
    """Repeats the last answer that was not empty."""

    def __init__(self, inner: Watcher) -> None:
        super().__init__(inner)
        self._last: Answer = []

    def ask(self, timeout: Optional[float] = 0.0) -> Answer:
        self._last = self._inner.ask(0.0 if self._last else timeout) or self._last
        return self._last


FAULTS: Dict[str, Type[_Faulty]] = {"deaf": Deaf, "eager": Eager, "forgetful": Forgetful, "persistent": Persistent}
"""Every fault by its name."""


def wrap(name: str, inner: Watcher) -> Watcher:
    """A watcher that asks ``inner``, with the fault of that name."""
    return FAULTS[name](inner)
