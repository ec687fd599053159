"""How long a wait takes, and what ends it: timeouts, wakers, other threads, signals."""

from __future__ import annotations

import contextlib
import signal as _signal
import threading
import time
from typing import Any, Callable, Iterator, List

import pytest

from lab.backends import Backend
from lab.events import READ
from lab.waits import LONGEST_WAIT
from tests.core.conformance.rig import GRAIN, Rig, heard, is_silent, look, until
from tests.waits import PATIENCE, QUIET

pytestmark = pytest.mark.winsock

signal: Any = _signal  # typed loosely: on Windows half of its names do not exist

FOR_EVER = [None, 1e12, LONGEST_WAIT + 1, float("inf")]


def elapsed(act: Callable[[], Any]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


# Timeouts.


@pytest.mark.parametrize("timeout", [0, 0.0, -1e-9, -0.0009, -1, -1e12, float("-inf")])
def test_zero_and_less_only_look(backend: Backend, rig: Rig, timeout: float) -> None:
    """To epoll_wait and poll a timeout of -1 means for ever, and to one of them -0.9 ms means 0."""
    dog = rig.watchdog(backend)
    assert dog not in dict(backend.wait(timeout))
    near, far = rig.unix()
    far.send(b"x")
    backend.register(near.fileno(), READ, "near")
    assert backend.wait(timeout) == [("near", READ)]


@pytest.mark.parametrize("timeout", [None, 1e12])
def test_a_long_timeout_blocks_until_woken(backend: Backend, rig: Rig, timeout: Any) -> None:
    waker = rig.waker()
    backend.register(waker.fd, READ, "waker")
    began = time.monotonic()
    rig.later(waker.wake)
    seen: List[Any] = []
    while not seen:  # a spurious wakeup is allowed
        seen = backend.wait(timeout)
    assert time.monotonic() - began >= QUIET - GRAIN
    assert seen == [("waker", READ)]


@pytest.mark.parametrize("timeout", FOR_EVER)
def test_a_long_timeout_is_no_delay_when_something_is_ready(backend: Backend, rig: Rig, timeout: Any) -> None:
    dog = rig.watchdog(backend)
    near, far = rig.unix()
    far.send(b"x")
    backend.register(near.fileno(), READ, "near")
    assert dog not in dict(backend.wait(timeout))


@pytest.mark.parametrize("is_ready", [False, True], ids=["idle", "ready"])
def test_nan_is_refused(backend: Backend, rig: Rig, is_ready: bool) -> None:
    rig.watchdog(backend)
    near, far = rig.unix()
    backend.register(near.fileno(), READ, "near")
    if is_ready:
        far.send(b"x")
    with pytest.raises(ValueError):
        backend.wait(float("nan"))


@pytest.mark.parametrize("timeout", [0.0011, 0.009])
def test_a_wait_for_nothing_is_never_early(backend: Backend, rig: Rig, timeout: float) -> None:
    backend.register(rig.unix()[0].fileno(), READ, "near")
    for _ in range(2):
        assert elapsed(lambda: backend.wait(timeout)) >= timeout - GRAIN


@pytest.mark.parametrize("timeout", [1e-6, 1e-4, 9e-4])
def test_a_tiny_timeout_is_no_spin(backend: Backend, rig: Rig, timeout: float) -> None:
    """If a backend rounded it down to 0 ms, 20 waits would end within 0.05 ms."""
    backend.register(rig.unix()[0].fileno(), READ, "near")
    took = elapsed(lambda: [backend.wait(timeout) for _ in range(20)])
    assert 20 * timeout - GRAIN <= took < PATIENCE


def test_a_wait_without_descriptors_sleeps(backend: Backend) -> None:
    """Winsock itself rejects three empty sets at once."""
    assert elapsed(lambda: backend.wait(QUIET)) >= QUIET - GRAIN
    assert backend.wait(0) == []


# Wakers and threads.


def test_a_waker_works_more_than_once(backend: Backend, rig: Rig) -> None:
    waker = rig.waker()
    backend.register(waker.fd, READ, "waker")
    for _ in range(3):
        waker.wake()
        waker.wake()
        assert heard(backend) == {"waker": READ}
        waker.clear()
        assert look(backend) == {}


def test_no_registration_of_another_thread_is_lost(backend: Backend, rig: Rig) -> None:
    """The kernel may report a descriptor before ``register`` returns in the thread that registers it."""
    near, far = rig.unix()
    waker = rig.waker()
    backend.register(waker.fd, READ, "waker")
    far.send(b"x")
    copies = [rig.dup(near).fileno() for _ in range(200)]
    seen = threading.Semaphore(0)

    def register() -> None:
        for fd in copies:
            backend.register(fd, READ, fd)
            waker.wake()  # for backends without Feature.LIVE
            if not seen.acquire(timeout=PATIENCE):
                return

    rig.thread(register)
    for fd in copies:
        until(backend, {fd: READ})
        waker.clear()
        backend.unregister(fd)
        seen.release()


def test_unregistered_by_another_thread_in_mid_wait(backend: Backend, rig: Rig) -> None:
    """poll and select wait with a copy of the registrations, so they may report a descriptor that is unregistered by
    then."""
    near, far = rig.unix()
    waker = rig.waker()
    backend.register(waker.fd, READ, "waker")
    backend.register(near.fileno(), READ, "gone")

    def leave() -> None:
        backend.unregister(near.fileno())
        far.send(b"x")
        waker.wake()

    rig.later(leave)
    until(backend, {"waker": READ})
    waker.clear()
    assert is_silent(backend)


# Signals. CPython runs handlers in the main thread, which is where tests run.


@contextlib.contextmanager
def alarms(handler: Callable[..., None], every: float) -> Iterator[None]:
    previous = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, every, every)  # on a machine that pauses, the first may come at once
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


signals = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no POSIX signals here")


@signals
def test_a_handler_that_returns_does_not_end_the_wait(backend: Backend, rig: Rig) -> None:
    backend.register(rig.unix()[0].fileno(), READ, "near")
    calls: List[int] = []
    with alarms(lambda number, frame: calls.append(number), QUIET / 6):
        assert elapsed(lambda: backend.wait(QUIET)) >= QUIET - GRAIN
    assert calls, "no signal arrived during the wait"


@signals
def test_a_handler_that_raises_ends_the_wait(backend: Backend, rig: Rig) -> None:
    class Raised(Exception):
        pass

    def handler(number: int, frame: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise Raised

    near, far = rig.unix()
    dog = rig.watchdog(backend)
    backend.register(near.fileno(), READ, "near")
    with pytest.raises(Raised), alarms(handler, QUIET / 6):
        assert dog not in dict(backend.wait(None))
    far.send(b"x")
    assert heard(backend) == {"near": READ}, "the backend still works after that"
