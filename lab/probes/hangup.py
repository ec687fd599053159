"""How an API reports that the peer has shut down one direction, or both. (For resets, see ``reset``.)"""

from __future__ import annotations

import errno
import select
import socket
from typing import Any

from lab.probing.probe import EVERY, Seen, over, probe, seen, setup
from lab.probing.rig import Rig, attempt

_select: Any = select  # typed loosely: some of its names exist only on some platforms

MASKS = over("poll", "epoll", raw=True)
"""The APIs whose events have a HUP bit."""


@probe(
    claim="a peer that shuts its sending side down is reported as an end of file, not as a hang-up, and writing stays "
          "possible",
    source="epoll_ctl(2) EPOLLRDHUP and EPOLLHUP; poll(2); kqueue(2) EVFILT_READ",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT+RDHUP", "epoll": "IN+OUT+RDHUP", "selectors": "READ+WRITE",
            "kqueue": "READ-EOF+WRITE"},
    control=setup(shuts=False),
)
def half_close(rig: Rig, shuts: bool = True) -> Seen:
    """Have the TCP peer shut down its sending side; ask for readability and writability, and for RDHUP where the API
    has it."""
    near, far = rig.tcp()
    if shuts:
        far.shutdown(socket.SHUT_WR)
        rig.arrived(near)
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="a peer that closes is reported like one that shuts its sending side down, so no event tells whether it "
          "still reads",
    source="epoll_ctl(2) EPOLLHUP; RFC 9293 3.6",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT+RDHUP", "epoll": "IN+OUT+RDHUP", "selectors": "READ+WRITE",
            "kqueue": "READ-EOF+WRITE"},
    control=setup(closes=False),
)
def peer_closed(rig: Rig, closes: bool = True) -> Seen:
    """Close the TCP peer, which has read everything; ask for readability, writability and RDHUP."""
    near, far = rig.tcp()
    if closes:
        far.close()
        rig.arrived(near)
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="RDHUP is reported only if it is in the requested mask, unlike HUP",
    source="epoll_ctl(2) EPOLLRDHUP; poll(2) POLLRDHUP",
    on=MASKS,
    expect="IN+OUT",
    control=setup(want="rwd"),
)
def rdhup_unasked(rig: Rig, want: str = "rw") -> Seen:
    """Have the TCP peer shut down its sending side; ask for readability and writability, but not for RDHUP."""
    near, far = rig.tcp()
    far.shutdown(socket.SHUT_WR)
    rig.arrived(near)
    return seen(rig.ask(near, want))


@probe(
    claim="with an empty interest mask, the close of a TCP peer is not reported, because it is neither HUP nor ERR",
    source="epoll_ctl(2) EPOLLHUP and EPOLLERR; poll(2) events",
    on=MASKS,
    expect="silent",
    control=setup(resets=True),
)
def closed_unmasked(rig: Rig, resets: bool = False) -> Seen:
    """Register a TCP socket with an empty interest mask; close its peer, which sends FIN, and wait. Control: the peer
    resets."""
    near, far = rig.tcp()
    if resets:
        rig.reset(far)
    else:
        far.close()
    rig.arrived(near)
    return seen(rig.ask(near, ""))


@probe(
    claim="after the peer has shut its sending side down, every recv() returns the end of file, and the peer still "
          "receives data",
    source="recv(2) RETURN VALUE; shutdown(2)",
    expect="end, end, sent",
    control=setup(shuts=False),
)
def half_close_reads(rig: Rig, shuts: bool = True) -> Seen:
    """Have the TCP peer shut down its sending side; call recv() twice; send one byte, and let the peer read it."""
    near, far = rig.tcp()
    if shuts:
        far.shutdown(socket.SHUT_WR)
        rig.arrived(near)
    reads = [rig.found(near), rig.found(near)]
    rig.write(near)
    rig.arrived(far)
    return seen(", ".join(reads + ["sent" if rig.read(far) == b"x" else "lost"]))


@probe(
    claim="after shutdown() of its own sending side, a socket is reported neither HUP nor IN, but writable, and "
          "send() fails",
    source="Linux net/ipv4/tcp.c tcp_poll; kqueue(2) EVFILT_WRITE",
    on=EVERY,
    expect={"select": "w", "poll": "OUT", "epoll": "OUT", "selectors": "WRITE", "kqueue": "WRITE-EOF"},
    control=setup(both=True),
)
def own_shutdown(rig: Rig, both: bool = False) -> Seen:
    """Shut down the sending side of a TCP socket while the peer stays connected; ask for readability, writability and
    RDHUP."""
    near, far = rig.tcp()
    near.shutdown(socket.SHUT_WR)
    if both:
        far.shutdown(socket.SHUT_WR)
        rig.arrived(near)
    return seen(rig.ask(near, "rwd"), send=attempt(rig.write, near))


