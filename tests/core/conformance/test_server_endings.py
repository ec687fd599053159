"""How a connection ends: the peer's half-close is honoured, ours loses no data, and a reset affects only its own
connection."""

from __future__ import annotations

import gc
import re
import select
import socket
from typing import Any, Callable

import pytest

from lab.address import resolve
from lab.server import loop
from lab.server.handler import Handler, Output
from lab.server.handlers import Chargen, Echo
from lab.server.models import asynchronous, blocking
from tests.core.conformance.peers import exchange, is_quiet, pattern, ping, receive, rest_of, stuff
from tests.core.conformance.rig import WINDOWS, reset, tells_resets
from tests.core.conformance.serving import KINDS, SERVICES, TIMED, Server, Service, directory, each, needs_unix
from tests.waits import PATIENCE

pytestmark = pytest.mark.winsock

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
DAYTIME = rb"[A-Z][a-z]+day, [A-Z][a-z]+ \d+, \d{4} \d\d:\d\d:\d\d-UTC\r\n\Z"
SMALL = 16 * 1024


def chargen(count: int) -> bytes:
    """The first bytes of the RFC 864 pattern, computed independently of the server."""
    lines = ("".join(chr(0x20 + (first + column) % 95) for column in range(72)) for first in range(95))
    whole = "\r\n".join(lines).encode() + b"\r\n"
    return (whole * (count // len(whole) + 1))[:count]


def lingers(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Make all models keep a finished connection open for this many seconds."""
    for module in (loop, blocking, asynchronous):
        monkeypatch.setattr(module, "LINGER", seconds)


# The peer closes first.


@each(SERVICES)
def test_what_is_owed_after_a_half_close_still_comes(service: Service) -> None:
    data = pattern(1024 * 1024)
    with Server(service, buffers=SMALL, max_buffer=20_000) as server:
        sock = server.connect(buffers=SMALL)
        assert exchange(sock, data) == data  # sends everything, half-closes, and reads to the end of the stream


@each(SERVICES)
def test_a_half_close_without_a_word_is_answered_by_the_end(service: Service) -> None:
    with Server(service) as server:
        assert exchange(server.connect(), b"") == b""


@each(KINDS)
def test_discard_takes_all_and_ends_with_the_peer(service: Service) -> None:
    data = pattern(2 * 1024 * 1024)
    with Server(service, "discard") as server:
        assert exchange(server.connect(), data) == b""
        stats = server.end()
    assert (stats.bytes_in, stats.bytes_out) == (len(data), 0)


@each(KINDS)
def test_http_answers_what_was_asked_before_the_half_close(service: Service) -> None:
    with Server(service, "http") as server:
        answers = exchange(server.connect(), GET * 1000)
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 1000
    assert answers.endswith(b"Hello from muxlab.\n")


@each(SERVICES)
def test_chargen_keeps_its_pattern_over_megabytes_and_ends_with_the_peer(service: Service) -> None:
    with Server(service, "chargen") as server:
        sock, count = server.connect(), 3_000_000
        got = exchange(sock, b"", half_close=False, stop_after=count)
        sock.shutdown(socket.SHUT_WR)
        got += rest_of(sock)
    assert len(got) >= count
    assert got == chargen(len(got))


@each(KINDS)
@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["close", "reset"])
def test_chargen_stops_when_the_peer_leaves(service: Service, leave: Callable[[socket.socket], None]) -> None:
    with Server(service, "chargen") as server:
        leaving, staying = server.connect(), server.connect()
        receive(leaving, 100_000)
        leave(leaving)
        receive(staying, 1_000_000)
        stats = server.end()
    assert stats.cut_off == 0


@each(KINDS)
def test_chargen_throws_input_away_while_it_talks(service: Service) -> None:
    junk = pattern(300_000)
    with Server(service, "chargen", buffers=SMALL) as server:
        got = exchange(server.connect(buffers=SMALL), junk)
        stats = server.end()
    assert got == chargen(len(got))
    assert stats.bytes_in == len(junk)


# The server closes first.


@each(SERVICES)
def test_daytime_speaks_and_ends_in_order_whatever_the_peer_sends(service: Service, monkeypatch: Any) -> None:
    lingers(monkeypatch, PATIENCE)  # the last client may take that long to send
    server = Server(service, "daytime")
    silent, early, late = server.connect(), server.connect(), server.connect()
    early.sendall(pattern(100_000))  # unread input would turn a plain close into a reset
    with server:
        for sock in (silent, early):
            assert re.match(DAYTIME, rest_of(sock).decode().encode())
        assert re.match(DAYTIME, exchange(late, pattern(3_000_000), half_close=False))
        for sock in (silent, early, late):
            sock.sendall(b"more")  # still no reset
        stats = server.end()
    if service.model != "blocking":  # stopping that model resets a client that is sending
        assert stats.resets == 0


@each(KINDS)
@pytest.mark.parametrize("head", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 9000],
                         ids=["malformed", "no-host", "oversized"])
def test_a_400_reaches_a_client_that_keeps_sending(service: Service, head: bytes, monkeypatch: Any) -> None:
    lingers(monkeypatch, PATIENCE)
    with Server(service, "http") as server:
        sock = server.connect()
        answer = exchange(sock, GET + head + b"x" * 3_000_000, half_close=False)  # raises at a reset
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.count(b"HTTP/1.1 400 Bad Request\r\n") == 1


@each(KINDS, fast=TIMED)
def test_who_never_closes_is_closed_after_the_linger(service: Service, monkeypatch: Any) -> None:
    lingers(monkeypatch, 0.2)
    with Server(service, "daytime", max_connections=1) as server:
        stubborn = server.connect()
        assert rest_of(stubborn).endswith(b"-UTC\r\n")
        waiting = server.connect()  # served only after the server has closed the stubborn one
        assert rest_of(waiting).endswith(b"-UTC\r\n")


@each([service for service in KINDS if service.is_loop])
def test_many_short_connections_leave_no_appointments(service: Service) -> None:
    with Server(service, "daytime") as server:
        for _ in range(50):
            with server.connect() as sock:
                rest_of(sock)
        assert len(server.model.loop._timers) <= 2  # type: ignore[attr-defined]


# A reset.

LEAVES_SOCKETS = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning" if WINDOWS else "error")
"""After a failed accept, the Proactor leaves the socket it had created to the garbage collector (CPython 3.8 to
3.13)."""


@LEAVES_SOCKETS
@each(SERVICES, fast=KINDS)
def test_a_reset_costs_its_own_connection(service: Service) -> None:
    server = Server(service, buffers=SMALL, max_buffer=1000)
    early = server.connect()
    early.sendall(b"never answered")
    reset(early)  # before the server has accepted it
    with server:
        other = server.connect()
        ping(other)
        idle = server.connect()
        ping(idle)
        reset(idle)
        ping(other)
        full = server.connect(buffers=SMALL)
        stuff(full, pattern(2_000_000))
        reset(full)  # while output waits, and the server has stopped reading
        ping(other)
        ended = server.connect(buffers=SMALL)
        ended.sendall(pattern(10_000))
        ended.shutdown(socket.SHUT_WR)
        receive(ended, 10)
        reset(ended)  # half-closed: the rest of the output may be on its way
        ping(other)
        stats = server.end()
    assert 3 <= stats.resets <= 4 or not tells_resets()
    assert stats.accepted == 5 or (WINDOWS and stats.accepted == 4)  # on Windows accept may fail for the first
    gc.collect()  # see LEAVES_SOCKETS


@each(SERVICES)
def test_a_reset_while_it_lingers_costs_its_own_connection(service: Service) -> None:
    with Server(service, "daytime") as server:
        sock = server.connect()
        rest_of(sock)
        reset(sock)
        assert rest_of(server.connect()).endswith(b"-UTC\r\n")
        stats = server.end()
    assert stats.accepted == 2
    assert stats.resets == 1 or not tells_resets()


@LEAVES_SOCKETS
@each(KINDS)
def test_a_hundred_resets_at_once_disturb_nobody(service: Service) -> None:
    with Server(service) as server:
        other, socks = server.connect(), [server.connect() for _ in range(100)]
        for number, sock in enumerate(socks):
            sock.send(b"x" * number * 50)
        for sock in socks:
            reset(sock)
        for _ in range(5):
            ping(other)
        ping(server.connect())
        stats = server.end()
    assert stats.accepted == 102 or (WINDOWS and 2 <= stats.accepted < 102)  # accept fails if the reset was faster
    assert stats.resets <= 100
    gc.collect()  # see LEAVES_SOCKETS


@each(KINDS)
def test_a_peer_that_only_sends_and_vanishes_leaves_its_bytes(service: Service) -> None:
    with Server(service, "discard") as server:
        with server.connect() as sock:
            sock.sendall(pattern(50_000))
        stats = server.end()
    assert (stats.bytes_in, stats.resets) == (50_000, 0)


@needs_unix
@each(SERVICES, fast=KINDS)
def test_the_ends_of_a_unix_connection(service: Service) -> None:
    with directory() as where, Server(service, where=[resolve("unix:%s/s" % where, 0)], max_buffer=1000) as server:
        other, full, both = server.connect(), server.connect(), server.connect()
        stuff(full, pattern(2_000_000))
        full.close()  # writing the waiting output then fails with EPIPE
        both.sendall(b"x")
        both.shutdown(socket.SHUT_RDWR)  # HUP while the server reads it
        ping(other)
        assert exchange(other, pattern(300_000)) == pattern(300_000)


# A handler that raises.


class Faulty(Echo):
    """The base of the handlers below, which raise in ``opened`` or at certain input."""

    __slots__ = ()


class FaultyOpening(Faulty):
    """Raises in ``opened`` for every second connection."""

    __slots__ = ()
    calls = 0

    def opened(self) -> bytes:
        FaultyOpening.calls += 1
        if FaultyOpening.calls % 2:
            raise ZeroDivisionError("a faulty greeting")
        return b""


class FaultyAnswer(Faulty):
    """Raises when the peer sends a certain word."""

    __slots__ = ()

    def received(self, data: memoryview) -> Any:
        if bytes(data) == b"fail":
            raise ZeroDivisionError("a faulty answer")
        return data


class FaultyMore(Chargen):
    """Raises in ``more`` for every second connection."""

    __slots__ = ("left",)
    made = 0

    def __init__(self) -> None:
        FaultyMore.made += 1
        self.left = 1 if FaultyMore.made % 2 else 1_000_000

    def more(self) -> Output:
        self.left -= 1
        if self.left < 0:
            raise ZeroDivisionError("a faulty continuation")
        return super().more()


def left(sock: socket.socket) -> bool:
    """Whether the server has closed or reset this connection, and sent nothing more."""
    try:
        return not sock.recv(1)
    except ConnectionResetError:
        return True


@each(SERVICES)
def test_a_handler_that_raises_costs_its_own_connection_and_is_told_once(service: Service) -> None:
    with Server(service, FaultyAnswer) as server:
        good, bad = server.connect(), server.connect()
        ping(good)
        bad.sendall(b"fail")
        assert left(bad)
        ping(good)
        ping(server.connect())
        server.expected_bugs = 1
    assert len([line for line in server.lines() if "a faulty answer" in line]) == 1


@each(KINDS)
def test_a_greeting_that_raises_costs_its_own_connection(service: Service) -> None:
    FaultyOpening.calls = 0
    with Server(service, FaultyOpening) as server:
        assert left(server.connect())
        ping(server.connect())
        server.expected_bugs = 1
    assert len([line for line in server.lines() if "a faulty greeting" in line]) == 1


@each(KINDS)
def test_a_continuation_that_raises_costs_its_own_connection(service: Service) -> None:
    FaultyMore.made = 0
    with Server(service, FaultyMore) as server:
        bad = server.connect()
        try:
            assert len(rest_of(bad)) <= 3 * len(Chargen().more())
        except ConnectionResetError:  # output sent before the error may be lost
            pass
        good = server.connect()
        receive(good, 1_000_000)
        server.expected_bugs = 1
    assert len([line for line in server.lines() if "a faulty continuation" in line]) == 1


# Connections that do not end.


@each(KINDS)
def test_a_silent_connection_stays_open(service: Service) -> None:
    with Server(service) as server:
        sock = server.connect()
        assert is_quiet(sock)
        ping(sock)


@each(KINDS)
def test_an_endless_handler_without_a_greeting_speaks_all_the_same(service: Service) -> None:
    class Mute(Handler):
        __slots__ = ()
        endless = True

        def received(self, data: memoryview) -> bytes:
            return b""

        def more(self) -> bytes:
            return b"on and on "

    with Server(service, Mute) as server:
        sock = server.connect()
        assert receive(sock, 1000) == b"on and on " * 100
        assert select.select([sock], [], [], PATIENCE)[0]
