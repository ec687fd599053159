"""Which backends a system must have: the one thing about backends that tests know better than the ladder."""

from __future__ import annotations

from typing import Dict, List, Tuple

from lab.backends import LADDER, BackendType

SYSTEMS: Dict[str, Tuple[str, ...]] = {
    "select": ("linux", "darwin", "win32"),
    "poll": ("linux", "darwin"),
    "epoll": ("linux",),
    "kqueue": ("darwin",),
    "devpoll": (),  # Solaris
}
"""Where Python's select module has each interface, by sys.platform."""

KNOWN = sorted({system for systems in SYSTEMS.values() for system in systems})


def is_judged(kind: BackendType) -> bool:
    """Whether it follows from the table where this backend is. Of one over some other interface, nothing does."""
    return kind.is_alias or kind.interface in SYSTEMS


def of(system: str) -> List[BackendType]:
    """The backends of that system, as far as the table tells, best first."""
    return [kind for kind in LADDER if kind.is_alias or system in SYSTEMS.get(kind.interface, ())]
