"""When an edge-triggered registration reports that a descriptor is writable: after EAGAIN, and sometimes without it.

Topic ``edge`` is about the other events."""

from __future__ import annotations

import mmap
from typing import Any

from lab.probing.probe import EVERY, Seen, backend, probe, seen, setup
from lab.probing.repetition import mask_or_raise, told_or_silent, watcher_of
from lab.probing.rig import Rig

EDGE = ("epoll-et",)


@probe(
    claim="a report of new data also says that the socket is writable, even edge-triggered, where writability has not "
          "changed",
    source="epoll(7), which advises to register for both once",
    on=EVERY,
    expect={"select": "w, r+w", "poll": "OUT, IN+OUT", "epoll": "OUT, IN+OUT", "selectors": "WRITE, READ+WRITE",
            "kqueue": "WRITE, READ+WRITE", "selectors:KqueueSelector": None},
    control=setup(sends=False),
)
def rides_along(rig: Rig, sends: bool = True) -> Seen:
    """Register an idle socket for reading and writing, and ask; have the peer send, and ask again."""
    near, far = rig.unix()
    asked = watcher_of(rig, near, "rw")
    first = mask_or_raise(rig, asked, near, rig.quiet)
    if sends:
        rig.write(far)
        rig.arrived(near)
    return seen("%s, %s" % (first, mask_or_raise(rig, asked, near, rig.quiet)))


def _little(rig: Rig, near: Any, far: Any, drains: bool = True) -> Seen:
    """Ask until the descriptor is reported writable; write 1000 bytes, have the peer read them all, and ask again."""
    asked = watcher_of(rig, near, "w")
    masks = [mask_or_raise(rig, asked, near, rig.quiet)]
    rig.write(near, b"x" * 1000)
    if drains:
        rig.arrived(far)
        rig.drain(far)
    masks.append(mask_or_raise(rig, asked, near, rig.quiet))
    return told_or_silent(masks)


@probe(
    claim="an edge-triggered epoll reports no new OUT when a TCP peer reads data that did not fill the send buffer",
    source="epoll(7): wait for an event only after EAGAIN",
    on=EVERY,
    expect={"epoll-et": "told, silent", "*": "told, told"},
    control=backend("epoll-et"),
)
def after_little_tcp(rig: Rig) -> Seen:
    """Wait until a TCP socket is reported writable; write 1000 bytes without EAGAIN; have the peer read them all, and
    ask again."""
    near, far = rig.tcp()
    return _little(rig, near, far)


@probe(
    claim="an edge-triggered epoll reports a new OUT when a unix peer reads, even if the buffer was never full",
    source="epoll(7): wait for an event only after EAGAIN, which leaves this open",
    on=EDGE,
    expect="told, told",
    control=setup(drains=False),
)
def after_little_unix(rig: Rig, drains: bool = True) -> Seen:
    """Wait until a unix stream is reported writable; write 1000 bytes without EAGAIN; have the peer read them all, and
    ask again."""
    near, far = rig.unix()
    return _little(rig, near, far, drains)


@probe(
    claim="an edge-triggered epoll reports no new OUT when a pipe is read that was not full",
    source="epoll(7): wait for an event only after EAGAIN; Linux fs/pipe.c was_full",
    on=EVERY,
    expect={"epoll-et": "told, silent", "*": "told, told"},
    control=backend("epoll-et"),
    needs=("pipes",),
)
def after_little_pipe(rig: Rig) -> Seen:
    """Wait until a pipe is reported writable; write 1000 bytes without EAGAIN; read them all, and ask again."""
    far, near = rig.pipe()
    return _little(rig, near, far)


@probe(
    claim="after EAGAIN, an edge-triggered epoll reports OUT when the TCP peer makes room by reading",
    source="epoll(7): wait for an event only after EAGAIN; tcp(7)",
    on=EDGE,
    expect="told",
    control=setup(fills=False),
)
def after_full_tcp(rig: Rig, fills: bool = True) -> Seen:
    """Write over TCP until EAGAIN and until the kernel moves no more data; have the peer read everything, and ask
    whether the socket is writable."""
    near, far = rig.tcp()
    asked = watcher_of(rig, near, "w")
    rig.write(near, b"x" * 1000)
    while fills and rig.settle(near, "w"):  # repeated, because the kernel keeps moving data to the peer
        rig.fill(near)
    mask_or_raise(rig, asked, near, 0.0)
    rig.arrived(far)
    rig.drain(far)
    return told_or_silent([mask_or_raise(rig, asked, near, rig.quiet)])


@probe(
    claim="a full pipe becomes writable once a whole page is free; an edge-triggered epoll reports only the first "
          "such page",
    source="pipe(7) Pipe capacity; poll(2) POLLOUT; Linux fs/pipe.c was_full",
    on=EVERY,
    expect={"epoll-et": "silent, told, silent", "kqueue": None, "*": "silent, told, told"},
    control=backend("epoll-et"),
    needs=("pipes",),
)
def after_page_pipe(rig: Rig) -> Seen:
    """Fill a pipe; read one byte, then the rest of the first page, then another page; after each read ask whether the
    pipe is writable."""
    far, near = rig.pipe()
    asked = watcher_of(rig, near, "w")
    rig.fill(near)
    mask_or_raise(rig, asked, near, 0.0)  # use up the event for the time before it was full
    masks = []
    for size in (1, mmap.PAGESIZE - 1, mmap.PAGESIZE):
        rig.read(far, size)
        masks.append(mask_or_raise(rig, asked, near, 0.0 if size == 1 else rig.quiet))
    return told_or_silent(masks)
