"""What a registration can ask for besides readiness: one event only, no event, exclusive wake-up, or writing while
idle.

Topics ``edge`` and ``edge-out`` are about edge triggering; ``herd`` is about which waiters wake up, with EPOLLEXCLUSIVE
too."""

from __future__ import annotations

import select
from typing import Any, Tuple

from lab.probing.probe import EVERY, Seen, backend, over, probe, seen, setup
from lab.probing.repetition import mask_or_raise, watcher_of
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import ET, EXCLUSIVE, ONESHOT, RDHUP, SILENT

_select: Any = select  # typed loosely: type checkers know kqueue only on its own platforms

IN, PRI, OUT, ERR, HUP, WAKEUP = 0x1, 0x2, 0x4, 0x8, 0x10, 1 << 29

MASKS = over("poll", "epoll", raw=True)
"""The APIs that accept an empty interest mask and can still report events."""


# One-shot.


def _oneshot(rig: Rig, thing: Any, once: bool = True) -> Tuple[Any, int]:
    """A new watcher that watches this for reading, one-shot where ``once``; and the mask that is registered."""
    asked: Any = rig.watcher()
    bits = asked.bits("r") | (ONESHOT if once else 0)
    asked.api.register(thing.fileno(), bits)
    return asked, bits


@probe(
    claim="EPOLLONESHOT reports one event and then disables the registration, even for new data",
    source="epoll_ctl(2) EPOLLONESHOT",
    on=("epoll",),
    expect="IN, silent, silent",
    control=setup(once=False),
)
def oneshot_disables(rig: Rig, once: bool = True) -> Seen:
    """Register a unix stream for reading with EPOLLONESHOT; have the peer send a byte, and ask twice; have it send
    another, and ask again."""
    near, far = rig.unix()
    asked, _ = _oneshot(rig, near, once)
    rig.write(far)
    masks = [rig.mask(asked, near), rig.mask(asked, near, 0.0)]
    rig.write(far)
    return seen(", ".join(masks + [rig.mask(asked, near)]))


@probe(
    claim="EPOLL_CTL_MOD arms a one-shot registration again, and it then reports data that is still unread",
    source="epoll_ctl(2) EPOLLONESHOT",
    on=("epoll",),
    expect="IN, IN, silent",
    control=setup(modifies=False),
)
def oneshot_modify_rearms(rig: Rig, modifies: bool = True) -> Seen:
    """Register a unix stream with EPOLLONESHOT; have the peer send a byte, and ask; without reading the byte, modify
    the registration to the same mask, and ask twice."""
    near, far = rig.unix()
    asked, bits = _oneshot(rig, near)
    rig.write(far)
    masks = [rig.mask(asked, near)]
    if modifies:
        asked.api.modify(near.fileno(), bits)
    return seen(", ".join(masks + [rig.mask(asked, near), rig.mask(asked, near, 0.0)]))


@probe(
    claim="a disabled one-shot registration still exists: registering again fails, and arms nothing",
    source="epoll_ctl(2) EPOLLONESHOT and EEXIST",
    on=("epoll",),
    expect="EEXIST, silent",
    control=setup(unregisters=True),
)
def oneshot_add_again(rig: Rig, unregisters: bool = False) -> Seen:
    """Register a unix stream with EPOLLONESHOT; have the peer send a byte, and ask; register the stream again without
    unregistering it, and ask. Control: unregister it first."""
    near, far = rig.unix()
    asked, bits = _oneshot(rig, near)
    rig.write(far)
    rig.mask(asked, near)
    if unregisters:
        asked.unwatch(near.fileno())
    return seen("%s, %s" % (attempt(asked.api.register, near.fileno(), bits), rig.mask(asked, near)))


