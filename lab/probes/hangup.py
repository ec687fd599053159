"""How an API tells that the other side has gone: half, or wholly. (With a reset: see ``reset``.)"""

from __future__ import annotations

import errno
import select
import socket
from typing import Any

from lab.probing.probe import EPOLLS, EVERY, Seen, probe, seen, setup
from lab.probing.rig import Rig, attempt

_select: Any = select  # typed loosely: what only some platforms have

MASKS = ("poll",) + EPOLLS
"""The interfaces whose answer has a HUP bit."""


@probe(
    claim="a peer that shuts its sending side is an end of file to read, not a hang-up; one can still write",
    source="epoll_ctl(2) EPOLLRDHUP and EPOLLHUP; poll(2); kqueue(2) EVFILT_READ",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT+RDHUP", "epoll": "IN+OUT+RDHUP", "selectors": "READ+WRITE",
            "kqueue": "READ-EOF+WRITE"},
    control=setup(shuts=False),
)
def half_close(rig: Rig, shuts: bool = True) -> Seen:
    """Have the TCP peer shut its sending side; ask for both directions, and RDHUP where there is such a bit."""
    near, far = rig.tcp()
    if shuts:
        far.shutdown(socket.SHUT_WR)
        rig.arrived(near)
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="a peer that closes looks like one that shuts its sending side: nothing tells whether it still reads",
    source="epoll_ctl(2) EPOLLHUP; RFC 9293 3.6",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT+RDHUP", "epoll": "IN+OUT+RDHUP", "selectors": "READ+WRITE",
            "kqueue": "READ-EOF+WRITE"},
    control=setup(closes=False),
)
def peer_closed(rig: Rig, closes: bool = True) -> Seen:
    """Close the TCP peer, which has read everything; ask for both directions and RDHUP."""
    near, far = rig.tcp()
    if closes:
        far.close()
        rig.arrived(near)
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="RDHUP is reported only to those who ask for it, unlike HUP",
    source="epoll_ctl(2) EPOLLRDHUP; poll(2) POLLRDHUP",
    on=MASKS,
    expect="IN+OUT",
    control=setup(want="rwd"),
)
def rdhup_unasked(rig: Rig, want: str = "rw") -> Seen:
    """Have the TCP peer shut its sending side; ask for both directions, but not for RDHUP."""
    near, far = rig.tcp()
    far.shutdown(socket.SHUT_WR)
    rig.arrived(near)
    return seen(rig.ask(near, want))


@probe(
    claim="with an interest of nothing, the peer's close of a TCP connection goes unseen: it is neither HUP nor ERR",
    source="epoll_ctl(2) EPOLLHUP and EPOLLERR; poll(2) events",
    on=MASKS,
    expect="silent",
    control=setup(resets=True),
)
def closed_unmasked(rig: Rig, resets: bool = False) -> Seen:
    """Register a TCP socket for nothing; close its peer with FIN, by default, and wait."""
    near, far = rig.tcp()
    if resets:
        rig.reset(far)
    else:
        far.close()
    rig.arrived(near)
    return seen(rig.ask(near, ""))


@probe(
    claim="a half-closed peer is read as an end for ever, and still gets what is sent to it",
    source="recv(2) RETURN VALUE; shutdown(2)",
    expect="end, end, sent",
    control=setup(shuts=False),
)
def half_close_reads(rig: Rig, shuts: bool = True) -> Seen:
    """Have the TCP peer shut its sending side; read twice, send one byte, and let the peer read it."""
    near, far = rig.tcp()
    if shuts:
        far.shutdown(socket.SHUT_WR)
        rig.arrived(near)
    reads = [rig.found(near), rig.found(near)]
    rig.write(near)
    rig.arrived(far)
    return seen(", ".join(reads + ["sent" if rig.read(far) == b"x" else "lost"]))


@probe(
    claim="whoever shuts its own sending side is told neither HUP nor IN: the socket is writable, to fail",
    source="Linux net/ipv4/tcp.c tcp_poll; kqueue(2) EVFILT_WRITE",
    on=EVERY,
    expect={"select": "w", "poll": "OUT", "epoll": "OUT", "selectors": "WRITE", "kqueue": "WRITE-EOF"},
    control=setup(both=True),
)
def own_shutdown(rig: Rig, both: bool = False) -> Seen:
    """Shut the own sending side of a TCP connection, the peer stays; ask for both directions and RDHUP."""
    near, far = rig.tcp()
    near.shutdown(socket.SHUT_WR)
    if both:
        far.shutdown(socket.SHUT_WR)
        rig.arrived(near)
    return seen(rig.ask(near, "rwd"), send=attempt(rig.write, near))


