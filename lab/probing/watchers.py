"""The readiness APIs as they are, behind one small form: watch, ask, and hear the answer in the API's own words.

A probe observes the platform, so nothing is smoothed here: no limit is checked, no error is caught, no mask is folded.
(``lab.backends`` is where that happens, and topic ``contract`` tests it.) An answer is a list of (descriptor, mask);
the mask is spelled with the names that the API itself has, without their prefix:

    select       r, w, x: the lists in which the descriptor came back
    poll, epoll  IN, PRI, OUT, ERR, HUP, RDHUP, NVAL
    kqueue       READ, WRITE, and of each -EOF, -ERROR where the flag is set
    selectors    READ, WRITE

joined with ``+`` in that order, and "silent" for no answer at all.
"""

from __future__ import annotations

import importlib
import select
import selectors
import socket
from typing import Any, Callable, ClassVar, Dict, List, Optional, Tuple, Type, TypeVar

from lab.backends import LADDER, BackendType, spelling, why_missing
from lab.backends.epoll import Epoll, EpollEdge
from lab.backends.kqueue import Kqueue
from lab.backends.poll import Poll
from lab.backends.select import Select
from lab.probing.probe import NONE, Unsupported

_select: Any = select  # typed loosely: type checkers know poll, epoll and kqueue on their platforms only

Answer = List[Tuple[int, str]]

SILENT = "silent"

VERBS = ("register", "unregister", "modify", "select", "get_key", "get_map", "close")
"""What a selectors.BaseSelector has."""

_BITS = (("IN", 0x1), ("PRI", 0x2), ("OUT", 0x4), ("ERR", 0x8), ("HUP", 0x10), ("RDHUP", 0x2000), ("NVAL", 0x20))
"""poll(2) and epoll_ctl(2) on Linux, where they have the same numbers; PyPy lacks some of the names."""

RDHUP = 0x2000
ET = 1 << 31
ONESHOT = 1 << 30
EXCLUSIVE = 1 << 28


def spell_bits(mask: int) -> str:
    """A mask of poll or epoll by name: ``IN+HUP``; a bit without a name as its number."""
    found = [name for name, bit in _BITS if mask & bit]
    rest = mask & ~sum(bit for _, bit in _BITS)
    return "+".join(found + ([hex(rest)] if rest else [])) or "0"


def spell_events(mask: int) -> str:
    """A mask of selectors by name: ``READ+WRITE``."""
    found = [name for name, bit in (("READ", 1), ("WRITE", 2)) if mask & bit]
    return "+".join(found + ([hex(mask & ~3)] if mask & ~3 else [])) or "0"


class Watcher:
    """One API. ``want`` is letters: r, w, x for urgent data, d for RDHUP where there is such a bit; empty for nothing
    but what cannot be masked."""

    name: str
    api: Any = None
    """The object of Python's that is behind it; None for select, which is a function."""

    def watch(self, fd: int, want: str = "r") -> None:
        """Register, or whatever the API does before it is asked. Raises what the API raises."""
        raise NotImplementedError

    def rewatch(self, fd: int, want: str) -> None:
        """Modify. Raises what the API raises."""
        raise NotImplementedError

    def unwatch(self, fd: int) -> None:
        """Unregister. Raises what the API raises."""
        raise NotImplementedError

    def ask(self, timeout: Optional[float] = 0.0) -> Answer:
        """One call: wait up to ``timeout`` seconds (None: for ever). Raises what the API raises."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the API's own descriptor, if it has one."""


WATCHERS: Dict[str, Type[Watcher]] = {}
"""The watcher of each raw backend, by the backend's name."""

_Kind = TypeVar("_Kind", bound=Type[Watcher])


def of(backend: BackendType) -> Callable[[_Kind], _Kind]:
    """Make a class the watcher through which probes ask that raw backend."""
    def enter(kind: _Kind) -> _Kind:
        kind.name = backend.name
        WATCHERS[backend.name] = kind
        return kind
    return enter


