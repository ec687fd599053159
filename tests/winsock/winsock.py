"""Python's ``select`` module as it is on Windows, over the real sockets of this platform, without script or stub.

This module imitates Winsock and CPython's code above it. The real poll does the rest, and not the real select, because
a socket may have any number on Windows, and select rejects numbers from 1024 up.

    members      sockets, as numbers or objects; at most 512 in each of the three sets, which is checked first
    no sockets   pipes, files and closed numbers make the whole call fail: 10038
    no members   three empty sets are an error at once, whatever the timeout: 10022, since 3.9.13 and 3.10.5 (bpo-46775)
                 with errno 22; ``is_modern`` selects that
    connects     a connected socket is writable. A refused one is in the exceptional set and no other, and stays there,
                 even after SO_ERROR has been read
    neither      a socket that was never connected is in no set, where POSIX reports a hang-up
    the module   has ``select`` and ``error``; no poll, epoll or kqueue

POSIX offers no way to see that a connect was refused without changing the socket: SO_ERROR reports it only once. So
the fake remembers the sockets that it has seen connected, and those that were accepted. A socket that is in error and
was never connected counts as refused.

Measured with CPython 3.8.10, 3.10.11 and 3.13.2 for Windows, under Wine 8.0. Where Wine differs from the Winsock
reference, the fake follows the reference: on Wine a refused socket is also readable once, if select is called quickly,
and the error for a closed number that is a handle of another kind is 10045.
"""

from __future__ import annotations

import errno
import math
import os
import select as system
import selectors
import socket
import stat
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

import pytest

from lab.backends import Feature, select as backend_select, selectors as backend_selectors
from lab.backends.selectors import SIBLINGS
from lab.probing.probe import over
from lab.server import bell
from lab.server.models import blocking

WINDOWS_HAS = ("selectors", *over("select"))
"""The backends that are left where Python's select module has nothing but select."""

FD_SETSIZE = 512
WSAEINVAL = 10022
WSAENOTSOCK = 10038

needs_poll = pytest.mark.skipif(not hasattr(system, "poll"), reason="the fake needs poll(), which is missing here")

_poll: Any = getattr(system, "poll", None)  # typed loosely: type checkers know it only on POSIX
_IN, _PRI, _OUT, _ERR, _HUP = 0x1, 0x2, 0x4, 0x8, 0x10  # from poll(2); the same on every system that the tests run on

Lists = Tuple[List[Any], List[Any], List[Any]]
_Identity = Tuple[int, int]


class Winsock:
    """The module. ``calls`` has (readers, writers, exceptional, timeout) of each call that got as far as Winsock."""

    error = OSError

    def __init__(self, is_modern: bool = True) -> None:
        self.is_modern = is_modern
        self.calls: List[Tuple[List[int], List[int], List[int], Optional[float]]] = []
        self._connected: Dict[int, _Identity] = {}  # by number: the socket that has been seen connected
        self._refused: Dict[int, _Identity] = {}

    def select(self, rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: Optional[float] = None,
               ) -> Lists:
        """Like ``select.select`` on Windows."""
        if timeout is not None and timeout < 0:
            raise ValueError("timeout must be non-negative")
        given = [list(each) for each in (rlist, wlist, xlist)]
        readers, writers, exceptional = sets = [_numbers(each) for each in given]
        self.calls.append((readers, writers, exceptional, timeout))
        if not any(sets):
            raise _winerror(WSAEINVAL, errno.EINVAL if self.is_modern else WSAEINVAL, "Invalid argument")
        sockets = {fd: _identity(fd) for each in sets for fd in each}
        for fd, identity in sockets.items():
            self._is_connected(fd, identity)  # now, because a reset would hide it
        found = self._wait(set(readers), set(writers), set(exceptional), sockets, timeout)
        ready = [[thing for thing, fd in zip(things, numbers) if fd in fds]
                 for things, numbers, fds in zip(given, sets, found)]
        return ready[0], ready[1], ready[2]

    def accepted(self, sock: socket.socket) -> None:
        """Note that this socket is connected, whatever happens to it later."""
        self._connected[sock.fileno()] = _identity(sock.fileno())

    def _wait(self, readers: Set[int], writers: Set[int], exceptional: Set[int], sockets: Dict[int, _Identity],
              timeout: Optional[float]) -> Tuple[Set[int], Set[int], Set[int]]:
        deadline = None if timeout is None else time.monotonic() + timeout
        mute: Set[int] = set()  # refused or never connected: poll must not see them
        while True:
            mute.update(fd for fd, identity in sockets.items() if self._refused.get(fd) == identity)
            failed = {fd for fd in mute & exceptional if self._refused.get(fd) == sockets[fd]}
            masks = self._ask(readers, writers, exceptional, {fd: sockets[fd] for fd in sockets if fd not in mute},
                              0.0 if failed else deadline)
            news = {fd for fd, mask in masks.items() if not self._is_as_on_posix(fd, sockets[fd], mask)}
            mute |= news
            told = {fd: mask for fd, mask in masks.items() if fd not in news}
            found = ({fd for fd, mask in told.items() if fd in readers and mask & (_IN | _HUP | _ERR)},
                     {fd for fd, mask in told.items() if fd in writers and mask & (_OUT | _ERR)},
                     {fd for fd, mask in told.items() if fd in exceptional and mask & _PRI} | failed)
            is_over = deadline is not None and time.monotonic() >= deadline
            if any(found) or (is_over and not news):
                return found

    def _ask(self, readers: Set[int], writers: Set[int], exceptional: Set[int], sockets: Dict[int, _Identity],
             deadline: Optional[float]) -> Dict[int, int]:
        """The masks that poll reports, by number. A socket that is only in the exceptional set is also asked whether it
        is writable, until it was seen connected, so that a failed connect is noticed."""
        poll = _poll()
        for fd, identity in sockets.items():
            connects = fd in exceptional and self._connected.get(fd) != identity
            poll.register(fd, (_IN if fd in readers else 0) | (_OUT if fd in writers or connects else 0)
                          | (_PRI if fd in exceptional else 0))
        left = None if deadline is None else max(0, math.ceil((deadline - time.monotonic()) * 1000))
        return dict(poll.poll(left))

    def _is_as_on_posix(self, fd: int, identity: _Identity, mask: int) -> bool:
        """Whether poll's answer for this socket holds on Winsock too; if not, note whether its connect was refused or
        never made."""
        if self._is_connected(fd, identity) or _is_other(fd):
            return True
        if mask & _ERR:
            self._refused[fd] = identity
        return False


    def _is_connected(self, fd: int, identity: _Identity) -> bool:
        """Whether this socket is connected now, or was when it was seen before."""
        if self._connected.get(fd) != identity and _has_peer(fd):
            self._connected[fd] = identity
        return self._connected.get(fd) == identity


