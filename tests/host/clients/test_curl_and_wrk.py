"""curl and wrk against the http handler: it is there for tools like them."""

from __future__ import annotations

import re

import pytest

from tests.core.conformance.serving import KINDS, SERVICES, Server, Service, each
from tests.host.clients.programs import lines, outcome, run

pytestmark = pytest.mark.slow  # programs that may not be here, several started in each test

BODY = b"Hello from muxlab.\n"
CURL = ["-q", "-sS", "--noproxy", "*", "--max-time", "20"]


def url(server: Server) -> str:
    return "http://127.0.0.1:%d/" % server.where[0].where[1]


@each(SERVICES)
def test_curl_gets_an_answer(service: Service) -> None:
    with Server(service, "http") as server:
        head, _, body = run("curl", *CURL, "-i", url(server)).partition(b"\r\n\r\n")
        assert body == BODY
        assert lines(head) == ["HTTP/1.1 200 OK", "Content-Type: text/plain", "Content-Length: 19",
                               "Connection: keep-alive"]


@each(KINDS)
def test_curl_fetches_several_urls_over_one_connection(service: Service) -> None:
    with Server(service, "http") as server:
        text = run("curl", *CURL, "-w", "%{num_connects} %{http_code}\\n", *(url(server) + str(n) for n in range(5)))
        assert text == BODY + b"1 200\n" + (BODY + b"0 200\n") * 4
        stats = server.end()
    assert (stats.accepted, stats.resets) == (1, 0)


@each(KINDS)
def test_curl_asks_for_heads(service: Service) -> None:
    with Server(service, "http") as server:
        text = run("curl", *CURL, "-I", url(server), url(server))
        assert text.count(b"HTTP/1.1 200 OK\r\n") == 2 and BODY not in text
        stats = server.end()
    assert stats.accepted == 1


@each(KINDS)
@pytest.mark.parametrize("size", [0, 1, 70_000, 5_000_000])
def test_curl_posts_twice_over_one_connection(service: Service, size: int) -> None:
    """Above 1 MB curl sends ``Expect: 100-continue``. Answered before the body, it sent none, and the next request
    in its place: both sides then waited for ever."""
    with Server(service, "http") as server:
        text = run("curl", *CURL, "--data-binary", "@-", "-w", "%{num_connects} %{http_code} %{size_upload}\\n",
                   url(server), "--next", *CURL, "-w", "%{num_connects} %{http_code}\\n", url(server),
                   stdin=b"x" * size)
        assert lines(text) == ["Hello from muxlab.", "1 200 %d" % size, "Hello from muxlab.", "0 200"]
        stats = server.end()
    assert (stats.accepted, stats.resets) == (1, 0)
    assert stats.bytes_in > size


@each(KINDS)
def test_curl_speaks_http_1_0(service: Service) -> None:
    with Server(service, "http") as server:
        text = run("curl", *CURL, "--http1.0", "-i", url(server), url(server))
        assert text.count(b"Connection: close\r\n") == text.count(BODY) == 2
        stats = server.end()
    assert (stats.accepted, stats.resets) == (2, 0)


@each(KINDS)
def test_curl_is_refused_where_it_must_be(service: Service) -> None:
    refused = [["-H", "X: " + "x" * 9000], ["-H", "Host:"], ["-H", "Transfer-Encoding: chunked", "-d", "x"],
               ["-H", "Content-Length: -1"], ["-X", "A B"]]
    with Server(service, "http") as server:
        for options in refused:
            text = run("curl", *CURL, "-w", "%{http_code}", *options, url(server))
            assert text.startswith(b"400: ") and text.endswith(b"\n400"), options
        assert run("curl", *CURL, "-w", "%{http_code}", "-H", "X: " + "x" * 7000, url(server)) == BODY + b"200"
        stats = server.end()
    assert stats.resets == 0


@pytest.mark.parametrize("service", [
    pytest.param(service, id=service.name, marks=[] if service is SERVICES[0] else [pytest.mark.slow])
    for service in SERVICES])  # a second each, because wrk counts in whole ones
def test_wrk_finds_no_fault_with_fifty_connections(service: Service) -> None:
    with Server(service, "http") as server:
        out, err, code = outcome("wrk", "-t1", "-c50", "-d1s", url(server))
        text = out.decode()
        assert (code, err) == (0, b"")
        assert "Socket errors" not in text and "Non-2xx" not in text, text
        match = re.search(r"(\d+) requests in", text)
        assert match is not None, text
        stats = server.end()
    # wrk closes in the middle of answers when its time is over, which may come to us as resets.
    assert int(match.group(1)) > 200
    assert stats.accepted >= 50 and stats.bytes_out > 200 * len(BODY)
