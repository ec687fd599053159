"""select(2): the oldest and the only one that is everywhere. On Windows it is all there is.

Each call hands the kernel three sets of descriptors and gets three sets back, so the cost of one wait grows
with everything that is watched, ready or not (36 us for 500 idle pipes, Linux 6.18), and nothing is remembered
between two calls. There is no register in the kernel; we keep the sets, and every ``wait`` passes them whole.

Two limits look alike and are not:

* On POSIX an ``fd_set`` is a bitmap of FD_SETSIZE (1024) bits, indexed by descriptor NUMBER. Descriptor 1024
  does not fit even if it is the only one. The limit is libc's and CPython's; the Linux kernel has none.
* On Windows an ``fd_set`` is an array, so the numbers are free and the COUNT is limited: CPython is built for
  512 sockets in each of the three sets.

``select()`` raises ValueError for both, long after the connection was accepted. ``admit`` below finds them out in
``register`` instead: it calls select once, without waiting, for the new descriptor.

What select cannot say: ERROR or HANGUP. A reset makes a socket readable and writable, and the next call on
it raises. The third, "exceptional", set is no error set: on Linux it holds TCP urgent data. Windows is the
exception: there a refused connect appears in it and nowhere else (libevent #248), so the writers are watched
in it as well.

Sources: select(2), POSIX pselect, select in the Winsock reference, CPython Modules/selectmodule.c.
"""

from __future__ import annotations

import errno
import select
import time
from typing import AbstractSet, Dict, Iterable, List, Mapping, Optional, Set

from lab.backends._base import Backend, Feature, Ready, Refused, span
from lab.capabilities import has
from lab.events import ERROR, INVALID, READ, WRITE

WINDOWS = has("winsock")
GONE = (errno.EBADF, getattr(errno, "WSAENOTSOCK", errno.EBADF), errno.ENOTSOCK,
        getattr(errno, "WSAEOPNOTSUPP", errno.EBADF))
"""The errors of select for a descriptor that was closed: EBADF on POSIX, WSAENOTSOCK (10038) on Windows. Six other
numbers of Winsock became those of POSIX in 3.9.13 and 3.10.5 (bpo-46775; three empty sets were errno 10022 before, and
are 22 since), but this one did not. Wine 8.0 answers WSAEOPNOTSUPP if the number is now a handle of something else."""


def admit(fd: int, members: int) -> None:
    """Raise ``Refused`` if select could not watch ``fd`` as the last of that many.

    On Windows the count decides. CPython counts the members of a set before it looks at them, so the new descriptor
    repeated that many times gets the same answer as the real set. On POSIX only the number decides. Either way one
    call without waiting is enough.
    """
    trial = [fd] * members if WINDOWS else [fd]
    try:
        select.select(trial, [], [], 0)
    except ValueError:
        limit = ("512 sockets in one call, and Python has no other here; have fewer open at once" if WINDOWS else
                 "descriptor number 1023 (FD_SETSIZE - 1); use poll, epoll or kqueue")
        raise Refused("select cannot watch descriptor %d: its limit is %s" % (fd, limit)) from None
    except OSError as error:
        if error.errno not in GONE:
            raise
        raise Refused("select cannot watch descriptor %d: it is not an open %s"
                      % (fd, "socket" if WINDOWS else "descriptor"), error.errno) from error


def closed(fds: Iterable[int]) -> List[int]:
    """Those of the registered descriptors that are not open any more."""
    gone = []
    for fd in fds:
        try:
            select.select([fd], [], [], 0)
        except OSError:  # EBADF or WSAENOTSOCK: nothing else can be wrong with one registered descriptor
            gone.append(fd)
    return gone


def ask(readers: AbstractSet[int], writers: AbstractSet[int], timeout: Optional[float]) -> Dict[int, int]:
    """One call of select, and its three sets as one event for each descriptor."""
    readable, writable, failed = select.select(readers, writers, writers if WINDOWS else (), timeout)
    events: Dict[int, int] = dict.fromkeys(readable, READ)
    for fd in writable:
        events[fd] = events.get(fd, 0) | WRITE
    for fd in failed:
        events[fd] = events.get(fd, 0) | WRITE | ERROR
    return events


def ask_around(interest: Mapping[int, int]) -> Dict[int, int]:
    """What is ready now, after select failed because some descriptors were closed: INVALID for those, and the events
    of the others."""
    gone = closed(interest)
    readers = {fd for fd, flags in interest.items() if flags & READ}.difference(gone)
    writers = {fd for fd, flags in interest.items() if flags & WRITE}.difference(gone)
    events = ask(readers, writers, 0) if readers or writers else {}  # Winsock refuses empty sets
    events.update(dict.fromkeys(gone, INVALID))
    return events


def sleep_without_sets(timeout: Optional[float]) -> None:
    """Wait although nothing is registered. select on POSIX does so; Winsock fails at once with WSAEINVAL if all three
    sets are empty (gh-80907), and a loop without descriptors would spin."""
    if timeout is not None:
        time.sleep(span(timeout))
        return
    while True:  # for ever, as on POSIX; in slices, so that Ctrl-C is noticed
        time.sleep(1.0)


class Select(Backend):
    """select(2), level-triggered, on every platform; see the limits above."""

    name = "select"
    interface = "select"
    is_raw = True
    features = frozenset({Feature.SEES_CLOSED}) | (frozenset() if WINDOWS else frozenset({Feature.ANY_FD}))

    def __init__(self) -> None:
        super().__init__()
        self._readers: Set[int] = set()
        self._writers: Set[int] = set()

    def wait(self, timeout: Optional[float] = None) -> Ready:
        if self._closed:
            raise ValueError("this select backend is closed")
        if WINDOWS and not self._data:
            sleep_without_sets(timeout)
            return []
        try:
            events = ask(self._readers, self._writers, None if timeout is None else span(timeout))
        except OSError as error:
            if error.errno not in GONE:
                raise
            events = ask_around(self._interest())
        data = self._data  # another thread may have unregistered some meanwhile
        return [(data[fd], event) for fd, event in events.items() if fd in data]

    def _interest(self) -> Dict[int, int]:
        return {fd: (READ if fd in self._readers else 0) | (WRITE if fd in self._writers else 0)
                for fd in list(self._data)}

    def _add(self, fd: int, interest: int) -> None:
        admit(fd, len(self._data))
        self._change(fd, interest)

    def _change(self, fd: int, interest: int) -> None:
        (self._readers.add if interest & READ else self._readers.discard)(fd)
        (self._writers.add if interest & WRITE else self._writers.discard)(fd)

    def _remove(self, fd: int) -> None:
        self._readers.discard(fd)
        self._writers.discard(fd)

    def close(self) -> None:
        super().close()
        self._readers.clear()
        self._writers.clear()
