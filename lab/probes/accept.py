"""What accept() returns, and when: inherited modes and options, resets in the queue, backlogs, no free descriptor."""

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
"""From tcp(7), because PyPy's socket module lacks the name."""


@probe(
    claim="a socket accepted from a non-blocking listener is a blocking socket",
    source="accept(2) NOTES: file status flags are not inherited on Linux, unlike BSD; bpo-7995",
    expect="waits",
    control=setup(flips=True),
)
def from_non_blocking(rig: Rig, flips: bool = False) -> Seen:
    """Accept a connection from a non-blocking listener; call recv() on it in a thread, and see whether that waits for
    data. Control: switch the accepted socket to the opposite mode first."""
    listener = rig.listener()
    return _mode(rig, listener, flips)


@probe(
    claim="a socket accepted from a listener with a timeout is blocking, on every platform",
    source="docs.python.org socket, Timeouts and the accept method; bpo-7995",
    expect="waits",
    control=setup(flips=True),
)
def from_listener_with_timeout(rig: Rig, flips: bool = False) -> Seen:
    """Accept a connection from a listener with a timeout; call recv() on it in a thread, and see whether that waits for
    data. Control: switch the accepted socket to the opposite mode first."""
    listener = rig.listener()
    listener.settimeout(rig.patience)
    return _mode(rig, listener, flips)


def _mode(rig: Rig, listener: socket.socket, flips: bool) -> Seen:
    """Whether recv() on an accepted socket waits, or the name of what it raises."""
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
    claim="an accepted socket gets the default timeout, not the timeout of its listener",
    source="docs.python.org socket.setdefaulttimeout; Timeouts and the accept method",
    expect="default",
    control=setup(default=None),
)
def default_timeout(rig: Rig, default: Optional[float] = 3.0) -> Seen:
    """Set a default timeout; accept a connection from a listener with a different one; read the timeout of the accepted
    socket."""
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
    claim="an accepted socket inherits the socket options that are set on its listener",
    source="Linux net/ipv4/tcp_minisocks.c tcp_create_openreq_child; socket(7)",
    expect="NODELAY+KEEPALIVE+LINGER+RCVBUF",
    control=setup(sets=False),
)
def inherited_options(rig: Rig, sets: bool = True) -> Seen:
    """Set four options on a listener to values other than their defaults; accept a connection; list the options that
    the new socket has as well."""
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
    claim="Python's accept() returns a descriptor that is closed on exec()",
    source="PEP 446",
    expect="not inheritable",
    control=setup(by_libc=True),
    needs=("posix", "ctypes"),
)
def not_inheritable(rig: Rig, by_libc: bool = False) -> Seen:
    """Accept a connection; read the close-on-exec flag of its descriptor. Control: call the C library's accept()."""
    import ctypes  # not at the top: some builds of Python lack it
    listener = rig.listener()
    rig.client(listener)
    rig.arrived(listener)
    near = rig.keep(ctypes.CDLL(None).accept(listener.fileno(), None, None) if by_libc else listener.accept()[0])
    fd = near if by_libc else near.fileno()
    return seen("inheritable" if os.get_inheritable(fd) else "not inheritable")


@probe(
    claim="a listener stays readable after the client resets the connection that waits in its queue",
    source="accept(2) NOTES; Stevens, UNIX Network Programming, 16.6",
    on=EVERY,
    expect={"select": "r", "poll": "IN", "epoll": "IN", "selectors": "READ"},
    control=setup(accepts=True),
)
def reset_keeps_ready(rig: Rig, accepts: bool = False) -> Seen:
    """Have a client connect and reset; ask whether the listener is readable. Control: accept the connection first."""
    listener = rig.listener()
    client = rig.client(listener)
    rig.arrived(listener)
    rig.reset(client)
    if accepts:
        attempt(listener.accept, ok=lambda pair: str(pair[0].close()))  # Wine raises, and removes it from the queue
    return seen(rig.ask(listener))


