"""The standard library's selectors: one Python interface over whatever the platform has.

What asyncio, socketserver and most Python network code wait on. ``DefaultSelector`` is the best class that can
be created here; each class is also a backend of its own, by name, so that they can be compared on one platform:
``selectors:SelectSelector``, ``selectors:PollSelector`` and so on.

Against the raw interfaces it narrows what can be said. There are two events, EVENT_READ and EVENT_WRITE: ERR,
HUP and NVAL are folded into them and then masked by what was registered. PollSelector reports a closed descriptor
as readable on each call, SelectSelector raises EBADF from ``select``, EpollSelector says nothing. No edge trigger,
no one-shot, no urgent data (gh-75027).

Some things it does not do are done here, because our contract promises them:

    register    SelectSelector takes any number and PollSelector any count, to fail later; we ask ``admit`` first.
    modify      EpollSelector and KqueueSelector drop a descriptor that they find closed, so the next ``modify``
                would raise KeyError; we register it anew, and say what the system says.
    select      On Windows SelectSelector raises without registrations (gh-80907); we sleep. KqueueSelector gives
                a descriptor's two filters as two pairs (gh-110038); we merge them. EpollSelector drops the event
                of a stale entry (see epoll.py) and returns nothing, at once, on every call; so we replace a
                selector that returned nothing before its timeout. One case is left: if the number of a stale entry
                is registered again, the entry's events look like those of the new descriptor.

Sources: docs.python.org selectors, Lib/selectors.py.
"""

from __future__ import annotations

import importlib
import selectors
import threading
import time
from typing import Any, ClassVar, Dict, FrozenSet, Optional, Type

from lab.backends import spelling
from lab.backends._base import Backend, Feature, Ready, Refused, span
from lab.backends.epoll import NOT_OURS
from lab.backends.poll import admit as admit_to_poll
from lab.backends.select import GONE, WINDOWS, Select, admit, ask_around, sleep_without_sets
from lab.errors import reason
from lab.events import READ, WRITE

_EVENT = {0: 0, selectors.EVENT_READ: READ, selectors.EVENT_WRITE: WRITE,
          selectors.EVENT_READ | selectors.EVENT_WRITE: READ | WRITE}
_INTEREST = {event: mask for mask, event in _EVENT.items()}

_FEATURES: Dict[str, FrozenSet[Feature]] = {
    "SelectSelector": Select.features,
    "PollSelector": frozenset({Feature.NO_FD_LIMIT, Feature.ANY_FD, Feature.SEES_CLOSED}),
    "EpollSelector": frozenset({Feature.NO_FD_LIMIT, Feature.LIVE}),
    "KqueueSelector": frozenset({Feature.NO_FD_LIMIT, Feature.LIVE}),
    "DevpollSelector": frozenset({Feature.NO_FD_LIMIT}),
}


def _interface(kind: str) -> str:
    """What a class of the module waits with: its name says so."""
    return kind[:-len("Selector")].lower()


