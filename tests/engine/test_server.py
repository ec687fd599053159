"""The server in every image and on every backend: bytes, half-closes, limits, memory, and a stop that loses nothing.

There is one container for each image and backend, and one test for each container: the test ends its server, so that a
second try starts a server of its own. Images of foreign architectures, which are emulated, have two backends. Images
with PyPy have every model too, because memory is where PyPy differs.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Callable, List, Sequence, Tuple

import pytest

from lab.backends import spelling
from lab.errors import EXIT_OK
from lab.harness import images
from lab.load.plan import STREAM, Plan
from lab.load.run import drive
from lab.probing.probe import over
from tests.core.backends import systems
from tests.core.conformance.peers import exchange, is_quiet, pattern, ping, rest_of

pytestmark = pytest.mark.side_by_side

BACKENDS = [kind.name for kind in systems.of("linux") if not spelling.is_class(kind.name)]
FEW = over("select", "epoll", raw=True, edge=False)
"""For emulated architectures: an interface that is told everything on each wait, and one that remembers."""

MODELS = ("blocking", "nonblocking", "asynchronous")
MOST = 3
"""Connections at a time."""
MAX_BUFFER = 32 * 1024 ** 2
"""Bytes that may wait for one peer."""
BESIDE = 64 * 10 ** 6
"""Bytes of memory that a server may need besides twice those."""

PEAK = "print(next(line.split()[1] for line in open('/proc/1/status') if line.startswith('VmHWM:')))"
"""Prints the most memory that the server ever had, in KiB (proc(5))."""


def cells() -> List[Any]:
    """(image, how it serves) for each container."""
    found: List[Tuple[str, str]] = []
    for row in images.load().values():
        found += [(row.id, name) for name in (BACKENDS if row.arch in ("amd64", "i386") else FEW)]
        found += [(row.id, name) for name in (MODELS if row.python.startswith("pypy") else ())]
    return [pytest.param(*each, id="-".join(each)) for each in found]


def options(service: str) -> Sequence[str]:
    """What makes `lab serve` serve that way."""
    return ["--model", service] if service in MODELS else ["--backend", service]


@pytest.mark.parametrize("row, service", cells())
def test_it_serves_keeps_its_limits_and_stops_without_losing_a_byte(
        client: Any, row: str, service: str, server_image: Callable[[str], str]) -> None:
    from tests.engine.serving import Echoed, serving

    with serving(server_image(row), *options(service), "--max-connections", str(MOST), "--max-buffer", str(MAX_BUFFER),
                 "--log", "json", ready=Echoed()) as container:
        server = client.containers.get(container.id)
        every_byte_comes_back(server)
        what_was_sent_before_a_half_close_comes_back(server)
        one_too_many_waits_and_is_served_when_one_ends(server)
        stopped_in_the_middle_of_an_answer_it_sends_the_rest(server, service)


def every_byte_comes_back(server: Any) -> None:
    """Small messages one at a time, then a stream in random segments."""
    from tests.engine.serving import where

    messages = drive(Plan(where(server), connections=MOST, count=60, size_bytes=5000))
    stream = drive(Plan(where(server), connections=MOST, mode=STREAM, total_bytes=3_000_000))
    assert (messages.verified_bytes, stream.verified_bytes) == (60 * 5000, 3_000_000)


def what_was_sent_before_a_half_close_comes_back(server: Any) -> None:
    """And then the end of the stream, no reset."""
    from tests.engine.serving import connect

    with connect(server) as sock:
        sock.sendall(b"last words")
        sock.shutdown(socket.SHUT_WR)
        assert rest_of(sock) == b"last words"
    with connect(server) as sock:
        assert exchange(sock, pattern(300_000)) == pattern(300_000)


def one_too_many_waits_and_is_served_when_one_ends(server: Any) -> None:
    """The peer beyond --max-connections stays in the backlog; nobody is turned away."""
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


def stopped_in_the_middle_of_an_answer_it_sends_the_rest(server: Any, service: str) -> None:
    """One peer sends 16 MB and does not read. The server holds some of them, in bounded memory, when SIGTERM comes, and
    sends all of them before it ends."""
    from tests.engine.serving import connect, python, unacknowledged, until

    data = pattern(16_000_000)  # more than all kernel buffers on the way take
    # Not through the engine's proxy: bytes that the proxy still holds when the signal comes have not arrived.
    with connect(server, buffer=4096, direct=True) as sock:
        sent = data[:100_000] if service == "blocking" else data  # it queues nothing: more would stay on our side
        sock.sendall(sent)
        until(lambda: unacknowledged(sock) == 0, "all to arrive")
        code, kib = python(server, PEAK)
        assert code == 0 and 1024 * int(kib) <= 2 * MAX_BUFFER + BESIDE, "%s KiB of memory" % kib
        server.kill("SIGTERM")
        assert rest_of(sock) == sent
    assert server.wait()["StatusCode"] == EXIT_OK
    said = json.loads(server.logs(tail=1))
    assert (said["event"], said["cut_off"]) == ("stopped", 0)
