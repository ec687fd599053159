"""The server in every image and on every backend: bytes, half-closes, limits, and a stop that loses nothing.

One container for each image and backend; foreign architectures, which are emulated, have two backends.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Callable, Iterator, List

import pytest

from lab.errors import EXIT_OK
from lab.harness import images
from lab.load.plan import STREAM, Plan
from lab.load.run import drive
from tests.core.conformance.peers import exchange, is_quiet, pattern, ping, rest_of

BACKENDS = ("epoll", "epoll-et", "poll", "select", "selectors")
MOST = 3
"""Connections at a time."""


def cells() -> List[Any]:
    """(row, backend) for each container."""
    return [pytest.param((row.id, name), id="%s-%s" % (row.id, name)) for row in images.load().values()
            for name in (BACKENDS if row.arch in ("amd64", "i386") else ("epoll", "select"))]


@pytest.fixture(scope="module", params=cells(), name="running")
def server_of_its_cell(request: pytest.FixtureRequest, server_image: Callable[[str], str]) -> Iterator[Any]:
    """One container. The last test ends its server."""
    from tests.engine.serving import Echoed, serving

    row, backend = request.param
    with serving(server_image(row), "--backend", backend, "--max-connections", str(MOST), "--max-buffer", "32M",
                 "--log", "json", ready=Echoed()) as container:
        yield container


@pytest.fixture
def server(client: Any, running: Any) -> Any:
    """It, through a client of this test."""
    return client.containers.get(running.id)


def test_every_byte_comes_back(server: Any) -> None:
    from tests.engine.serving import where

    messages = drive(Plan(where(server), connections=MOST, count=60, size_bytes=5000))
    stream = drive(Plan(where(server), connections=MOST, mode=STREAM, total_bytes=3_000_000))
    assert (messages.verified_bytes, stream.verified_bytes) == (60 * 5000, 3_000_000)


def test_what_was_sent_before_a_half_close_comes_back_and_then_the_end(server: Any) -> None:
    from tests.engine.serving import connect

    with connect(server) as sock:
        sock.sendall(b"last words")
        sock.shutdown(socket.SHUT_WR)
        assert rest_of(sock) == b"last words"
    with connect(server) as sock:
        assert exchange(sock, pattern(300_000)) == pattern(300_000)


def test_who_is_one_too_many_waits_and_is_served_when_one_ends(server: Any) -> None:
    from tests.engine.serving import connect

    socks = [connect(server) for _ in range(MOST)]
    for sock in socks:
        ping(sock)
    with connect(server) as waiting:
        waiting.sendall(b"patience")
        assert is_quiet(waiting)
        socks.pop().close()
        assert waiting.recv(100) == b"patience"
    for sock in socks:
        sock.close()


def test_stopped_in_the_middle_of_an_answer_it_sends_the_rest_and_ends_well(server: Any) -> None:
    from tests.engine.serving import connect, unacknowledged, until

    data = pattern(16_000_000)  # more than all buffers on the way take, so that the server holds some of it
    # Not through the engine's proxy: what that still holds when the signal comes has not arrived, and is not answered.
    with connect(server, buffer=4096, direct=True) as sock:
        sock.sendall(data)
        until(lambda: unacknowledged(sock) == 0, "all to arrive")
        server.kill("SIGTERM")
        assert rest_of(sock) == data
    assert server.wait()["StatusCode"] == EXIT_OK
    said = json.loads(server.logs(tail=1))
    assert (said["event"], said["cut_off"]) == ("stopped", 0)
