"""Readiness of datagram sockets: fresh ones, empty datagrams, and datagrams with a wrong checksum."""

from __future__ import annotations

import socket
import struct
from typing import Any

from lab.probing.probe import EVERY, Seen, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import SILENT

_socket: Any = socket  # typed loosely: AF_UNIX is POSIX only

_WRITABLE = {"select": "w", "poll": "OUT", "epoll": "OUT", "kqueue": "WRITE", "selectors": "WRITE"}


@probe(
    claim="a fresh UDP socket is writable and nothing else",
    source="POSIX poll POLLOUT: data may be written without blocking; udp(7)",
    on=EVERY,
    expect=_WRITABLE,
    control=setup(arrives=True),
)
def fresh_udp(rig: Rig, arrives: bool = False) -> Seen:
    """Create a UDP socket; ask whether it is readable or writable."""
    sock = rig.new_socket(kind=socket.SOCK_DGRAM)
    if arrives:
        sock.bind(("127.0.0.1", 0))
        sock.sendto(b"x", sock.getsockname())
        rig.arrived(sock)
    return seen(rig.ask(sock, "rw"))


@probe(
    claim="a fresh unix datagram socket is writable, although it has no peer to send to",
    source="unix_dgram_poll in Linux net/unix/af_unix.c: no peer, no peer that is full",
    on=EVERY,
    expect={**_WRITABLE, "kqueue": None, "selectors:KqueueSelector": None},
    control=setup(arrives=True),
    needs=("unix-datagrams",),
)
def fresh_unix(rig: Rig, arrives: bool = False) -> Seen:
    """Create a unix datagram socket; ask whether it is readable or writable; send."""
    sock = rig.new_socket(_socket.AF_UNIX, socket.SOCK_DGRAM)
    if arrives:
        sock, far = rig.unix_datagrams()
        rig.write(far)
    return seen(rig.ask(sock, "rw"), send=attempt(sock.send, b"x"))


def _received(sock: socket.socket) -> str:
    return attempt(sock.recv, 10, ok=lambda data: "%d bytes" % len(data))


def _empty(near: socket.socket, heard: str) -> Seen:
    return seen("%s: %s, then %s" % (heard, _received(near), _received(near)))


_EMPTY = {name: "%s: 0 bytes, then EAGAIN" % mask for name, mask in
          (("select", "r"), ("poll", "IN"), ("epoll", "IN"), ("kqueue", "READ"), ("selectors", "READ"))}


@probe(
    claim="an empty UDP datagram makes its receiver readable, and recv() of 0 bytes does not mean the end",
    source="udp(7): receive operations return one packet; recv(2): a datagram may have zero length",
    on=EVERY,
    expect=_EMPTY,
    control=setup(sends=False),
)
def empty_udp(rig: Rig, sends: bool = True) -> Seen:
    """Have the peer send an empty UDP datagram; ask whether the socket is readable, and call recv() twice."""
    near, far = rig.udp()
    if sends:
        far.send(b"")
    return _empty(near, rig.ask(near))


@probe(
    claim="an empty unix datagram makes its receiver readable as well",
    source="unix(7) SOCK_DGRAM preserves message boundaries; recv(2): a datagram may have zero length",
    on=EVERY,
    expect=_EMPTY,
    control=setup(sends=False),
    needs=("unix-datagrams",),
)
def empty_unix(rig: Rig, sends: bool = True) -> Seen:
    """Send an empty datagram through a unix pair; ask whether the other end is readable, and call recv() twice on
    it."""
    near, far = rig.unix_datagrams()
    if sends:
        far.send(b"")
    return _empty(near, rig.ask(near))


@probe(
    claim="a send() of no bytes over TCP does not make the peer readable",
    source="send(2); POSIX send: a stream has no message boundaries",
    on=EVERY,
    expect=SILENT,
    control=setup(data=b"x"),
)
def empty_tcp(rig: Rig, data: bytes = b"") -> Seen:
    """Send zero bytes over TCP; ask whether the other end is readable."""
    near, far = rig.tcp()
    sent = far.send(data)
    return seen(rig.ask(near), sent=sent)


# Datagrams whose checksum is wrong, from a raw socket.


def _send_raw(to: socket.socket, size: int, wrong: bool) -> None:
    """Send a datagram to that socket, with a wrong checksum or with none, which is valid (udp(7), RFC 768)."""
    port = int(to.getsockname()[1])
    source = 0xFFFF - port  # so the ports cancel out in the checksum, and 0xBEEF is wrong for every port
    header = struct.pack("!HHHH", source, port, 8 + size, 0xBEEF if wrong else 0)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        raw.sendto(header + b"x" * size, to.getsockname())


def _receiver(rig: Rig, blocking: bool) -> socket.socket:
    sock = rig.new_socket(kind=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(blocking)
    return sock


@probe(
    claim="a non-blocking UDP socket is reported readable for a large datagram with a wrong checksum, and then recv() "
          "finds nothing",
    source="select(2) BUGS; udp_poll in Linux net/ipv4/udp.c, CHECKSUM_BREAK 76",
    on=EVERY,
    expect={name: "%s, then EAGAIN" % mask for name, mask in
            (("select", "r"), ("poll", "IN"), ("epoll", "IN"), ("selectors", "READ"))},
    control=setup(blocking=True),
    needs=("raw-sockets",),
)
def bad_checksum(rig: Rig, blocking: bool = False) -> Seen:
    """Send 200 bytes with a wrong checksum to a non-blocking UDP socket; ask whether it is readable, and call
    recv()."""
    near = _receiver(rig, blocking)
    _send_raw(near, 200, wrong=True)
    heard = rig.ask(near)
    near.setblocking(False)
    return seen("%s, then %s" % (heard, attempt(near.recv, 300)))


@probe(
    claim="a blocking UDP socket is never reported readable for a datagram with a wrong checksum, so the wait goes on",
    source="udp_poll in Linux net/ipv4/udp.c checks where O_NONBLOCK is not set; select(2) BUGS has it otherwise",
    on=EVERY,
    expect=SILENT,
    control=setup(wrong=False),
    needs=("raw-sockets",),
)
def bad_checksum_blocking(rig: Rig, wrong: bool = True) -> Seen:
    """Have a thread wait for a blocking UDP socket; send 200 bytes with a wrong checksum to the socket."""
    near = _receiver(rig, blocking=True)
    asked = rig.watcher()
    asked.watch(near.fileno())
    waiter = rig.thread(rig.mask, asked, near, 1.5 * rig.quiet)
    waiter.until_asleep()
    _send_raw(near, 200, wrong)
    return seen(waiter.result())


@probe(
    claim="the kernel verifies the checksum of a small datagram on arrival, so a wrong one is never reported",
    source="CHECKSUM_BREAK 76 in Linux include/linux/skbuff.h",
    on=EVERY,
    expect=SILENT,
    control=setup(size=200),
    needs=("raw-sockets",),
)
def bad_checksum_small(rig: Rig, size: int = 4) -> Seen:
    """Send 4 bytes with a wrong checksum to a non-blocking UDP socket; ask whether it is readable."""
    near = _receiver(rig, blocking=False)
    _send_raw(near, size, wrong=True)
    return seen(rig.ask(near))
