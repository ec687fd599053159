"""What lab/backends/epoll.py raises when epoll rejects a descriptor, and how it gets rid of stale entries."""

from __future__ import annotations

import errno
import os
import select
import socket
from typing import Any, ClassVar, Dict, Iterator, List, Tuple, Type

import pytest

from lab.backends import Refused, epoll
from lab.events import READ, WRITE

pytestmark = pytest.mark.emulated

here = pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll is a Linux interface")
edges = pytest.mark.parametrize("kind", [epoll.Epoll, epoll.EpollEdge], ids=lambda kind: str(kind.name))


class Stub:
    """An epoll object that fails with ``Stub.number``, and keeps its entries."""

    number: ClassVar[int] = 0
    made: ClassVar[List[Stub]] = []

    def __init__(self) -> None:
        self.entries: Dict[int, int] = {}
        self.ready: List[Tuple[int, int]] = []
        self.closed = False
        Stub.made.append(self)

    def register(self, fd: int, mask: int) -> None:
        if Stub.number:
            raise OSError(Stub.number, os.strerror(Stub.number))
        self.entries[fd] = mask

    modify = register

    def unregister(self, fd: int) -> None:
        if Stub.number:
            raise OSError(Stub.number, os.strerror(Stub.number))
        del self.entries[fd]

    def poll(self, timeout: float) -> List[Tuple[int, int]]:
        return self.ready

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Type[Stub]:
    monkeypatch.setattr(epoll, "_epoll", Stub)
    monkeypatch.setattr(Stub, "number", 0)
    monkeypatch.setattr(Stub, "made", [])
    return Stub


@pytest.fixture
def pair() -> Iterator[Tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_without_epoll_it_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoll, "_epoll", None)
    assert "Linux" in str(epoll.Epoll.missing())


@pytest.mark.parametrize("number,words", [
    (errno.ENOSPC, "max_user_watches"),
    (errno.EPERM, "use poll or select"),
    (errno.EBADF, "not an open descriptor"),
    (errno.ENOMEM, "ENOMEM"),
])
def test_a_refusal_says_what_to_do(stub: Type[Stub], number: int, words: str) -> None:
    backend = epoll.Epoll()
    stub.number = number
    with pytest.raises(Refused, match=words) as caught:
        backend.register(3, READ)
    assert caught.value.errno == number
    assert len(backend) == 0
    stub.number = 0
    backend.register(3, READ)
    stub.number = number
    with pytest.raises(Refused, match=words):
        backend.modify(3, WRITE)


def test_an_unknown_number_makes_a_new_object_with_the_known_ones(stub: Type[Stub]) -> None:
    backend = epoll.Epoll()
    backend.register(3, READ, "three")
    backend.register(4, READ, "four")
    backend.modify(4, WRITE)
    stub.made[0].ready = [(99, READ), (3, READ)]
    assert backend.wait(0) == [("three", READ)]
    assert [each.closed for each in stub.made] == [True, False]
    assert stub.made[1].entries == {3: READ, 4: WRITE}
    backend.unregister(3)
    assert stub.made[1].entries == {4: WRITE}


def test_known_numbers_never_make_a_new_object(stub: Type[Stub]) -> None:
    """A new object costs one system call for each descriptor."""
    backend = epoll.Epoll()
    backend.register(3, READ, "three")
    stub.made[0].ready = [(3, READ)]
    for _ in range(3):
        assert backend.wait(0) == [("three", READ)]
    backend.unregister(3)
    backend.register(3, READ, "three")
    assert len(stub.made) == 1


def test_another_errno_is_not_swallowed(stub: Type[Stub]) -> None:
    backend = epoll.Epoll()
    backend.register(3, READ)
    backend.register(4, READ)
    stub.number = errno.ENOMEM
    with pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
        backend.unregister(3)
    stub.made[0].ready = [(99, READ)]
    with pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
        backend.wait(0)


def test_edge_is_one_more_flag(stub: Type[Stub]) -> None:
    backend = epoll.EpollEdge()
    backend.register(3, READ)
    assert stub.made[0].entries == {3: READ | getattr(select, "EPOLLET", 0)}


@here
@edges
def test_it_renews_at_the_limit_of_open_files(kind: Type[epoll.Epoll], pair: Any) -> None:
    """The old object is closed first, so there is room for the new one."""
    resource: Any = pytest.importorskip("resource")
    near, far = pair
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with kind() as backend:
        stale, peer = socket.socketpair()
        with stale.dup(), peer:
            backend.register(near.fileno(), READ, "near")
            number = stale.fileno()
            backend.register(number, READ, "stale")
            stale.close()
            backend.unregister(number)
            peer.send(b"x")
            far.send(b"x")
            copies = [os.dup(far.fileno()), os.dup(far.fileno())]
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (max(copies) + 1, hard))
                while True:
                    try:
                        copies.append(os.dup(far.fileno()))
                    except OSError as error:
                        assert error.errno == errno.EMFILE
                        break
                assert backend.wait(5) == [("near", READ)]
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for fd in copies:
                    os.close(fd)


@here
def test_the_new_object_may_get_the_number_of_a_closed_one(pair: Any) -> None:
    """epoll fails with EINVAL when an object is registered with itself; wait() must not raise that."""
    lower, _lower = socket.socketpair()
    stale, peer = socket.socketpair()
    near, far = pair
    with epoll.Epoll() as backend, _lower, peer, lower.dup(), stale.dup():
        numbers = lower.fileno(), stale.fileno()
        for sock in (lower, stale, near):
            backend.register(sock.fileno(), READ, sock)
        lower.close()
        stale.close()
        backend.unregister(numbers[1])
        peer.send(b"x")
        assert backend.wait(5) == []
        assert backend._epoll.fileno() == numbers[0]
        far.send(b"x")
        assert backend.wait(5) == [(near, READ)]
        backend.unregister(numbers[0])
        assert len(backend) == 1
