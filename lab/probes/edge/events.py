"""Edge-triggered events other than new data: a renewed registration, a connect, a timer, an epoll in an epoll."""

from __future__ import annotations

import os
from typing import Any

from lab.probes.edge import EDGE
from lab.probing.probe import EVERY, Seen, SetUpFailed, backend, probe, seen, setup
from lab.probing.repetition import mask_or_raise, told_or_silent, watcher_of
from lab.probing.rig import Rig

_os: Any = os  # typed loosely: what only some platforms have


@probe(
    claim="modifying a registration, even to the same mask, makes it report unread data once more",
    source="epoll(7) Questions and answers: EPOLL_CTL_MOD looks at the state anew",
    on=EDGE,
    expect="told, silent, told, silent",
    control=setup(modifies=False),
)
def modify_rearms(rig: Rig, modifies: bool = True) -> Seen:
    """With data unread, ask twice; modify the registration to the same mask, and ask twice more."""
    near, far = rig.unix()
    rig.write(far)
    asked = watcher_of(rig, near)
    masks = [mask_or_raise(rig, asked, near, 0.0), mask_or_raise(rig, asked, near, 0.0)]
    if modifies:
        asked.rewatch(near.fileno(), "r")
    masks += [mask_or_raise(rig, asked, near, 0.0), mask_or_raise(rig, asked, near, rig.quiet)]
    return told_or_silent(masks)


@probe(
    claim="unregistering and registering again makes a registration report unread data once more",
    source="epoll_ctl(2) EPOLL_CTL_ADD",
    on=EDGE,
    expect="told, silent, told, silent",
    control=setup(registers=False),
)
def register_rearms(rig: Rig, registers: bool = True) -> Seen:
    """With data unread, ask twice; unregister, register again, and ask twice more."""
    near, far = rig.unix()
    rig.write(far)
    asked = watcher_of(rig, near)
    masks = [mask_or_raise(rig, asked, near, 0.0), mask_or_raise(rig, asked, near, 0.0)]
    if registers:
        asked.unwatch(near.fileno())
        asked.watch(near.fileno())
    masks += [mask_or_raise(rig, asked, near, 0.0), mask_or_raise(rig, asked, near, rig.quiet)]
    return told_or_silent(masks)


@probe(
    claim="a TCP socket that is registered before it connects is reported as hung up, and then as connected",
    source="connect(2) EINPROGRESS, which speaks of the second only; poll(2) POLLHUP",
    on=EVERY,
    expect={"select": "r+w, w, w", "poll": "OUT+HUP, OUT, OUT", "epoll-et": "OUT+HUP, OUT, silent",
            "epoll": "OUT+HUP, OUT, OUT", "selectors": "READ+WRITE, WRITE, WRITE", "kqueue": None,
            "selectors:KqueueSelector": None},
    control=setup(connects=False),
)
def connect(rig: Rig, connects: bool = True) -> Seen:
    """Register a new TCP socket for reading, writing and RDHUP, and ask; connect it to a listener, and ask twice."""
    near = rig.new_socket()
    asked = watcher_of(rig, near, "rwd")
    masks = [mask_or_raise(rig, asked, near, 0.0)]
    if connects:
        near.connect_ex(rig.listener().getsockname())
        rig.arrived(near, "w")
    masks += [mask_or_raise(rig, asked, near, rig.quiet), mask_or_raise(rig, asked, near, rig.quiet)]
    return seen(", ".join(masks))


def _periodic_timer(rig: Rig, seconds: float) -> int:
    """A timerfd that expires periodically, made with ctypes: Python has ``os.timerfd_create`` only since 3.13."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.timerfd_create(1, _os.O_NONBLOCK | _os.O_CLOEXEC)  # CLOCK_MONOTONIC
    span = (int(seconds), int(seconds % 1 * 1e9))
    times = (ctypes.c_long * 4)(*(span + span))  # the interval, and when first
    if fd < 0 or libc.timerfd_settime(rig.keep(fd), 0, ctypes.byref(times), None):
        raise SetUpFailed("no timerfd: errno %d" % ctypes.get_errno())
    return int(fd)


@probe(
    claim="an edge-triggered epoll reports a periodic timerfd that is not read once, not once a period",
    source="timerfd_create(2), which leaves it open; epoll(7)",
    on=EVERY,
    expect={"epoll-et": "told, silent", "*": "told, told"},
    control=backend("epoll-et"),
    needs=("linux", "ctypes"),
)
def timerfd(rig: Rig) -> Seen:
    """Start a timer with a tenth of quiet as its period; ask for the first expiration, and again without reading it."""
    fd = _periodic_timer(rig, rig.quiet / 10)
    asked = watcher_of(rig, fd)
    masks = [mask_or_raise(rig, asked, fd, rig.patience), mask_or_raise(rig, asked, fd, rig.quiet)]
    return told_or_silent(masks)


@probe(
    claim="an outer, edge-triggered epoll reports each new event of an inner one, even if nobody asks the inner one",
    source="epoll(7) Questions and answers: an epoll descriptor can be watched; google/gvisor #6427",
    on=EVERY,
    expect={"epoll-et": "told, silent, told", "*": "told, told, told"},
    control=backend("epoll-et"),
    needs=("epoll",),
)
def nested(rig: Rig) -> Seen:
    """Register an epoll that watches a socket; send, and ask twice; send again, and ask again. Never ask the inner
    epoll."""
    near, far = rig.unix()
    inner: Any = rig.watcher("epoll")
    inner.watch(near.fileno())
    asked = watcher_of(rig, inner.api)
    rig.write(far)
    masks = [mask_or_raise(rig, asked, inner.api, rig.quiet), mask_or_raise(rig, asked, inner.api, rig.quiet)]
    rig.write(far)
    return told_or_silent(masks + [mask_or_raise(rig, asked, inner.api, rig.quiet)])