@probe(
    claim="a disabled one-shot registration hides a hang-up, which epoll otherwise always reports, until it is armed "
          "again",
    source="epoll_ctl(2) EPOLLONESHOT, against EPOLLHUP: always reported",
    on=("epoll",),
    expect="silent, IN+HUP",
    control=setup(once=False),
)
def oneshot_hides_hangup(rig: Rig, once: bool = True) -> Seen:
    """Register a unix stream with EPOLLONESHOT; have the peer send a byte, and ask; close the peer, and ask; modify the
    registration, and ask again."""
    near, far = rig.unix()
    asked, bits = _oneshot(rig, near, once)
    rig.write(far)
    rig.mask(asked, near)
    far.close()
    first = rig.mask(asked, near)
    asked.api.modify(near.fileno(), bits)
    return seen("%s, %s" % (first, rig.mask(asked, near)))


@probe(
    claim="a disabled one-shot registration hides a reset, which epoll otherwise always reports, until it is armed "
          "again",
    source="epoll_ctl(2) EPOLLONESHOT, against EPOLLERR: always reported",
    on=("epoll",),
    expect="silent, IN+ERR+HUP",
    control=setup(once=False),
)
def oneshot_hides_reset(rig: Rig, once: bool = True) -> Seen:
    """Register a TCP socket with EPOLLONESHOT; have the peer send a byte, and ask; have the peer reset the connection,
    and ask; modify the registration, and ask again."""
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
    claim="EV_ONESHOT reports one event and then deletes the registration, which can be added again but not deleted",
    source="kqueue(2) EV_ONESHOT: deleted once it was retrieved",
    on=("kqueue",),
    expect="READ, silent, ENOENT, ok, READ",
    control=setup(once=False),
)
def kqueue_oneshot_deletes(rig: Rig, once: bool = True) -> Seen:
    """Add a read event with EV_ONESHOT; have the peer send a byte, and ask twice; delete the event, add it again, and
    ask while the byte is unread."""
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


# An empty interest mask.


@probe(
    claim="with an empty interest mask, the close of a TCP peer is not reported: it is an end of file, neither error "
          "nor hang-up",
    source="poll(2): events may be zero; epoll_ctl(2) EPOLLHUP",
    on=MASKS,
    expect="silent",
    control=setup(want="r"),
)
def nothing_wanted_tcp_close(rig: Rig, want: str = "") -> Seen:
    """Register a TCP socket with an empty interest mask; have the peer close, and ask."""
    near, far = rig.tcp()
    asked = watcher_of(rig, near, want)
    far.close()
    rig.arrived(near)
    return seen(rig.mask(asked, near))


@probe(
    claim="with an empty interest mask, the close of a unix peer is reported, as a hang-up",
    source="poll(2): events may be zero, POLLHUP; epoll_ctl(2) EPOLLHUP: always reported",
    on=MASKS,
    expect="HUP",
    control=setup(closes=False),
)
def nothing_wanted_unix_close(rig: Rig, closes: bool = True) -> Seen:
    """Register a unix stream with an empty interest mask; have the peer close, and ask."""
    near, far = rig.unix()
    asked = watcher_of(rig, near, "")
    if closes:
        far.close()
    return seen(rig.mask(asked, near))


@probe(
    claim="with an empty interest mask, a reset is reported, as an error and a hang-up",
    source="poll(2): events may be zero, POLLERR; epoll_ctl(2) EPOLLERR: always reported",
    on=MASKS,
    expect="ERR+HUP",
    control=setup(resets=False),
)
def nothing_wanted_reset(rig: Rig, resets: bool = True) -> Seen:
    """Register a TCP socket with an empty interest mask; have the peer reset the connection, and ask."""
    near, far = rig.tcp()
    asked = watcher_of(rig, near, "")
    if resets:
        rig.reset(far)
    else:
        far.close()
    rig.arrived(near)
    return seen(rig.mask(asked, near))


# Writing, idle.


@probe(
    claim="an idle socket with interest in writing is reported on every call when level-triggered, a busy loop, and "
          "once when edge-triggered",
    source="epoll(7), level-triggered and edge-triggered; POSIX select and poll",
    on=EVERY,
    expect={"epoll-et": "once", "*": "every time"},
    control=backend("epoll-et"),
)
def idle_writer_spins(rig: Rig) -> Seen:
    """Register an idle TCP socket for writing; ask 50 times, or until a call reports nothing."""
    near, _ = rig.tcp()
    asked = watcher_of(rig, near, "w")
    told = 0
    while told < 50 and mask_or_raise(rig, asked, near, rig.quiet) != SILENT:
        told += 1
    return seen({0: "never", 1: "once", 50: "every time"}.get(told, "several times"), told=told)