@of(Select)
class SelectWatcher(Watcher):
    """``select.select``, which remembers nothing: the sets are ours."""

    def __init__(self) -> None:
        self._want: Dict[int, str] = {}

    def watch(self, fd: int, want: str = "r") -> None:
        self._want[fd] = want

    def rewatch(self, fd: int, want: str) -> None:
        self._want[fd] = want

    def unwatch(self, fd: int) -> None:
        del self._want[fd]

    def ask(self, timeout: Optional[float] = 0.0) -> Answer:
        sets = [[fd for fd, want in self._want.items() if letter in want] for letter in "rwx"]
        ready = select.select(sets[0], sets[1], sets[2], timeout)
        masks: Dict[int, List[str]] = {}
        for letter, fds in zip("rwx", ready):
            for fd in fds:
                masks.setdefault(fd, []).append(letter)
        return [(fd, "+".join(letters)) for fd, letters in masks.items()]


@of(Poll)
class PollWatcher(Watcher):
    """``select.poll``; its milliseconds are computed here, unrounded."""

    _letters: ClassVar[Dict[str, int]] = {"r": 0x1, "w": 0x4, "x": 0x2}

    def __init__(self) -> None:
        self.api = _select.poll()

    def bits(self, want: str) -> int:
        """The native mask of these letters."""
        return sum(RDHUP if letter == "d" else self._letters[letter] for letter in want)

    def watch(self, fd: int, want: str = "r") -> None:
        self.api.register(fd, self.bits(want))

    def rewatch(self, fd: int, want: str) -> None:
        self.api.modify(fd, self.bits(want))

    def unwatch(self, fd: int) -> None:
        self.api.unregister(fd)

    def ask(self, timeout: Optional[float] = 0.0) -> Answer:
        return [(fd, spell_bits(mask)) for fd, mask in self.api.poll(None if timeout is None else timeout * 1000)]


@of(Epoll)
class EpollWatcher(PollWatcher):
    """``select.epoll``, level-triggered."""

    flags = 0

    def __init__(self) -> None:
        self.api = _select.epoll()

    def bits(self, want: str) -> int:
        """The native mask, with the trigger."""
        return super().bits(want) | self.flags

    def ask(self, timeout: Optional[float] = 0.0) -> Answer:
        return [(fd, spell_bits(mask)) for fd, mask in self.api.poll(-1 if timeout is None else timeout)]

    def close(self) -> None:
        self.api.close()


@of(EpollEdge)
class EdgeWatcher(EpollWatcher):
    """``select.epoll`` with EPOLLET."""

    flags = ET


@of(Kqueue)
class KqueueWatcher(Watcher):
    """``select.kqueue``: two filters a descriptor, so two events, put together here into one mask."""

    def __init__(self) -> None:
        self.api = _select.kqueue()
        self._want: Dict[int, str] = {}
        self._filters = {"r": _select.KQ_FILTER_READ, "w": _select.KQ_FILTER_WRITE}

    def _change(self, fd: int, letters: str, flag: int) -> None:
        for letter in letters.replace("d", ""):
            if letter not in self._filters:
                raise Unsupported("kqueue has no filter for %r that Python names" % letter)
            self.api.control([_select.kevent(fd, self._filters[letter], flag)], 0, 0)

    def watch(self, fd: int, want: str = "r") -> None:
        self._change(fd, want, _select.KQ_EV_ADD)
        self._want[fd] = want

    def rewatch(self, fd: int, want: str) -> None:
        before = self._want[fd]
        self._change(fd, "".join(letter for letter in before if letter not in want), _select.KQ_EV_DELETE)
        self.watch(fd, want)

    def unwatch(self, fd: int) -> None:
        self._change(fd, self._want.pop(fd), _select.KQ_EV_DELETE)

    def ask(self, timeout: Optional[float] = 0.0) -> Answer:
        masks: Dict[int, List[str]] = {}
        for event in self.api.control(None, 2 * len(self._want) or 1, timeout):
            name = "READ" if event.filter == _select.KQ_FILTER_READ else "WRITE"
            for flag, word in ((_select.KQ_EV_EOF, "-EOF"), (_select.KQ_EV_ERROR, "-ERROR")):
                name += word if event.flags & flag else ""
            masks.setdefault(event.ident, []).append(name)
        return [(fd, "+".join(sorted(names))) for fd, names in masks.items()]

    def close(self) -> None:
        self.api.close()


