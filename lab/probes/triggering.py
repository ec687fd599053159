"""What a registration asks for beyond readiness: once only, nothing at all, exclusively, or writing though idle.

Topics ``edge`` and ``edge-out`` are about edge triggering, ``herd`` about who is woken, with EPOLLEXCLUSIVE too.
"""

from __future__ import annotations

import select
from typing import Any, Tuple

from lab.probing.hearing import hear, watching
from lab.probing.probe import EVERY, Seen, backend, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import ET, EXCLUSIVE, ONESHOT, RDHUP, SILENT

_select: Any = select  # typed loosely: kqueue's names are known to type checkers on its platforms only

IN, PRI, OUT, ERR, HUP, WAKEUP = 0x1, 0x2, 0x4, 0x8, 0x10, 1 << 29

MASKS = ("poll", "epoll", "epoll-et")
"""Interfaces in which interest can be nothing and an answer still comes."""


# One-shot.


def _oneshot(rig: Rig, thing: Any, once: bool = True) -> Tuple[Any, int]:
    """A new watcher that watches this for reading, one-shot where ``once``; and the mask that it has registered."""
    asked: Any = rig.watcher()
    bits = asked.bits("r") | (ONESHOT if once else 0)
    asked.api.register(thing.fileno(), bits)
    return asked, bits


@probe(
    claim="EPOLLONESHOT tells once; then the registration is disabled, for new data too",
    source="epoll_ctl(2) EPOLLONESHOT",
    on=("epoll",),
    expect="IN, silent, silent",
    control=setup(once=False),
)
def oneshot_disables(rig: Rig, once: bool = True) -> Seen:
    """Send a byte over a unix stream and ask twice; send another, and ask."""
    near, far = rig.unix()
    asked, _ = _oneshot(rig, near, once)
    rig.write(far)
    masks = [rig.mask(asked, near), rig.mask(asked, near, 0.0)]
    rig.write(far)
    return seen(", ".join(masks + [rig.mask(asked, near)]))


@probe(
    claim="EPOLL_CTL_MOD arms a one-shot registration again, for what is unread already",
    source="epoll_ctl(2) EPOLLONESHOT",
    on=("epoll",),
    expect="IN, IN, silent",
    control=setup(modifies=False),
)
def oneshot_modify_rearms(rig: Rig, modifies: bool = True) -> Seen:
    """Have a byte told once; modify the registration to what it was, and ask twice with the byte unread."""
    near, far = rig.unix()
    asked, bits = _oneshot(rig, near)
    rig.write(far)
    masks = [rig.mask(asked, near)]
    if modifies:
        asked.api.modify(near.fileno(), bits)
    return seen(", ".join(masks + [rig.mask(asked, near), rig.mask(asked, near, 0.0)]))


@probe(
    claim="a disabled one-shot registration is still there: registering again is refused, and arms nothing",
    source="epoll_ctl(2) EPOLLONESHOT and EEXIST",
    on=("epoll",),
    expect="EEXIST, silent",
    control=setup(unregisters=True),
)
def oneshot_add_again(rig: Rig, unregisters: bool = False) -> Seen:
    """Have a byte told once; register again without unregistering, and ask."""
    near, far = rig.unix()
    asked, bits = _oneshot(rig, near)
    rig.write(far)
    rig.mask(asked, near)
    if unregisters:
        asked.unwatch(near.fileno())
    return seen("%s, %s" % (attempt(asked.api.register, near.fileno(), bits), rig.mask(asked, near)))


@probe(
    claim="a disabled one-shot registration hides a hang-up, which otherwise is always told, until it is armed again",
    source="epoll_ctl(2) EPOLLONESHOT, against EPOLLHUP: always reported",
    on=("epoll",),
    expect="silent, IN+HUP",
    control=setup(once=False),
)
def oneshot_hides_hangup(rig: Rig, once: bool = True) -> Seen:
    """Have a byte told once; close the unix peer, ask, modify the registration, and ask again."""
    near, far = rig.unix()
    asked, bits = _oneshot(rig, near, once)
    rig.write(far)
    rig.mask(asked, near)
    far.close()
    first = rig.mask(asked, near)
    asked.api.modify(near.fileno(), bits)
    return seen("%s, %s" % (first, rig.mask(asked, near)))


