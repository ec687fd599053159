"""Entries that stay in the kernel after close() and unregister()."""

from __future__ import annotations

from lab.probes.selectors import EPOLL, READ, entries
from lab.probing.probe import SELECTORS, Seen, probe, seen, setup
from lab.probing.rig import Rig, attempt


@probe(
    claim="entries that a closed descriptor left in the kernel take up room in the answer, and hide others",
    source="selectors.py, EpollSelector.select asks for as many events as are registered; epoll(7) Q6",
    on=SELECTORS,
    expect={EPOLL: "3 of 6", "selectors": "6 of 6"},
    control=setup(readable=False),
    promises=("selectors",),
)
def stale_entry_steals(rig: Rig, readable: bool = True) -> Seen:
    """Register two sockets, the first of them readable and duplicated; close and unregister the first. Make the second
    readable; select six times, and count how often it is reported."""
    stale, stale_far = rig.unix()
    near, far = rig.unix()
    selector = rig.selector()
    selector.register(stale, READ)
    selector.register(near, READ)
    rig.duplicate(stale)
    rig.write(stale_far)
    stale.close()
    selector.unregister(stale)
    if readable:
        rig.write(far)
    return seen("%d of 6" % sum(bool(selector.select(0)) for _ in range(6)))


@probe(
    claim="after close and unregister, while a duplicate is open, every select() of epoll returns at once with nothing",
    source="epoll(7) Q6; selectors.py, _PollLikeSelector.unregister passes over EBADF",
    on=SELECTORS,
    expect={EPOLL: "early, silent", "selectors": "whole, silent"},
    control=setup(unregisters=False),
    trials=3,
    promises=("selectors",),
)
def stale_entry_spins(rig: Rig, unregisters: bool = True) -> Seen:
    """Register a readable socket by its number; duplicate it; close it; unregister it; select, with another, silent
    socket registered."""
    near, far = rig.unix()
    selector = rig.selector()
    fd = near.fileno()
    selector.register(fd, READ)
    selector.register(rig.unix()[0], READ)
    rig.duplicate(near)
    rig.write(far)
    near.close()
    if unregisters:
        selector.unregister(fd)
    timeout = rig.quiet / 2
    with rig.timed() as taken:
        answer = attempt(entries, selector, timeout, ok=str)
    return seen("%s, %s" % ("whole" if taken["seconds"] >= 0.8 * timeout else "early", answer))
