"""kqueue(2): macOS and the BSDs. The kernel remembers FILTERS, not descriptors.

An entry (a "knote") is a pair of descriptor and filter. Interest in reading is EVFILT_READ, in writing
EVFILT_WRITE. Interest in both is two entries, and they come back as two events; ``wait`` merges them, because our
contract promises one pair for each descriptor. Adding an entry that exists modifies it, where epoll fails with
EEXIST. So this file remembers the interest of each descriptor and submits only the difference.

There is no HUP. EV_EOF on the read filter is the peer's end of stream, perhaps with data still to be read, so it
is READ and nothing more; on the write filter it says that nobody will ever read: WRITE and HANGUP. A reset
leaves its errno in ``fflags``: ERROR.

close() removes a descriptor's entries, also where a dup lives on: the opposite of epoll. A fork does not inherit
the queue at all. kevent() with no room for events returns at once whatever its timeout (bpo-29255), so room is
always asked for. Trigger level is the default; EV_CLEAR would make it edge.

Sources: kqueue(2) of macOS and FreeBSD, CPython Modules/selectmodule.c; gh-110038 for the two events of one
descriptor. The build machine is Linux: here this file runs against a scripted kernel only
(tests/core/backends/test_kqueue.py), on macOS against the real one.
"""

from __future__ import annotations

import errno
import select
from typing import Any, Dict, List, Optional

from lab.backends._base import Backend, Feature, Ready, Refused, span
from lab.capabilities import has
from lab.errors import reason
from lab.events import ERROR, HANGUP, READ, WRITE

_ROOM = 1024  # events a call; what does not fit comes with the next


class Kqueue(Backend):
    """kqueue(2), level-triggered."""

    name = "kqueue"
    interface = "kqueue"
    is_raw = True
    features = frozenset({Feature.NO_FD_LIMIT, Feature.SEES_ERROR, Feature.LIVE})

    @classmethod
    def missing(cls) -> Optional[str]:
        if has("kqueue"):
            return None
        return "Python's select module has no kqueue(); it is an interface of macOS and the BSDs"

    def __init__(self) -> None:
        super().__init__()
        self._system: Any = select  # typed loosely: type checkers know kqueue on macOS and the BSDs only
        self._kqueue = self._system.kqueue()
        self._interest: Dict[int, int] = {}
        self._filters = ((READ, self._system.KQ_FILTER_READ), (WRITE, self._system.KQ_FILTER_WRITE))

    def wait(self, timeout: Optional[float] = None) -> Ready:
        system = self._system
        events: Dict[int, int] = {}
        for kevent in self._kqueue.control(None, _ROOM, None if timeout is None else span(timeout)):
            event = READ if kevent.filter == system.KQ_FILTER_READ else WRITE
            if kevent.flags & system.KQ_EV_EOF:
                event |= HANGUP if event == WRITE else 0
                event |= ERROR if kevent.fflags else 0
            events[kevent.ident] = events.get(kevent.ident, 0) | event
        return [(self._data[fd], event) for fd, event in events.items() if fd in self._data]

    def _add(self, fd: int, interest: int) -> None:
        self._submit(fd, interest, had=0)

    def _change(self, fd: int, interest: int) -> None:
        self._submit(fd, interest, had=self._interest[fd])

    def _remove(self, fd: int) -> None:
        self._withdraw(self._changes(fd, 0, self._interest.pop(fd)))

    def _submit(self, fd: int, interest: int, had: int) -> None:
        try:
            self._kqueue.control(self._changes(fd, interest, had), 0, 0)
        except OSError as error:
            # The kernel has made the changes before the one that failed: undo them, or it would report a filter that
            # nobody has asked for.
            self._withdraw(self._changes(fd, had, had | interest))
            why = "it is not an open descriptor" if error.errno == errno.EBADF else reason(error)
            raise Refused("kqueue cannot watch descriptor %d: %s" % (fd, why), error.errno) from error
        self._interest[fd] = interest

    def _withdraw(self, changes: List[Any]) -> None:
        """Delete filters, one at a time: kevent() stops at the first change that fails."""
        for change in changes:
            try:
                self._kqueue.control([change], 0, 0)
            except OSError as error:  # closed before it was unregistered: close() took the entries along
                if error.errno not in (errno.EBADF, errno.ENOENT):
                    raise

    def _changes(self, fd: int, interest: int, had: int) -> List[Any]:
        """One change for each filter to add or to delete. Additions come first, because the kernel may refuse them."""
        system = self._system
        come = [system.kevent(fd, kind, system.KQ_EV_ADD) for flag, kind in self._filters if interest & flag & ~had]
        go = [system.kevent(fd, kind, system.KQ_EV_DELETE) for flag, kind in self._filters if had & flag & ~interest]
        return come + go

    def close(self) -> None:
        super().close()
        self._interest.clear()
        self._kqueue.close()
