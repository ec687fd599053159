"""Stopping: accepted and waiting clients are answered, and the server ends, whatever the peers do.

Also starting: on every kind of address, on two at once, and stopped before it began.
"""

from __future__ import annotations

import signal
import socket
import time
from typing import Any, Callable

import pytest

from lab.address import both_loopbacks, listen, resolve
from lab.errors import EXIT_OK
from lab.server import loop
from tests.core.conformance.peers import (
    exchange,
    nothing_listens,
    pattern,
    ping,
    receive,
    rest_of,
    stuff,
)
from tests.core.conformance.serving import KINDS, SERVICES, TIMED, Process, Server, Service, each
from tests.waits import PATIENCE

pytestmark = pytest.mark.winsock

SMALL = 16 * 1024


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:  # EAFNOSUPPORT, EADDRNOTAVAIL: switched off
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on the loopback here")


# In this process.


@each(SERVICES)
def test_it_stops_while_nothing_is_connected(service: Service) -> None:
    server = Server(service)
    with server:
        server.stop()
        stats = server.ended()
    assert (stats.accepted, stats.cut_off) == (0, 0)
    assert nothing_listens(server.where[0])


@each(SERVICES)
def test_stopped_before_it_runs_it_still_answers_the_backlog(service: Service) -> None:
    server = Server(service)
    socks = [server.connect() for _ in range(150)]  # more than one batch of accepts
    for sock in socks:
        sock.sendall(b"early")
        sock.shutdown(socket.SHUT_WR)
    server.stop()
    with server:
        assert [rest_of(sock) for sock in socks] == [b"early"] * len(socks)
        stats = server.ended()
    assert (stats.accepted, stats.cut_off, stats.resets) == (len(socks), 0, 0)


