"""A backend that reads from a script: readiness without a kernel, for tests of whatever sits on a backend.

It plays what no kernel will do on demand: a spurious wakeup, a hang-up without a reason, an order, an event that
comes too late. A step of the script is what one ``wait`` returns, as {descriptor: event}; the last step must end
whoever is waiting, e.g. by making its waker ready. Every call is kept in ``calls``, to be compared.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from lab.backends._base import Backend, Feature, Ready
from lab.events import Trigger


class ScriptEnded(AssertionError):
    """``wait`` was called once more than the script has steps."""


class Fake(Backend):
    """Scripted readiness. ``edge=True`` claims edge trigger. ``wait`` returns what the script says without checking it,
    except that it drops events for descriptors that are not registered, as every backend does."""

    name = "fake"
    features = frozenset({Feature.NO_FD_LIMIT, Feature.ANY_FD})

    def __init__(self, script: Iterable[Mapping[int, int]] = (), edge: bool = False) -> None:
        super().__init__()
        self._script: Iterator[Mapping[int, int]] = iter(script)
        self.calls: List[Tuple[Any, ...]] = []
        self.interest: Dict[int, int] = {}
        if edge:
            self.trigger = Trigger.EDGE  # type: ignore[misc]

    def wait(self, timeout: Optional[float] = None) -> Ready:
        self.calls.append(("wait", timeout))
        try:
            step = next(self._script)
        except StopIteration:
            raise ScriptEnded("wait(%r) after the last step; registered: %s" % (timeout, self.interest)) from None
        return [(self._data[fd], event) for fd, event in step.items() if fd in self._data]

    def _add(self, fd: int, interest: int) -> None:
        self.calls.append(("register", fd, interest))
        self.interest[fd] = interest

    def _change(self, fd: int, interest: int) -> None:
        self.calls.append(("modify", fd, interest))
        self.interest[fd] = interest

    def _remove(self, fd: int) -> None:
        self.calls.append(("unregister", fd))
        del self.interest[fd]
