"""Pollers that watch pollers: an epoll object has a descriptor too, which is readable while it has events."""

from __future__ import annotations

from typing import Any, List

from lab.probing.probe import EPOLLS, EVERY, Seen, fault, over, probe, seen, setup
from lab.probing.rig import Rig, attempt, number
from lab.probing.watchers import Watcher

_EPOLL_OBJECTS = over("epoll")


def _descriptor(asked: Any) -> int:
    return number(asked.api)


@probe(
    claim="an epoll object is readable while it has events to report",
    source="epoll(7), questions and answers",
    on=EVERY,
    expect={"select": "r", "poll": "IN", "epoll": "IN", "selectors": "READ"},
    control=setup(sends=False),
    needs=("epoll",),
)
def inner_has_events(rig: Rig, sends: bool = True) -> Seen:
    """Register a socket with an epoll object, and that object with a second poller; have the peer send; ask the second
    poller."""
    near, far = rig.unix()
    inner = rig.watcher("epoll")
    inner.watch(near.fileno())
    if sends:
        rig.write(far)
    return seen(rig.ask(_descriptor(inner), "r"))


@probe(
    claim="an epoll object stops being readable once its socket has been drained, even if nobody has called it since",
    source="epoll(7), questions and answers",
    on=over("select", "poll", "epoll", edge=False),
    expect="silent",
    control=setup(drains=False),
    needs=("epoll",),
)
def inner_drained(rig: Rig, drains: bool = True) -> Seen:
    """Register a socket with an epoll object, and that object with a second poller; have the peer send; ask the second
    poller, drain the socket, and ask the second poller again."""
    near, far = rig.unix()
    inner, outer = rig.watcher("epoll"), rig.watcher()
    inner.watch(near.fileno())
    outer.watch(_descriptor(inner))
    rig.write(far)
    before = rig.mask(outer, _descriptor(inner))
    if drains:
        rig.drain(near)
    return seen(rig.mask(outer, _descriptor(inner)), before=before)


@probe(
    claim="a kqueue is readable only while it has events to report",
    source="kqueue(2); libuv #883",
    on=("kqueue",),
    control=fault("eager"),
)
def idle_kqueue(rig: Rig) -> Seen:
    """Register a socket that has nothing to read with a kqueue, and that kqueue with a second one; ask the second
    kqueue."""
    near, _ = rig.unix()
    inner, outer = rig.watcher(), rig.watcher()
    inner.watch(near.fileno())
    outer.watch(_descriptor(inner))
    return seen(rig.mask(outer, _descriptor(inner)))


@probe(
    claim="an epoll object can be registered with itself",
    source="epoll(7), questions and answers; epoll_ctl(2) EINVAL",
    on=_EPOLL_OBJECTS,
    expect="EINVAL",
    control=setup(same=False),
)
def itself(rig: Rig, same: bool = True) -> Seen:
    """Register an epoll object with itself. Control: register another epoll object with it."""
    asked = rig.watcher()
    return seen(attempt(asked.watch, _descriptor(asked if same else rig.watcher())))


@probe(
    claim="two epoll objects can watch each other",
    source="epoll_ctl(2) ELOOP",
    on=_EPOLL_OBJECTS,
    expect="ELOOP",
    control=setup(circle=False),
)
def each_other(rig: Rig, circle: bool = True) -> Seen:
    """Register one epoll object with a second, and the second with the first. Control: register the second with a
    third."""
    first, second = rig.watcher(), rig.watcher()
    second.watch(_descriptor(first))
    last = first if circle else rig.watcher()
    return seen(attempt(last.watch, _descriptor(second)))


def _links(pairs: List[Any]) -> str:
    """How many of these registrations, each (outer, inner), succeed, and the error that ends them."""
    for count, (outer, inner) in enumerate(pairs):
        refusal = attempt(outer.watch, _descriptor(inner))
        if refusal != "ok":
            return "%d links, then %s" % (count, refusal)
    return "%d links" % len(pairs)


@probe(
    claim="epoll objects can be nested five deep",
    source="epoll_ctl(2) ELOOP: \"a nesting depth of epoll instances greater than 5\"",
    on=EPOLLS,
    expect="4 links, then ELOOP",
    control=setup(chain=False),
)
def chain_outwards(rig: Rig, chain: bool = True) -> Seen:
    """Register each of nine epoll objects with the next one, the innermost first. Control: register the first with all
    others."""
    objects: List[Watcher] = [rig.watcher() for _ in range(9)]
    return seen(_links([(outer, objects[place] if chain else objects[0]) for place, outer in enumerate(objects[1:])]))


@probe(
    claim="how deep epoll objects can be nested does not depend on the order of registration",
    source="epoll_ctl(2) ELOOP: \"a nesting depth of epoll instances greater than 5\"",
    on=EPOLLS,
    expect="4 links, then ELOOP",
    control=setup(chain=False),
)
def chain_inwards(rig: Rig, chain: bool = True) -> Seen:
    """Register with each of nine epoll objects the next one, the outermost first. Control: register all others with the
    first."""
    objects: List[Watcher] = [rig.watcher() for _ in range(9)]
    return seen(_links([(objects[place] if chain else objects[0], inner) for place, inner in enumerate(objects[1:])]))
