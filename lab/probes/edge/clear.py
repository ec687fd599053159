"""EV_CLEAR, the edge trigger of kqueue."""

from __future__ import annotations

import select
from typing import Any

from lab.probing.probe import Seen, probe, seen, setup
from lab.probing.repetition import mask_or_raise, told_or_silent
from lab.probing.rig import Rig, number

_select: Any = select  # typed loosely: type checkers know kqueue on its platforms only


def _filter(rig: Rig, asked: Any, thing: Any, kind: str, clear: bool) -> None:
    """Add a filter, READ or WRITE, to the kqueue of a watcher, edge-triggered if ``clear``."""
    flags = _select.KQ_EV_ADD | (_select.KQ_EV_CLEAR if clear else 0)
    asked.api.control([_select.kevent(number(thing), getattr(_select, "KQ_FILTER_" + kind), flags)], 0, 0)


@probe(
    claim="with EV_CLEAR unread data is reported once, and new data again, even if the old data was never read",
    source="kqueue(2) EV_CLEAR: the state is reset once the event was retrieved",
    on=("kqueue",),
    expect="told, silent, told",
    control=setup(clear=False),
)
def clear_once(rig: Rig, clear: bool = True) -> Seen:
    """Have a unix peer send a byte, and ask twice; have it send another with the first unread, and ask again."""
    near, far = rig.unix()
    asked = rig.watcher()
    _filter(rig, asked, near, "READ", clear)
    rig.write(far)
    masks = [mask_or_raise(rig, asked, near, rig.quiet), mask_or_raise(rig, asked, near, rig.quiet)]
    rig.write(far)
    return told_or_silent(masks + [mask_or_raise(rig, asked, near, rig.quiet)])


@probe(
    claim="adding a filter with EV_CLEAR again reports data that is still unread again",
    source="kqueue(2) EV_ADD: adding again modifies the event; whether it is told again is not said",
    on=("kqueue",),
    control=setup(adds=False),
)
def clear_add_rearms(rig: Rig, adds: bool = True) -> Seen:
    """With a byte unread, ask twice; add the same filter again, and ask again."""
    near, far = rig.unix()
    asked = rig.watcher()
    _filter(rig, asked, near, "READ", True)
    rig.write(far)
    masks = [mask_or_raise(rig, asked, near, rig.quiet), mask_or_raise(rig, asked, near, 0.0)]
    if adds:
        _filter(rig, asked, near, "READ", True)
    return told_or_silent(masks + [mask_or_raise(rig, asked, near, rig.quiet)])


@probe(
    claim="with EV_CLEAR data that arrives is reported as READ alone, without WRITE",
    source="kqueue(2): a filter and an identifier make one event",
    on=("kqueue",),
    expect="WRITE, READ",
    control=setup(clear=False),
)
def clear_tells_apart(rig: Rig, clear: bool = True) -> Seen:
    """Register an idle unix stream for reading and writing, and ask; have the peer send, and ask again."""
    near, far = rig.unix()
    asked = rig.watcher()
    _filter(rig, asked, near, "READ", clear)
    _filter(rig, asked, near, "WRITE", clear)
    first = _both(rig, asked)
    rig.write(far)
    return seen("%s, %s" % (first, _both(rig, asked)))


def _both(rig: Rig, asked: Any) -> str:
    """The filters that one call reports."""
    found = asked.api.control(None, 2, rig.quiet)
    names = {_select.KQ_FILTER_READ: "READ", _select.KQ_FILTER_WRITE: "WRITE"}
    return "+".join(sorted(names[event.filter] for event in found)) or "silent"
