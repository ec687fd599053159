"""Which waiters wake up when several wait for the same thing, and what EPOLLEXCLUSIVE changes about that.

The waiters are threads that sleep in their calls before anything happens. Once no further thread has returned for one
"quiet" span, the probe counts those that have, and then releases the others. A waiter accepts the connection only where
it waits in accept() itself."""

from __future__ import annotations

import functools
import socket
import time
from typing import Any, Callable, List, Sequence

from lab.probing.probe import EPOLLS, EVERY, Seen, backend, over, probe, seen, setup
from lab.probing.rig import Rig
from lab.probing.rig.running import Running
from lab.probing.watchers import EXCLUSIVE

WAITERS = 4


# How many waiters wake up.


def _woken(rig: Rig, waits: Sequence[Callable[[], Any]], happen: Callable[[], Any], release: Callable[[], Any]) -> Seen:
    """Start all waits, call ``happen``, and count the threads that return; ``release`` then makes the others return
    too."""
    running = [rig.thread(wait) for wait in waits]
    for one in running:
        one.until_asleep()
    happen()
    woken = _returned(rig, running)
    _end(rig, running, release)
    return seen("%d of %d woken" % (woken, len(running)))


def _returned(rig: Rig, running: List[Running]) -> int:
    """How many threads have returned, once all have, or no further one did for quiet."""
    found, since = 0, time.monotonic()
    while found < len(running) and time.monotonic() < since + rig.quiet:
        time.sleep(0.001)  # let the other threads run; nothing depends on its length
        now = sum(one.done() for one in running)
        if now != found:
            found, since = now, time.monotonic()
    return found


def _end(rig: Rig, running: List[Running], release: Callable[[], Any]) -> None:
    """Call ``release`` until all threads have ended. Raises what one of them raised."""
    def ended() -> bool:
        if all(one.done() for one in running):
            return True
        release()
        return False
    rig.until(ended)
    for one in running:
        one.result()


def _for_a_connection(rig: Rig, listener: socket.socket, watchers: List[Any], connects: bool = True) -> Seen:
    """``_woken`` for one thread per entry of ``watchers``, all of which watch the listener already."""
    wakened, waker = rig.unix()
    for asked in set(watchers):
        asked.watch(wakened.fileno())
    waits = [functools.partial(asked.ask, rig.patience) for asked in watchers]
    return _woken(rig, waits, lambda: rig.client(listener) if connects else None, lambda: rig.write(waker))


@probe(
    claim="one connection wakes every thread that waits for the listener through an object of its own",
    source="epoll_ctl(2) EPOLLEXCLUSIVE: without it, all are told",
    on=EVERY,
    expect={"kqueue": None, "selectors:KqueueSelector": None, "*": "4 of 4 woken"},
    control=setup(connects=False),
)
def separate(rig: Rig, connects: bool = True) -> Seen:
    """Have four threads wait for one listener, each through its own object; connect once, and count the threads that
    wake up."""
    listener = rig.listener()
    watchers = [rig.watcher() for _ in range(WAITERS)]
    for asked in watchers:
        asked.watch(listener.fileno())
    return _for_a_connection(rig, listener, watchers, connects)


@probe(
    claim="with EPOLLEXCLUSIVE, one connection wakes one of the threads that wait for the listener, each through its "
          "own epoll",
    source="epoll_ctl(2) EPOLLEXCLUSIVE, which says: one or more",
    on=EPOLLS,
    expect="1 of 4 woken",
    control=setup(flag=0),
)
def exclusive(rig: Rig, flag: int = EXCLUSIVE) -> Seen:
    """Have four threads wait for one listener, each through its own epoll object, registered with EPOLLEXCLUSIVE;
    connect once, and count the threads that wake up."""
    listener = rig.listener()
    watchers: List[Any] = [rig.watcher() for _ in range(WAITERS)]
    for asked in watchers:
        asked.api.register(listener.fileno(), asked.bits("r") | flag)
    return _for_a_connection(rig, listener, watchers)