@probe(
    claim="a disabled one-shot registration hides a reset, which otherwise is always told, until it is armed again",
    source="epoll_ctl(2) EPOLLONESHOT, against EPOLLERR: always reported",
    on=("epoll",),
    expect="silent, IN+ERR+HUP",
    control=setup(once=False),
)
def oneshot_hides_reset(rig: Rig, once: bool = True) -> Seen:
    """Have a byte told once; reset the TCP connection from its other end, ask, modify, and ask again."""
    near, far = rig.tcp()
    asked, bits = _oneshot(rig, near, once)
    rig.write(far)
    rig.mask(asked, near, rig.patience)
    rig.reset(far)
    rig.settle(near, "")
    first = rig.mask(asked, near)
    asked.api.modify(near.fileno(), bits)
    return seen("%s, %s" % (first, rig.mask(asked, near)))


@probe(
    claim="EV_ONESHOT tells once, and then the event is gone: it can be added again, not deleted",
    source="kqueue(2) EV_ONESHOT: deleted once it was retrieved",
    on=("kqueue",),
    expect="READ, silent, ENOENT, ok, READ",
    control=setup(once=False),
)
def kqueue_oneshot_deletes(rig: Rig, once: bool = True) -> Seen:
    """Have a byte told, and ask again; delete the event, add it again, and ask with the byte unread."""
    near, far = rig.unix()
    asked: Any = rig.watcher()
    flags = _select.KQ_EV_ADD | (_select.KQ_EV_ONESHOT if once else 0)

    def change(action: int) -> str:
        event = _select.kevent(near.fileno(), _select.KQ_FILTER_READ, action)
        return attempt(asked.api.control, [event], 0, 0)
    change(flags)
    rig.write(far)
    masks = [rig.mask(asked, near), rig.mask(asked, near)]
    return seen(", ".join([*masks, change(_select.KQ_EV_DELETE), change(flags), rig.mask(asked, near)]))


# Interest in nothing.


@probe(
    claim="who asks for nothing does not hear a TCP peer close: that is an end of file, neither error nor hang-up",
    source="poll(2): events may be zero; epoll_ctl(2) EPOLLHUP",
    on=MASKS,
    expect="silent",
    control=setup(want="r"),
)
def nothing_wanted_tcp_close(rig: Rig, want: str = "") -> Seen:
    """Watch a TCP socket for nothing; have the peer close, and ask."""
    near, far = rig.tcp()
    asked = watching(rig, near, want)
    far.close()
    rig.arrived(near)
    return seen(rig.mask(asked, near))


@probe(
    claim="who asks for nothing hears a unix peer close, as a hang-up",
    source="poll(2): events may be zero, POLLHUP; epoll_ctl(2) EPOLLHUP: always reported",
    on=MASKS,
    expect="HUP",
    control=setup(closes=False),
)
def nothing_wanted_unix_close(rig: Rig, closes: bool = True) -> Seen:
    """Watch a unix stream for nothing; have the peer close, and ask."""
    near, far = rig.unix()
    asked = watching(rig, near, "")
    if closes:
        far.close()
    return seen(rig.mask(asked, near))


@probe(
    claim="who asks for nothing hears a reset, as an error and a hang-up",
    source="poll(2): events may be zero, POLLERR; epoll_ctl(2) EPOLLERR: always reported",
    on=MASKS,
    expect="ERR+HUP",
    control=setup(resets=False),
)
def nothing_wanted_reset(rig: Rig, resets: bool = True) -> Seen:
    """Watch a TCP socket for nothing; have the peer reset the connection, and ask."""
    near, far = rig.tcp()
    asked = watching(rig, near, "")
    if resets:
        rig.reset(far)
    else:
        far.close()
    rig.arrived(near)
    return seen(rig.mask(asked, near))


# Writing, idle.