def _numbers(things: Iterable[Any]) -> List[int]:
    found: List[int] = []
    for thing in things:
        if not isinstance(thing, int) and not hasattr(thing, "fileno"):
            raise TypeError("argument must be an int, or have a fileno() method.")
        fd = thing if isinstance(thing, int) else thing.fileno()
        if fd < 0:
            raise ValueError("file descriptor cannot be a negative integer (%d)" % fd)
        if len(found) == FD_SETSIZE:
            raise ValueError("too many file descriptors in select()")
        found.append(fd)
    return found


def _identity(fd: int) -> _Identity:
    """A value that distinguishes this socket from a later one with the same number. Raises the Winsock error if it is
    not a socket."""
    status: Optional[os.stat_result]
    try:
        status = os.fstat(fd)
    except OSError:  # EBADF
        status = None
    if status is None or not stat.S_ISSOCK(status.st_mode):
        raise _winerror(WSAENOTSOCK, WSAENOTSOCK, "An operation was attempted on something that is not a socket")
    return status.st_dev, status.st_ino


def _winerror(winerror: int, number: int, text: str) -> OSError:
    error = OSError(number, text)
    vars(error)["winerror"] = winerror  # OSError has it only on Windows
    return error


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    sock = socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def _has_peer(fd: int) -> bool:
    try:
        with _borrowed(fd) as sock:
            sock.getpeername()
    except OSError:  # ENOTCONN, EINVAL on macOS: not connected, or it listens. EBADF: closed meanwhile
        return False
    return True


def _is_other(fd: int) -> bool:
    """Whether the socket has no peer by its nature, because it is not a stream or because it listens."""
    try:
        with _borrowed(fd) as sock:
            return (sock.type != socket.SOCK_STREAM
                    or bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)))
    except OSError:  # EBADF: closed meanwhile
        return True


def select_of_selector(fake: Winsock) -> Any:
    """``SelectSelector._select`` as Lib/selectors.py has it on Windows, where writers are also in the exceptional
    set."""
    def _select(self: Any, r: Sequence[int], w: Sequence[int], _: Any, timeout: Optional[float] = None) -> Lists:
        readable, writable, failed = fake.select(r, w, w, timeout)
        return readable, writable + failed, []
    return _select


@contextmanager
def installed(fake: Winsock) -> Iterator[Winsock]:
    """Make the lab and the standard library's selectors use it, so that ``lab.backends.here()`` has the backends of
    Windows."""
    accept = socket.socket.accept

    def noting(self: socket.socket) -> Tuple[socket.socket, Any]:
        sock, where = accept(self)
        fake.accepted(sock)
        return sock, where

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend_select, "select", fake)
        patch.setattr(backend_select, "WINDOWS", True)
        patch.setattr(backend_select, "GONE", (errno.EBADF, WSAENOTSOCK))
        patch.setattr(backend_selectors, "WINDOWS", True)
        patch.setattr(backend_selectors, "GONE", (errno.EBADF, WSAENOTSOCK))
        patch.setattr(socket.socket, "accept", noting)
        patch.setattr(blocking, "SHUTDOWN_WAKES", False)
        patch.setattr(bell, "select", fake)
        patch.setattr(selectors.SelectSelector, "_select", select_of_selector(fake))
        patch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
        patch.setattr(backend_selectors.Selectors, "kind", "SelectSelector")
        patch.setattr(backend_selectors.Selectors, "interface", "select")
        features = backend_select.Select.features - {Feature.ANY_FD}
        for kind in (backend_select.Select, backend_selectors.Selectors, *SIBLINGS):
            patch.setattr(kind, "features", features)
        patch.setenv("LAB_BACKENDS", ",".join(WINDOWS_HAS))
        yield fake