class SelectorWatcher(Watcher):
    """One class of the selectors module, or one that behaves like them."""

    def __init__(self, name: str, kind: Any) -> None:
        self.name = name
        self.api = kind()

    @staticmethod
    def events(want: str) -> int:
        """EVENT_READ and EVENT_WRITE; there is nothing else to ask for (gh-75027)."""
        want = want.replace("d", "")
        if want.strip("rw") or not want:
            raise Unsupported("selectors know EVENT_READ and EVENT_WRITE only")
        return sum({"r": selectors.EVENT_READ, "w": selectors.EVENT_WRITE}[letter] for letter in want)

    def watch(self, fd: int, want: str = "r") -> None:
        self.api.register(fd, self.events(want))

    def rewatch(self, fd: int, want: str) -> None:
        self.api.modify(fd, self.events(want))

    def unwatch(self, fd: int) -> None:
        self.api.unregister(fd)

    def ask(self, timeout: Optional[float] = 0.0) -> Answer:
        masks: Dict[int, int] = {}
        for key, mask in self.api.select(timeout):
            masks[key.fd] = masks.get(key.fd, 0) | mask
        return [(fd, spell_events(mask)) for fd, mask in masks.items()]

    def close(self) -> None:
        self.api.close()


def why_not(name: str) -> Optional[str]:
    """None, or why that backend cannot be asked here."""
    if name in NONE:
        return None
    for kind in LADDER:
        if kind.name == name:
            return why_missing(kind)
    try:
        selector_class(name)
    except Unsupported as error:
        return str(error)
    return None


def selector_class(name: str) -> Any:
    """The class that ``selectors:NAME`` or ``selectors:PKG.MOD:CLASS`` stands for. Raises ``Unsupported``."""
    module, attribute = spelling.class_of(name)
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise Unsupported("%s cannot be imported: %s" % (module, error)) from error
    except AttributeError:
        where = module if spelling.is_foreign(name) else "Python's selectors module"
        raise Unsupported("%s has no %s" % (where, attribute)) from None


def unfit(name: str) -> Optional[str]:
    """None, or why the class ``selectors:PKG.MOD:CLASS`` cannot be asked: it is not here, or is no selector."""
    why = why_not(name)
    if why is not None:
        return why
    kind = selector_class(name)
    if not callable(kind):
        return "it is no class, but of type %s" % type(kind).__name__
    try:
        made = kind()
    except Exception as error:  # whatever somebody else's constructor raises
        return "it cannot be made without arguments: %s: %s" % (type(error).__name__, error)
    lacking = [verb for verb in VERBS if not callable(getattr(made, verb, None))]
    return "it is no selector: it has no %s()" % lacking[0] if lacking else None


def warm_up(name: str) -> None:
    """Have that class of somebody else do once what its library does at first use, and keeps for the process: an event
    loop's descriptors are no leak of a probe."""
    ends = socket.socketpair()
    try:
        made = selector_class(name)()
        made.register(ends[0], selectors.EVENT_READ)
        made.select(0)
        made.unregister(ends[0])
        made.close()
    except Exception:  # the probe will meet the same, and tell
        pass
    finally:
        for end in ends:
            end.close()


def watcher(name: str) -> Watcher:
    """A new watcher of that backend. Raises ``Unsupported`` where it is not here, or where there is no watcher of it:
    then only probes of topic ``contract`` can ask it."""
    why = why_not(name)
    if why is not None:
        raise Unsupported(why)
    if name in WATCHERS:
        return WATCHERS[name]()
    if not spelling.is_class(name):
        raise Unsupported("backend %s has no watcher; write one in lab/probing/watchers.py" % name)
    return SelectorWatcher(name, selector_class(name))
