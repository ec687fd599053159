"""What modify() checks, what it keeps, and what it returns."""

from __future__ import annotations

from typing import Any

from lab.probes.selectors import DEVPOLL, DOCS, EPOLL, KQUEUE, POLL, READ, SELECT, WRITE, entries
from lab.probing.probe import SELECTORS, Seen, over, probe, seen, setup
from lab.probing.rig import Rig, attempt


def _registered(selector: Any) -> str:
    return "kept" if len(selector.get_map()) else "gone"


@probe(
    claim="modify to no events raises as register does, and then the descriptor is not registered any more",
    source=DOCS + "#selectors.BaseSelector.modify: equivalent to unregister, then register; ValueError",
    on=SELECTORS,
    expect="ValueError, gone",
    control=setup(registered=False),
    promises=("selectors",),
)
def modify_to_nothing(rig: Rig, registered: bool = True) -> Seen:
    """Register a socket; modify it to no events; look whether it is still registered. Control: do not register it."""
    near, _ = rig.unix()
    selector = rig.selector()
    if registered:
        selector.register(near, READ)
    return seen("%s, %s" % (attempt(selector.modify, near, 0), _registered(selector)))


@probe(
    claim="modify to an unknown event raises as register does, and then the descriptor is not registered any more",
    source=DOCS + "#selectors.BaseSelector.modify: equivalent to unregister, then register; ValueError",
    on=SELECTORS,
    expect="ValueError, gone",
    control=setup(registered=False),
    promises=("selectors",),
)
def modify_to_unknown(rig: Rig, registered: bool = True) -> Seen:
    """Register a socket; modify it to the event 4; look whether it is still registered. Control: do not register it."""
    near, _ = rig.unix()
    selector = rig.selector()
    if registered:
        selector.register(near, READ)
    return seen("%s, %s" % (attempt(selector.modify, near, 4), _registered(selector)))


@probe(
    claim="a socket that was modified to no events is reported when its peer closes, with no events",
    source="selectors.py, _PollLikeSelector.modify does not check events; poll(2): POLLHUP is always reported",
    on=over("poll", "epoll", "devpoll", raw=False),
    expect={DEVPOLL: None, "*": "0"},
    control=setup(closes=False),
    promises=("selectors",),
)
def hangup_without_events(rig: Rig, closes: bool = True) -> Seen:
    """Register a unix socket; modify it to no events; close its peer, and select."""
    near, far = rig.unix()
    selector = rig.selector()
    selector.register(near, READ)
    selector.modify(near, 0)
    if closes:
        far.close()
    return seen(entries(selector))


@probe(
    claim="modify of a closed descriptor fails only for the classes that call the kernel",
    source="selectors.py, _PollLikeSelector.modify; epoll_ctl(2) EBADF",
    on=SELECTORS,
    expect={SELECT: "ok, kept; then EBADF", POLL: "ok, kept; then READ+WRITE",
            EPOLL: "EBADF, gone; then silent", "selectors": None},
    control=setup(closes=False),
    promises=("selectors",),
)
def modify_closed(rig: Rig, closes: bool = True) -> Seen:
    """Register a socket by its number; close it; modify it to READ and WRITE; select."""
    near, _ = rig.tcp()
    selector = rig.selector()
    fd = near.fileno()
    selector.register(fd, READ)
    if closes:
        near.close()
    result = "%s, %s" % (attempt(selector.modify, fd, READ | WRITE), _registered(selector))
    return seen("%s; then %s" % (result, attempt(entries, selector, ok=str)))


@probe(
    claim="modify to the same events and data returns the same key",
    source="selectors.py, modify: nothing has changed",
    on=SELECTORS,
    expect={SELECT: "the same", POLL: "the same", EPOLL: "the same", KQUEUE: "the same", DEVPOLL: "the same",
            "selectors": None},
    control=setup(data="other"),
    promises=("selectors",),
)
def modify_to_same(rig: Rig, data: str = "data") -> Seen:
    """Register a socket with data; modify it to the same events and data; compare the keys by identity."""
    near, _ = rig.unix()
    selector = rig.selector()
    key = selector.register(near, READ, "data")
    return seen("the same" if selector.modify(near, READ, data) is key else "another")
