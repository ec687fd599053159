"""poll(2): select without the bitmap. Any descriptor number, and a mask of what happened to each.

Each call still hands the kernel the whole list, so the cost grows with everything that is watched (256 us for
5,000 idle pipes, Linux 6.18). What it adds over select is the answer: ERR, HUP and NVAL come back whether
asked for or not, one mask a descriptor. Python's poll object keeps the array between calls, so a registration
costs no system call, and nothing can fail there: poll takes any number, open or not, and says NVAL later.

What HUP means depends on what was hung up. A pipe whose writer left says HUP; a TCP peer that closed does
not, for that is only half of the connection: it is IN with nothing to read. HUP comes with both directions
gone, or with a reset. Linux then reports OUT beside it, which POSIX rules out.

Timeouts are milliseconds. Every CPython up to 3.14 rounds a fraction up, so 0.1 ms waits about 1.1 ms; 3.15
calls ppoll(2) where there is one and keeps the fraction (gh-142434). PyPy 7.3.11 cuts it off, and 0.9 ms would
not wait at all: there we round.

One limit is left: the number of ENTRIES may not exceed the soft limit on open files, else the call is
EINVAL. A process meets it only by lowering its own limit after it opened the descriptors.

Sources: poll(2), POSIX poll, CPython Modules/selectmodule.c. Not on Windows: CPython offers no WSAPoll, which
did not report a refused connect before build 19041 (libzmq #2443). On macOS it does not take devices (mio #1377).
"""

from __future__ import annotations

import errno
import math
import select
import sys
from typing import Any, Optional

from lab.backends._base import Backend, Feature, Ready, Refused, span
from lab.events import ERROR, HANGUP, INVALID, READ, WRITE

try:
    import resource
except ImportError:  # Windows, which has no poll either, and Debian's python3-minimal
    _resource: Any = None
else:
    _resource = resource  # typed loosely: on Windows type checkers know it as an empty module

_poll: Any = getattr(select, "poll", None)
_CUTS_FRACTIONS = sys.implementation.name == "pypy"
_NUMBERS = {"POLLIN": READ, "POLLOUT": WRITE, "POLLERR": ERROR, "POLLHUP": HANGUP, "POLLNVAL": INVALID}


def admit(fd: int, entries: int) -> None:
    """Raise ``Refused`` if poll could not watch ``fd`` as the last of that many entries."""
    if _resource is not None:
        limit = _resource.getrlimit(_resource.RLIMIT_NOFILE)[0]
        if 0 <= limit < entries:  # RLIM_INFINITY is negative on Linux
            raise Refused("poll cannot watch descriptor %d: %d entries is the soft limit on open files; raise it "
                          "with `ulimit -n`" % (fd, limit), errno.EINVAL)


class Poll(Backend):
    """poll(2), level-triggered."""

    name = "poll"
    interface = "poll"
    is_raw = True
    features = frozenset({Feature.NO_FD_LIMIT, Feature.ANY_FD, Feature.SEES_ERROR, Feature.SEES_CLOSED})

    @classmethod
    def missing(cls) -> Optional[str]:
        if _poll is None:
            return "Python's select module has no poll() on this platform"
        for name, number in _NUMBERS.items():
            if getattr(select, name) != number:  # AIX; events.py gives the masks out untranslated
                return "%s is %#x here, not %#x" % (name, getattr(select, name), number)
        return None

    def __init__(self) -> None:
        super().__init__()
        self._poll = _poll()

    def wait(self, timeout: Optional[float] = None) -> Ready:
        if self._closed:
            raise ValueError("this poll backend is closed")
        data = self._data
        milliseconds = None if timeout is None else span(timeout) * 1e3
        if _CUTS_FRACTIONS and milliseconds is not None:
            milliseconds = math.ceil(milliseconds)
        events = self._poll.poll(milliseconds)
        try:
            return [(data[fd], mask) for fd, mask in events]
        except KeyError:  # unregistered by another thread meanwhile; the call had a copy of its own
            return [(data[fd], mask) for fd, mask in events if fd in data]

    def _add(self, fd: int, interest: int) -> None:
        admit(fd, len(self._data))
        self._poll.register(fd, interest)

    def _change(self, fd: int, interest: int) -> None:
        self._poll.modify(fd, interest)

    def _remove(self, fd: int) -> None:
        self._poll.unregister(fd)
