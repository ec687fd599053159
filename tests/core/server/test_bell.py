"""The bell that wakes the blocking model's threads on Windows. It is tested on every platform, alone and in the
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
from tests.core.conformance.serving import Server, Service
from tests.waits import PATIENCE

BLOCKING = Service("blocking", "blocking")


@pytest.fixture
def attached() -> Iterator[Tuple[Bell, Any, socket.socket]]:
    """A bell, a socket that is attached to it, and the socket's peer."""
    near, far = socket.socketpair()
    bell = Bell()
    with near, far:
        wakeable = bell.attach(near)
        wakeable.settimeout(None)
        yield bell, wakeable, far
    bell.close()


def asleep(call: Any, outcome: List[Any]) -> threading.Thread:
    """Start a thread that makes this call, and appends to the list what the call returned or the errno it raised."""
    def run() -> None:
        try:
            outcome.append(call())
        except OSError as error:
            outcome.append(error.errno)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def send_without_end(wakeable: Any) -> None:
    while True:
        wakeable.send(bytes(65536))


def test_end_input_ends_the_stream_after_what_has_arrived(attached: Any) -> None:
    bell, wakeable, far = attached
    far.sendall(b"arrived")
    bell.end_input()
    buffer = bytearray(100)
    assert [wakeable.recv_into(buffer), wakeable.recv_into(buffer)] == [7, 0]
    assert wakeable.send(b"x") == 1, "output must still be sent"


def test_end_input_wakes_a_thread_that_sleeps_in_recv(attached: Any) -> None:
    bell, wakeable, _ = attached
    outcome: List[Any] = []
    thread = asleep(lambda: wakeable.recv_into(bytearray(1)), outcome)
    bell.end_input()
    thread.join(PATIENCE)
    assert outcome == [0]


def test_abort_wakes_a_thread_that_sleeps_in_send(attached: Any) -> None:
    bell, wakeable, _ = attached
    outcome: List[Any] = []

    thread = asleep(lambda: send_without_end(wakeable), outcome)
    bell.end_input()
    bell.abort()
    thread.join(PATIENCE)
    assert outcome == [errno.ECONNABORTED]


def test_without_a_ring_a_timeout_raises_socket_timeout(attached: Any) -> None:
    _, wakeable, _ = attached
    wakeable.settimeout(0.01)
    with pytest.raises(socket.timeout):
        wakeable.recv_into(bytearray(1))
    with pytest.raises(socket.timeout):
        send_without_end(wakeable)


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
