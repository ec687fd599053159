"""How TCP urgent data, which is neither IN nor OUT, is reported, and how it is lost."""

from __future__ import annotations

import select
import socket
from typing import Any, Tuple

from lab.probing.probe import EVERY, NONE, Seen, over, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import SILENT

_OOB = int(getattr(socket, "MSG_OOB", 1))
_WITH_PRI = over("select", "poll", "epoll", raw=True)
"""Not selectors (gh-75027), nor kqueue: Python names no filter for it."""


def _settle(rig: Rig, sock: socket.socket) -> None:
    """Wait until data has arrived, urgent or not, up to quiet."""
    select.select([sock], [], [sock], rig.quiet)


@probe(
    claim="TCP urgent data is reported as an exceptional condition, and not as readable",
    source="poll(2) POLLPRI; POSIX select: out-of-band data is an exceptional condition",
    on=_WITH_PRI,
    expect={"select": "x", "poll": "PRI", "epoll": "PRI"},
    control=setup(flags=0),
    needs=("urgent",),
)
def tcp(rig: Rig, flags: int = _OOB) -> Seen:
    """Have the peer send one urgent byte; ask for readability and for exceptional conditions; receive the byte with
    MSG_OOB."""
    near, far = rig.tcp()
    far.send(b"!", flags)
    _settle(rig, near)
    return seen(rig.ask(near, "rx"), urgent=attempt(near.recv, 1, _OOB))


@probe(
    claim="interest in readability alone never brings a report of an urgent byte, and selectors have no other "
          "interest that would",
    source="poll(2) POLLPRI is reported on request; gh-75027: selectors have no third event",
    on=EVERY,
    expect=SILENT,
    control=setup(flags=0),
    needs=("urgent",),
    promises=("selectors",),
    aliases=("selectors/urgent-only",),
)
def unheard(rig: Rig, flags: int = _OOB) -> Seen:
    """Have the peer send one urgent byte over TCP; once it has arrived, ask whether the socket is readable."""
    near, far = rig.tcp()
    far.send(b"!", flags)
    rig.until(lambda: any(select.select([near], [], [near], 0)))
    return seen(rig.ask(near))


@probe(
    claim="with SO_OOBINLINE, urgent data is reported as readable and as an exceptional condition",
    source="socket(7) SO_OOBINLINE; tcp(7)",
    on=_WITH_PRI,
    expect={"select": "r+x", "poll": "IN+PRI", "epoll": "IN+PRI"},
    control=setup(accepts=False),
    needs=("urgent",),
)
def inline(rig: Rig, accepts: bool = True) -> Seen:
    """Set SO_OOBINLINE; have the peer send one urgent byte; ask for readability and for exceptional conditions, and
    call recv()."""
    near, far = rig.tcp()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, accepts)
    far.send(b"!", _OOB)
    _settle(rig, near)
    return seen(rig.ask(near, "rx"), received=attempt(near.recv, 10))


@probe(
    claim="a unix stream carries urgent data as well, reported as readable and as an exceptional condition",
    source="CONFIG_AF_UNIX_OOB, Linux 5.15; unix(7) still says that unix sockets do not support it",
    on=_WITH_PRI,
    expect={"select": "r+x", "poll": "IN+PRI", "epoll": "IN+PRI"},
    control=setup(flags=0),
    needs=("posix", "unix", "urgent"),
)
def unix(rig: Rig, flags: int = _OOB) -> Seen:
    """Send one urgent byte over a unix stream; ask the other end for readability and for exceptional conditions."""
    near, far = rig.unix()
    sent = attempt(far.send, b"!", flags)
    return seen(rig.ask(near, "rx") if sent == "ok" else sent)


@probe(
    claim="register() without a mask includes interest in urgent data",
    source="Python select.poll.register: POLLIN, POLLPRI and POLLOUT; select.epoll.register says only what it means",
    on=over("poll", "epoll", raw=True, edge=False),
    expect="PRI+OUT",
    control=setup(mask=(0x1 | 0x4,)),  # IN and OUT
    needs=("urgent",),
)
def default_mask(rig: Rig, mask: Tuple[int, ...] = ()) -> Seen:
    """Register a TCP socket without a mask; have the peer send one urgent byte, and ask."""
    near, far = rig.tcp()
    asked: Any = rig.watcher()  # it holds the API's own object
    asked.api.register(near.fileno(), *mask)
    far.send(b"!", _OOB)
    _settle(rig, near)
    return seen(rig.mask(asked, near))


@probe(
    claim="an ordinary recv() that finds only an urgent byte fails with EAGAIN and discards the byte",
    source="tcp_recvmsg in Linux net/ipv4/tcp.c; recv(2) EINVAL for MSG_OOB is in tcp_recv_urg",
    on=NONE,
    expect="EAGAIN, then EINVAL",
    control=setup(reads=False),
    needs=("urgent",),
)
def lost_by_recv(rig: Rig, reads: bool = True) -> Seen:
    """Have the peer send one urgent byte over TCP; call recv() without MSG_OOB, and then with it."""
    near, far = rig.tcp()
    far.send(b"!", _OOB)
    _settle(rig, near)
    ordinary = attempt(near.recv, 10) if reads else "unread"
    return seen("%s, then %s" % (ordinary, attempt(near.recv, 1, _OOB)))