@probe(
    claim="HUP on TCP takes both directions: the peer's end of file and one's own",
    source="Linux net/ipv4/tcp.c tcp_poll, the comment on POLLHUP; epoll_ctl(2) EPOLLHUP",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT+HUP+RDHUP", "epoll": "IN+OUT+HUP+RDHUP", "selectors": "READ+WRITE",
            "kqueue": "READ-EOF+WRITE-EOF"},
    control=setup(peer_shuts=False),
)
def both_shut(rig: Rig, peer_shuts: bool = True) -> Seen:
    """Shut the sending side on both ends of a TCP connection; ask for both directions and RDHUP."""
    near, far = rig.tcp()
    near.shutdown(socket.SHUT_WR)
    if peer_shuts:
        far.shutdown(socket.SHUT_WR)
        rig.arrived(near)
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="HUP and OUT come together on a socket, though POSIX says that they exclude each other",
    source="POSIX poll, POLLHUP; Linux net/unix/af_unix.c unix_poll",
    on=MASKS,
    expect="together",
    control=setup(closes=False),
    needs=("unix",),
)
def hup_with_out(rig: Rig, closes: bool = True) -> Seen:
    """Close one end of a unix stream pair; ask whether the other is writable."""
    near, far = rig.unix()
    if closes:
        far.close()
    mask = rig.ask(near, "w")
    found = [name for name in ("HUP", "OUT") if name in mask.split("+")]
    return seen("together" if len(found) == 2 else found[0] + " alone" if found else "neither", mask=mask)


@probe(
    claim="the peer's close of a unix stream is a hang-up at once",
    source="Linux net/unix/af_unix.c unix_poll; poll(2) POLLHUP",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT+HUP+RDHUP", "epoll": "IN+OUT+HUP+RDHUP", "selectors": "READ+WRITE",
            "kqueue": "READ-EOF+WRITE-EOF"},
    control=setup(closes=False),
    needs=("unix",),
)
def unix_peer_closed(rig: Rig, closes: bool = True) -> Seen:
    """Close one end of a unix stream pair; ask for both directions and RDHUP on the other."""
    near, far = rig.unix()
    if closes:
        far.close()
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="the peer's close of a unix datagram pair is not reported: the socket is writable, and nothing else",
    source="Linux net/unix/af_unix.c unix_dgram_poll",
    on=EVERY,
    expect={"select": "w", "poll": "OUT", "epoll": "OUT", "selectors": "WRITE"},
    control=setup(kind="unix"),
    needs=("unix-datagrams",),
)
def unix_datagram_peer_closed(rig: Rig, kind: str = "unix-datagrams") -> Seen:
    """Close one end of a unix datagram pair; ask for both directions and RDHUP on the other."""
    near, far = rig.pair(kind)
    far.close()
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="only a send tells that the peer of a unix datagram socket has gone",
    source="unix(7) ERRORS ECONNREFUSED",
    expect="ECONNREFUSED",
    control=setup(closes=False),
    needs=("unix-datagrams",),
)
def unix_datagram_send(rig: Rig, closes: bool = True) -> Seen:
    """Close one end of a unix datagram pair; send on the other, then read."""
    near, far = rig.unix_datagrams()
    if closes:
        far.close()
    return seen(attempt(rig.write, near), read=rig.found(near))


@probe(
    claim="kqueue reports the peer's end while data is still queued, and how much that is",
    source="kqueue(2) EVFILT_READ, EV_EOF: it is possible for EOF to be returned while there is still data pending",
    on=("kqueue",),
    expect="EOF, 3 bytes",
    control=setup(closes=False),
    trials=3,
)
def kqueue_eof_with_data(rig: Rig, closes: bool = True) -> Seen:
    """Have the TCP peer send three bytes and close; ask EVFILT_READ for its flags and its data."""
    near, far = rig.tcp()
    rig.write(far, b"abc")
    rig.arrived(near)
    if closes:
        far.close()
        rig.settle(near, "")
    event = _kevent(rig, near, "KQ_FILTER_READ")
    return seen("%s, %d bytes" % (_eof(event), event.data))


@probe(
    claim="kqueue reports EOF for writing once the own sending side is shut",
    source="kqueue(2) EVFILT_WRITE, EV_EOF",
    on=("kqueue",),
    expect="EOF",
    control=setup(shuts=False),
)
def kqueue_own_shutdown(rig: Rig, shuts: bool = True) -> Seen:
    """Shut the own sending side of a TCP connection; ask EVFILT_WRITE for its flags."""
    near, _ = rig.tcp()
    if shuts:
        near.shutdown(socket.SHUT_WR)
    return seen(_eof(_kevent(rig, near, "KQ_FILTER_WRITE")))


@probe(
    claim="kqueue gives the error of a reset connection along with the end, in fflags",
    source="kqueue(2) EVFILT_READ: returns the socket error (if any) in fflags",
    on=("kqueue",),
    expect="EOF, ECONNRESET",
    control=setup(resets=False),
)
def kqueue_reset_error(rig: Rig, resets: bool = True) -> Seen:
    """Have the TCP peer reset, or else close; ask EVFILT_READ for its flags and fflags."""
    near, far = rig.tcp()
    if resets:
        rig.reset(far)
        rig.settle(near, "")
    else:
        far.close()
        rig.arrived(near)
    event = _kevent(rig, near, "KQ_FILTER_READ")
    return seen("%s, %s" % (_eof(event), errno.errorcode.get(event.fflags, str(event.fflags))))


def _kevent(rig: Rig, sock: socket.socket, name: str) -> Any:
    """The event of the filter of that name, as kqueue gives it."""
    asked: Any = rig.watcher()
    change = _select.kevent(sock.fileno(), getattr(select, name), _select.KQ_EV_ADD)
    return rig.until(lambda: asked.api.control([change], 1, rig.quiet))[0]


def _eof(event: Any) -> str:
    return "EOF" if event.flags & _select.KQ_EV_EOF else "no EOF"
