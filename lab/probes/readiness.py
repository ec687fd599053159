"""When a socket counts as ready: which events each state gives, in what order, and what a report guarantees."""

from __future__ import annotations

import select
import socket
from functools import partial
from typing import Any, Tuple

from lab.probing.probe import EVERY, NONE, RAW, Seen, over, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import SILENT

_socket: Any = socket  # typed loosely: AF_UNIX exists only on POSIX

_READABLE = {"select": "r", "poll": "IN", "epoll": "IN", "kqueue": "READ", "selectors": "READ"}


# Streams that are not connected.


@probe(
    claim="a TCP socket that was never connected is reported as a hang-up, so it counts as readable and writable",
    source="tcp_poll in Linux net/ipv4/tcp.c: no event mask is named by tcp(7) for a closed socket",
    on=EVERY,
    expect={"select": "r+w", "poll": "OUT+HUP", "epoll": "OUT+HUP", "selectors": "READ+WRITE",
            "selectors:KqueueSelector": None},
    control=setup(connects=True),
)
def unconnected_tcp(rig: Rig, connects: bool = False) -> Seen:
    """Create a TCP socket, and ask whether it is readable or writable; ask the same of one that is bound."""
    fresh, bound = rig.new_socket(), rig.new_socket()
    bound.bind(("127.0.0.1", 0))
    return seen(rig.ask(rig.tcp()[0] if connects else fresh, "rw"), bound=rig.ask(bound, "rw"))


@probe(
    claim="a unix stream socket that was never connected is reported as a hang-up too",
    source="unix_poll in Linux net/unix/af_unix.c; unix(7) says nothing of it",
    on=EVERY,
    expect={"select": "r+w", "poll": "OUT+HUP", "epoll": "OUT+HUP", "selectors": "READ+WRITE",
            "selectors:KqueueSelector": None},
    control=setup(connects=True),
    needs=("unix",),
)
def unconnected_unix(rig: Rig, connects: bool = False) -> Seen:
    """Create a unix stream socket, and ask whether it is readable or writable."""
    fresh = rig.new_socket(_socket.AF_UNIX)
    return seen(rig.ask(rig.unix()[0] if connects else fresh, "rw"))


@probe(
    claim="on a TCP socket that was never connected, recv() fails with ENOTCONN and send() with EPIPE",
    source="recv(2) ENOTCONN; tcp_sendmsg in Linux net/ipv4/tcp.c; POSIX send has ENOTCONN for this, and EPIPE",
    on=NONE,
    expect="recv ENOTCONN, send EPIPE",
    control=setup(connects=True),
)
def unconnected_calls(rig: Rig, connects: bool = False) -> Seen:
    """Create a TCP socket; call recv() and then send(), without connecting."""
    sock = rig.tcp()[0] if connects else rig.new_socket()
    return seen("recv %s, send %s" % (attempt(sock.recv, 1), attempt(sock.send, b"x")))


@probe(
    claim="a listener without a waiting connection is neither readable nor writable",
    source="POSIX listen and accept: a listening socket is readable when a connection waits",
    on=EVERY,
    expect=SILENT,
    control=setup(connects=True),
)
def idle_listener(rig: Rig, connects: bool = False) -> Seen:
    """Create a listener; ask whether it is readable or writable."""
    listener = rig.listener()
    if connects:
        rig.client(listener)
        rig.arrived(listener)
    return seen(rig.ask(listener, "rw", 0.0))


# Low-water marks.


def _holds(sock: socket.socket, count: int) -> bool:
    try:
        return len(sock.recv(count, socket.MSG_PEEK)) >= count
    except BlockingIOError:  # EAGAIN: nothing has come yet
        return False


@probe(
    claim="with SO_RCVLOWAT, a TCP socket is not readable until that many bytes have arrived",
    source="socket(7) SO_RCVLOWAT, since Linux 2.6.28; kqueue(2) EVFILT_READ on sockets",
    on=EVERY,
    expect={"select": "silent, then r", "poll": "silent, then IN", "epoll": "silent, then IN",
            "kqueue": "silent, then READ", "selectors": "silent, then READ"},
    control=setup(mark=1),
)
def rcvlowat(rig: Rig, mark: int = 10) -> Seen:
    """Set SO_RCVLOWAT to 10 bytes; have the peer send 5 bytes, and ask whether the socket is readable; have it send 5
    more, and ask again."""
    near, far = rig.tcp()
    accepted = attempt(near.setsockopt, socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)
    if accepted != "ok":
        return seen(accepted)
    heard = []
    for count in (5, 10):
        rig.write(far, b"12345")
        rig.until(partial(_holds, near, count))
        heard.append(rig.ask(near, timeout=0.0))
    return seen(", then ".join(heard), mark=near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT))


@probe(
    claim="an end of file makes a socket readable, even with fewer bytes than SO_RCVLOWAT",
    source="tcp_poll in Linux net/ipv4/tcp.c: a receiving side that is shut down is readable; kqueue(2) EV_EOF",
    on=EVERY,
    expect={**_READABLE, "kqueue": "READ-EOF"},
    control=setup(ends=False),
)
def rcvlowat_end(rig: Rig, ends: bool = True) -> Seen:
    """Set SO_RCVLOWAT to 10 bytes; have the peer send 1 byte and shut down its sending side; ask whether the socket is
    readable."""
    near, far = rig.tcp()
    accepted = attempt(near.setsockopt, socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10)
    if accepted != "ok":
        return seen(accepted)
    rig.write(far)
    if ends:
        far.shutdown(socket.SHUT_WR)
    rig.until(lambda: _holds(near, 1))
    return seen(rig.ask(near))


