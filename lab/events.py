"""The words that all backends, servers and probes share: READ, WRITE, the other flags of an event, and the triggers.

An interest is what we register: READ, WRITE, or both. An event is what a backend reports. It may add ERROR, HANGUP and
INVALID, which nobody can ask for or mask. The numbers are those of poll(2) on Linux and the BSDs, so that the masks of
poll and epoll pass through unchanged in the one place where every nanosecond counts. They are plain integers: one ``&``
of ``enum.IntFlag`` members took 0.5 us on CPython 3.11, of integers 0.02.
"""

from __future__ import annotations

import enum
from typing import List

READ = 0x01  # POLLIN: a read will not block; at the end of the stream it returns nothing
WRITE = 0x04  # POLLOUT: a small write will not block
ERROR = 0x08  # POLLERR: an error is pending, and the next read or write raises it
HANGUP = 0x10  # POLLHUP: both directions are closed
INVALID = 0x20  # POLLNVAL: the descriptor was closed while registered

BOTH = READ | WRITE
ANY = BOTH | ERROR | HANGUP | INVALID

_NAMES = ((READ, "READ"), (WRITE, "WRITE"), (ERROR, "ERROR"), (HANGUP, "HANGUP"), (INVALID, "INVALID"))


class Trigger(enum.Enum):
    """When a backend reports an event: while a state lasts, when it changes, or once until it is armed again."""

    LEVEL = "level"
    EDGE = "edge"
    ONESHOT = "one-shot"

    def __str__(self) -> str:
        return self.value


def names(event: int) -> List[str]:
    """The names of the flags in an event or interest, in a fixed order. Bits without a name follow as one number."""
    found = [name for flag, name in _NAMES if event & flag]
    unknown = event & ~ANY
    return found + [hex(unknown)] if unknown else found


def spell(event: int) -> str:
    """An event or interest for people: ``READ+WRITE``, or ``nothing``."""
    return "+".join(names(event)) or "nothing"
