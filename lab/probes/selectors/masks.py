"""How the classes turn the masks of the interface below into READ and WRITE, and which flags they accept."""

from __future__ import annotations

import os

from lab.probes.selectors import DOCS, EPOLL, KQUEUE, POLL, READ, SELECT, WRITE, entries
from lab.probing.probe import SELECTORS, Seen, backend, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import ET, SILENT


@probe(
    claim="poll and epoll report a hang-up as WRITE if only WRITE is registered, and select reports nothing",
    source="selectors.py, _PollLikeSelector.select: any bit but POLLIN is EVENT_WRITE; pipe(7)",
    on=SELECTORS,
    expect={SELECT: SILENT, POLL: "WRITE", EPOLL: "WRITE", "selectors": None},
    control=backend(SELECT),
    needs=("pipes",),
    promises=("selectors",),
)
def pipe_end_for_write(rig: Rig) -> Seen:
    """Close the writing end of a pipe; register the reading end for WRITE, and ask."""
    reader, writer = rig.pipe()
    os.close(writer)
    return seen(rig.ask(reader, "w"))


@probe(
    claim="poll and epoll report a hang-up of a pipe's reading end as READ and WRITE, and select as READ",
    source="selectors.py, _PollLikeSelector.select; pipe(7)",
    on=SELECTORS,
    expect={SELECT: "READ", POLL: "READ+WRITE", EPOLL: "READ+WRITE", "selectors": None},
    control=setup(closes=False),
    needs=("pipes",),
    promises=("selectors",),
)
def pipe_end_for_both(rig: Rig, closes: bool = True) -> Seen:
    """Close the writing end of a pipe; register the reading end for READ and WRITE, and ask."""
    reader, writer = rig.pipe()
    if closes:
        os.close(writer)
    return seen(rig.ask(reader, "rw"))


@probe(
    claim="a full unix socket that is registered for WRITE only becomes writable when its peer closes",
    source="selectors.py; poll(2) POLLHUP; select(2): a write that fails does not block",
    on=SELECTORS,
    expect={SELECT: "WRITE", POLL: "WRITE", EPOLL: "WRITE", "selectors": None},
    control=setup(closes=False),
    needs=("unix",),
    promises=("selectors",),
)
def unix_close_for_write(rig: Rig, closes: bool = True) -> Seen:
    """Fill a unix socket, and close its peer; register the socket for WRITE, and ask."""
    near, far = rig.unix()
    rig.fill(near)
    if closes:
        far.close()
    return seen(rig.ask(near, "w"))


@probe(
    claim="a reset is reported as READ if READ is registered, and as WRITE if WRITE is registered",
    source="selectors.py; tcp(7); poll(2) POLLERR and POLLHUP",
    on=SELECTORS,
    expect="READ and WRITE",
    control=setup(resets=False),
    promises=("selectors",),
)
def reset_for_either(rig: Rig, resets: bool = True) -> Seen:
    """Fill a TCP socket, and have the peer reset it; ask for READ only, and then for WRITE only."""
    near, far = rig.tcp()
    rig.fill(near)
    if resets:
        rig.reset(far)
        rig.arrived(near)
    return seen("%s and %s" % (rig.ask(near, "r"), rig.ask(near, "w")))


@probe(
    claim="select() returns one entry with both events for a descriptor that is readable and writable; kqueue: two",
    source=DOCS + "#selectors.BaseSelector.select; gh-110038",
    on=SELECTORS,
    expect={KQUEUE: "READ, WRITE; then READ, WRITE", "selectors": "READ+WRITE; then READ+WRITE"},
    control=setup(writes=False),
    promises=("selectors",),
)
def both_ready(rig: Rig, writes: bool = True) -> Seen:
    """Register a socket for READ and WRITE, and have its peer send; select twice."""
    near, far = rig.unix()
    if writes:
        rig.write(far)
        rig.arrived(near)
    selector = rig.selector()
    selector.register(near, READ | WRITE)
    return seen("%s; then %s" % (entries(selector), entries(selector)))


@probe(
    claim="register refuses the flags of the interface below, such as edge trigger and one-shot",
    source=DOCS + "#selectors.BaseSelector.register: ValueError; gh-75027",
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
    claim="one can set the edge trigger on the private epoll object of EpollSelector; the next modify removes it",
    source="selectors.py, EpollSelector._selector; epoll(7)",
    on=(EPOLL,),
    expect="READ, silent; after modify READ+WRITE, READ+WRITE",
    control=setup(trigger=0),
    promises=("selectors",),
)
def private_edge(rig: Rig, trigger: int = ET) -> Seen:
    """Register a readable socket; set EPOLLET on the private epoll object; select twice; modify; select twice."""
    near, far = rig.unix()
    rig.write(far)
    selector = rig.selector()
    selector.register(near, READ)
    selector._selector.modify(near.fileno(), 0x1 | trigger)
    before = "%s, %s" % (entries(selector), entries(selector))
    selector.modify(near, READ | WRITE)
    return seen("%s; after modify %s, %s" % (before, entries(selector), entries(selector)))