@probe(
    claim="a unix stream is readable from the first byte, whatever SO_RCVLOWAT says",
    source="unix_poll in Linux net/unix/af_unix.c; socket(7) SO_RCVLOWAT promises the contrary since 2.6.28",
    on=EVERY,
    expect={**_READABLE, "kqueue": None, "selectors:KqueueSelector": None},
    control=setup(kind="tcp"),
    needs=("posix", "unix"),
)
def rcvlowat_unix(rig: Rig, kind: str = "unix") -> Seen:
    """Set SO_RCVLOWAT to 10 bytes on a unix stream; have the peer send 5 bytes, and ask whether the socket is
    readable."""
    near, far = rig.pair(kind)
    accepted = attempt(near.setsockopt, socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10)
    rig.write(far, b"12345")
    rig.until(lambda: _holds(near, 5))
    return seen(rig.ask(near), set=accepted)


@probe(
    claim="SO_SNDLOWAT is always 1 and cannot be set",
    source="socket(7) SO_SNDLOWAT: not changeable on Linux, setsockopt(2) fails with ENOPROTOOPT",
    on=NONE,
    expect="set ENOPROTOOPT, get 1",
    control=setup(option=socket.SO_RCVLOWAT),
)
def sndlowat(rig: Rig, option: int = socket.SO_SNDLOWAT) -> Seen:
    """Set SO_SNDLOWAT to 10 bytes, and read it back."""
    near = rig.tcp()[0]
    accepted = attempt(near.setsockopt, socket.SOL_SOCKET, option, 10)
    return seen("set %s, get %s" % (accepted, attempt(near.getsockopt, socket.SOL_SOCKET, option, ok=str)))


# What a report guarantees.


@probe(
    claim="readiness holds for one instant only: two descriptors of a socket report it, one of them reads the data, "
          "and the other waits",
    source="select(2) BUGS: reported as ready, and yet a subsequent read blocks",
    on=EVERY,
    expect={"select": "r and r, then timeout", "poll": "IN and IN, then timeout", "epoll": "IN and IN, then timeout",
            "kqueue": "READ and READ, then timeout", "selectors": "READ and READ, then timeout"},
    control=setup(takes=False),
)
def not_a_promise(rig: Rig, takes: bool = True) -> Seen:
    """Have the peer send one byte; ask for a socket and for its duplicate; read through one of them, then, with a
    timeout, through the other."""
    near, far = rig.tcp()
    other = rig.keep(near.dup())
    rig.write(far)
    rig.arrived(near)
    heard = " and ".join([rig.ask(near), rig.ask(other)])
    if takes:
        rig.read(other)
    near.settimeout(rig.quiet)
    return seen("%s, then %s" % (heard, attempt(near.recv, 1)))


@probe(
    claim="select and poll return events in the order of registration, epoll in the order in which they became ready",
    source="set2list and poll_poll in CPython's selectmodule.c; ep_send_events in Linux fs/eventpoll.c",
    on=(*RAW, *over("poll", "epoll", raw=False)),  # not SelectSelector, whose set loses the order
    expect={"epoll-et": "2031, then silent", "epoll": "2031, then 2031", "selectors:EpollSelector": "2031, then 2031",
            "kqueue": None, "*": "3210, then 3210"},
    control=setup(registered=(2, 0, 3, 1), readied=(3, 2, 1, 0)),
)
def order(rig: Rig, registered: Tuple[int, ...] = (3, 2, 1, 0), readied: Tuple[int, ...] = (2, 0, 3, 1)) -> Seen:
    """Register four sockets in one order, and make them readable in another; ask twice."""
    pairs = [rig.unix() for _ in registered]
    asked = rig.watcher()
    for index in registered:
        asked.watch(pairs[index][0].fileno())
    for index in readied:
        rig.write(pairs[index][1])
        rig.arrived(pairs[index][0])
    names = {near.fileno(): str(index) for index, (near, _) in enumerate(pairs)}
    answers = ["".join(names[fd] for fd, _ in asked.ask(0.0)) or SILENT for _ in range(2)]
    return seen(", then ".join(answers))


@probe(
    claim="select returns the same objects that it was given, each as often as it was given",
    source="Python select.select: subsets of the first three arguments",
    on=("select",),
    expect="socket+int",
    control=setup(mixed=False),
)
def own_objects(rig: Rig, mixed: bool = True) -> Seen:
    """Make a socket readable; pass it to select twice, as an object and as a number; look at what comes back."""
    near, far = rig.unix()
    rig.write(far)
    rig.arrived(near)
    passed = [near if mixed else near.fileno(), near.fileno()]
    found = select.select(passed, [], [], 0)[0]
    return seen("+".join("socket" if each is near else type(each).__name__ for each in found))


@probe(
    claim="events carry the registered descriptor numbers, small or large, on machines of either byte order",
    source="epoll_event(3type): data is a union; PyPy and CPython use its fd",
    on=RAW,
    expect="2 of 2",
    control=setup(ready=1),
    needs=("posix", "limits"),
)
def event_data(rig: Rig, ready: int = 2) -> Seen:
    """Register two sockets, one of them under the number 1000; make both readable, and compare the numbers in the
    events."""
    pairs = [rig.unix(), rig.unix()]
    rig.limit_descriptors(1024)
    numbers = [pairs[0][0].fileno(), rig.duplicate(pairs[1][0], at=1000)]
    asked = rig.watcher()
    for fd in numbers:
        asked.watch(fd)
    for near, far in pairs[:ready]:
        rig.write(far)
        rig.arrived(near)
    found = [fd for fd, _ in rig.heard(asked)]
    return seen("%d of 2" % len(found) if set(found) <= set(numbers) else "another number")
