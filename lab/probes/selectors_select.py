"""What select() of every class of Python's selectors module promises: when it returns, and what.

Each probe asks one clause of the documented contract of BaseSelector through the public interface, so that a foreign
class can be held to it. Topic ``timeouts`` asks the clauses about timeouts that other interfaces have too. ``slept``
means that a call took at least four fifths of its timeout.
"""

from __future__ import annotations

import selectors
from typing import Any, Optional

from lab.probing.probe import SELECTORS, Seen, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import SILENT, spell_events

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

_SOURCE = "docs.python.org/3/library/selectors.html#selectors.BaseSelector.select"


def _select(rig: Rig, selector: Any, timeout: Optional[float], whole: float) -> str:
    """Call select() once; tell whether it takes so many seconds or less, and the events of its entries."""
    def spelled(answer: Any) -> str:
        return "/".join(spell_events(events) for _, events in answer) or SILENT
    with rig.timed() as taken:
        events = attempt(selector.select, timeout, ok=spelled)
    return "%s, %s" % ("slept" if taken["seconds"] >= 0.8 * whole else "at once", events)


@probe(
    claim="select(0) does not block",
    source=_SOURCE + ": if timeout <= 0, the call won't block",
    on=SELECTORS,
    expect="at once, silent",
    control=setup(share=0.5),
    trials=3,
    promises=("selectors",),
)
def zero(rig: Rig, share: float = 0.0) -> Seen:
    """Register a silent socket, and select with a timeout of zero."""
    selector = rig.selector()
    selector.register(rig.unix()[0], READ)
    return seen(_select(rig, selector, share * rig.quiet, 0.5 * rig.quiet))


@probe(
    claim="select reports only events that were asked for",
    source=_SOURCE + ": events is a bitmask of events ready on this file object; CPython's test_selectors",
    on=SELECTORS,
    expect="READ",
    control=setup(want=READ | WRITE),
    promises=("selectors",),
)
def unwanted(rig: Rig, want: int = READ) -> Seen:
    """Register a socket for READ that is readable and writable; select."""
    near, far = rig.unix()
    rig.write(far)
    rig.arrived(near)
    selector = rig.selector()
    selector.register(near, want)
    events = 0
    for _, reported in selector.select(rig.quiet):
        events |= reported
    return seen(spell_events(events))


@probe(
    claim="select returns the key that register returned, with its data",
    source=_SOURCE + ": key is the SelectorKey instance corresponding to a ready file object",
    on=SELECTORS,
    expect="the key of register",
    control=setup(modifies=True),
    promises=("selectors",),
)
def key(rig: Rig, modifies: bool = False) -> Seen:
    """Register a writable socket with data; select, and compare the keys."""
    near, _ = rig.unix()
    selector = rig.selector()
    given = selector.register(near, WRITE, "data")
    if modifies:
        selector.modify(near, WRITE, "other")
    keys = [found for found, _ in selector.select(rig.quiet)]
    return seen("the key of register" if keys == [given] else "another key" if keys else SILENT)


@probe(
    claim="one call of select reports every socket that is ready",
    source=_SOURCE + ": a list of (key, events) tuples, one for each ready file object",
    on=SELECTORS,
    expect="2 of 3",
    control=setup(readable=3),
    promises=("selectors",),
)
def several(rig: Rig, readable: int = 2) -> Seen:
    """Register three sockets, two of them readable; select once, and count the entries."""
    selector = rig.selector()
    for number in range(3):
        near, far = rig.unix()
        if number < readable:
            rig.write(far)
            rig.arrived(near)
        selector.register(near, READ)
    return seen("%d of 3" % len(selector.select(rig.quiet)))