@probe(
    claim="one connection wakes one of the threads that share an edge-triggered epoll, but all that share a "
          "level-triggered one",
    source="epoll(7): of those waiting on one epoll, an edge wakes just one",
    on=(*over("epoll", "kqueue", raw=True), *over("epoll", raw=False)),
    expect={"epoll-et": "1 of 4 woken", "kqueue": None, "*": "4 of 4 woken"},
    control=backend("epoll-et"),
)
def shared(rig: Rig) -> Seen:
    """Have four threads wait for a listener in one shared object; connect once, and count the threads that wake up."""
    listener = rig.listener()
    asked = rig.watcher()
    asked.watch(listener.fileno())
    return _for_a_connection(rig, listener, [asked] * WAITERS)


@probe(
    claim="one connection wakes one of the threads that block in accept()",
    source="Linux inet_csk_wait_for_connect, an exclusive wait; POSIX leaves it open",
    expect="1 of 4 woken",
    control=setup(clients=2),
)
def blocking_accept(rig: Rig, clients: int = 1) -> Seen:
    """Have four threads block in accept() on one listener; connect once, and count the threads that wake up."""
    listener = rig.listener(128)
    listener.setblocking(True)

    def connect() -> None:
        for _ in range(clients):
            rig.client(listener)
    return _woken(rig, [lambda: rig.keep(listener.accept()[0])] * WAITERS, connect, lambda: rig.client(listener))


# Which waiter wakes up.


def _shares(rig: Rig, listener: socket.socket, takers: Sequence[Callable[[], socket.socket]], turns: int = 6) -> Seen:
    """Connect ``turns`` times, each time after the last taker is back in its wait; describe how the connections are
    shared."""
    taken: List[int] = []
    stopping: List[bool] = []

    def work(index: int, take: Callable[[], socket.socket]) -> None:
        while not stopping:
            rig.keep(take())
            taken.append(index)
    running = [rig.thread(work, index, take) for index, take in enumerate(takers)]
    for one in running:
        one.until_asleep()

    def connect() -> None:
        before = len(taken)
        rig.client(listener)
        rig.until(lambda: len(taken) > before)
        running[taken[-1]].until_asleep()
    for _ in range(turns):
        connect()
    counts = sorted(taken.count(index) for index in range(len(takers)))
    stopping.append(True)
    _end(rig, running, lambda: rig.client(listener))
    return seen(_pattern(counts), counts=counts)


def _pattern(counts: List[int]) -> str:
    """Describe sorted counts in words."""
    if 3 * counts[-1] > 2 * sum(counts):
        return "one worker takes most"
    return "shared evenly" if 2 * counts[0] >= counts[-1] else "uneven"


@probe(
    claim="EPOLLEXCLUSIVE balances nothing: as long as one waiter keeps up, the same one is woken again and again",
    source="epoll_ctl(2) EPOLLEXCLUSIVE, which promises no order; Cloudflare, The sad state of Linux socket balancing",
    on=("epoll",),
    expect="one worker takes most",
    control=setup(moves_back=True),
    trials=3,
)
def exclusive_balance(rig: Rig, moves_back: bool = False) -> Seen:
    """Have three threads accept from one listener, each through its own epoll object with EPOLLEXCLUSIVE; connect six
    times, each time after the last thread waits again; count the connections of each thread."""
    listener = rig.listener(128)

    def taker() -> Callable[[], socket.socket]:
        asked: Any = rig.watcher()
        asked.api.register(listener.fileno(), asked.bits("r") | EXCLUSIVE)

        def take() -> socket.socket:
            while True:
                asked.ask(rig.patience)
                if moves_back:  # move to the end of the listener's queue of waiters
                    asked.unwatch(listener.fileno())
                    asked.api.register(listener.fileno(), asked.bits("r") | EXCLUSIVE)
                try:
                    return listener.accept()[0]
                except BlockingIOError:  # another thread has taken it
                    continue
        return take
    return _shares(rig, listener, [taker() for _ in range(3)])


@probe(
    claim="threads that block in accept() take turns",
    source="Linux inet_csk_wait_for_connect: who waits again stands at the end; POSIX leaves it open",
    expect="shared evenly",
    control=setup(waiting=1),
    trials=3,
)
def accept_balance(rig: Rig, waiting: int = 3) -> Seen:
    """Have three threads block in accept() on one listener; connect six times, each time after the last thread waits
    again; count the connections of each thread."""
    listener = rig.listener(128)
    listener.setblocking(True)
    return _shares(rig, listener, [lambda: listener.accept()[0]] * waiting)
