"""What a listener hands out, and when: inherited modes, resets in the queue, backlogs, exhaustion."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import List, Optional, Tuple

from lab.capabilities import has
from lab.probing.probe import EVERY, Seen, Unsupported, backend, probe, seen, setup
from lab.probing.rig import Rig, attempt

TCP_INFO = 11
"""tcp(7); PyPy's socket module does not name it."""


@probe(
    claim="a socket accepted from a non-blocking listener is blocking itself",
    source="accept(2) NOTES: file status flags are not inherited on Linux, unlike BSD; bpo-7995",
    expect="waits",
    control=setup(flips=True),
)
def from_non_blocking(rig: Rig, flips: bool = False) -> Seen:
    """Accept from a non-blocking listener; read in a thread. Control: give the socket the other mode before."""
    listener = rig.listener()
    return _mode(rig, listener, flips)


@probe(
    claim="a socket accepted from a listener with a timeout is blocking, on every platform",
    source="docs.python.org socket, Timeouts and the accept method; bpo-7995",
    expect="waits",
    control=setup(flips=True),
)
def from_listener_with_timeout(rig: Rig, flips: bool = False) -> Seen:
    """Accept from a listener that has a timeout; read in a thread. Control: give the socket the other mode before."""
    listener = rig.listener()
    listener.settimeout(rig.patience)
    return _mode(rig, listener, flips)


def _mode(rig: Rig, listener: socket.socket, flips: bool) -> Seen:
    """Whether a read of an accepted socket waits, or what it raises."""
    far = rig.client(listener)
    rig.arrived(listener)
    near = rig.keep(listener.accept()[0])

    def reads() -> str:
        reader = rig.thread(near.recv, 1)
        reader.until_asleep()
        waits = not reader.done()
        if waits:
            far.send(b"x")
        found = attempt(reader.result)
        return "waits" if waits and found == "ok" else found
    found = reads()
    if flips:
        near.setblocking(found != "waits")
        found = reads()
    return seen(found, timeout=near.gettimeout())


@probe(
    claim="an accepted socket gets the default timeout, not that of its listener",
    source="docs.python.org socket.setdefaulttimeout; Timeouts and the accept method",
    expect="default",
    control=setup(default=None),
)
def default_timeout(rig: Rig, default: Optional[float] = 3.0) -> Seen:
    """Set a default timeout; accept from a listener that has another; look at what the accepted socket has."""
    listener = rig.listener()
    listener.settimeout(rig.patience)
    rig.client(listener)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(default)
    try:
        near = rig.keep(listener.accept()[0])
    finally:
        socket.setdefaulttimeout(before)
    words = {None: "none", 3.0: "default", rig.patience: "listener's"}
    return seen(words.get(near.gettimeout(), "other"), timeout=near.gettimeout())


@probe(
    claim="an accepted socket has the options that were set on its listener",
    source="Linux net/ipv4/tcp_minisocks.c tcp_create_openreq_child; socket(7)",
    expect="NODELAY+KEEPALIVE+LINGER+RCVBUF",
    control=setup(sets=False),
)
def inherited_options(rig: Rig, sets: bool = True) -> Seen:
    """Set four options on a listener, none at its default; accept; see which of them the new socket has."""
    listener = rig.listener()
    plain = rig.new_socket()
    options = (("NODELAY", socket.IPPROTO_TCP, socket.TCP_NODELAY, struct.pack("i", 1)),
               ("KEEPALIVE", socket.SOL_SOCKET, socket.SO_KEEPALIVE, struct.pack("i", 1)),
               ("LINGER", socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if has("winsock") else "ii", 1, 1)),
               ("RCVBUF", socket.SOL_SOCKET, socket.SO_RCVBUF, struct.pack("i", 16384)))
    for _, level, option, value in options if sets else ():
        listener.setsockopt(level, option, value)
    rig.client(listener)
    near = rig.accept(listener)

    def value_of(sock: socket.socket, level: int, option: int) -> bytes:
        return sock.getsockopt(level, option, 8)
    found = [name for name, level, option, _ in options
             if value_of(near, level, option) == value_of(listener, level, option) != value_of(plain, level, option)]
    return seen("+".join(found) or "none")


@probe(
    claim="Python's accept() gives a descriptor that a new program does not inherit",
    source="PEP 446",
    expect="not inheritable",
    control=setup(by_libc=True),
    needs=("posix", "ctypes"),
)
def not_inheritable(rig: Rig, by_libc: bool = False) -> Seen:
    """Accept through Python, or else through the C library's accept(); look at the close-on-exec flag."""
    import ctypes  # only here: some builds of Python have none
    listener = rig.listener()
    rig.client(listener)
    rig.arrived(listener)
    near = rig.keep(ctypes.CDLL(None).accept(listener.fileno(), None, None) if by_libc else listener.accept()[0])
    fd = near if by_libc else near.fileno()
    return seen("inheritable" if os.get_inheritable(fd) else "not inheritable")


@probe(
    claim="a connection that its client has reset keeps the listener ready",
    source="accept(2) NOTES; Stevens, UNIX Network Programming, 16.6",
    on=EVERY,
    expect={"select": "r", "poll": "IN", "epoll": "IN", "selectors": "READ"},
    control=setup(accepts=True),
)
def reset_keeps_ready(rig: Rig, accepts: bool = False) -> Seen:
    """Have a client connect and reset; ask the listener. Control: accept the connection first."""
    listener = rig.listener()
    client = rig.client(listener)
    rig.arrived(listener)
    rig.reset(client)
    if accepts:
        attempt(listener.accept, ok=lambda pair: str(pair[0].close()))  # Wine fails, and takes it off the queue
    return seen(rig.ask(listener))


