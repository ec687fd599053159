"""What a forked child shares with its parent: the child keeps descriptors open, and shares epoll objects.

An epoll object is an open file description like any other, so registrations that the child makes are the parent's too.
A kqueue is not inherited at all. What select, poll and selectors remember is ordinary memory, of which the child has a
copy."""

from __future__ import annotations

import os
from typing import Any, Callable

from lab.probing.probe import EPOLLS, Seen, backend, over, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import SILENT


def _in_child(rig: Rig, function: Callable[[], str]) -> str:
    """Call the function in a forked child, wait for the child to end, and return what the function returned."""
    reading, writing = rig.pipe()
    child = rig.fork(lambda: os.write(writing, function().encode()))
    rig.arrived(reading)
    rig.reap(child)
    return rig.read(reading).decode()


@probe(
    claim="a descriptor that the parent has closed is not reported any more, even while a forked child has it open",
    source="epoll(7), questions and answers; fork(2)",
    on=over("epoll", edge=False),
    expect={"epoll": "IN, without the child silent", "selectors": "READ, without the child silent"},
    control=setup(forks=False),
    needs=("fork",),
)
def child_holds(rig: Rig, forks: bool = True) -> Seen:
    """Register a socket that has data to read; fork a child that keeps it open; close the socket in the parent, and
    ask; let the child end, and ask once more."""
    near, far = rig.unix()
    go, release = rig.pipe()
    fd = near.fileno()
    asked = rig.watcher()
    asked.watch(fd)
    rig.write(far)
    child = rig.fork(lambda: rig.arrived(go)) if forks else None
    near.close()
    during = rig.mask(asked, fd)
    rig.write(release)
    if child is not None:
        rig.reap(child)
    return seen("%s, without the child %s" % (during, rig.mask(asked, fd)))


@probe(
    claim="an epoll object reports only descriptors that are open in the process that asks",
    source="fork(2): descriptors of the child refer to the same open file descriptions; epoll(7)",
    on=EPOLLS,
    expect="IN, fstat EBADF",
    control=setup(forks=False),
    needs=("fork",),
)
def child_registers(rig: Rig, forks: bool = True) -> Seen:
    """Fork a child that opens a pipe, writes to it, and registers it with the inherited epoll object, under a number
    that is open only in the child; in the parent ask, call fstat() on that number, and unregister it."""
    go, release = rig.pipe()
    hear, tell = rig.pipe()
    asked = rig.watcher()

    def register() -> None:
        reading, writing = rig.pipe()
        rig.write(writing)
        asked.watch(reading)
        rig.write(tell, b"%d" % reading)
        if forks:
            rig.arrived(go)

    if forks:
        rig.fork(register)
    else:
        register()
    rig.arrived(hear)
    fd = int(rig.read(hear))
    token = "%s, fstat %s" % (rig.mask(asked, fd), attempt(os.fstat, fd, ok=lambda _: "ok"))
    removed = attempt(asked.unwatch, fd)
    rig.write(release)
    return seen(token, unregister=removed)


@probe(
    claim="EpollSelector keeps waiting when epoll wakes it for a descriptor that is not in its map",
    source="epoll(7); selectors.py, EpollSelector.select",
    on=("selectors:EpollSelector",),
    expect="at once",
    control=setup(registers=False),
    needs=("fork",),
    trials=3,
)
def child_wakes_selector(rig: Rig, registers: bool = True) -> Seen:
    """Have a forked child register a readable socket with the shared selector, so that the parent's map lacks it; in
    the parent, which has the socket open, call select() with a timeout."""
    near, far = rig.unix()
    rig.write(far)
    asked = rig.watcher()
    _in_child(rig, lambda: attempt(asked.watch, near.fileno()) if registers else "idle")
    with rig.timed() as taken:
        mask = rig.mask(asked, near)
    if mask != SILENT:
        return seen(mask)
    return seen("slept" if taken["seconds"] > 0.8 * rig.quiet else "at once")


@probe(
    claim="a descriptor that a forked child unregisters stays registered in the parent",
    source="fork(2): descriptors of the child refer to the same open file descriptions; kqueue(2): not inherited",
    on=(*over(raw=True, edge=False), *over("select", "poll", raw=False)),
    expect={"select": "r", "poll": "IN", "epoll": "silent", "kqueue": "READ", "selectors": "READ"},
    control=backend("epoll"),
    needs=("fork",),
)
def child_unregisters(rig: Rig) -> Seen:
    """Register a socket; fork a child that unregisters it and ends; have the peer send, and ask in the parent."""
    near, far = rig.unix()
    asked = rig.watcher()
    asked.watch(near.fileno())
    removed = _in_child(rig, lambda: attempt(asked.unwatch, near.fileno()))
    rig.write(far)
    return seen(rig.mask(asked, near), child=removed)


@probe(
    claim="the map of an EpollSelector shows what is registered with the kernel",
    source="fork(2): descriptors of the child refer to the same open file descriptions; selectors.py",
    on=("selectors:EpollSelector",),
    expect="silent, 1 in the map",
    control=setup(unregisters=False),
    needs=("fork",),
)
def child_empties_selector(rig: Rig, unregisters: bool = True) -> Seen:
    """Register a socket; fork a child that unregisters it and ends; have the peer send; in the parent, call select()
    and count the entries of the map."""
    near, far = rig.unix()
    asked: Any = rig.watcher()
    asked.watch(near.fileno())
    _in_child(rig, lambda: attempt(asked.unwatch, near.fileno()) if unregisters else "idle")
    rig.write(far)
    return seen("%s, %d in the map" % (rig.mask(asked, near), len(asked.api.get_map())))


@probe(
    claim="a kqueue does not exist in a forked child, and Python's kqueue object is closed there",
    source="kqueue(2), not inherited by a child; gh-110395, since Python 3.12.1",
    on=("kqueue",),
    expect="closed, ValueError",
    control=setup(forks=False),
    needs=("fork",),
)
def child_has_no_kqueue(rig: Rig, forks: bool = True) -> Seen:
    """Fork a child that reads whether its kqueue object is closed, and then calls it."""
    asked: Any = rig.watcher()

    def look() -> str:
        return "%s, %s" % ("closed" if asked.api.closed else "open", attempt(asked.ask))
    return seen(_in_child(rig, look) if forks else look())