@probe(
    claim="interest in writing on an idle socket is a busy loop where it is level-triggered; by edge it is told once",
    source="epoll(7), level-triggered and edge-triggered; POSIX select and poll",
    on=EVERY,
    expect={"epoll-et": "once", "*": "every time"},
    control=backend("epoll-et"),
)
def idle_writer_spins(rig: Rig) -> Seen:
    """Ask for writing on an idle TCP socket, 50 times, or until a call waits in vain."""
    near, _ = rig.tcp()
    asked = watching(rig, near, "w")
    told = 0
    while told < 50 and hear(rig, asked, near, rig.quiet) != SILENT:
        told += 1
    return seen({0: "never", 1: "once", 50: "every time"}.get(told, "several times"), told=told)


# Exclusive.


def _register(rig: Rig, *masks: int) -> Seen:
    """How epoll answers to registering a socket with each of these masks: one word if always the same."""
    near, _ = rig.unix()
    answers = []
    for mask in masks:
        asked: Any = rig.watcher()
        answers.append(attempt(asked.api.register, near.fileno(), mask))
    return seen("/".join(sorted(set(answers))), masks=[hex(mask) for mask in masks], answers=answers)


@probe(
    claim="EPOLLEXCLUSIVE goes with IN, OUT, ERR, HUP, ET and WAKEUP",
    source="epoll_ctl(2) EPOLLEXCLUSIVE",
    on=("epoll",),
    expect="ok",
    control=setup(more=ONESHOT),
)
def exclusive_goes_with(rig: Rig, more: int = 0) -> Seen:
    """Register a socket as exclusive, with each of the flags that the manual allows."""
    return _register(rig, *(EXCLUSIVE | IN | mask | more for mask in (0, OUT, ERR, HUP, ET, WAKEUP)))


@probe(
    claim="EPOLLEXCLUSIVE is refused with ONESHOT, RDHUP or PRI, so with the default mask of Python's register() too",
    source="epoll_ctl(2) EPOLLEXCLUSIVE and EINVAL; CPython select.epoll.register: IN, OUT and PRI by default",
    on=("epoll",),
    expect="EINVAL",
    control=setup(flag=0),
)
def exclusive_refuses(rig: Rig, flag: int = EXCLUSIVE) -> Seen:
    """Register a socket as exclusive, with each of these flags, and with Python's default."""
    return _register(rig, *(flag | IN | mask for mask in (ONESHOT, RDHUP, PRI, OUT | PRI)))


@probe(
    claim="an epoll instance cannot be watched exclusively",
    source="epoll_ctl(2) EPOLLEXCLUSIVE and EINVAL",
    on=("epoll",),
    expect="EINVAL",
    control=setup(flag=0),
)
def exclusive_epoll(rig: Rig, flag: int = EXCLUSIVE) -> Seen:
    """Register one epoll with another, as exclusive."""
    inner: Any = rig.watcher()
    asked: Any = rig.watcher()
    return seen(attempt(asked.api.register, inner.api.fileno(), IN | flag))


@probe(
    claim="an exclusive registration cannot be modified, not even to what it is but for the flag",
    source="epoll_ctl(2) EPOLLEXCLUSIVE and EINVAL",
    on=("epoll",),
    expect="EINVAL",
    control=setup(flag=0),
)
def exclusive_then_modify(rig: Rig, flag: int = EXCLUSIVE) -> Seen:
    """Register a socket as exclusive; modify it to plain reading."""
    near, _ = rig.unix()
    asked: Any = rig.watcher()
    asked.api.register(near.fileno(), IN | flag)
    return seen(attempt(asked.api.modify, near.fileno(), IN))


@probe(
    claim="a registration cannot be made exclusive later",
    source="epoll_ctl(2) EPOLLEXCLUSIVE and EINVAL",
    on=("epoll",),
    expect="EINVAL",
    control=setup(flag=0),
)
def modify_to_exclusive(rig: Rig, flag: int = EXCLUSIVE) -> Seen:
    """Register a socket for reading; modify it to the same, exclusively."""
    near, _ = rig.unix()
    asked: Any = rig.watcher()
    asked.api.register(near.fileno(), IN)
    return seen(attempt(asked.api.modify, near.fileno(), IN | flag))
