"""What readiness means for datagrams: nothing connected, nothing in them, and nothing right about them."""

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
    """Make a UDP socket, and ask for both directions."""
    sock = rig.new_socket(kind=socket.SOCK_DGRAM)
    if arrives:
        sock.bind(("127.0.0.1", 0))
        sock.sendto(b"x", sock.getsockname())
        rig.arrived(sock)
    return seen(rig.ask(sock, "rw"))


@probe(
    claim="a fresh unix datagram socket is writable, though there is nobody to write to",
    source="unix_dgram_poll in Linux net/unix/af_unix.c: no peer, no peer that is full",
    on=EVERY,
    expect={**_WRITABLE, "kqueue": None, "selectors:KqueueSelector": None},
    control=setup(arrives=True),
    needs=("unix-datagrams",),
)
def fresh_unix(rig: Rig, arrives: bool = False) -> Seen:
    """Make a unix datagram socket, and ask for both directions; send."""
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
    claim="an empty UDP datagram is readable; that nothing is received is not the end",
    source="udp(7): receive operations return one packet; recv(2): a datagram may have zero length",
    on=EVERY,
    expect=_EMPTY,
    control=setup(sends=False),
)
def empty_udp(rig: Rig, sends: bool = True) -> Seen:
    """Have an empty UDP datagram sent; ask, and receive twice."""
    near, far = rig.udp()
    if sends:
        far.send(b"")
    return _empty(near, rig.ask(near))


@probe(
    claim="an empty unix datagram is readable as well",
    source="unix(7) SOCK_DGRAM preserves message boundaries; recv(2): a datagram may have zero length",
    on=EVERY,
    expect=_EMPTY,
    control=setup(sends=False),
    needs=("unix-datagrams",),
)
def empty_unix(rig: Rig, sends: bool = True) -> Seen:
    """Send an empty datagram through a unix pair; ask, and receive twice."""
    near, far = rig.unix_datagrams()
    if sends:
        far.send(b"")
    return _empty(near, rig.ask(near))


@probe(
    claim="sending nothing over TCP makes nothing readable",
    source="send(2); POSIX send: a stream has no message boundaries",
    on=EVERY,
    expect=SILENT,
    control=setup(data=b"x"),
)
def empty_tcp(rig: Rig, data: bytes = b"") -> Seen:
    """Send no byte over TCP, and ask the other end."""
    near, far = rig.tcp()
    sent = far.send(data)
    return seen(rig.ask(near), sent=sent)


# Datagrams whose checksum is wrong, from a raw socket.


def _send_raw(to: socket.socket, size: int, wrong: bool) -> None:
    """Send a datagram to that socket, with a wrong checksum or with none, which is right (udp(7), RFC 768)."""
    port = int(to.getsockname()[1])
    source = 0xFFFF - port  # the two ports cancel out in the checksum: 0xBEEF is wrong for every port
    header = struct.pack("!HHHH", source, port, 8 + size, 0xBEEF if wrong else 0)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        raw.sendto(header + b"x" * size, to.getsockname())


def _receiver(rig: Rig, blocking: bool) -> socket.socket:
    sock = rig.new_socket(kind=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(blocking)
    return sock


@probe(
    claim="a large UDP datagram with a wrong checksum is reported to a non-blocking socket, and then there is nothing",
    source="select(2) BUGS; udp_poll in Linux net/ipv4/udp.c, CHECKSUM_BREAK 76",
    on=EVERY,
    expect={name: "%s, then EAGAIN" % mask for name, mask in
            (("select", "r"), ("poll", "IN"), ("epoll", "IN"), ("selectors", "READ"))},
    control=setup(blocking=True),
    needs=("raw-sockets",),
)
def bad_checksum(rig: Rig, blocking: bool = False) -> Seen:
    """Send 200 bytes with a wrong checksum to a non-blocking UDP socket; ask, and receive."""
    near = _receiver(rig, blocking)
    _send_raw(near, 200, wrong=True)
    heard = rig.ask(near)
    near.setblocking(False)
    return seen("%s, then %s" % (heard, attempt(near.recv, 300)))


@probe(
    claim="a blocking socket is never called ready for a wrong checksum: the waiter sleeps on",
    source="udp_poll in Linux net/ipv4/udp.c checks where O_NONBLOCK is not set; select(2) BUGS has it otherwise",
    on=EVERY,
    expect=SILENT,
    control=setup(wrong=False),
    needs=("raw-sockets",),
)
def bad_checksum_blocking(rig: Rig, wrong: bool = True) -> Seen:
    """Wait for a blocking UDP socket in a thread; send it 200 bytes with a wrong checksum."""
    near = _receiver(rig, blocking=True)
    asked = rig.watcher()
    asked.watch(near.fileno())
    waiter = rig.thread(rig.mask, asked, near, 1.5 * rig.quiet)
    waiter.until_asleep()
    _send_raw(near, 200, wrong)
    return seen(waiter.result())


@probe(
    claim="a small datagram is checked as it arrives: with a wrong checksum nobody hears of it",
    source="CHECKSUM_BREAK 76 in Linux include/linux/skbuff.h",
    on=EVERY,
    expect=SILENT,
    control=setup(size=200),
    needs=("raw-sockets",),
)
def bad_checksum_small(rig: Rig, size: int = 4) -> Seen:
    """Send 4 bytes with a wrong checksum to a non-blocking UDP socket, and ask."""
    near = _receiver(rig, blocking=False)
    _send_raw(near, size, wrong=True)
    return seen(rig.ask(near))