# Exclusive.


def _register(rig: Rig, *masks: int) -> Seen:
    """How epoll answers when a socket is registered with each of these masks: one word if it is always the same."""
    near, _ = rig.unix()
    answers = []
    for mask in masks:
        asked: Any = rig.watcher()
        answers.append(attempt(asked.api.register, near.fileno(), mask))
    return seen("/".join(sorted(set(answers))), masks=[hex(mask) for mask in masks], answers=answers)


@probe(
    claim="EPOLLEXCLUSIVE can be combined with IN, OUT, ERR, HUP, ET and WAKEUP",
    source="epoll_ctl(2) EPOLLEXCLUSIVE",
    on=("epoll",),
    expect="ok",
    control=setup(more=ONESHOT),
)
def exclusive_goes_with(rig: Rig, more: int = 0) -> Seen:
    """Register a socket with EPOLLEXCLUSIVE and each of the flags that the manual allows."""
    return _register(rig, *(EXCLUSIVE | IN | mask | more for mask in (0, OUT, ERR, HUP, ET, WAKEUP)))


@probe(
    claim="epoll rejects EPOLLEXCLUSIVE with ONESHOT, RDHUP or PRI, and so with the default mask of Python's "
          "register()",
    source="epoll_ctl(2) EPOLLEXCLUSIVE and EINVAL; CPython select.epoll.register: IN, OUT and PRI by default",
    on=("epoll",),
    expect="EINVAL",
    control=setup(flag=0),
)
def exclusive_refuses(rig: Rig, flag: int = EXCLUSIVE) -> Seen:
    """Register a socket with EPOLLEXCLUSIVE and each of these flags, and with Python's default mask."""
    return _register(rig, *(flag | IN | mask for mask in (ONESHOT, RDHUP, PRI, OUT | PRI)))


@probe(
    claim="an epoll object cannot be registered with EPOLLEXCLUSIVE in another one",
    source="epoll_ctl(2) EPOLLEXCLUSIVE and EINVAL",
    on=("epoll",),
    expect="EINVAL",
    control=setup(flag=0),
)
def exclusive_epoll(rig: Rig, flag: int = EXCLUSIVE) -> Seen:
    """Register one epoll object with another, using EPOLLEXCLUSIVE."""
    inner: Any = rig.watcher()
    asked: Any = rig.watcher()
    return seen(attempt(asked.api.register, inner.api.fileno(), IN | flag))


@probe(
    claim="a registration with EPOLLEXCLUSIVE cannot be modified, not even to the same events without that flag",
    source="epoll_ctl(2) EPOLLEXCLUSIVE and EINVAL",
    on=("epoll",),
    expect="EINVAL",
    control=setup(flag=0),
)
def exclusive_then_modify(rig: Rig, flag: int = EXCLUSIVE) -> Seen:
    """Register a socket with EPOLLEXCLUSIVE for reading; modify the registration to plain reading."""
    near, _ = rig.unix()
    asked: Any = rig.watcher()
    asked.api.register(near.fileno(), IN | flag)
    return seen(attempt(asked.api.modify, near.fileno(), IN))


@probe(
    claim="a registration cannot be given EPOLLEXCLUSIVE later",
    source="epoll_ctl(2) EPOLLEXCLUSIVE and EINVAL",
    on=("epoll",),
    expect="EINVAL",
    control=setup(flag=0),
)
def modify_to_exclusive(rig: Rig, flag: int = EXCLUSIVE) -> Seen:
    """Register a socket for reading; modify the registration to reading with EPOLLEXCLUSIVE."""
    near, _ = rig.unix()
    asked: Any = rig.watcher()
    asked.api.register(near.fileno(), IN)
    return seen(attempt(asked.api.modify, near.fileno(), IN | flag))
