"""lab/backends/select.py on Windows, over real sockets and the fake of its select module; and over a stub, for what
real sockets do not do on demand."""

from __future__ import annotations

import errno
import os
import select as system
import socket
import time
from typing import Any, Callable, Iterable, Iterator, List, Optional, Set, Tuple

import pytest

from lab.backends import Refused, create, select
from lab.events import ERROR, INVALID, READ, WRITE
from tests.core.conformance.rig import heard
from tests.waits import PATIENCE, QUIET
from tests.winsock.winsock import WINDOWS_HAS, WSAENOTSOCK, Winsock, installed, needs_poll

pytestmark = pytest.mark.emulated

_Sets = Tuple[List[int], List[int], List[int]]


class Stub:
    """select.select with three sets: it returns what is in ``ready``, or fails as a whole with ``number``."""

    def __init__(self) -> None:
        self.calls: List[Tuple[Set[int], Set[int], Set[int], Optional[float]]] = []
        self.ready: Tuple[Set[int], Set[int], Set[int]] = (set(), set(), set())
        self.number: Optional[int] = None

    def __call__(self, r: Iterable[int], w: Iterable[int], x: Iterable[int], timeout: Optional[float]) -> _Sets:
        sets = [set(each) for each in (r, w, x)]
        if self.number is not None:
            raise OSError(self.number, "it fails")
        self.calls.append((sets[0], sets[1], sets[2], timeout))
        found = [sorted(ready & each) for ready, each in zip(self.ready, sets)]
        return found[0], found[1], found[2]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    monkeypatch.setattr(system, "select", stub)
    return stub


@pytest.fixture(params=[True, False], ids=["errno-22", "errno-10022"])
def winsock(request: pytest.FixtureRequest) -> Iterator[Winsock]:
    with installed(Winsock(request.param)) as fake:
        yield fake


@pytest.fixture
def opened() -> Iterator[List[socket.socket]]:
    """A stack that closes its content at the end."""
    socks: List[socket.socket] = []
    yield socks
    for sock in socks:
        sock.close()


def pair(opened: List[socket.socket]) -> Tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    opened += [near, far]
    return near, far


def connecting(opened: List[socket.socket], accepted: bool) -> socket.socket:
    """A socket whose connect is in progress, to a listener or to a port without one."""
    server, sock = socket.socket(), socket.socket()
    opened += [server, sock]
    server.bind(("127.0.0.1", 0))
    if accepted:
        server.listen(1)
    sock.setblocking(False)
    sock.connect_ex(server.getsockname())
    return sock


BOTH_WAYS = pytest.mark.parametrize("name", WINDOWS_HAS)


@needs_poll
def test_writers_are_exceptional_too_on_windows(winsock: Winsock, opened: List[socket.socket]) -> None:
    near, far = pair(opened)
    with select.Select() as backend:
        backend.register(near.fileno(), READ)
        backend.register(far.fileno(), WRITE)
        backend.wait(1)
    assert winsock.calls[-1] == ([near.fileno()], [far.fileno()], [far.fileno()], 1)


