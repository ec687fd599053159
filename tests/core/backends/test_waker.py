"""The waker by itself. The conformance tests check that it ends a wait of every backend."""

from __future__ import annotations

import select
import signal
import threading
from typing import Iterator

import pytest

from lab.backends import Waker
from tests.waits import PATIENCE

pytestmark = pytest.mark.emulated


@pytest.fixture(name="waker")
def one_waker() -> Iterator[Waker]:
    waker = Waker()
    yield waker
    waker.close()


def is_ready(waker: Waker, timeout: float = 0) -> bool:
    return bool(select.select([waker.fd], [], [], timeout)[0])


def test_it_is_ready_from_wake_to_clear(waker: Waker) -> None:
    assert not is_ready(waker)
    waker.wake()
    assert is_ready(waker, PATIENCE)
    assert is_ready(waker)
    waker.clear()
    assert not is_ready(waker)


def test_clear_without_wake_does_not_block(waker: Waker) -> None:
    waker.clear()
    assert not is_ready(waker)


def test_wake_never_blocks_and_one_clear_takes_all(waker: Waker) -> None:
    """Write more bytes than the pair holds: the rest is dropped, because the waker is readable anyway."""
    for _ in range(20_000):
        waker.wake()
    assert is_ready(waker, PATIENCE)
    waker.clear()
    assert not is_ready(waker)
    waker.wake()
    assert is_ready(waker, PATIENCE)


def test_wait_returns_after_wake(waker: Waker) -> None:
    waker.wake()
    waker.wait()
    assert not is_ready(waker)
    waker.clear()  # non-blocking again: returns though nothing is there


def test_wait_is_ended_by_another_thread(waker: Waker) -> None:
    done = threading.Event()

    def wait() -> None:
        waker.wait()
        done.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    waker.wake()
    assert done.wait(PATIENCE)
    thread.join(PATIENCE)


def test_after_close_wake_is_harmless_and_close_too(waker: Waker) -> None:
    waker.close()
    waker.wake()
    waker.close()


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="PyPy 3.9 and older have no raise_signal")
def test_a_signal_writes_to_it(waker: Waker) -> None:
    previous = signal.signal(signal.SIGINT, lambda number, frame: None)
    descriptor = signal.set_wakeup_fd(waker.signal_fd)
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.set_wakeup_fd(descriptor)
        signal.signal(signal.SIGINT, previous)
    assert is_ready(waker, PATIENCE)
