"""The bell that wakes the threads of the blocking model on Windows, tested on every platform, alone and in the
model."""

from __future__ import annotations

import errno
import socket
import threading
from typing import Any, Iterator, List, Tuple

import pytest

from lab.server.bell import Bell
from lab.server.models import blocking
from tests.core.conformance.peers import pattern, ping, rest_of, settled, stuff
from tests.core.conformance.rig import PATIENCE
from tests.core.conformance.serving import Server, Service

BLOCKING = Service("blocking", "blocking")


@pytest.fixture
def hung() -> Iterator[Tuple[Bell, Any, socket.socket]]:
    """A bell, a socket that is wrapped with it, and the peer of the socket."""
    near, far = socket.socketpair()
    bell = Bell()
    with near, far:
        held = bell.hung_on(near)
        held.settimeout(None)
        yield bell, held, far
    bell.close()


def asleep(call: Any, outcome: List[Any]) -> threading.Thread:
    """A thread that makes that call, and appends to the list what it returns or the errno that it raises."""
    def run() -> None:
        try:
            outcome.append(call())
        except OSError as error:
            outcome.append(error.errno)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def send_without_end(held: Any) -> None:
    while True:
        held.send(bytes(65536))


def test_a_ring_ends_the_stream_after_what_has_arrived(hung: Any) -> None:
    bell, held, far = hung
    far.sendall(b"arrived")
    bell.ring()
    buffer = bytearray(100)
    assert [held.recv_into(buffer), held.recv_into(buffer)] == [7, 0]
    assert held.send(b"x") == 1, "output must still be sent"


def test_a_ring_wakes_who_sleeps_in_recv(hung: Any) -> None:
    bell, held, _ = hung
    outcome: List[Any] = []
    thread = asleep(lambda: held.recv_into(bytearray(1)), outcome)
    bell.ring()
    thread.join(PATIENCE)
    assert outcome == [0]


def test_a_second_ring_wakes_who_sleeps_in_send(hung: Any) -> None:
    bell, held, _ = hung
    outcome: List[Any] = []

    thread = asleep(lambda: send_without_end(held), outcome)
    bell.ring()
    bell.ring_again()
    thread.join(PATIENCE)
    assert outcome == [errno.ECONNABORTED]


def test_without_a_ring_a_timeout_is_one(hung: Any) -> None:
    _, held, _ = hung
    held.settimeout(0.01)
    with pytest.raises(socket.timeout):
        held.recv_into(bytearray(1))
    with pytest.raises(socket.timeout):
        send_without_end(held)


def test_with_the_bell_the_model_stops_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "SHUTDOWN_WAKES", False)
    data = pattern(50_000)
    with Server(BLOCKING, buffers=16_384) as server:
        idle, slow = server.connect(), server.connect(buffers=4096)
        ping(idle)
        ping(slow)
        assert stuff(slow, data, len(data)) == len(data)
        server.stop()
        assert rest_of(idle) == b""
        assert rest_of(slow) == data
        stats = server.end()
    assert (stats.accepted, stats.bytes_in, stats.cut_off, stats.resets) == (2, len(data) + 8, 0, 0)


def test_with_the_bell_the_model_cuts_off_a_client_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "SHUTDOWN_WAKES", False)
    with Server(BLOCKING, "chargen", buffers=16_384, drain=0.1) as server:
        settled(server.connect(buffers=4096))
        server.stop()
        assert server.ended().cut_off == 1
