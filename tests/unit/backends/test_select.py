"""What lab/backends/select.py does on Windows, and what no kernel does on demand: select itself is a stub here."""

from __future__ import annotations

import errno
import select as system
import time
from typing import Any, Callable, Iterable, List, Optional, Set, Tuple

import pytest

from lab.backends import Refused, select
from lab.events import ERROR, INVALID, READ, WRITE

_Sets = Tuple[List[int], List[int], List[int]]
_WSAENOTSOCK = 10038


class Stub:
    """select.select of three sets: what is in ``ready`` comes back, what is in ``gone`` fails the whole call."""

    def __init__(self) -> None:
        self.calls: List[Tuple[Set[int], Set[int], Set[int], Optional[float]]] = []
        self.ready: Tuple[Set[int], Set[int], Set[int]] = (set(), set(), set())
        self.gone: Set[int] = set()
        self.number = errno.EBADF
        self.limit = 512

    def __call__(self, r: Iterable[int], w: Iterable[int], x: Iterable[int], timeout: Optional[float]) -> _Sets:
        sets = [list(each) for each in (r, w, x)]
        if max(map(len, sets)) > self.limit:
            raise ValueError("too many file descriptors in select()")
        if not any(sets):
            raise OSError(errno.EINVAL, "an invalid argument was supplied")
        if self.gone.intersection([*sets[0], *sets[1], *sets[2]]):
            raise OSError(self.number, "not a socket")
        self.calls.append((set(sets[0]), set(sets[1]), set(sets[2]), timeout))
        found = [sorted(ready.intersection(each)) for ready, each in zip(self.ready, sets)]
        return found[0], found[1], found[2]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    monkeypatch.setattr(system, "select", stub)
    return stub


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch, stub: Stub) -> Stub:
    monkeypatch.setattr(select, "WINDOWS", True)
    monkeypatch.setattr(select, "GONE", (errno.EBADF, _WSAENOTSOCK, errno.ENOTSOCK))
    return stub


def test_writers_are_exceptional_too_on_windows(windows: Stub) -> None:
    with select.Select() as backend:
        backend.register(3, READ)
        backend.register(4, WRITE)
        backend.wait(1)
    assert windows.calls[-1] == ({3}, {4}, {4}, 1)


def test_nobody_is_exceptional_on_posix(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the third set is urgent data, which nobody asked for."""
    monkeypatch.setattr(select, "WINDOWS", False)
    with select.Select() as backend:
        backend.register(4, WRITE)
        backend.wait(1)
    assert stub.calls[-1] == (set(), {4}, set(), 1)


def test_a_failed_connect_is_writable_with_an_error(windows: Stub) -> None:
    windows.ready = (set(), {5}, {4})
    with select.Select() as backend:
        backend.register(4, WRITE, "refused")
        backend.register(5, WRITE, "connected")
        assert sorted(backend.wait(1)) == [("connected", WRITE), ("refused", WRITE | ERROR)]


def test_the_three_sets_make_one_event(windows: Stub) -> None:
    windows.ready = ({4}, {4}, {4})
    with select.Select() as backend:
        backend.register(4, READ | WRITE, "four")
        assert backend.wait(1) == [("four", READ | WRITE | ERROR)]


@pytest.mark.parametrize("timeout,slept", [(0.25, 0.25), (0, 0), (-1, 0)])
def test_three_empty_sets_sleep_on_windows(windows: Stub, monkeypatch: pytest.MonkeyPatch, timeout: float,
                                           slept: float) -> None:
    sleeps: List[float] = []
    monkeypatch.setattr(time, "sleep", sleeps.append)
    with select.Select() as backend:
        assert backend.wait(timeout) == []
    assert sleeps == [slept]


def test_three_empty_sets_sleep_for_ever_in_slices(windows: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that Ctrl-C gets in between."""
    sleeps: List[float] = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    with select.Select() as backend, pytest.raises(KeyboardInterrupt):
        backend.wait(None)
    assert max(sleeps) <= 1.0


def test_the_513th_socket_is_refused_on_windows_whatever_its_number(windows: Stub) -> None:
    with select.Select() as backend:
        for fd in range(5000, 5512):
            backend.register(fd, READ)
        with pytest.raises(Refused, match="512 sockets") as caught:
            backend.register(3, WRITE)
        assert caught.value.errno is None
        assert (len(backend), 3 in backend) == (512, False)
        backend.wait(0)
        assert windows.calls[-1][1] == set(), "nothing of the refused one is left in the sets"
        backend.unregister(5000)
        backend.register(3, WRITE)


@pytest.mark.parametrize("number", [errno.EBADF, _WSAENOTSOCK, errno.ENOTSOCK])
def test_a_closed_socket_is_invalid_and_the_others_are_still_asked(windows: Stub, number: int) -> None:
    windows.number = number
    windows.ready = ({5}, {6}, set())
    with select.Select() as backend:
        for fd, interest in ((4, READ), (5, READ), (6, WRITE)):
            backend.register(fd, interest, fd)
        windows.gone = {4}
        assert sorted(backend.wait(1)) == [(4, INVALID), (5, READ), (6, WRITE)]
        assert windows.calls[-1][3] == 0, "what is invalid is news: the others are asked without waiting"


def test_when_all_are_closed_no_empty_sets_are_asked(windows: Stub) -> None:
    with select.Select() as backend:
        backend.register(4, READ, "closed")
        windows.gone = {4}
        assert backend.wait(1) == [("closed", INVALID)]


def test_what_is_no_socket_is_refused_with_its_number(windows: Stub) -> None:
    windows.gone, windows.number = {4}, _WSAENOTSOCK
    with select.Select() as backend:
        with pytest.raises(Refused, match="not an open socket") as caught:
            backend.register(4, READ)
        assert caught.value.errno == _WSAENOTSOCK
        assert len(backend) == 0


@pytest.mark.parametrize("act", [lambda backend: backend.register(5, READ), lambda backend: backend.wait(0)],
                         ids=["register", "wait"])
def test_another_errno_is_not_swallowed(stub: Stub, act: Callable[[select.Select], Any]) -> None:
    with select.Select() as backend:
        backend.register(4, READ)
        stub.gone, stub.number = {4, 5}, errno.ENOMEM
        with pytest.raises(OSError, match="not a socket"):
            act(backend)
        assert 5 not in backend