@each(KINDS)
def test_stopped_twice_it_ends_at_once(service: Service) -> None:
    with Server(service, drain=60.0, send_buffer=SMALL // 4, max_buffer=5000) as server:
        sock = server.connect(buffers=SMALL // 4)
        ping(sock)
        assert stuff(sock, pattern(50_000), 50_000) == 50_000  # which the server cannot flush, because nobody reads
        server.stop()
        server.stop()
        stats = server.ended()
    assert stats.cut_off == 1


@each(KINDS)
def test_stopped_twice_before_it_runs_it_ends_at_once(service: Service) -> None:
    server = Server(service)
    server.stop()
    server.stop()
    with server:
        server.ended()
    server.stop()  # a third stop is harmless


@each(SERVICES)
def test_an_idle_connection_gets_the_end_and_no_reset(service: Service) -> None:
    with Server(service) as server:
        silent, spoke = server.connect(), server.connect()
        ping(spoke)
        server.stop()
        assert rest_of(silent) == b""
        assert rest_of(spoke) == b""
        silent.close()
        spoke.close()
        stats = server.ended()
    assert (stats.cut_off, stats.resets) == (0, 0)


@each(SERVICES)
def test_what_arrived_before_the_stop_is_answered(service: Service) -> None:
    data = pattern(50_000)  # the server's kernel accepts all of it, the client's has little room for the answer
    with Server(service, send_buffer=SMALL // 4, max_buffer=5000) as server:
        slow, fresh = server.connect(buffers=SMALL // 4), server.connect()
        ping(fresh)
        assert stuff(slow, data, len(data)) == len(data)
        fresh.sendall(b"just in time")
        server.stop()
        assert rest_of(fresh) == b"just in time"
        fresh.close()
        assert rest_of(slow) == data
        slow.close()
        stats = server.ended()
    assert (stats.cut_off, stats.resets) == (0, 0)


@each([service for service in SERVICES if service.model != "blocking"], fast=KINDS)
def test_who_goes_on_sending_gets_the_end_and_no_reset(service: Service) -> None:
    """The blocking model does not promise this: the only way to wake its threads makes the kernel refuse further
    input."""
    data = pattern(1_000_000)
    with Server(service, buffers=SMALL, max_buffer=5000) as server:
        sock = server.connect(buffers=SMALL)
        stuff(sock, data)
        server.stop()
        got = rest_of(sock)
        sock.close()
        stats = server.ended()
    assert data.startswith(got)
    assert (stats.cut_off, stats.resets) == (0, 0)


@each([service for service in KINDS if service.is_loop])
@pytest.mark.parametrize("size", [99, 100, 101, 399, 400, 401, 800])
def test_the_end_is_found_wherever_the_drain_budget_ends(service: Service, size: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(loop, "BUDGET", 4)
    monkeypatch.setattr(loop, "BUFFER", 100)
    server = Server(service, drain=60.0)
    sock = server.connect()
    sock.sendall(pattern(size))
    server.stop()  # before it runs, so that it reads all input while it drains
    with server:
        assert rest_of(sock) == pattern(size)
        sock.close()
        stats = server.ended()
    assert stats.cut_off == 0


@each(KINDS)
@pytest.mark.parametrize("moment", range(8))
def test_who_connected_before_the_stop_is_answered(service: Service, moment: int) -> None:
    """At any step of being accepted."""
    with Server(service) as server:
        ping(server.connect())
        socks = []
        for number in range(20):
            socks.append(server.connect())
            socks[-1].sendall(b"hello")
            if number == 10 + moment:
                server.stop()
                break
        assert [receive(sock, 5) for sock in socks] == [b"hello"] * len(socks)
        assert [rest_of(sock) for sock in socks] == [b""] * len(socks)


@each(KINDS, fast=TIMED)
def test_a_client_that_does_not_read_is_cut_off_after_the_drain_time(service: Service) -> None:
    with Server(service, drain=0.2, send_buffer=SMALL // 4, max_buffer=5000) as server:
        deaf, other = server.connect(buffers=SMALL // 4), server.connect()
        ping(other)
        assert stuff(deaf, pattern(50_000), 50_000) == 50_000
        began = time.monotonic()
        server.stop()
        stats = server.ended()
        assert time.monotonic() - began >= 0.15
    assert stats.cut_off == 1


@each(KINDS)
def test_a_client_that_never_stops_sending_is_cut_off_too(service: Service, run_threads: Callable[..., Any]) -> None:
    with Server(service, "discard", drain=0.2) as server:
        sock = server.connect()

        def flood() -> None:
            try:
                while True:
                    sock.sendall(pattern(100_000))
            except OSError:  # ECONNRESET or EPIPE, as expected; EBADF: closed at the end of the test
                pass

        thread = run_threads(flood)
        server.stop()
        server.ended()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@each(KINDS)
def test_chargen_is_stopped_in_the_middle_of_its_pattern(service: Service) -> None:
    with Server(service, "chargen") as server:
        sock = server.connect()
        receive(sock, 100_000)
        server.stop()
        rest_of(sock)  # reads to the end of the stream, without a reset
        sock.close()
        stats = server.ended()
    assert (stats.cut_off, stats.resets) == (0, 0)


@each(SERVICES)
def test_two_listeners_are_one_server(service: Service) -> None:
    with Server(service, where=[resolve("127.0.0.1", 0), resolve("127.0.0.1", 0)]) as server:
        first, second = server.connect(0), server.connect(1)
        ping(first)
        ping(second)
        server.stop()
        assert rest_of(first) + rest_of(second) == b""
        first.close()
        second.close()
        server.ended()
        assert nothing_listens(server.where[0])
        assert nothing_listens(server.where[1])


@needs_ipv6
@each(KINDS)
def test_both_loopbacks_on_one_port(service: Service) -> None:
    with listen(resolve("127.0.0.1", 0)) as trial:
        port = trial.getsockname()[1]
    with Server(service, where=both_loopbacks(port)) as server:
        assert [where.family for where in server.where] == [socket.AF_INET, socket.AF_INET6]
        for which in (0, 1):
            assert exchange(server.connect(which), b"both") == b"both"


@needs_ipv6
def test_a_dual_stack_wildcard_takes_both_families() -> None:
    with Process("--host", "::", "--dual-stack", "--expose") as process:
        port = process.where[0].where[1]
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), PATIENCE) as sock:
                ping(sock)
        assert process.stop(signal.SIGTERM)[0] == EXIT_OK
