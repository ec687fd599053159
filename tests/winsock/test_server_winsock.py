"""A whole server on Windows' select, as tests/winsock/winsock.py imitates it over real sockets: it serves, it is
full at 512 sockets, and it goes on.

The waker and the listener are two of the 512, so it serves 510 connections.
"""

from __future__ import annotations

import json
import socket
from typing import Iterator, List

import pytest

from lab.backends import find, here
from lab.events import READ
from tests.core.conformance.peers import exchange, pattern, ping, rest_of
from tests.core.conformance.serving import Server, Service
from tests.waits import PATIENCE
from tests.winsock.winsock import FD_SETSIZE, WINDOWS_HAS, Winsock, installed, needs_poll

pytestmark = needs_poll

SERVED = FD_SETSIZE - 2
NEEDED = 2 * (FD_SETSIZE + 10) + 100
"""Descriptors for both ends of all connections, and for everything else that is open."""

SERVICES = pytest.mark.parametrize("service", [
    Service(name, "multiplexing", name) for name in WINDOWS_HAS],
    ids=lambda service: str(service.name))


@pytest.fixture
def winsock() -> Iterator[Winsock]:
    with installed(Winsock()) as fake:
        yield fake


@pytest.fixture
def roomy() -> None:
    """Skip the test if the limit on open files has no room for both ends of all connections."""
    resource = pytest.importorskip("resource")
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= soft < NEEDED:
        pytest.skip("the limit on open files is %d, and %d are needed" % (soft, NEEDED))


@SERVICES
def test_every_byte_is_echoed(winsock: Winsock, service: Service) -> None:
    data = pattern(3_000_000)
    with Server(service, buffers=16_384) as server:
        idle = server.connect()
        assert exchange(server.connect(), data) == data
        ping(idle)
    assert len(winsock.calls) > 10, "the server did not use the fake"
    assert all(any(call[:3]) for call in winsock.calls), "Windows fails with three empty sets"


def test_a_listener_that_waits_for_room_leaves_no_empty_sets(winsock: Winsock) -> None:
    """A full server does not watch its listener, but still the waker and the connections."""
    with Server(Service("select", "multiplexing", "select"), max_connections=1) as server:
        first = server.connect()
        ping(first)
        second = server.connect()
        second.sendall(b"waits")
        ping(first)
        first.close()
        assert second.recv(5) == b"waits"
    assert server.ended().peak == 1


@SERVICES
def test_stopping_wakes_the_wait(winsock: Winsock, service: Service) -> None:
    with Server(service) as server:
        sock = server.connect()
        ping(sock)
        server.stop()
        assert sock.recv(1) == b""
        sock.close()
        assert server.ended().accepted == 1


@SERVICES
def test_connections_over_512_are_refused_one_by_one_and_the_others_served(roomy: None, winsock: Winsock,
                                                                           service: Service) -> None:
    with Server(service, as_json=True) as server:
        socks = served_until_full(server)
        late = [server.connect() for _ in range(5)]
        assert [ended(sock) for sock in late] == [True] * 5
        for sock in socks:
            ping(sock, b"still here")
        socks.pop().close()
        again = next(sock for sock in iter(server.connect, None) if answers(sock))
        ping(again)
    stats = server.ended()
    assert (stats.peak, stats.errors) == (SERVED + 1, 0)
    assert stats.refused >= 5
    told = [json.loads(line) for line in server.lines()]
    assert [event["event"] for event in told] == ["refused"], "logged once, and counted each time"
    assert told[0]["level"] == "warning"
    assert "512 sockets" in told[0]["reason"] and "have fewer" in told[0]["reason"]
    assert max(len(call[0]) for call in winsock.calls) == FD_SETSIZE


def served_until_full(server: Server) -> List[socket.socket]:
    """As many connections as the server can serve, all of them served once."""
    socks = [server.connect() for _ in range(SERVED)]
    for sock in socks:
        ping(sock)
    return socks


def ended(sock: socket.socket) -> bool:
    """Whether the server has closed this connection without sending a byte."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def answers(sock: socket.socket) -> bool:
    """Whether this connection is served. The place of a closed one may take a moment to become free."""
    try:
        sock.sendall(b"?")
        return sock.recv(1) == b"?"
    except (ConnectionResetError, BrokenPipeError):
        return False


def test_the_waker_is_one_of_the_512(winsock: Winsock) -> None:
    with Server(Service("select", "multiplexing", "select")) as server:
        ping(server.connect())
    assert max(len(set(call[0])) for call in winsock.calls) == 3, "the waker, the listener and a connection"


@pytest.mark.parametrize("handler", ["echo", "chargen"])
def test_threads_that_no_shutdown_wakes_hear_the_bell(winsock: Winsock, handler: str) -> None:
    """In the blocking model: on Windows shutting down reading wakes no thread, and resets a connection that has unread
    input."""
    with Server(Service("blocking", "blocking"), handler, drain=60.0) as server:
        socks = [server.connect() for _ in range(3)]
        for sock in socks:
            if handler == "echo":
                ping(sock)
            else:
                assert sock.recv(1)
        server.stop()
        for sock in socks:
            rest_of(sock)  # reads to the end of the stream, without a reset
            sock.close()
        assert server.ended().cut_off == 0


def test_only_what_windows_has_is_here(winsock: Winsock) -> None:
    assert {kind.name for kind in here()} == set(WINDOWS_HAS)
    near, far = socket.socketpair()
    with near, far, find("selectors")() as backend:
        near.setblocking(False)
        far.send(b"x")
        backend.register(near.fileno(), READ, "near")
        assert backend.wait(PATIENCE) == [("near", READ)]
    assert winsock.calls
