"""The output of a server does not depend on how its input is cut into segments, tested through real sockets."""

from __future__ import annotations

import random
import select
import socket
from typing import Iterator, List, Tuple

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from lab.server.http import Http
from tests.core.conformance.peers import pattern
from tests.core.conformance.rig import WINDOWS, slow_by_name
from tests.core.conformance.serving import SERVICES, Server
from tests.waits import PATIENCE

pytestmark = pytest.mark.emulated

BOUNDED = settings(max_examples=25, deadline=None, derandomize=True, database=None,
                   suppress_health_check=[HealthCheck.function_scoped_fixture])
LARGE = 200_000  # bytes: more than one read, and more than the output queue of these servers
SMALL = 16 * 1024  # bytes of kernel buffer
CUTS = st.lists(st.integers(0, LARGE), max_size=25)
SIZES = st.one_of(st.integers(0, 300), st.sampled_from([4095, 16384, 65535, 65536, 65537, 131_072, LARGE]))

Servers = Tuple[Server, Server]


# The Proactor creates the socket of its next connection in advance, so a server that outlives a test would look like a
# leak of that test. Elsewhere one server is enough for all tests.
@pytest.fixture(scope="function" if WINDOWS else "module", params=[
    pytest.param(service, id=service.name, marks=slow_by_name(service.name)) for service in SERVICES])
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Echo and http, each on one server, whose buffers are so small that output has to wait."""
    with Server(request.param, "echo", buffers=SMALL, max_buffer=20_000) as echo, Server(request.param, "http") as http:
        for server in (echo, http):  # so that what a model opens at its start is not counted for the first test
            answer(server, [b"\r\n"])
        yield echo, http


def cut(data: bytes, cuts: List[int]) -> List[bytes]:
    """``data`` cut into segments. The cuts may be in any order, and beyond the end."""
    edges = [0, *sorted({each % (len(data) + 1) for each in cuts}), len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:]) if start < end]


def answer(server: Server, segments: List[bytes]) -> bytes:
    """All output of one connection. Each segment is passed to the kernel separately, and output is read once no more
    can be sent; then comes the half-close, and the rest up to the end of the stream."""
    output = []
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)  # before connect(), or the window is larger
        sock.settimeout(PATIENCE)
        sock.connect(server.where[0].where)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or the kernel would join the segments again
        sock.setblocking(False)
        for segment in segments:
            rest = memoryview(segment)
            while rest:
                readable, writable, _ = select.select([sock], [sock], [], PATIENCE)
                assert readable or writable, "nothing moves"
                if writable:
                    rest = rest[sock.send(rest):]
                else:  # read only now, so that the server's output has to wait
                    output.append(sock.recv(LARGE))
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(PATIENCE)
        return b"".join(output) + b"".join(iter(lambda: sock.recv(LARGE), b""))


def reference(data: bytes) -> bytes:
    """The output of the http handler for the whole input in one piece, without a socket."""
    return Http().received(memoryview(data))


@given(size=SIZES, cuts=CUTS, seed=st.integers(0, 9))
@BOUNDED
def test_echo_gives_back_any_input_in_any_segments(servers: Servers, size: int, cuts: List[int], seed: int) -> None:
    data = pattern(size, seed)
    assert answer(servers[0], cut(data, cuts)) == data


REQUESTS = st.sampled_from([
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /x HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % (b"y" * 3000),
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n" + b"\r\n" * 2500,
    b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\nExpect: 100-continue\r\n\r\n" + b"b" * 70_000,
])
LAST = st.sampled_from([
    b"", b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\nGET /", b"G" * 9000,
    b"GET / HTTP/1.1\n\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\n123456789 and more",
    b"GET / HTTP/1.1\r\nHost: a", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234",
])


@given(requests=st.lists(REQUESTS, max_size=6), last=LAST, cuts=CUTS)
@BOUNDED
def test_http_answers_any_input_in_any_segments(servers: Servers, requests: List[bytes], last: bytes,
                                                cuts: List[int]) -> None:
    data = b"".join(requests) + last
    assert answer(servers[1], cut(data, cuts)) == reference(data)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_few_hundred_tiny_segments_in_a_row_change_nothing(servers: Servers, step: int) -> None:
    data = pattern(600)
    assert answer(servers[0], [data[at:at + step] for at in range(0, len(data), step)]) == data
    text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456789" * 4
    assert answer(servers[1], [text[at:at + step] for at in range(0, len(text), step)]) == reference(text)


def test_megabytes_in_segments_of_random_size_come_back(servers: Servers) -> None:
    chance, data = random.Random(1), pattern(2_000_000)
    cuts = [chance.randrange(len(data)) for _ in range(300)]
    assert answer(servers[0], cut(data, cuts)) == data
