"""When an edge-triggered registration reports data that arrives, and when it reports data again."""

from __future__ import annotations

from typing import Any, Callable

from lab.probes.edge import EDGE
from lab.probing.probe import EVERY, Seen, SetUpFailed, backend, probe, seen, setup
from lab.probing.repetition import mask_or_raise, told_or_silent, watcher_of
from lab.probing.rig import Rig


@probe(
    claim="an edge-triggered interface reports unread data once, a level-triggered one reports it in every call",
    source="epoll(7), level-triggered and edge-triggered; kqueue(2) EV_CLEAR",
    on=EVERY,
    expect={"epoll-et": "told, silent, silent", "*": "told, told, told"},
    control=backend("epoll-et"),
)
def once(rig: Rig) -> Seen:
    """Have 4096 bytes arrive, and ask twice; read 1000 of them, and ask again."""
    near, far = rig.unix()
    asked = watcher_of(rig, near)
    rig.write(far, b"x" * 4096)
    rig.arrived(near)
    masks = [mask_or_raise(rig, asked, near, rig.quiet), mask_or_raise(rig, asked, near, 0.0)]
    rig.read(near, 1000)
    masks.append(mask_or_raise(rig, asked, near, rig.quiet))
    return told_or_silent(masks)


@probe(
    claim="a level-triggered epoll reports data in every call, beside an edge-triggered epoll on the same socket",
    source="epoll(7) Questions and answers, two epoll instances on one descriptor",
    on=EDGE,
    expect="edge: told, silent; other: told, told",
    control=setup(other="epoll-et"),
)
def beside_level(rig: Rig, other: str = "epoll") -> Seen:
    """Register a socket in two epoll objects, one edge-triggered and one level-triggered; send, and ask each twice."""
    near, far = rig.unix()
    edge, beside = watcher_of(rig, near), rig.watcher(other)
    beside.watch(near.fileno())
    rig.write(far)
    tokens = [told_or_silent([mask_or_raise(rig, asked, near, rig.quiet), mask_or_raise(rig, asked, near, 0.0)]).token
              for asked in (edge, beside)]
    return seen("edge: %s; other: %s" % (tokens[0], tokens[1]))


def _news(rig: Rig, near: Any, send: Callable[[], Any], again: bool) -> Seen:
    """Send, and ask; send again, although nothing was read, and ask again."""
    asked = watcher_of(rig, near)
    send()
    rig.arrived(near)
    masks = [mask_or_raise(rig, asked, near, rig.quiet)]
    if again:
        send()
    masks.append(mask_or_raise(rig, asked, near, rig.quiet))
    return told_or_silent(masks)


@probe(
    claim="new data on a TCP socket is reported, even if the old data was never read",
    source="epoll(7): several chunks can cause several events, which is no promise",
    on=EDGE,
    expect="told, told",
    control=setup(again=False),
)
def new_data_tcp(rig: Rig, again: bool = True) -> Seen:
    """Send a byte over TCP, and ask; send another with the first unread, and ask again."""
    near, far = rig.tcp()
    return _news(rig, near, lambda: rig.write(far), again)


@probe(
    claim="new data on a unix stream is reported, even if the old data was never read",
    source="epoll(7): several chunks can cause several events; google/gvisor commit a9bdef235",
    on=EDGE,
    expect="told, told",
    control=setup(again=False),
)
def new_data_unix(rig: Rig, again: bool = True) -> Seen:
    """Send a byte over a unix stream, and ask; send another with the first unread, and ask again."""
    near, far = rig.unix()
    return _news(rig, near, lambda: rig.write(far), again)


@probe(
    claim="a second datagram is reported, even if the first was never read",
    source="epoll(7) Questions and answers: a packet-oriented file must be read until EAGAIN",
    on=EDGE,
    expect="told, told",
    control=setup(again=False),
)
def new_data_udp(rig: Rig, again: bool = True) -> Seen:
    """Send a datagram, and ask; send another with the first unread, and ask again."""
    near, far = rig.udp()
    return _news(rig, near, lambda: rig.write(far), again)


@probe(
    claim="each write to a pipe is reported, even if the pipe was not empty (Linux 5.5 to 5.13: only if it was)",
    source="Linux commits 1b6b26ae7053 and 3a34b13a88ca; libuv #4400",
    on=EDGE,
    expect="told, told",
    control=setup(again=False),
)
def new_data_pipe(rig: Rig, again: bool = True) -> Seen:
    """Write a byte to a pipe, and ask; write another with the first unread, and ask again."""
    near, far = rig.pipe()
    return _news(rig, near, lambda: rig.write(far), again)


@probe(
    claim="each addition to an eventfd is reported, even if its count was not zero",
    source="epoll(7); eventfd(2); libuv #4400, which wakes its loop this way",
    on=EDGE,
    expect="told, told",
    control=setup(again=False),
    needs=("eventfd",),
)
def new_data_eventfd(rig: Rig, again: bool = True) -> Seen:
    """Add one to an eventfd, and ask; add one more without reading, and ask again."""
    fd = rig.eventfd()
    return _news(rig, fd, lambda: rig.write(fd, b"\1" * 8), again)


@probe(
    claim="a second connection is reported, even if the first was not accepted",
    source="epoll(7): several chunks can cause several events; nothing is said of connections",
    on=EDGE,
    expect="told, told",
    control=setup(again=False),
)
def new_data_listener(rig: Rig, again: bool = True) -> Seen:
    """Connect to a listener, and ask; connect a second time without accepting the first, and ask again."""
    listener = rig.listener()
    return _news(rig, listener, lambda: rig.client(listener), again)


@probe(
    claim="after a partial read, which leaves data on a unix stream, new data is reported",
    source="epoll(7): several chunks can cause several events; google/gvisor commit a9bdef235",
    on=EDGE,
    expect="told",
    control=setup(again=False),
)
def after_partial_read(rig: Rig, again: bool = True) -> Seen:
    """Send ten bytes, and ask; read four of them; send one more, and ask again."""
    near, far = rig.unix()
    asked = watcher_of(rig, near)
    rig.write(far, b"x" * 10)
    mask_or_raise(rig, asked, near, rig.quiet)
    rig.read(near, 4)
    if again:
        rig.write(far)
    return told_or_silent([mask_or_raise(rig, asked, near, rig.quiet)])


@probe(
    claim="on a stream a read that returns less than was asked for replaces EAGAIN: data that comes later is reported",
    source="epoll(7) Questions and answers: of a stream the amount read tells that it is exhausted",
    on=EDGE,
    expect="told",
    control=setup(again=False),
)
def after_short_read(rig: Rig, again: bool = True) -> Seen:
    """Send ten bytes, and ask; read up to 100, which returns ten and no EAGAIN; send one more, and ask again."""
    near, far = rig.tcp()
    asked = watcher_of(rig, near)
    rig.write(far, b"x" * 10)
    mask_or_raise(rig, asked, near, rig.patience)
    if len(rig.read(near, 100)) != 10:
        raise SetUpFailed("ten bytes sent in one piece did not arrive in one")
    if again:
        rig.write(far)
    return told_or_silent([mask_or_raise(rig, asked, near, rig.quiet)])
