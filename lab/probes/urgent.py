"""What becomes of urgent data, the one thing that is neither IN nor OUT: who hears of it, and how it is lost."""

from __future__ import annotations

import select
import socket
from typing import Any, Tuple

from lab.probing.probe import EPOLLS, EVERY, NONE, Seen, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import SILENT

_OOB = int(getattr(socket, "MSG_OOB", 1))
_WITH_PRI = ("select", "poll", *EPOLLS)  # selectors cannot ask (gh-75027), kqueue has no filter that Python names


def _settle(rig: Rig, sock: socket.socket) -> None:
    """Wait until something is there, urgent or not, up to quiet."""
    select.select([sock], [], [sock], rig.quiet)


@probe(
    claim="TCP urgent data is exceptional and not readable",
    source="poll(2) POLLPRI; POSIX select: out-of-band data is an exceptional condition",
    on=_WITH_PRI,
    expect={"select": "x", "poll": "PRI", "epoll": "PRI"},
    control=setup(flags=0),
    needs=("urgent",),
)
def tcp(rig: Rig, flags: int = _OOB) -> Seen:
    """Have one urgent byte sent; ask for reading and for exceptions; receive it as what it is."""
    near, far = rig.tcp()
    far.send(b"!", flags)
    _settle(rig, near)
    return seen(rig.ask(near, "rx"), urgent=attempt(near.recv, 1, _OOB))


@probe(
    claim="who asks only to read never hears of an urgent byte; with selectors there is nothing else to ask",
    source="poll(2) POLLPRI is reported on request; gh-75027: selectors have no third event",
    on=EVERY,
    expect=SILENT,
    control=setup(flags=0),
    needs=("urgent",),
)
def unheard(rig: Rig, flags: int = _OOB) -> Seen:
    """Have one urgent byte sent over TCP, and ask whether there is something to read."""
    near, far = rig.tcp()
    far.send(b"!", flags)
    _settle(rig, near)
    return seen(rig.ask(near, timeout=0.0))


@probe(
    claim="with SO_OOBINLINE urgent data is readable and exceptional",
    source="socket(7) SO_OOBINLINE; tcp(7)",
    on=_WITH_PRI,
    expect={"select": "r+x", "poll": "IN+PRI", "epoll": "IN+PRI"},
    control=setup(accepts=False),
    needs=("urgent",),
)
def inline(rig: Rig, accepts: bool = True) -> Seen:
    """Set SO_OOBINLINE; have one urgent byte sent; ask for reading and for exceptions, and receive."""
    near, far = rig.tcp()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, accepts)
    far.send(b"!", _OOB)
    _settle(rig, near)
    return seen(rig.ask(near, "rx"), received=attempt(near.recv, 10))


@probe(
    claim="unix streams carry urgent data as well, readable and exceptional",
    source="CONFIG_AF_UNIX_OOB, Linux 5.15; unix(7) still says that unix sockets do not support it",
    on=_WITH_PRI,
    expect={"select": "r+x", "poll": "IN+PRI", "epoll": "IN+PRI"},
    control=setup(flags=0),
    needs=("posix", "unix", "urgent"),
)
def unix(rig: Rig, flags: int = _OOB) -> Seen:
    """Send one urgent byte over a unix stream; ask for reading and for exceptions."""
    near, far = rig.unix()
    sent = attempt(far.send, b"!", flags)
    return seen(rig.ask(near, "rx") if sent == "ok" else sent)


@probe(
    claim="register() without a mask asks for urgent data too",
    source="Python select.poll.register: POLLIN, POLLPRI and POLLOUT; select.epoll.register says only what it means",
    on=("poll", "epoll"),
    expect="PRI+OUT",
    control=setup(mask=(0x1 | 0x4,)),  # IN and OUT
    needs=("urgent",),
)
def default_mask(rig: Rig, mask: Tuple[int, ...] = ()) -> Seen:
    """Register a socket without a mask, and have one urgent byte sent over TCP."""
    near, far = rig.tcp()
    asked: Any = rig.watcher()  # with the API's own object in it
    asked.api.register(near.fileno(), *mask)
    far.send(b"!", _OOB)
    _settle(rig, near)
    return seen(rig.mask(asked, near))


@probe(
    claim="an ordinary recv that meets nothing but an urgent byte says EAGAIN and discards the byte",
    source="tcp_recvmsg in Linux net/ipv4/tcp.c; recv(2) EINVAL for MSG_OOB is in tcp_recv_urg",
    on=NONE,
    expect="EAGAIN, then EINVAL",
    control=setup(reads=False),
    needs=("urgent",),
)
def lost_by_recv(rig: Rig, reads: bool = True) -> Seen:
    """Have one urgent byte sent over TCP; receive without MSG_OOB, and then with it."""
    near, far = rig.tcp()
    far.send(b"!", _OOB)
    _settle(rig, near)
    ordinary = attempt(near.recv, 10) if reads else "unread"
    return seen("%s, then %s" % (ordinary, attempt(near.recv, 1, _OOB)))
