"""Where the classes of Python's selectors module differ from each other: in masks, in what they let pass, in spins.

What they promise alike is in ``selectors_contract``. Only the public interface is used, so that a class of somebody
else can be asked the same, but for the probes that say so by the one class they are on.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import select
import selectors
from typing import Any, Tuple, cast

from lab.probing.probe import SELECTORS, Seen, SetUpFailed, backend, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import ET, SILENT, spell_events

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

_DOCS = "docs.python.org/3/library/selectors.html"
_SELECT, _POLL, _EPOLL = "selectors:SelectSelector", "selectors:PollSelector", "selectors:EpollSelector"
_KQUEUE, _DEVPOLL = "selectors:KqueueSelector", "selectors:DevpollSelector"


def _entries(selector: Any, timeout: float = 0.0) -> str:
    """The answer of one select(), each entry for itself: ``READ, WRITE`` are two of them."""
    return ", ".join(sorted(spell_events(events) for _, events in selector.select(timeout))) or SILENT


def _registered(selector: Any) -> str:
    return "kept" if len(selector.get_map()) else "gone"


def _default_class(**replaced: Any) -> str:
    """The default of a new copy of the selectors module, made while these names of select are replaced; None: gone."""
    spec = importlib.util.find_spec("selectors")
    if spec is None or spec.loader is None:
        raise SetUpFailed("the selectors module cannot be loaded a second time")
    before = {name: getattr(select, name) for name in replaced if hasattr(select, name)}
    code: Any = cast(Any, spec.loader).get_code("selectors")  # zipimporter had no exec_module before 3.10
    copy: Any = importlib.util.module_from_spec(spec)
    try:
        for name in before:
            if replaced[name] is None:
                delattr(select, name)
            else:
                setattr(select, name, replaced[name])
        exec(code, copy.__dict__)
    finally:
        for name, value in before.items():
            setattr(select, name, value)
    return str(copy.DefaultSelector.__name__)


@probe(
    claim="DefaultSelector is the most efficient class that the platform has",
    source=_DOCS + "#selectors.DefaultSelector",
    expect="EpollSelector",
    control=setup(gone=("kqueue", "epoll", "devpoll")),
)
def default(rig: Rig, gone: Tuple[str, ...] = ()) -> Seen:
    """Load a new copy of the selectors module, and name its DefaultSelector."""
    return seen(_default_class(**dict.fromkeys(gone)))


@probe(
    claim="where the kernel refuses epoll, DefaultSelector is another class",
    source="bpo-41182; selectors.py, _can_use, since 3.9",
    expect="PollSelector",
    control=setup(refuses=False),
    needs=("epoll",),
)
def default_refused(rig: Rig, refuses: bool = True) -> Seen:
    """Load a new copy of the selectors module while select.epoll() fails with ENOSYS, and name its DefaultSelector."""
    def refuse(*arguments: Any) -> Any:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return seen(_default_class(epoll=refuse) if refuses else _default_class())


@probe(
    claim="a hang-up of what is registered for WRITE only is WRITE for poll and epoll, and nothing for select",
    source="selectors.py, _PollLikeSelector.select: any bit but POLLIN is EVENT_WRITE; pipe(7)",
    on=SELECTORS,
    expect={_SELECT: SILENT, _POLL: "WRITE", _EPOLL: "WRITE", "selectors": None},
    control=backend(_SELECT),
    needs=("pipes",),
    promises=("selectors",),
)
def pipe_end_for_write(rig: Rig) -> Seen:
    """Close the writing end of a pipe; ask for WRITE on the reading end."""
    reader, writer = rig.pipe()
    os.close(writer)
    return seen(rig.ask(reader, "w"))


@probe(
    claim="a hang-up of a pipe's reading end is READ and WRITE for poll and epoll, and READ for select",
    source="selectors.py, _PollLikeSelector.select; pipe(7)",
    on=SELECTORS,
    expect={_SELECT: "READ", _POLL: "READ+WRITE", _EPOLL: "READ+WRITE", "selectors": None},
    control=setup(closes=False),
    needs=("pipes",),
    promises=("selectors",),
)
def pipe_end_for_both(rig: Rig, closes: bool = True) -> Seen:
    """Close the writing end of a pipe; ask for READ and WRITE on the reading end."""
    reader, writer = rig.pipe()
    if closes:
        os.close(writer)
    return seen(rig.ask(reader, "rw"))


@probe(
    claim="a peer that closes makes a full unix socket, registered for WRITE only, writable",
    source="selectors.py; poll(2) POLLHUP; select(2): a write that fails does not block",
    on=SELECTORS,
    expect={_SELECT: "WRITE", _POLL: "WRITE", _EPOLL: "WRITE", "selectors": None},
    control=setup(closes=False),
    needs=("unix",),
    promises=("selectors",),
)
def unix_close_for_write(rig: Rig, closes: bool = True) -> Seen:
    """Fill a unix socket and close its peer; ask for WRITE."""
    near, far = rig.unix()
    rig.fill(near)
    if closes:
        far.close()
    return seen(rig.ask(near, "w"))


@probe(
    claim="a reset makes a socket readable and writable, whichever it is registered for",
    source="selectors.py; tcp(7); poll(2) POLLERR and POLLHUP",
    on=SELECTORS,
    expect="READ and WRITE",
    control=setup(resets=False),
    promises=("selectors",),
)
def reset_for_either(rig: Rig, resets: bool = True) -> Seen:
    """Fill a TCP socket and have the peer reset it; ask for READ only, then for WRITE only."""
    near, far = rig.tcp()
    rig.fill(near)
    if resets:
        rig.reset(far)
        rig.arrived(near)
    return seen("%s and %s" % (rig.ask(near, "r"), rig.ask(near, "w")))


@probe(
    claim="modify refuses an event mask that register refuses, and is as if unregister came first",
    source=_DOCS + "#selectors.BaseSelector.modify: equivalent to unregister, then register; ValueError",
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
    source=_DOCS + "#selectors.BaseSelector.modify: equivalent to unregister, then register; ValueError",
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
    on=(_POLL, _EPOLL, _DEVPOLL),
    expect={_DEVPOLL: None, "*": "0"},
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
    return seen(_entries(selector))


@probe(
    claim="modify of a descriptor that was closed fails only where the kernel is told",
    source="selectors.py, _PollLikeSelector.modify; epoll_ctl(2) EBADF",
    on=SELECTORS,
    expect={_SELECT: "ok, kept; then EBADF", _POLL: "ok, kept; then READ+WRITE",
            _EPOLL: "EBADF, gone; then silent", "selectors": None},
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
    return seen("%s; then %s" % (result, attempt(_entries, selector, ok=str)))


@probe(
    claim="modify to the same events and data gives back the same key",
    source="selectors.py, modify: nothing has changed",
    on=SELECTORS,
    expect={_SELECT: "the same", _POLL: "the same", _EPOLL: "the same", _KQUEUE: "the same", _DEVPOLL: "the same",
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


@probe(
    claim="entries that a closed descriptor left in the kernel take the slots of those that are registered",
    source="selectors.py, EpollSelector.select asks for as many events as are registered; epoll(7) Q6",
    on=SELECTORS,
    expect={_EPOLL: "3 of 6", "selectors": "6 of 6"},
    control=setup(readable=False),
    promises=("selectors",),
)
def stale_entry_steals(rig: Rig, readable: bool = True) -> Seen:
    """Register two sockets, the first readable and duplicated; close and unregister that. Then make the other
    readable; select six times, and count how often that is reported."""
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
    claim="after close and unregister with a duplicate alive, epoll's wait returns at once with nothing, for ever",
    source="epoll(7) Q6; selectors.py, _PollLikeSelector.unregister passes over EBADF",
    on=SELECTORS,
    expect={_EPOLL: "early, silent", "selectors": "whole, silent"},
    control=setup(unregisters=False),
    trials=3,
    promises=("selectors",),
)
def stale_entry_spins(rig: Rig, unregisters: bool = True) -> Seen:
    """Register a readable socket by its number, duplicate it, close it, unregister it; select, with another silent
    one registered."""
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
        answer = attempt(_entries, selector, timeout, ok=str)
    return seen("%s, %s" % ("whole" if taken["seconds"] >= 0.8 * timeout else "early", answer))


@probe(
    claim="a descriptor that is ready both ways is one entry with both events; for kqueue it is two",
    source=_DOCS + "#selectors.BaseSelector.select; gh-110038",
    on=SELECTORS,
    expect={_KQUEUE: "READ, WRITE; then READ, WRITE", "selectors": "READ+WRITE; then READ+WRITE"},
    control=setup(writes=False),
    promises=("selectors",),
)
def both_ready(rig: Rig, writes: bool = True) -> Seen:
    """Register a socket for both, and have its peer send; select twice."""
    near, far = rig.unix()
    if writes:
        rig.write(far)
        rig.arrived(near)
    selector = rig.selector()
    selector.register(near, READ | WRITE)
    return seen("%s; then %s" % (_entries(selector), _entries(selector)))


@probe(
    claim="selectors take no flags of the API below: no edge trigger, no one-shot",
    source=_DOCS + "#selectors.BaseSelector.register: ValueError; gh-75027",
    on=SELECTORS,
    expect="ValueError",
    control=setup(flag=0),
    promises=("selectors",),
)
def register_edge(rig: Rig, flag: int = ET) -> Seen:
    """Register a socket for READ and EPOLLET."""
    near, _ = rig.unix()
    return seen(attempt(rig.selector().register, near, READ | flag))


@probe(
    claim="edge trigger can be set behind the back of EpollSelector, and lasts until the next modify",
    source="selectors.py, EpollSelector._selector; epoll(7)",
    on=(_EPOLL,),
    expect="READ, silent; after modify READ+WRITE, READ+WRITE",
    control=setup(trigger=0),
    promises=("selectors",),
)
def private_edge(rig: Rig, trigger: int = ET) -> Seen:
    """Register a readable socket; set EPOLLET on the epoll object within; select twice; modify; select twice."""
    near, far = rig.unix()
    rig.write(far)
    selector = rig.selector()
    selector.register(near, READ)
    selector._selector.modify(near.fileno(), 0x1 | trigger)
    before = "%s, %s" % (_entries(selector), _entries(selector))
    selector.modify(near, READ | WRITE)
    return seen("%s; after modify %s, %s" % (before, _entries(selector), _entries(selector)))