def test_nobody_is_exceptional_on_posix(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """On POSIX the third set is for urgent data, which the lab does not use."""
    monkeypatch.setattr(select, "WINDOWS", False)
    with select.Select() as backend:
        backend.register(4, WRITE)
        backend.wait(1)
    assert stub.calls[-1] == (set(), {4}, set(), 1)


@needs_poll
@BOTH_WAYS
def test_a_refused_connect_is_noticed(winsock: Winsock, opened: List[socket.socket], name: str) -> None:
    refused, accepted = connecting(opened, False), connecting(opened, True)
    with create(name) as backend:
        backend.register(refused.fileno(), WRITE, "refused")
        assert heard(backend) == {"refused": WRITE | ERROR if name == "select" else WRITE}
        backend.register(accepted.fileno(), WRITE, "accepted")
        backend.unregister(refused.fileno())
        assert heard(backend) == {"accepted": WRITE}
    assert refused.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


@needs_poll
def test_whoever_does_not_watch_the_exceptional_set_does_not_notice(winsock: Winsock, opened: List[socket.socket],
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""
    monkeypatch.setattr(select, "WINDOWS", False)
    refused = connecting(opened, False)
    with select.Select() as backend:
        backend.register(refused.fileno(), WRITE, "refused")
        assert backend.wait(QUIET) == []


def test_the_three_sets_make_one_event(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "WINDOWS", True)
    stub.ready = ({4}, {4}, {4})
    with select.Select() as backend:
        backend.register(4, READ | WRITE, "four")
        assert backend.wait(1) == [("four", READ | WRITE | ERROR)]


@BOTH_WAYS
@pytest.mark.parametrize("timeout,slept", [(0.25, 0.25), (0, 0), (-1, 0)])
def test_three_empty_sets_sleep_on_windows(winsock: Winsock, monkeypatch: pytest.MonkeyPatch, name: str, timeout: float,
                                           slept: float) -> None:
    sleeps: List[float] = []
    monkeypatch.setattr(time, "sleep", sleeps.append)
    with create(name) as backend:
        assert backend.wait(timeout) == []
    assert (sleeps, winsock.calls) == ([slept], [])


@BOTH_WAYS
def test_three_empty_sets_sleep_for_ever_in_slices(winsock: Winsock, monkeypatch: pytest.MonkeyPatch, name: str
                                                   ) -> None:
    """In slices, so that Ctrl-C can take effect between them."""
    sleeps: List[float] = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    with create(name) as backend, pytest.raises(KeyboardInterrupt):
        backend.wait(None)
    assert max(sleeps) <= 1.0


@needs_poll
@BOTH_WAYS
def test_the_513th_socket_is_refused_on_windows(winsock: Winsock, opened: List[socket.socket], name: str) -> None:
    opened += [socket.socket(type=socket.SOCK_DGRAM) for _ in range(513)]
    last = opened[-1].fileno()
    with create(name) as backend:
        for sock in opened[:-1]:
            backend.register(sock.fileno(), READ)
        with pytest.raises(Refused, match="512 sockets") as caught:
            backend.register(last, WRITE)
        assert caught.value.errno is None
        assert (len(backend), last in backend) == (512, False)
        assert backend.wait(0) == []
        assert last not in winsock.calls[-1][1], "the rejected socket must not remain in the sets"
        backend.unregister(opened[0].fileno())
        backend.register(last, WRITE, "fits")
        assert heard(backend) == {"fits": WRITE}


@needs_poll
@BOTH_WAYS
def test_a_closed_socket_is_invalid_and_the_others_are_still_asked(winsock: Winsock, opened: List[socket.socket],
                                                                   name: str) -> None:
    near, far = pair(opened)
    gone, _ = pair(opened)
    far.send(b"x")
    with create(name) as backend:
        for sock, interest in ((gone, READ), (near, READ), (far, WRITE)):
            backend.register(sock.fileno(), interest, sock)
        gone.close()
        assert dict(backend.wait(PATIENCE)) == {gone: INVALID, near: READ, far: WRITE}
        assert winsock.calls[-1][3] == 0, "an invalid descriptor is an event, so the others are asked without waiting"


@needs_poll
@BOTH_WAYS
def test_when_all_are_closed_no_empty_sets_are_asked(winsock: Winsock, opened: List[socket.socket], name: str) -> None:
    near, _ = pair(opened)
    with create(name) as backend:
        backend.register(near.fileno(), READ, "closed")
        near.close()
        assert backend.wait(PATIENCE) == [("closed", INVALID)]
    assert all(any(call[:3]) for call in winsock.calls)


@needs_poll
@BOTH_WAYS
def test_what_is_no_socket_is_refused_with_its_number(winsock: Winsock, name: str) -> None:
    ends = os.pipe()
    try:
        with create(name) as backend:
            with pytest.raises(Refused, match="not an open socket") as caught:
                backend.register(ends[0], READ)
            assert caught.value.errno == WSAENOTSOCK
            assert len(backend) == 0
    finally:
        for fd in ends:
            os.close(fd)


@pytest.mark.parametrize("act", [lambda backend: backend.register(5, READ), lambda backend: backend.wait(0)],
                         ids=["register", "wait"])
def test_another_errno_is_not_swallowed(stub: Stub, act: Callable[[select.Select], Any]) -> None:
    with select.Select() as backend:
        backend.register(4, READ)
        stub.number = errno.ENOMEM
        with pytest.raises(OSError, match="it fails"):
            act(backend)
        assert 5 not in backend