@probe(
    claim="accept() succeeds for a connection that its client has reset; only calls on the accepted socket fail",
    source="accept(2) NOTES and ERRORS ECONNABORTED; Stevens, UNIX Network Programming, 16.6",
    expect="accept ok, getpeername ENOTCONN, recv ECONNRESET",
    control=setup(resets=False),
)
def reset_before_accept(rig: Rig, resets: bool = True) -> Seen:
    """Have a client connect and reset; accept the connection without blocking; call getpeername() and recv() on it."""
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
    claim="listen(n) queues n + 1 connections; the next connect() stays pending, it is not refused",
    source="Linux include/net/sock.h sk_acceptq_is_full; listen(2); tcp(7) tcp_abort_on_overflow",
    expect="n+1, then pending",
    control=setup(accepts=True),
)
def backlog(rig: Rig, accepts: bool = False) -> Seen:
    """Call listen(3) and connect clients until one does not get connected. Control: accept one connection meanwhile."""
    listener = rig.listener(3)
    count = 0
    if accepts:
        count, _ = _connected(rig, listener, 1)
        rig.accept(listener)
    more, then = _connected(rig, listener, 12)
    return seen("n%+d, then %s" % (count + more - 3, then), connected=count + more)


@probe(
    claim="Python treats listen(-1) as listen(0), which queues one connection",
    source="docs.python.org socket.listen: a lower backlog is set to 0",
    expect="1, then pending",
    control=setup(size=2),
)
def backlog_negative(rig: Rig, size: int = -1) -> Seen:
    """Call listen(-1) and connect clients until one does not get connected."""
    return seen("%d, then %s" % _connected(rig, rig.listener(size), 4))


def _connected(rig: Rig, listener: socket.socket, most: int) -> Tuple[int, str]:
    """How many clients get connected, one after the other, and the state of the first that does not."""
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
    claim="the kernel silently reduces a backlog above net.core.somaxconn to that limit",
    source="listen(2) NOTES; Linux net/ipv4/tcp.c tcp_get_info for a listener",
    expect="somaxconn",
    control=setup(beyond=-1),
    needs=("linux", "somaxconn"),
)
def backlog_cap(rig: Rig, beyond: int = 1000) -> Seen:
    """Call listen() with more than somaxconn; read from TCP_INFO the backlog that the kernel uses, which for a listener
    is in tcpi_sacked."""
    with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
        cap = int(file.read())
    listener = rig.listener(cap + beyond)
    kept = struct.unpack_from("=I", listener.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 104).ljust(32, b"\0"), 28)[0]
    if kept == 0:
        raise Unsupported("TCP_INFO of a listener does not contain its backlog on this platform")
    words = {cap: "somaxconn", cap + beyond: "as asked"}
    return seen(words.get(kept, "other"), somaxconn=cap, asked=cap + beyond, kept=kept)


@probe(
    claim="when no descriptor is free, accept() fails with EMFILE and the connection stays in the queue, to be "
          "accepted later",
    source="accept(2) EMFILE; Linux net/socket.c __sys_accept4",
    expect="EMFILE, then ok",
    control=setup(limited=False),
    needs=("limits",),
)
def emfile(rig: Rig, limited: bool = True) -> Seen:
    """Lower the limit on open files until no descriptor is free; accept; close a spare descriptor; accept again, and
    read from the connection."""
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
    claim="when no descriptor is free, a level-triggered loop spins on the listener; an edge-triggered one reports it "
          "once",
    source="accept(2) EMFILE; epoll(7) level-triggered and edge-triggered; joyent/libuv #690",
    on=EVERY,
    expect={"select": "5 of 5", "poll": "5 of 5", "epoll-et": "1 of 5", "epoll": "5 of 5", "selectors": "5 of 5"},
    control=backend("epoll-et"),
    needs=("limits",),
)
def emfile_spin(rig: Rig) -> Seen:
    """Lower the limit on open files until no descriptor is free; ask five times whether the listener is readable, and
    call accept() after each event."""
    asked = rig.watcher()
    listener, _, _ = _at_limit(rig, True)
    asked.watch(listener.fileno())
    accepts = []
    for _ in range(5):
        if rig.heard(asked, 0):
            accepts.append(attempt(lambda: rig.keep(listener.accept()[0])))
    return seen("%d of 5" % len(accepts), accepts=accepts)


def _at_limit(rig: Rig, limited: bool) -> Tuple[socket.socket, int, socket.socket]:
    """A listener with a connection in its queue, while no descriptor is free; a spare descriptor to close; the
    client."""
    listener = rig.listener()
    client = rig.client(listener)
    rig.arrived(listener)
    spare = rig.duplicate(listener)
    if limited:
        rig.limit_descriptors(rig.closed_number())  # the lowest free number: from now on none is free
    return listener, spare, client
