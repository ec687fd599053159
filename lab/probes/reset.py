"""What a connection that was reset tells, and to whom: masks, reads, SO_ERROR; and what resets one unasked."""

from __future__ import annotations

import errno
import socket

from lab.probing.probe import EVERY, Seen, probe, seen, setup
from lab.probing.rig import Rig, attempt

_GONE = {"select": "r+w", "poll": "IN+OUT+ERR+HUP+RDHUP", "epoll": "IN+OUT+ERR+HUP+RDHUP", "selectors": "READ+WRITE",
         "kqueue": "READ-EOF+WRITE-EOF"}


@probe(
    claim="a reset is an error and a hang-up in both directions at once",
    source="Linux net/ipv4/tcp_input.c tcp_reset; poll(2) POLLERR and POLLHUP",
    on=EVERY,
    expect=_GONE,
    control=setup(resets=False),
)
def reset(rig: Rig, resets: bool = True) -> Seen:
    """Have the TCP peer reset; ask for both directions and RDHUP."""
    near, far = rig.tcp()
    if resets:
        _reset(rig, near, far)
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="what came before a reset can still be read; then one read fails, and from there on it is an end",
    source="Linux net/ipv4/tcp.c tcp_recvmsg; socket(7) SO_LINGER",
    expect="4 bytes, ECONNRESET, end; EPIPE",
    control=setup(resets=False),
)
def reset_keeps_data(rig: Rig, resets: bool = True) -> Seen:
    """Have the TCP peer send four bytes and reset, or else close; read three times, then send."""
    near, far = rig.tcp()
    rig.write(far, b"data")
    rig.arrived(near)
    if resets:
        _reset(rig, near, far)
    else:
        far.close()
    reads = [rig.found(near) for _ in range(3)]
    return seen("%s; %s" % (", ".join(reads), attempt(rig.write, near)))


@probe(
    claim="close() with unread input tells the TCP peer of an error and a hang-up, as a reset does",
    source="RFC 1122 4.2.2.13; Linux net/ipv4/tcp.c tcp_close",
    on=EVERY,
    expect=_GONE,
    control=setup(closes=False),
)
def close_with_unread(rig: Rig, closes: bool = True) -> Seen:
    """Send what the TCP peer never reads; have it close; ask for both directions and RDHUP."""
    near, far = rig.tcp()
    rig.write(near)
    rig.arrived(far)
    if closes:
        far.close()
        rig.settle(near, "")
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="close() with unread input is a reset for who reads from the TCP peer, not an end of file",
    source="RFC 1122 4.2.2.13; Linux net/ipv4/tcp.c tcp_close",
    expect="ECONNRESET, end",
    control=setup(reads=True),
)
def close_with_unread_read(rig: Rig, reads: bool = False) -> Seen:
    """Send what the TCP peer never reads; have it close; read twice."""
    near, far = rig.tcp()
    rig.write(near)
    rig.arrived(far)
    if reads:
        rig.read(far)
    far.close()
    rig.arrived(near)
    return seen(", ".join([rig.found(near), rig.found(near)]))


@probe(
    claim="a unix stream that closes with unread input puts its peer in error, beside the hang-up",
    source="Linux net/unix/af_unix.c unix_release_sock",
    on=EVERY,
    expect=_GONE,
    control=setup(closes=False),
    needs=("unix",),
)
def unix_close_with_unread(rig: Rig, closes: bool = True) -> Seen:
    """Send over a unix pair what the other end never reads; close that; ask for both directions and RDHUP."""
    near, far = rig.unix()
    rig.write(near)
    if closes:
        far.close()
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="a unix stream that closes with unread input fails one read of its peer, which then finds the end",
    source="Linux net/unix/af_unix.c unix_release_sock",
    expect="ECONNRESET, end",
    control=setup(reads=True),
    needs=("unix",),
)
def unix_close_with_unread_read(rig: Rig, reads: bool = False) -> Seen:
    """Send over a unix pair what the other end never reads; close that; read twice."""
    near, far = rig.unix()
    rig.write(near)
    if reads:
        rig.read(far)
    far.close()
    return seen(", ".join([rig.found(near), rig.found(near)]))


@probe(
    claim="reading SO_ERROR uses up the error: the read after it calls a reset an orderly end",
    source="socket(7) SO_ERROR",
    expect="end",
    control=setup(asks=False),
)
def so_error_swallows(rig: Rig, asks: bool = True) -> Seen:
    """Have the TCP peer reset; get SO_ERROR; read."""
    near, far = rig.tcp()
    _reset(rig, near, far)
    found = near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if asks else 0
    return seen(rig.found(near), so_error=errno.errorcode.get(found, str(found)))


def _reset(rig: Rig, near: socket.socket, far: socket.socket) -> None:
    """Reset from the far end, and see it come."""
    rig.reset(far)
    rig.settle(near, "")