class Selectors(Backend):
    """``selectors.DefaultSelector``, level-triggered, on every platform."""

    name = spelling.SELECTORS
    is_alias = True
    module: ClassVar[str] = "selectors"
    kind: ClassVar[str] = selectors.DefaultSelector.__name__
    interface = _interface(kind)
    features = _FEATURES.get(kind, frozenset())

    @classmethod
    def missing(cls) -> Optional[str]:
        if cls.module == "selectors":
            return None if hasattr(selectors, cls.kind) else "Python's selectors module has no %s here" % cls.kind
        try:
            return None if hasattr(importlib.import_module(cls.module), cls.kind) else (
                "%s has no %s" % (cls.module, cls.kind))
        except ImportError as error:
            return "%s cannot be imported: %s" % (cls.module, error)

    @classmethod
    def make(cls) -> Any:
        """A new object of the class that this backend waits with."""
        return getattr(importlib.import_module(cls.module), cls.kind)()

    def __init__(self) -> None:
        super().__init__()
        self._selector: selectors.BaseSelector = self.make()
        self._is_select, self._is_poll, self._is_epoll = map(
            self._is, ("SelectSelector", "PollSelector", "EpollSelector"))
        self._lock = threading.RLock()  # another thread may register (LIVE) while the waiting one renews

    def _is(self, kind: str) -> bool:
        """Whether we wait with that class of Python's, with a subclass of it, or with a class of the same name."""
        own = getattr(selectors, kind, None)
        return self.kind == kind or (own is not None and isinstance(self._selector, own))

    def wait(self, timeout: Optional[float] = None) -> Ready:
        if self._closed:
            raise ValueError("this %s backend is closed" % self.name)
        if WINDOWS and not self._data:
            sleep_without_sets(timeout)
            return []
        began = time.monotonic() if self._is_epoll else 0.0
        try:
            ready = self._selector.select(None if timeout is None else span(timeout))
        except OSError as error:
            if not self._is_select or error.errno not in GONE:
                raise
            events = ask_around(self._interest())
        else:
            if self._is_epoll and not ready and (timeout is None or time.monotonic() - began < timeout):
                self._renew()
            events = {}
            for key, mask in ready:
                events[key.fd] = events.get(key.fd, 0) | _EVENT[mask]
        data = self._data  # another thread may have unregistered some meanwhile
        return [(data[fd], event) for fd, event in events.items() if fd in data]

    def _interest(self) -> Dict[int, int]:
        return {key.fd: _EVENT[key.events] for key in list(self._selector.get_map().values())}

    def _add(self, fd: int, interest: int) -> None:
        if self._is_select:
            admit(fd, len(self._data))
        elif self._is_poll:
            admit_to_poll(fd, len(self._data))
        with self._lock:
            try:
                self._selector.register(fd, _INTEREST[interest])
            except OSError as error:
                raise self._refusal(fd, error) from error

    def _change(self, fd: int, interest: int) -> None:
        with self._lock:
            try:
                self._selector.modify(fd, _INTEREST[interest])
            except OSError as error:
                raise self._refusal(fd, error) from error
            except KeyError:  # the selector found it closed before, and dropped it
                self._add(fd, interest)

    def _remove(self, fd: int) -> None:
        with self._lock:
            try:
                self._selector.unregister(fd)
            except KeyError:  # found closed before, and dropped
                pass

    def _renew(self) -> None:
        """Replace the selector by a new one with the entries that we know: stale entries go with the old one."""
        with self._lock:
            interest = self._interest()
            self._selector.close()  # first, so that a process at its limit of descriptors has room for the new one
            self._selector = self.make()
            for fd, flags in interest.items():
                try:
                    self._selector.register(fd, _INTEREST[flags])
                except OSError as error:  # one more that was closed while registered
                    if error.errno not in NOT_OURS:
                        raise

    def _refusal(self, fd: int, error: OSError) -> Refused:
        return Refused("%s cannot watch descriptor %d: %s" % (self.kind, fd, reason(error)), error.errno)

    def close(self) -> None:
        super().close()
        self._selector.close()


def _sibling(kind: str) -> Type[Selectors]:
    """The backend over one class of the module, here or not."""
    body = {"__doc__": "``selectors.%s``, level-triggered." % kind, "name": spelling.of_class("selectors", kind),
            "kind": kind, "interface": _interface(kind), "is_alias": False, "features": _FEATURES[kind],
            "__module__": __name__}
    return type(kind, (Selectors,), body)


def foreign(name: str) -> Type[Selectors]:
    """The backend over somebody else's class: ``selectors:PKG.MOD:CLASS``. We do not know its features, so it declares
    none."""
    module, kind = spelling.class_of(name)
    return type(kind, (Selectors,), {"__doc__": "``%s.%s``." % (module, kind), "name": name, "module": module,
                                     "kind": kind, "interface": "", "is_alias": False, "features": frozenset(),
                                     "__module__": __name__})


SIBLINGS = tuple(_sibling(kind) for kind in _FEATURES)
