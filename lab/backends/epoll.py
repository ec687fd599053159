"""epoll(7): Linux remembers what you watch, and hands back only what is ready.

The interest list lives in the kernel. ``epoll_ctl`` adds, modifies and deletes entries, one system call each
(about 1.7 us); ``epoll_wait`` returns the ready ones, and costs the same whether ten or five thousand others
sit idle (1.3 to 1.7 us, Linux 6.18). It is linear in what is READY, where it is slower than poll: each entry
is taken from the ready list, looked at, and under level trigger put back.

Level or edge is a flag of the entry, and the two classes below differ in nothing else:

    level   reported as long as the state lasts. Leave data unread, and the next wait reports it again.
    edge    (EPOLLET) reported when the state changes, then not again. So read until EAGAIN, or remember that
            you did not; and write until EAGAIN before you expect to hear that you may write. New data is a new
            change, also on top of old unread data: Linux does so, the manual does not promise it, and gVisor
            stayed silent for unix sockets until 2024.

EPOLL_CTL_MOD looks at the state anew and reports it again even under edge trigger (epoll(7), question 9): that
is how a reader that stops early, to be fair to others or because its output is full, gets its event back.

EPOLLERR and EPOLLHUP come whether asked for or not. A TCP peer that closes is neither: that is EPOLLIN with
nothing to read, since the other half still works.

The entry belongs to the open file DESCRIPTION, not to the number. Closing the descriptor removes it only when
that was the last reference. While a dup() or a forked child holds another, the entry lives on and reports under
the old number, which nobody has open; DEL answers EBADF for it and ENOENT for the dup, so it cannot be removed.
The same number may meanwhile be another connection's. So: unregister first, then close. Where somebody closed
first, an event for a number that is not registered proves that there is such a stale entry. A level-triggered one
would end every wait at once, so ``_renew`` creates a new epoll object and registers everything that we know in it:
there is no other way to get rid of the entry. If its number is registered again before that, we could not tell its
events from those of the new descriptor. So we remember each number that was closed before it was unregistered, and
renew when one of them is registered again.

Regular files, directories and /dev/null have no readiness to wait for: EPERM, where select and poll call them
always ready. The number of entries is limited for each user by /proc/sys/fs/epoll/max_user_watches: ENOSPC.

Timeouts are whole milliseconds, rounded up.

Sources: epoll(7), epoll_ctl(2), epoll_wait(2), CPython Modules/selectmodule.c; libuv PR #1468, trio #1272.
"""

from __future__ import annotations

import errno
import select
import sys
import threading
from typing import Any, Dict, Optional, Set

from lab.backends._base import Backend, Feature, Ready, Refused, span
from lab.errors import reason
from lab.events import Trigger

_epoll: Any = getattr(select, "epoll", None)

_WHY = {
    errno.EPERM: "this kind of file has no readiness (a regular file is always ready); use poll or select",
    errno.ENOSPC: "the user's limit is reached; raise /proc/sys/fs/epoll/max_user_watches",
    errno.EBADF: "it is not an open descriptor",
}

NOT_OURS = (errno.EBADF, errno.ENOENT, errno.EPERM, errno.EINVAL)
"""What the kernel answers for a number that was closed while registered. EBADF: nobody has opened it again. ENOENT:
another file has the number now. EPERM: so does a file of a kind that epoll does not watch. EINVAL: so does the epoll
object itself, which may get any free number when it is renewed."""

_DEL_IS_SILENT = sys.version_info < (3, 9)  # about EBADF (bpo-39239)


class Epoll(Backend):
    """epoll(7), level-triggered: what is ready is reported until it is read away."""

    name = "epoll"
    interface = "epoll"
    is_raw = True
    features = frozenset({Feature.NO_FD_LIMIT, Feature.SEES_ERROR, Feature.LIVE})
    _flags = 0

    @classmethod
    def missing(cls) -> Optional[str]:
        return None if _epoll is not None else "Python's select module has no epoll(); it is a Linux interface"

    def __init__(self) -> None:
        super().__init__()
        self._epoll = _epoll()
        self._interest: Dict[int, int] = {}
        self._doubtful: Set[int] = set()  # closed before they were unregistered: they may have stale entries
        self._lock = threading.RLock()  # another thread may register (LIVE) while the waiting one renews

    def wait(self, timeout: Optional[float] = None) -> Ready:
        # At most 1023 events a call, CPython's default: the kernel goes round robin, so nobody starves, and
        # a larger maxevents is allocated on every call. The numbers of poll(2) need no translation.
        data = self._data
        events = self._epoll.poll(-1 if timeout is None else span(timeout))
        try:
            return [(data[fd], mask) for fd, mask in events]
        except KeyError:
            self._renew()
            return [(data[fd], mask) for fd, mask in events if fd in data]

    def _add(self, fd: int, interest: int) -> None:
        with self._lock:
            if fd in self._doubtful:
                self._renew()
            self._control(self._epoll.register, fd, interest)

    def _change(self, fd: int, interest: int) -> None:
        with self._lock:
            self._control(self._epoll.modify, fd, interest)

    def _remove(self, fd: int) -> None:
        with self._lock:
            del self._interest[fd]
            try:
                if _DEL_IS_SILENT:
                    self._epoll.modify(fd, 0)
                self._epoll.unregister(fd)
            except OSError as error:  # closed before it was unregistered: the kernel has mostly removed it too
                if error.errno not in NOT_OURS:
                    raise
                self._doubtful.add(fd)

    def _control(self, verb: Any, fd: int, interest: int) -> None:
        try:
            verb(fd, interest | self._flags)
        except OSError as error:
            why = _WHY.get(error.errno or 0, reason(error))
            raise Refused("%s cannot watch descriptor %d: %s" % (self.name, fd, why), error.errno) from error
        self._interest[fd] = interest

    def _renew(self) -> None:
        """Replace the epoll object by a new one with the entries that we know: stale entries go with the old one."""
        with self._lock:
            self._epoll.close()  # first, so that a process at its limit of descriptors has room for the new one
            self._epoll = _epoll()
            self._doubtful.clear()
            for fd, interest in self._interest.items():
                try:
                    self._epoll.register(fd, interest | self._flags)
                except OSError as error:  # one more that was closed while registered: forgotten, as epoll does
                    if error.errno not in NOT_OURS:
                        raise

    def close(self) -> None:
        super().close()
        self._interest.clear()
        self._epoll.close()


class EpollEdge(Epoll):
    """epoll(7) with EPOLLET: it reports a change once. Read until EAGAIN, or call ``modify`` to get the event again."""

    name = "epoll-et"
    trigger = Trigger.EDGE
    features = Epoll.features | {Feature.EDGE}
    _flags = getattr(select, "EPOLLET", 0)
