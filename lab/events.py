"""The words that every backend, server and probe shares: READ, WRITE, what came back, and how it triggers.

Interest (what we ask for) is READ, WRITE, or both. An event (what we are told) may add ERROR, HANGUP and
INVALID, which cannot be asked for and cannot be masked. The numbers are those of poll(2) on Linux and the
BSDs, so that poll and epoll masks pass through unchanged in the one place where every nanosecond is counted.
They are plain integers: one ``&`` of ``enum.IntFlag`` members took 0.5 us on CPython 3.11, of integers 0.02.
"""

from __future__ import annotations

import enum
from typing import List

READ = 0x01  # POLLIN: a read will not block; at the end of the stream it returns nothing
WRITE = 0x04  # POLLOUT: a small write will not block
ERROR = 0x08  # POLLERR: an error is pending; the next read or write raises it
HANGUP = 0x10  # POLLHUP: both directions are gone
INVALID = 0x20  # POLLNVAL: the descriptor was closed while registered

BOTH = READ | WRITE
ANY = BOTH | ERROR | HANGUP | INVALID

_NAMES = ((READ, "READ"), (WRITE, "WRITE"), (ERROR, "ERROR"), (HANGUP, "HANGUP"), (INVALID, "INVALID"))


class Trigger(enum.Enum):
    """When a backend speaks: while the state lasts, when it changes, or once until asked again."""

    LEVEL = "level"
    EDGE = "edge"
    ONESHOT = "one-shot"

    def __str__(self) -> str:
        return self.value


def names(event: int) -> List[str]:
    """The flags of an event or interest by name, in fixed order; a bit unknown to us as its number."""
    found = [name for flag, name in _NAMES if event & flag]
    unknown = event & ~ANY
    return found + [hex(unknown)] if unknown else found


def spell(event: int) -> str:
    """An event or interest for people: ``READ+WRITE``, or ``nothing``."""
    return "+".join(names(event)) or "nothing"
