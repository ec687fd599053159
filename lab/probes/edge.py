"""What an edge-triggered registration tells, and what it keeps to itself: EPOLLET, and EV_CLEAR of kqueue.

epoll(7) says that an event is delivered when a change occurs, and leaves open what a change is: that is found out
here, for each kind of file; topic ``edge-out`` is about writing. Where level-triggered interfaces can be asked the same
question they are, and ``epoll-et`` has to stand out. Backend ``kqueue`` is level-triggered, so the probes of EV_CLEAR
set that flag themselves. Mostly unix sockets and pipes are used: there the reader has been notified when the write
returns.
"""

from __future__ import annotations

import os
import select
from typing import Any, Callable

from lab.probing.hearing import hear, sequence, watching
from lab.probing.probe import EVERY, Seen, SetUpFailed, backend, probe, seen, setup
from lab.probing.rig import Rig, number

_os: Any = os  # typed loosely, as the next: what only some platforms have
_select: Any = select

EDGE = ("epoll-et",)

# New data.


@probe(
    claim="an edge-triggered interface tells of unread data once, a level-triggered one as long as it lasts",
    source="epoll(7), level-triggered and edge-triggered; kqueue(2) EV_CLEAR",
    on=EVERY,
    expect={"epoll-et": "told, silent, silent", "*": "told, told, told"},
    control=backend("epoll-et"),
)
def once(rig: Rig) -> Seen:
    """Have 4096 bytes arrive and ask twice; read 1000 of them, and ask again."""
    near, far = rig.unix()
    asked = watching(rig, near)
    rig.write(far, b"x" * 4096)
    rig.arrived(near)
    masks = [hear(rig, asked, near, rig.quiet), hear(rig, asked, near, 0.0)]
    rig.read(near, 1000)
    masks.append(hear(rig, asked, near, rig.quiet))
    return sequence(masks)


@probe(
    claim="a level-triggered epoll on the same socket goes on telling what the edge-triggered one has told once",
    source="epoll(7) Questions and answers, two epoll instances on one descriptor",
    on=EDGE,
    expect="edge: told, silent; other: told, told",
    control=setup(other="epoll-et"),
)
def beside_level(rig: Rig, other: str = "epoll") -> Seen:
    """Watch a socket by two epoll instances, by edge and by level; send, and ask each twice."""
    near, far = rig.unix()
    edge, beside = watching(rig, near), rig.watcher(other)
    beside.watch(near.fileno())
    rig.write(far)
    tokens = [sequence([hear(rig, asked, near, rig.quiet), hear(rig, asked, near, 0.0)]).token
              for asked in (edge, beside)]
    return seen("edge: %s; other: %s" % (tokens[0], tokens[1]))


def _news(rig: Rig, near: Any, send: Callable[[], Any], again: bool) -> Seen:
    """Send, and hear of it; send again though nothing was read, and ask again."""
    asked = watching(rig, near)
    send()
    rig.arrived(near)
    masks = [hear(rig, asked, near, rig.quiet)]
    if again:
        send()
    masks.append(hear(rig, asked, near, rig.quiet))
    return sequence(masks)


@probe(
    claim="new data on a TCP socket is told though the old was never read",
    source="epoll(7): several chunks can cause several events, which is no promise",
    on=EDGE,
    expect="told, told",
    control=setup(again=False),
)
def new_data_tcp(rig: Rig, again: bool = True) -> Seen:
    """Send a byte over TCP and ask; send another with the first unread, and ask again."""
    near, far = rig.tcp()
    return _news(rig, near, lambda: rig.write(far), again)


@probe(
    claim="new data on a unix stream is told though the old was never read",
    source="epoll(7): several chunks can cause several events; google/gvisor commit a9bdef235",
    on=EDGE,
    expect="told, told",
    control=setup(again=False),
)
def new_data_unix(rig: Rig, again: bool = True) -> Seen:
    """Send a byte over a unix stream and ask; send another with the first unread, and ask again."""
    near, far = rig.unix()
    return _news(rig, near, lambda: rig.write(far), again)


