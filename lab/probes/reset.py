"""What a reset connection reports, in masks, reads and SO_ERROR; and what resets a connection by accident."""

from __future__ import annotations

import errno
import socket

from lab.probing.probe import EVERY, Seen, probe, seen, setup
from lab.probing.rig import Rig, attempt

_GONE = {"select": "r+w", "poll": "IN+OUT+ERR+HUP+RDHUP", "epoll": "IN+OUT+ERR+HUP+RDHUP", "selectors": "READ+WRITE",
         "kqueue": "READ-EOF+WRITE-EOF"}


@probe(
    claim="a reset is reported as an error and as a hang-up of both directions at once",
    source="Linux net/ipv4/tcp_input.c tcp_reset; poll(2) POLLERR and POLLHUP",
    on=EVERY,
    expect=_GONE,
    control=setup(resets=False),
)
def reset(rig: Rig, resets: bool = True) -> Seen:
    """Have the TCP peer reset the connection; ask for readability, writability and RDHUP."""
    near, far = rig.tcp()
    if resets:
        _reset(rig, near, far)
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="data that arrived before a reset can still be read; then one recv() fails, and all later ones return the "
          "end of file",
    source="Linux net/ipv4/tcp.c tcp_recvmsg; socket(7) SO_LINGER",
    expect="4 bytes, ECONNRESET, end; EPIPE",
    control=setup(resets=False),
)
def reset_keeps_data(rig: Rig, resets: bool = True) -> Seen:
    """Have the TCP peer send four bytes and reset; call recv() three times, then send(). Control: the peer closes."""
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
    claim="close() with unread input is reported to the TCP peer as an error and a hang-up, like a reset",
    source="RFC 1122 4.2.2.13; Linux net/ipv4/tcp.c tcp_close",
    on=EVERY,
    expect=_GONE,
    control=setup(closes=False),
)
def close_with_unread(rig: Rig, closes: bool = True) -> Seen:
    """Send data that the TCP peer never reads; have the peer close; ask for readability, writability and RDHUP."""
    near, far = rig.tcp()
    rig.write(near)
    rig.arrived(far)
    if closes:
        far.close()
        rig.settle(near, "")
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="after close() with unread input, recv() at the TCP peer fails with ECONNRESET instead of returning the end "
          "of file",
    source="RFC 1122 4.2.2.13; Linux net/ipv4/tcp.c tcp_close",
    expect="ECONNRESET, end",
    control=setup(reads=True),
)
def close_with_unread_read(rig: Rig, reads: bool = False) -> Seen:
    """Send data that the TCP peer never reads; have the peer close; call recv() twice."""
    near, far = rig.tcp()
    rig.write(near)
    rig.arrived(far)
    if reads:
        rig.read(far)
    far.close()
    rig.arrived(near)
    return seen(", ".join([rig.found(near), rig.found(near)]))


@probe(
    claim="a unix stream that closes with unread input puts its peer in error, in addition to the hang-up",
    source="Linux net/unix/af_unix.c unix_release_sock",
    on=EVERY,
    expect=_GONE,
    control=setup(closes=False),
    needs=("unix",),
)
def unix_close_with_unread(rig: Rig, closes: bool = True) -> Seen:
    """Send data through a unix pair that the other end never reads; close the other end; ask for readability,
    writability and RDHUP."""
    near, far = rig.unix()
    rig.write(near)
    if closes:
        far.close()
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="after a unix stream closes with unread input, one recv() of its peer fails, and the next returns the end "
          "of file",
    source="Linux net/unix/af_unix.c unix_release_sock",
    expect="ECONNRESET, end",
    control=setup(reads=True),
    needs=("unix",),
)
def unix_close_with_unread_read(rig: Rig, reads: bool = False) -> Seen:
    """Send data through a unix pair that the other end never reads; close the other end; call recv() twice."""
    near, far = rig.unix()
    rig.write(near)
    if reads:
        rig.read(far)
    far.close()
    return seen(", ".join([rig.found(near), rig.found(near)]))


@probe(
    claim="reading SO_ERROR clears the error, so the next recv() makes a reset look like an orderly end of file",
    source="socket(7) SO_ERROR",
    expect="end",
    control=setup(asks=False),
)
def so_error_swallows(rig: Rig, asks: bool = True) -> Seen:
    """Have the TCP peer reset the connection; read SO_ERROR; call recv()."""
    near, far = rig.tcp()
    _reset(rig, near, far)
    found = near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if asks else 0
    return seen(rig.found(near), so_error=errno.errorcode.get(found, str(found)))


def _reset(rig: Rig, near: socket.socket, far: socket.socket) -> None:
    """Reset the connection from the far end, and wait until the near end reports it."""
    rig.reset(far)
    rig.settle(near, "")
