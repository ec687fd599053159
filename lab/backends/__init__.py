"""Every backend, in the order in which the lab prefers them, and the one place that knows their names."""

from __future__ import annotations

import importlib
import os
from typing import List, Optional, Tuple

from lab.backends import spelling
from lab.backends._base import AlreadyRegistered, Backend, BackendType, Feature, NotRegistered, Ready, Refused
from lab.backends.selectors import foreign
from lab.backends.waker import Waker
from lab.errors import NotHere, Usage

__all__ = ["LADDER", "AlreadyRegistered", "Backend", "BackendType", "Feature", "NotRegistered", "Ready", "Refused",
           "Waker", "create", "find", "here", "names", "preferred", "why_missing"]


def _imported(*rows: str) -> Tuple[BackendType, ...]:
    """The classes that these rows name, each as the file in this folder and what to take from it: a class, or a tuple
    of them. The file is imported here, so that a new backend needs no import statement besides its row."""
    found: List[BackendType] = []
    for row in rows:
        file, _, name = row.partition(".")
        taken = getattr(importlib.import_module("lab.backends." + file), name)
        found += taken if isinstance(taken, tuple) else [taken]
    return tuple(found)


LADDER = _imported(
    "epoll.Epoll",  # cost independent of idle descriptors, and forgiving: what is not read is reported again
    "kqueue.Kqueue",  # the same where epoll is not; the two are never on one platform
    "epoll.EpollEdge",  # no faster by itself (it must read until EAGAIN), and silent when misused
    "poll.Poll",  # linear in what is watched, but of any number
    "selectors.Selectors",  # one of the above, with Python's own layer over it
    "select.Select",  # everywhere, up to 1023 (POSIX) or 512 descriptors (Windows)
    "selectors.SIBLINGS",  # every class of Python's selectors module: for comparison, not for choice
)

_SWITCH = "LAB_BACKENDS"


def names() -> List[str]:
    """Every backend by name, here or not, best first."""
    return [kind.name for kind in LADDER]


def here() -> List[BackendType]:
    """The backends of this platform that are not switched off, best first. May be empty."""
    return [kind for kind in LADDER if why_missing(kind) is None]


def preferred() -> BackendType:
    """The best backend here. Raises ``NotHere`` where LAB_BACKENDS leaves none."""
    found = here()
    if not found:
        raise NotHere("no backend is here: %s=%s leaves none of: %s"
                      % (_SWITCH, os.environ.get(_SWITCH, ""), ", ".join(names())))
    return found[0]


def why_missing(kind: BackendType) -> Optional[str]:
    """None, or why this backend cannot be used: the platform lacks it, or LAB_BACKENDS leaves it out.

    Raises ``Usage`` where LAB_BACKENDS names a backend that does not exist.
    """
    allowed = _allowed()
    if allowed is not None and kind.name not in allowed:
        return "switched off: %s=%s" % (_SWITCH, os.environ[_SWITCH])
    return kind.missing()


def find(name: str) -> BackendType:
    """The backend of that name; ``selectors:PKG.MOD:CLASS`` is one over somebody else's class.

    Raises ``Usage`` for an unknown one, ``NotHere`` for one that is missing.
    """
    for kind in LADDER:
        if kind.name == name:
            why = why_missing(kind)
            if why is not None:
                raise NotHere("backend %s is not here: %s; here: %s" % (name, why, _list(here())))
            return kind
    if spelling.is_foreign(name):
        other = foreign(name)
        why = other.missing()
        if why is not None:
            raise NotHere("backend %s is not here: %s" % (name, why))
        return other
    raise Usage('no backend "%s"; here: %s' % (name, _list(here())))


def create(name: Optional[str] = None) -> Backend:
    """A new backend of that name, or of the best kind here. Raises as ``find`` and ``preferred``."""
    return (preferred() if name is None else find(name))()


def _allowed() -> Optional[List[str]]:
    """The names in LAB_BACKENDS, or None where it is unset or empty."""
    allowed = [name.strip() for name in os.environ.get(_SWITCH, "").split(",") if name.strip()]
    for name in allowed:
        if name not in names():
            raise Usage('%s names no backend "%s"; it may list: %s' % (_SWITCH, name, ", ".join(names())))
    return allowed or None


def _list(kinds: List[BackendType]) -> str:
    return ", ".join(kind.name for kind in kinds) or "none"