@probe(
    claim="a second datagram is told though the first was never read",
    source="epoll(7) Questions and answers: a packet-oriented file must be read until EAGAIN",
    on=EDGE,
    expect="told, told",
    control=setup(again=False),
)
def new_data_udp(rig: Rig, again: bool = True) -> Seen:
    """Send a datagram and ask; send another with the first unread, and ask again."""
    near, far = rig.udp()
    return _news(rig, near, lambda: rig.write(far), again)


@probe(
    claim="each write to a pipe is told, also to one that was not empty (Linux 5.5 to 5.13: only to an empty one)",
    source="Linux commits 1b6b26ae7053 and 3a34b13a88ca; libuv #4400",
    on=EDGE,
    expect="told, told",
    control=setup(again=False),
)
def new_data_pipe(rig: Rig, again: bool = True) -> Seen:
    """Write a byte to a pipe and ask; write another with the first unread, and ask again."""
    near, far = rig.pipe()
    return _news(rig, near, lambda: rig.write(far), again)


@probe(
    claim="each addition to an eventfd is told, also when its count was not zero",
    source="epoll(7); eventfd(2); libuv #4400, which wakes its loop this way",
    on=EDGE,
    expect="told, told",
    control=setup(again=False),
    needs=("eventfd",),
)
def new_data_eventfd(rig: Rig, again: bool = True) -> Seen:
    """Add one to an eventfd and ask; add one more without reading, and ask again."""
    fd = rig.eventfd()
    return _news(rig, fd, lambda: rig.write(fd, b"\1" * 8), again)


@probe(
    claim="a second connection is told though the first was not accepted",
    source="epoll(7): several chunks can cause several events; nothing is said of connections",
    on=EDGE,
    expect="told, told",
    control=setup(again=False),
)
def new_data_listener(rig: Rig, again: bool = True) -> Seen:
    """Connect to a listener and ask; connect once more with nobody accepting, and ask again."""
    listener = rig.listener()
    return _news(rig, listener, lambda: rig.client(listener), again)


@probe(
    claim="after a partial read, with data left, new data is told on a unix stream",
    source="epoll(7): several chunks can cause several events; google/gvisor commit a9bdef235",
    on=EDGE,
    expect="told",
    control=setup(again=False),
)
def after_partial_read(rig: Rig, again: bool = True) -> Seen:
    """Have ten bytes told, read four of them, send one more, and ask."""
    near, far = rig.unix()
    asked = watching(rig, near)
    rig.write(far, b"x" * 10)
    hear(rig, asked, near, rig.quiet)
    rig.read(near, 4)
    if again:
        rig.write(far)
    return sequence([hear(rig, asked, near, rig.quiet)])


@probe(
    claim="on a stream a short read is as good as EAGAIN: what comes after it is told",
    source="epoll(7) Questions and answers: of a stream the amount read tells that it is exhausted",
    on=EDGE,
    expect="told",
    control=setup(again=False),
)
def after_short_read(rig: Rig, again: bool = True) -> Seen:
    """Have ten bytes told, read up to 100, which gives ten and no EAGAIN; send one more, and ask."""
    near, far = rig.tcp()
    asked = watching(rig, near)
    rig.write(far, b"x" * 10)
    hear(rig, asked, near, rig.patience)
    if len(rig.read(near, 100)) != 10:
        raise SetUpFailed("ten bytes sent in one piece did not arrive in one")
    if again:
        rig.write(far)
    return sequence([hear(rig, asked, near, rig.quiet)])