@probe(
    claim="a TCP socket is reported HUP only when both directions are shut down: by the peer and by the socket itself",
    source="Linux net/ipv4/tcp.c tcp_poll, the comment on POLLHUP; epoll_ctl(2) EPOLLHUP",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT+HUP+RDHUP", "epoll": "IN+OUT+HUP+RDHUP", "selectors": "READ+WRITE",
            "kqueue": "READ-EOF+WRITE-EOF"},
    control=setup(peer_shuts=False),
)
def both_shut(rig: Rig, peer_shuts: bool = True) -> Seen:
    """Shut down the sending side at both ends of a TCP connection; ask for readability, writability and RDHUP."""
    near, far = rig.tcp()
    near.shutdown(socket.SHUT_WR)
    if peer_shuts:
        far.shutdown(socket.SHUT_WR)
        rig.arrived(near)
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="a socket can be reported HUP and OUT together, although POSIX says that they exclude each other",
    source="POSIX poll, POLLHUP; Linux net/unix/af_unix.c unix_poll",
    on=MASKS,
    expect="together",
    control=setup(closes=False),
    needs=("unix",),
)
def hup_with_out(rig: Rig, closes: bool = True) -> Seen:
    """Close one end of a unix stream pair; ask whether the other end is writable."""
    near, far = rig.unix()
    if closes:
        far.close()
    mask = rig.ask(near, "w")
    found = [name for name in ("HUP", "OUT") if name in mask.split("+")]
    return seen("together" if len(found) == 2 else found[0] + " alone" if found else "neither", mask=mask)


@probe(
    claim="the close of a unix stream's peer is reported as a hang-up at once",
    source="Linux net/unix/af_unix.c unix_poll; poll(2) POLLHUP",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT+HUP+RDHUP", "epoll": "IN+OUT+HUP+RDHUP", "selectors": "READ+WRITE",
            "kqueue": "READ-EOF+WRITE-EOF"},
    control=setup(closes=False),
    needs=("unix",),
)
def unix_peer_closed(rig: Rig, closes: bool = True) -> Seen:
    """Close one end of a unix stream pair; ask the other end for readability, writability and RDHUP."""
    near, far = rig.unix()
    if closes:
        far.close()
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="when one end of a unix datagram pair is closed, the other is reported as writable and nothing else",
    source="Linux net/unix/af_unix.c unix_dgram_poll",
    on=EVERY,
    expect={"select": "w", "poll": "OUT", "epoll": "OUT", "selectors": "WRITE"},
    control=setup(kind="unix"),
    needs=("unix-datagrams",),
)
def unix_datagram_peer_closed(rig: Rig, kind: str = "unix-datagrams") -> Seen:
    """Close one end of a unix datagram pair; ask the other end for readability, writability and RDHUP."""
    near, far = rig.pair(kind)
    far.close()
    return seen(rig.ask(near, "rwd"))


@probe(
    claim="only a send() shows that the peer of a unix datagram socket is closed",
    source="unix(7) ERRORS ECONNREFUSED",
    expect="ECONNREFUSED",
    control=setup(closes=False),
    needs=("unix-datagrams",),
)
def unix_datagram_send(rig: Rig, closes: bool = True) -> Seen:
    """Close one end of a unix datagram pair; on the other end, call send(), then recv()."""
    near, far = rig.unix_datagrams()
    if closes:
        far.close()
    return seen(attempt(rig.write, near), read=rig.found(near))


@probe(
    claim="kqueue reports the peer's end of file while data is still queued, together with the number of queued bytes",
    source="kqueue(2) EVFILT_READ, EV_EOF: it is possible for EOF to be returned while there is still data pending",
    on=("kqueue",),
    expect="EOF, 3 bytes",
    control=setup(closes=False),
    trials=3,
)
def kqueue_eof_with_data(rig: Rig, closes: bool = True) -> Seen:
    """Have the TCP peer send three bytes and close; read the flags and the data field of the EVFILT_READ event."""
    near, far = rig.tcp()
    rig.write(far, b"abc")
    rig.arrived(near)
    if closes:
        far.close()
        rig.settle(near, "")
    event = _kevent(rig, near, "KQ_FILTER_READ")
    return seen("%s, %d bytes" % (_eof(event), event.data))


@probe(
    claim="kqueue reports EOF on the write filter after shutdown() of the socket's own sending side",
    source="kqueue(2) EVFILT_WRITE, EV_EOF",
    on=("kqueue",),
    expect="EOF",
    control=setup(shuts=False),
)
def kqueue_own_shutdown(rig: Rig, shuts: bool = True) -> Seen:
    """Shut down the sending side of a TCP socket; read the flags of the EVFILT_WRITE event."""
    near, _ = rig.tcp()
    if shuts:
        near.shutdown(socket.SHUT_WR)
    return seen(_eof(_kevent(rig, near, "KQ_FILTER_WRITE")))


@probe(
    claim="for a reset connection, kqueue reports the socket error in fflags, together with EOF",
    source="kqueue(2) EVFILT_READ: returns the socket error (if any) in fflags",
    on=("kqueue",),
    expect="EOF, ECONNRESET",
    control=setup(resets=False),
)
def kqueue_reset_error(rig: Rig, resets: bool = True) -> Seen:
    """Have the TCP peer reset; read the flags and fflags of the EVFILT_READ event. Control: the peer closes."""
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
    """The event that kqueue returns for that filter."""
    asked: Any = rig.watcher()
    change = _select.kevent(sock.fileno(), getattr(select, name), _select.KQ_EV_ADD)
    return rig.until(lambda: asked.api.control([change], 1, rig.quiet))[0]


def _eof(event: Any) -> str:
    return "EOF" if event.flags & _select.KQ_EV_EOF else "no EOF"
