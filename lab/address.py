"""Where to listen and where to connect: IPv4, IPv6, both at once, and ``unix:/path``.

Server and client share this file, so that ``--host`` and ``--port`` mean the same to ``lab serve`` and ``lab load``.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from typing import Any, List, NamedTuple

from lab.capabilities import has
from lab.errors import Broken, NotHere, Usage, reason

UNIX: Any = getattr(socket, "AF_UNIX", None)
BACKLOG = 1024  # connections that may wait to be accepted; the kernel reduces it to net.core.somaxconn


class Address(NamedTuple):
    """One socket address. ``where`` is the argument for bind and connect: (host, port), or a path."""

    family: int
    where: Any

    def __str__(self) -> str:
        if self.family == UNIX:
            return "unix:%s" % self.where
        host, port = self.where[:2]
        return "[%s]:%d" % (host, port) if ":" in host else "%s:%d" % (host, port)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.family == UNIX or ipaddress.ip_address(self.where[0].partition("%")[0]).is_loopback


def resolve(host: str, port: int) -> Address:
    """The address that ``host`` and ``port`` name. For a host name it is the first one that the system returns.

    Raises ``Usage`` for a name that does not resolve, a port out of range, or an unusable path; ``NotHere`` for a unix
    path on a platform without unix sockets.
    """
    if host.startswith("unix:"):
        return Address(UNIX, _unix_path(host[len("unix:"):]))
    if not 0 <= port <= 65535:
        raise Usage("port %d: ports go from 0 (any free one) to 65535" % port)
    if not host:  # on Windows an empty name means this machine
        raise Usage('host "": is no host; give an address such as 127.0.0.1, ::1 or unix:/path')
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, socket.gaierror) else str(error)
        raise Usage('host "%s": %s; give an address such as 127.0.0.1, ::1 or unix:/path' % (host, why)) from None
    return Address(family, where)


def _unix_path(path: str) -> str:
    if UNIX is None:
        raise NotHere("unix:%s: this platform has no unix sockets; use --host 127.0.0.1" % path)
    if not path:
        raise Usage("unix: needs a path, e.g. unix:/tmp/lab.sock")
    if len(os.fsencode(path)) > 103:  # sun_path holds 104 bytes on the BSDs, 108 on Linux, with the final NUL
        raise Usage("unix:%s: the path has more than 103 bytes; use a shorter one" % path)
    return path


def listen(address: Address, dual_stack: bool = False, reuse_port: bool = False, backlog: bool = True
           ) -> socket.socket:
    """A non-blocking socket that listens at the address.

    ``dual_stack`` lets a listener on the IPv6 wildcard accept IPv4 clients as well. Without it no listener does,
    whatever the platform's default is (ipv6(7), IPV6_V6ONLY: off on Linux and macOS, on on Windows). Without
    ``backlog`` the socket is bound and does not listen: it reserves the address and gets no connections.

    Raises ``Broken``, with what to do about it, if the address is in use, not one of this machine's, or privileged.
    """
    if address.family == UNIX:
        _clear_stale(address)
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        if address.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual_stack else 1)
        if address.family != UNIX:
            if has("so_exclusiveaddruse"):  # on Windows, where SO_REUSEADDR lets others take a port in use
                sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE"), 1)  # noqa: B009
            else:  # despite TIME_WAIT of an earlier run, which on Linux must have set it too (socket(7))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_REUSEPORT"), 1)  # noqa: B009  # none on Windows
        sock.bind(address.where)
        if backlog:
            sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise Broken("cannot listen on %s: %s; %s" % (address, reason(error), _cure(error, address))) from None
    except BaseException:
        sock.close()
        raise
    return sock


def bound(sock: socket.socket) -> Address:
    """The address that the socket got, e.g. for port 0."""
    return Address(sock.family, sock.getsockname())


def remove(address: Address) -> None:
    """Delete the file of a unix listener that has been closed. Does nothing for other addresses."""
    if address.family == UNIX:
        try:
            os.unlink(address.where)
        except FileNotFoundError:  # somebody else has deleted it
            pass


def _clear_stale(address: Address) -> None:
    """Delete the socket file of a server that is gone. We never delete any other file."""
    try:
        if not stat.S_ISSOCK(os.stat(address.where).st_mode):
            raise Broken("cannot listen on %s: there is a file that is no socket; choose another path" % (address,))
    except OSError:  # ENOENT: the path is free; for any other error bind() gives the better message
        return
    probe = socket.socket(UNIX, socket.SOCK_STREAM)
    probe.setblocking(False)  # a live server with a full backlog gives EAGAIN, and would block us otherwise
    try:
        probe.connect(address.where)
    except ConnectionRefusedError:  # nobody listens: its server died without deleting the file
        os.unlink(address.where)
    except OSError:  # e.g. EAGAIN, EACCES, EPROTOTYPE: somebody may use it, and bind() will raise
        pass
    finally:
        probe.close()


def _cure(error: OSError, address: Address) -> str:
    if error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE)):
        return "stop the server that has it, or choose another --port (0 takes a free one)"
    if has("winsock") and error.errno in (errno.EACCES, getattr(errno, "WSAEACCES", errno.EACCES)):
        return ("another program keeps it for itself, or Windows does (`netsh interface ipv4 show excludedportrange "
                "tcp`); choose another --port")
    if error.errno in (errno.EACCES, errno.EPERM):
        if address.family == UNIX:
            return "its directory is not yours to write in; choose another path"
        return "ports under 1024 need privileges here; choose a --port from 1024 up"
    if error.errno in (errno.EADDRNOTAVAIL, getattr(errno, "WSAEADDRNOTAVAIL", errno.EADDRNOTAVAIL)):
        return "no interface of this machine has that address; try --host 127.0.0.1"
    if error.errno == errno.ENOENT:
        return "make the directory first"
    return "choose another --host or --port"


def both_loopbacks(port: int) -> List[Address]:
    """127.0.0.1 and ::1. No single socket can serve both."""
    return [resolve("127.0.0.1", port), resolve("::1", port)]