@probe(
    claim="modifying a registration, to the same mask, tells an unread state once more",
    source="epoll(7) Questions and answers: EPOLL_CTL_MOD looks at the state anew",
    on=EDGE,
    expect="told, silent, told, silent",
    control=setup(modifies=False),
)
def modify_rearms(rig: Rig, modifies: bool = True) -> Seen:
    """With data unread, ask twice; modify the registration to what it was, and ask twice more."""
    near, far = rig.unix()
    rig.write(far)
    asked = watching(rig, near)
    masks = [hear(rig, asked, near, 0.0), hear(rig, asked, near, 0.0)]
    if modifies:
        asked.rewatch(near.fileno(), "r")
    masks += [hear(rig, asked, near, 0.0), hear(rig, asked, near, rig.quiet)]
    return sequence(masks)


@probe(
    claim="unregistering and registering tells an unread state once more",
    source="epoll_ctl(2) EPOLL_CTL_ADD",
    on=EDGE,
    expect="told, silent, told, silent",
    control=setup(registers=False),
)
def register_rearms(rig: Rig, registers: bool = True) -> Seen:
    """With data unread, ask twice; unregister, register again, and ask twice more."""
    near, far = rig.unix()
    rig.write(far)
    asked = watching(rig, near)
    masks = [hear(rig, asked, near, 0.0), hear(rig, asked, near, 0.0)]
    if registers:
        asked.unwatch(near.fileno())
        asked.watch(near.fileno())
    masks += [hear(rig, asked, near, 0.0), hear(rig, asked, near, rig.quiet)]
    return sequence(masks)


# Other events.


@probe(
    claim="a TCP socket that is registered before it connects is told twice: as hung up, then as connected",
    source="connect(2) EINPROGRESS, which speaks of the second only; poll(2) POLLHUP",
    on=EVERY,
    expect={"select": "r+w, w, w", "poll": "OUT+HUP, OUT, OUT", "epoll-et": "OUT+HUP, OUT, silent",
            "epoll": "OUT+HUP, OUT, OUT", "selectors": "READ+WRITE, WRITE, WRITE", "kqueue": None,
            "selectors:KqueueSelector": None},
    control=setup(connects=False),
)
def connect(rig: Rig, connects: bool = True) -> Seen:
    """Ask about a new TCP socket for everything; connect it to a listener, and ask twice."""
    near = rig.new_socket()
    asked = watching(rig, near, "rwd")
    masks = [hear(rig, asked, near, 0.0)]
    if connects:
        near.connect_ex(rig.listener().getsockname())
        rig.arrived(near, "w")
    masks += [hear(rig, asked, near, rig.quiet), hear(rig, asked, near, rig.quiet)]
    return seen(", ".join(masks))


def _periodic_timer(rig: Rig, seconds: float) -> int:
    """A timerfd that expires again and again. By ctypes: Python has had ``os.timerfd_create`` since 3.13 only."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.timerfd_create(1, _os.O_NONBLOCK | _os.O_CLOEXEC)  # CLOCK_MONOTONIC
    span = (int(seconds), int(seconds % 1 * 1e9))
    times = (ctypes.c_long * 4)(*(span + span))  # the interval, and when first
    if fd < 0 or libc.timerfd_settime(rig.keep(fd), 0, ctypes.byref(times), None):
        raise SetUpFailed("no timerfd: errno %d" % ctypes.get_errno())
    return int(fd)


@probe(
    claim="a periodic timerfd that is not read is told once by edge, not once a period",
    source="timerfd_create(2), which leaves it open; epoll(7)",
    on=EVERY,
    expect={"epoll-et": "told, silent", "*": "told, told"},
    control=backend("epoll-et"),
    needs=("linux", "ctypes"),
)
def timerfd(rig: Rig) -> Seen:
    """Start a timer with a tenth of quiet as its period; ask for the first expiration, and, not reading it, again."""
    fd = _periodic_timer(rig, rig.quiet / 10)
    asked = watching(rig, fd)
    masks = [hear(rig, asked, fd, rig.patience), hear(rig, asked, fd, rig.quiet)]
    return sequence(masks)


@probe(
    claim="news in an inner epoll is told by an outer one, edge-triggered, though the inner was never asked",
    source="epoll(7) Questions and answers: an epoll descriptor can be watched; google/gvisor #6427",
    on=EVERY,
    expect={"epoll-et": "told, silent, told", "*": "told, told, told"},
    control=backend("epoll-et"),
    needs=("epoll",),
)
def nested(rig: Rig) -> Seen:
    """Watch an epoll that watches a socket; send and ask twice; send again, and ask. The inner is never asked."""
    near, far = rig.unix()
    inner: Any = rig.watcher("epoll")
    inner.watch(near.fileno())
    asked = watching(rig, inner.api)
    rig.write(far)
    masks = [hear(rig, asked, inner.api, rig.quiet), hear(rig, asked, inner.api, rig.quiet)]
    rig.write(far)
    return sequence(masks + [hear(rig, asked, inner.api, rig.quiet)])


# EV_CLEAR.


def _filter(rig: Rig, asked: Any, thing: Any, kind: str, clear: bool) -> None:
    """Add a filter, READ or WRITE, to a kqueue watcher's kqueue, by edge where ``clear``."""
    flags = _select.KQ_EV_ADD | (_select.KQ_EV_CLEAR if clear else 0)
    asked.api.control([_select.kevent(number(thing), getattr(_select, "KQ_FILTER_" + kind), flags)], 0, 0)


