"""Where the classes of Python's selectors module differ from each other: in masks, in errors they ignore, in spins.

Topic ``selectors-contract`` asks what they promise alike. The probes use the public interface only, so that a foreign
class can be asked the same; those that do not are asked of the one class that they are about.
"""

from __future__ import annotations

import selectors
from typing import Any

from lab.probing.watchers import SILENT, spell_events

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

DOCS = "docs.python.org/3/library/selectors.html"
SELECT = "selectors:SelectSelector"
POLL = "selectors:PollSelector"
EPOLL = "selectors:EpollSelector"
KQUEUE = "selectors:KqueueSelector"
DEVPOLL = "selectors:DevpollSelector"


def entries(selector: Any, timeout: float = 0.0) -> str:
    """The entries that one select() returns: ``READ, WRITE`` are two of them, ``READ+WRITE`` is one."""
    return ", ".join(sorted(spell_events(events) for _, events in selector.select(timeout))) or SILENT
