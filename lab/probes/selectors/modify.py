"""modify(): what it checks, what it keeps, and what it returns."""

from __future__ import annotations

from typing import Any

from lab.probes.selectors import DEVPOLL, DOCS, EPOLL, KQUEUE, POLL, READ, SELECT, WRITE, entries
from lab.probing.probe import SELECTORS, Seen, probe, seen, setup
from lab.probing.rig import Rig, attempt


def _registered(selector: Any) -> str:
    return "kept" if len(selector.get_map()) else "gone"


@probe(
    claim="modify refuses an event mask that register refuses, and is as if unregister came first",
    source=DOCS + "#selectors.BaseSelector.modify: equivalent to unregister, then register; ValueError",
    on=SELECTORS,
    expect="ValueError, gone",
    control=setup(registered=False),
    promises=("selectors",),
)
def modify_to_nothing(rig: Rig, registered: bool = True) -> Seen:
    """Register a socket; modify it to no events at all; look whether it is still registered."""
    near, _ = rig.unix()
    selector = rig.selector()
    if registered:
        selector.register(near, READ)
    return seen("%s, %s" % (attempt(selector.modify, near, 0), _registered(selector)))


@probe(
    claim="modify refuses an event that does not exist, and is as if unregister came first",
    source=DOCS + "#selectors.BaseSelector.modify: equivalent to unregister, then register; ValueError",
    on=SELECTORS,
    expect="ValueError, gone",
    control=setup(registered=False),
    promises=("selectors",),
)
def modify_to_unknown(rig: Rig, registered: bool = True) -> Seen:
    """Register a socket; modify it to the event 4; look whether it is still registered."""
    near, _ = rig.unix()
    selector = rig.selector()
    if registered:
        selector.register(near, READ)
    return seen("%s, %s" % (attempt(selector.modify, near, 4), _registered(selector)))


@probe(
    claim="what was modified to no events is still reported when its peer closes, with no events",
    source="selectors.py, _PollLikeSelector.modify does not check events; poll(2): POLLHUP is always reported",
    on=(POLL, EPOLL, DEVPOLL),
    expect={DEVPOLL: None, "*": "0"},
    control=setup(closes=False),
    promises=("selectors",),
)
def hangup_without_events(rig: Rig, closes: bool = True) -> Seen:
    """Register a unix socket, modify it to no events, and close its peer; select."""
    near, far = rig.unix()
    selector = rig.selector()
    selector.register(near, READ)
    selector.modify(near, 0)
    if closes:
        far.close()
    return seen(entries(selector))


@probe(
    claim="modify of a descriptor that was closed fails only where the kernel is told",
    source="selectors.py, _PollLikeSelector.modify; epoll_ctl(2) EBADF",
    on=SELECTORS,
    expect={SELECT: "ok, kept; then EBADF", POLL: "ok, kept; then READ+WRITE",
            EPOLL: "EBADF, gone; then silent", "selectors": None},
    control=setup(closes=False),
    promises=("selectors",),
)
def modify_closed(rig: Rig, closes: bool = True) -> Seen:
    """Register a socket by its number, close it, and modify it to both events; then select."""
    near, _ = rig.tcp()
    selector = rig.selector()
    fd = near.fileno()
    selector.register(fd, READ)
    if closes:
        near.close()
    result = "%s, %s" % (attempt(selector.modify, fd, READ | WRITE), _registered(selector))
    return seen("%s; then %s" % (result, attempt(entries, selector, ok=str)))


@probe(
    claim="modify to the same events and data gives back the same key",
    source="selectors.py, modify: nothing has changed",
    on=SELECTORS,
    expect={SELECT: "the same", POLL: "the same", EPOLL: "the same", KQUEUE: "the same", DEVPOLL: "the same",
            "selectors": None},
    control=setup(data="other"),
    promises=("selectors",),
)
def modify_to_same(rig: Rig, data: str = "data") -> Seen:
    """Register a socket with data, and modify it to the same events and data; compare the keys by identity."""
    near, _ = rig.unix()
    selector = rig.selector()
    key = selector.register(near, READ, "data")
    return seen("the same" if selector.modify(near, READ, data) is key else "another")