@probe(
    claim="with EV_CLEAR unread data is told once, and new data again though the old was never read",
    source="kqueue(2) EV_CLEAR: the state is reset once the event was retrieved",
    on=("kqueue",),
    expect="told, silent, told",
    control=setup(clear=False),
)
def clear_once(rig: Rig, clear: bool = True) -> Seen:
    """Send a byte over a unix stream and ask twice; send another with the first unread, and ask."""
    near, far = rig.unix()
    asked = rig.watcher()
    _filter(rig, asked, near, "READ", clear)
    rig.write(far)
    masks = [hear(rig, asked, near, rig.quiet), hear(rig, asked, near, rig.quiet)]
    rig.write(far)
    return sequence(masks + [hear(rig, asked, near, rig.quiet)])


@probe(
    claim="adding a filter with EV_CLEAR once more tells an unread state once more",
    source="kqueue(2) EV_ADD: adding again modifies the event; whether it is told again is not said",
    on=("kqueue",),
    control=setup(adds=False),
)
def clear_add_rearms(rig: Rig, adds: bool = True) -> Seen:
    """With a byte unread, ask twice; add the same filter again, and ask."""
    near, far = rig.unix()
    asked = rig.watcher()
    _filter(rig, asked, near, "READ", True)
    rig.write(far)
    masks = [hear(rig, asked, near, rig.quiet), hear(rig, asked, near, 0.0)]
    if adds:
        _filter(rig, asked, near, "READ", True)
    return sequence(masks + [hear(rig, asked, near, rig.quiet)])


@probe(
    claim="with EV_CLEAR reading and writing are told apart: what arrives brings no WRITE along",
    source="kqueue(2): a filter and an identifier make one event",
    on=("kqueue",),
    expect="WRITE, READ",
    control=setup(clear=False),
)
def clear_tells_apart(rig: Rig, clear: bool = True) -> Seen:
    """Ask for both directions of an idle unix stream; have the peer send, and ask again."""
    near, far = rig.unix()
    asked = rig.watcher()
    _filter(rig, asked, near, "READ", clear)
    _filter(rig, asked, near, "WRITE", clear)
    first = _both(rig, asked)
    rig.write(far)
    return seen("%s, %s" % (first, _both(rig, asked)))


def _both(rig: Rig, asked: Any) -> str:
    """The filters that one call answers with."""
    found = asked.api.control(None, 2, rig.quiet)
    names = {_select.KQ_FILTER_READ: "READ", _select.KQ_FILTER_WRITE: "WRITE"}
    return "+".join(sorted(names[event.filter] for event in found)) or "silent"
