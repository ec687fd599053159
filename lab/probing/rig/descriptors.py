"""Opens files that are no sockets, and makes descriptors: duplicates, and numbers that are closed."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from typing import Any, Optional, Tuple

from lab.capabilities import has
from lab.probing.probe import Unsupported
from lab.probing.rig.base import number
from lab.probing.rig.sockets import Sockets

_os: Any = os  # typed loosely: what only POSIX has


class Descriptors(Sockets):
    """Opens descriptors, and limits how many there may be. They are closed, and the limit is restored, at the end."""

    def pair(self, kind: str) -> Tuple[Any, Any]:
        """Two ends by the name of their kind: tcp, unix, udp, unix-datagrams, pipe (the reading end is near)."""
        return {"tcp": self.tcp, "unix": self.unix, "udp": self.udp, "unix-datagrams": self.unix_datagrams,
                "pipe": self.pipe}[kind]()

    def pipe(self) -> Tuple[int, int]:
        """The reading and the writing descriptor of a pipe, non-blocking."""
        ends = os.pipe()
        for fd in ends:
            self.keep(fd)
            _os.set_blocking(fd, False)
        return ends

    def eventfd(self, count: int = 0) -> int:
        """A non-blocking eventfd with that count."""
        return int(self.keep(_os.eventfd(count, _os.EFD_NONBLOCK | _os.EFD_CLOEXEC)))

    def pty(self) -> Tuple[int, int]:
        """Master and slave of a pseudo-terminal in canonical mode, non-blocking."""
        ends: Tuple[int, int] = _os.openpty()
        for fd in ends:
            self.keep(fd)
            _os.set_blocking(fd, False)
        return ends

    def directory(self) -> str:
        """The path of a new directory, short enough for unix sockets in it. It is removed at the end."""
        made = tempfile.mkdtemp(prefix="lab")
        self._stack.callback(shutil.rmtree, made, True)
        return made

    def file(self, content: bytes = b"", flags: int = os.O_RDWR) -> int:
        """A descriptor of a new regular file with that content, at its beginning."""
        path = os.path.join(self.directory(), "file")
        with open(path, "wb") as made:
            made.write(content)
        return int(self.keep(os.open(path, flags)))

    def duplicate(self, thing: Any, at: Optional[int] = None) -> int:
        """A second descriptor for the same open file; at the number ``at``, which is closed first, if that is given.
        Raises ``Unsupported`` on Windows for a number, and for anything but a socket object: a socket is no descriptor
        of the C library there."""
        if not has("winsock"):
            return int(self.keep(os.dup(number(thing)) if at is None else os.dup2(number(thing), at, False)))
        if at is not None or isinstance(thing, int):
            raise Unsupported("Windows duplicates no socket by its number, nor to a number of our choice")
        return int(self.keep(thing.dup()).fileno())

    def closed_number(self) -> int:
        """The number of a descriptor that was just closed."""
        fd = self.new_socket().detach()
        socket.close(fd)
        return fd

    def limit_descriptors(self, soft: int) -> None:
        """Set the soft limit on open files. Raises ``Unsupported`` if the hard limit is lower."""
        import resource
        limits: Any = resource
        before = limits.getrlimit(limits.RLIMIT_NOFILE)
        try:
            limits.setrlimit(limits.RLIMIT_NOFILE, (soft, before[1]))
        except (ValueError, OSError) as error:
            raise Unsupported("the hard limit on open files is %s, this needs %d" % (before[1], soft)) from error
        self._stack.callback(limits.setrlimit, limits.RLIMIT_NOFILE, before)
