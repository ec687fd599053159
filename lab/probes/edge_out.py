"""When an edge-triggered writer hears that it can write: after EAGAIN, and otherwise as it comes.

The other half of topic ``edge``.
"""

from __future__ import annotations

import mmap
from typing import Any

from lab.probing.hearing import hear, sequence, watching
from lab.probing.probe import EVERY, Seen, backend, probe, seen, setup
from lab.probing.rig import Rig

EDGE = ("epoll-et",)


@probe(
    claim="whatever else is told, OUT rides along while one can write: it is no news, not even by edge",
    source="epoll(7), which advises to register for both once",
    on=EVERY,
    expect={"select": "w, r+w", "poll": "OUT, IN+OUT", "epoll": "OUT, IN+OUT", "selectors": "WRITE, READ+WRITE",
            "kqueue": "WRITE, READ+WRITE", "selectors:KqueueSelector": None},
    control=setup(sends=False),
)
def rides_along(rig: Rig, sends: bool = True) -> Seen:
    """Ask for both directions of an idle socket; have the peer send, and ask again."""
    near, far = rig.unix()
    asked = watching(rig, near, "rw")
    first = hear(rig, asked, near, rig.quiet)
    if sends:
        rig.write(far)
        rig.arrived(near)
    return seen("%s, %s" % (first, hear(rig, asked, near, rig.quiet)))


def _little(rig: Rig, near: Any, far: Any, drains: bool = True) -> Seen:
    """Hear that one can write; write 1000 bytes, have the peer read them all, and ask again."""
    asked = watching(rig, near, "w")
    masks = [hear(rig, asked, near, rig.quiet)]
    rig.write(near, b"x" * 1000)
    if drains:
        rig.arrived(far)
        rig.drain(far)
    masks.append(hear(rig, asked, near, rig.quiet))
    return sequence(masks)


@probe(
    claim="a TCP peer that reads what did not fill the buffer is no news to an edge-triggered writer",
    source="epoll(7): wait for an event only after EAGAIN",
    on=EVERY,
    expect={"epoll-et": "told, silent", "*": "told, told"},
    control=backend("epoll-et"),
)
def after_little_tcp(rig: Rig) -> Seen:
    """Ask for writing, write 1000 bytes over TCP without EAGAIN, have the peer read them all, and ask again."""
    near, far = rig.tcp()
    return _little(rig, near, far)


@probe(
    claim="a unix peer that reads is news to an edge-triggered writer though the buffer was never full",
    source="epoll(7): wait for an event only after EAGAIN, which leaves this open",
    on=EDGE,
    expect="told, told",
    control=setup(drains=False),
)
def after_little_unix(rig: Rig, drains: bool = True) -> Seen:
    """Ask for writing, write 1000 bytes to a unix stream without EAGAIN, have the peer read them, and ask again."""
    near, far = rig.unix()
    return _little(rig, near, far, drains)


@probe(
    claim="reading from a pipe that was not full is no news to an edge-triggered writer",
    source="epoll(7): wait for an event only after EAGAIN; Linux fs/pipe.c was_full",
    on=EVERY,
    expect={"epoll-et": "told, silent", "*": "told, told"},
    control=backend("epoll-et"),
    needs=("pipes",),
)
def after_little_pipe(rig: Rig) -> Seen:
    """Ask for writing, write 1000 bytes to a pipe without EAGAIN, read them all, and ask again."""
    far, near = rig.pipe()
    return _little(rig, near, far)


@probe(
    claim="after EAGAIN the room that the peer makes is told",
    source="epoll(7): wait for an event only after EAGAIN; tcp(7)",
    on=EDGE,
    expect="told",
    control=setup(fills=False),
)
def after_full_tcp(rig: Rig, fills: bool = True) -> Seen:
    """Write over TCP until EAGAIN and nothing moves any more; let the peer read all, and ask."""
    near, far = rig.tcp()
    asked = watching(rig, near, "w")
    rig.write(near, b"x" * 1000)
    while fills and rig.settle(near, "w"):  # again and again: the kernel moves some of it to the peer
        rig.fill(near)
    hear(rig, asked, near, 0.0)
    rig.arrived(far)
    rig.drain(far)
    return sequence([hear(rig, asked, near, rig.quiet)])


@probe(
    claim="a full pipe can be written to when a whole page is free; an edge-triggered writer hears of the first only",
    source="pipe(7) Pipe capacity; poll(2) POLLOUT; Linux fs/pipe.c was_full",
    on=EVERY,
    expect={"epoll-et": "silent, told, silent", "kqueue": None, "*": "silent, told, told"},
    control=backend("epoll-et"),
    needs=("pipes",),
)
def after_page_pipe(rig: Rig) -> Seen:
    """Fill a pipe; read one byte, then the rest of the first page, then another page; ask after each."""
    far, near = rig.pipe()
    asked = watching(rig, near, "w")
    rig.fill(near)
    hear(rig, asked, near, 0.0)  # that one could write before
    masks = []
    for size in (1, mmap.PAGESIZE - 1, mmap.PAGESIZE):
        rig.read(far, size)
        masks.append(hear(rig, asked, near, 0.0 if size == 1 else rig.quiet))
    return sequence(masks)