@probe(
    claim="a connection reset before accept() is accepted all the same: it fails at its first use, not the listener",
    source="accept(2) NOTES and ERRORS ECONNABORTED; Stevens, UNIX Network Programming, 16.6",
    expect="accept ok, getpeername ENOTCONN, recv ECONNRESET",
    control=setup(resets=False),
)
def reset_before_accept(rig: Rig, resets: bool = True) -> Seen:
    """Have a client connect and reset; accept without blocking, and ask the socket for its peer and for data."""
    listener = rig.listener()
    client = rig.client(listener)
    rig.arrived(listener)
    if resets:
        rig.reset(client)
    accepted: List[socket.socket] = []
    found = "accept " + attempt(lambda: accepted.append(rig.keep(listener.accept()[0])))
    if not accepted:
        return seen(found)
    near = accepted[0]
    near.setblocking(False)
    rig.settle(near)
    return seen("%s, getpeername %s, recv %s" % (found, attempt(near.getpeername), attempt(near.recv, 1)))


@probe(
    claim="listen(n) queues n + 1 connections; the connect() beyond stays pending, it is not refused",
    source="Linux include/net/sock.h sk_acceptq_is_full; listen(2); tcp(7) tcp_abort_on_overflow",
    expect="n+1, then pending",
    control=setup(accepts=True),
)
def backlog(rig: Rig, accepts: bool = False) -> Seen:
    """Connect to listen(3) until a client gets no further. Control: accept one of them in between."""
    listener = rig.listener(3)
    count = 0
    if accepts:
        count, _ = _connected(rig, listener, 1)
        rig.accept(listener)
    more, then = _connected(rig, listener, 12)
    return seen("n%+d, then %s" % (count + more - 3, then), connected=count + more)


@probe(
    claim="Python's listen(-1) is listen(0): one connection is queued",
    source="docs.python.org socket.listen: a lower backlog is set to 0",
    expect="1, then pending",
    control=setup(size=2),
)
def backlog_negative(rig: Rig, size: int = -1) -> Seen:
    """Connect to listen(-1) until a client gets no further."""
    return seen("%d, then %s" % _connected(rig, rig.listener(size), 4))


def _connected(rig: Rig, listener: socket.socket, most: int) -> Tuple[int, str]:
    """How many clients connect, one after the other, and what becomes of the next."""
    for count in range(most):
        sock = rig.new_socket()
        sock.connect_ex(listener.getsockname())
        if not rig.settle(sock, "w"):
            return count, "pending"
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            return count, errno.errorcode.get(error, str(error))
    return most, "more"


@probe(
    claim="a backlog above net.core.somaxconn is cut down to it, and nobody is told",
    source="listen(2) NOTES; Linux net/ipv4/tcp.c tcp_get_info for a listener",
    expect="somaxconn",
    control=setup(beyond=-1),
    needs=("linux", "somaxconn"),
)
def backlog_cap(rig: Rig, beyond: int = 1000) -> Seen:
    """Listen with more than somaxconn; read what the kernel has kept from TCP_INFO (tcpi_sacked of a listener)."""
    with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
        cap = int(file.read())
    listener = rig.listener(cap + beyond)
    kept = struct.unpack_from("=I", listener.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 104).ljust(32, b"\0"), 28)[0]
    if kept == 0:
        raise Unsupported("TCP_INFO of a listener does not tell its backlog here")
    words = {cap: "somaxconn", cap + beyond: "as asked"}
    return seen(words.get(kept, "other"), somaxconn=cap, asked=cap + beyond, kept=kept)


@probe(
    claim="accept() without a free descriptor fails and leaves the connection in the queue for later",
    source="accept(2) EMFILE; Linux net/socket.c __sys_accept4",
    expect="EMFILE, then ok",
    control=setup(limited=False),
    needs=("limits",),
)
def emfile(rig: Rig, limited: bool = True) -> Seen:
    """Lower the limit so that no descriptor is free; accept; close a spare one; accept again, and read."""
    listener, spare, client = _at_limit(rig, limited)
    rig.write(client)
    first = attempt(lambda: rig.keep(listener.accept()[0]))
    rig.close(spare)
    accepted: List[socket.socket] = []
    second = attempt(lambda: accepted.append(rig.keep(listener.accept()[0])))
    if accepted:
        rig.arrived(accepted[0])
    return seen("%s, then %s" % (first, second), reads=[len(sock.recv(10)) for sock in accepted])


@probe(
    claim="without a free descriptor a level trigger spins on the listener; an edge trigger reports it once",
    source="accept(2) EMFILE; epoll(7) level-triggered and edge-triggered; joyent/libuv #690",
    on=EVERY,
    expect={"select": "5 of 5", "poll": "5 of 5", "epoll-et": "1 of 5", "epoll": "5 of 5", "selectors": "5 of 5"},
    control=backend("epoll-et"),
    needs=("limits",),
)
def emfile_spin(rig: Rig) -> Seen:
    """Lower the limit so that no descriptor is free; ask five times, and try to accept after each report."""
    asked = rig.watcher()
    listener, _, _ = _at_limit(rig, True)
    asked.watch(listener.fileno())
    accepts = []
    for _ in range(5):
        if rig.heard(asked, 0):
            accepts.append(attempt(lambda: rig.keep(listener.accept()[0])))
    return seen("%d of 5" % len(accepts), accepts=accepts)


def _at_limit(rig: Rig, limited: bool) -> Tuple[socket.socket, int, socket.socket]:
    """A listener with a connection in its queue, and no free descriptor; a spare one, to close; the client."""
    listener = rig.listener()
    client = rig.client(listener)
    rig.arrived(listener)
    spare = rig.duplicate(listener)
    if limited:
        rig.limit_descriptors(rig.closed_number())  # the lowest free number, so from here on there is none
    return listener, spare, client
