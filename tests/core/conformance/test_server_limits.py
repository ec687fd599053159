"""Limits on connections, idle time and descriptors; a server without descriptors does not spin, and recovers by
itself."""

from __future__ import annotations

import select
import signal
import socket
import time
from typing import Any, Iterator, List, Optional, Type

import pytest

from lab.address import resolve
from lab.errors import EXIT_OK
from lab.probing.probe import over
from tests.core.conformance.peers import is_quiet, ping, receive, rest_of
from tests.core.conformance.rig import WINDOWS, room_for
from tests.core.conformance.serving import (
    KINDS,
    SERVICES,
    TIMED,
    Process,
    Server,
    Service,
    each,
    linux_only,
)
from tests.waits import PATIENCE, QUIET

pytestmark = pytest.mark.winsock

IDLE = 0.2
FAST = [service for service in TIMED if not service.spins]
SMALL = 16 * 1024

CROWDED = """
import os, resource, sys, threading
from lab.cli import main

limit, held = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
others = [os.open(os.devnull, os.O_RDONLY) for _ in range(held)]

def release():
    sys.stdin.readline()
    for fd in others:
        os.close(fd)

threading.Thread(target=release, daemon=True).start()
sys.exit(main(["serve", "--port", "0", "--log", "json", *sys.argv[3:]]))
"""
"""`lab serve` in a process with few descriptors, some of which other code holds until a line arrives on standard
input."""


# max_connections


@each(SERVICES)
def test_who_is_one_too_many_waits_and_is_served_when_one_leaves(service: Service) -> None:
    with Server(service, max_connections=3) as server:
        first = [server.connect() for _ in range(3)]
        for sock in first:
            ping(sock)
        waiting = [server.connect() for _ in range(3)]
        for sock in waiting:
            sock.sendall(b"patient")
        assert all(is_quiet(sock) for sock in waiting)
        for sock in first:
            ping(sock)  # served as before
        for leaving, coming in zip(first, waiting):
            leaving.close()
            assert receive(coming, 7) == b"patient"
        stats = server.end()
    assert (stats.accepted, stats.peak, stats.exhausted) == (6, 3, 0)


@each(KINDS)
def test_one_at_a_time_over_two_listeners(service: Service) -> None:
    here = resolve("127.0.0.1", 0)
    with Server(service, where=[here, here], max_connections=1) as server:
        for which in (0, 1, 1, 0):
            sock = server.connect(which)
            ping(sock)
            other = server.connect(1 - which)
            other.sendall(b"next")
            assert is_quiet(other)
            sock.close()
            assert receive(other, 4) == b"next"
            other.close()
        stats = server.end()
    assert (stats.accepted, stats.peak) == (8, 1)


@each(KINDS)
def test_a_full_server_stops(service: Service) -> None:
    with Server(service, max_connections=1) as server:
        sock, waiting = server.connect(), server.connect()
        ping(sock)
        server.stop()
        assert rest_of(sock) == b""
        sock.close()
        waiting.close()
        server.ended()


# idle_timeout


class Pace:
    """Checks that a client moves often enough for a server with this idle timeout. If the machine has paused the
    client, the server is right to close it, and the ``with`` block then suppresses the failure."""

    def __init__(self, idle: float, is_last: bool) -> None:
        self.idle = idle
        self.is_over = is_last
        self._is_kept = True
        self._last = time.monotonic()

    def step(self) -> None:
        """Call this after each move."""
        now = time.monotonic()
        self._is_kept = self._is_kept and now - self._last < self.idle / 2  # to the server two may look like one
        self._last = now

    def __enter__(self) -> Pace:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Any) -> bool:
        self.step()
        self.is_over = self.is_over or error is None or self._is_kept
        return not self.is_over and isinstance(error, (AssertionError, OSError))


def paces() -> Iterator[Pace]:
    """A short idle timeout first, and longer ones as long as the client could not keep the pace."""
    for idle in (IDLE, 5 * IDLE, 25 * IDLE):
        pace = Pace(idle, idle > 20 * IDLE)
        yield pace
        if pace.is_over:
            return


@each(TIMED)
def test_only_the_idle_are_closed(service: Service) -> None:
    for pace in paces():
        with pace, Server(service, idle_timeout=pace.idle) as server:
            idle, active = server.connect(), server.connect()
            began, lasted = time.monotonic(), 0.0
            ping(idle)
            while not lasted or time.monotonic() < began + 2.5 * pace.idle:
                ping(active)
                pace.step()
                if not is_quiet(active if lasted else idle):  # waits QUIET seconds, far less than the timeout
                    lasted = time.monotonic() - began
                assert lasted or time.monotonic() < began + pace.idle + PATIENCE
            assert rest_of(idle) == b""
            assert lasted > 0.9 * pace.idle
            ping(active)
            active.close()
            assert server.end().idle == 1


@each(TIMED, fast=FAST)
def test_who_only_reads_is_not_idle(service: Service) -> None:
    for pace in paces():
        with pace, Server(service, "chargen", idle_timeout=pace.idle) as server:
            sock, deadline, got = server.connect(), time.monotonic() + 2.5 * pace.idle, 0
            while time.monotonic() < deadline or got < 1_000_000:
                got += len(receive(sock, 10_000))  # as fast as possible, with no input at all
                pace.step()
            sock.close()
            assert server.end().idle == 0


@each([service for service in TIMED if service.model != "blocking"], fast=FAST)
def test_who_reads_slowly_is_not_idle(service: Service) -> None:
    """A megabyte in the queue lasts: the server must notice progress, not only the beginning and the end of it."""
    if service.model == "asynchronous" and WINDOWS:
        pytest.skip("the Proactor reports a write only once all of it is sent")
    for pace in paces():
        with pace, Server(service, "chargen", idle_timeout=pace.idle, buffers=SMALL) as server:
            sock = server.connect(buffers=SMALL)
            for _ in range(int(2.5 * pace.idle / QUIET)):
                receive(sock, 20_000)
                pace.step()
                time.sleep(QUIET)  # not for synchronisation: it makes the reader slow
            sock.close()
            assert server.end().idle == 0


@each(TIMED, fast=FAST[:1])
def test_who_reads_nothing_is_idle(service: Service) -> None:
    with Server(service, "chargen", idle_timeout=IDLE, buffers=SMALL, max_connections=1) as server:
        server.connect(buffers=SMALL)
        receive(server.connect(), 100)  # served once the other has been closed
        server.end()


# Descriptors.


def answered(socks: List[socket.socket]) -> List[socket.socket]:
    """The sockets that have an answer to read, once there is one and no other follows for a second; a busy machine
    pauses for long."""
    found: List[socket.socket] = []
    while True:
        ready = select.select([sock for sock in socks if sock not in found], [], [], 1.0 if found else PATIENCE)[0]
        if not ready:
            return found
        found += ready


@linux_only
@each(SERVICES, fast=KINDS)
def test_without_descriptors_it_neither_spins_nor_forgets(service: Service) -> None:
    """Connected clients notice nothing. Waiting ones are served when a client leaves, or when other code in the process
    closes descriptors."""
    with Process("50", "20", *service.options, program=CROWDED) as process:
        socks = [process.connect() for _ in range(40)]
        for sock in socks:
            sock.sendall(b"first")
        served = socks[:len(answered(socks))]
        assert [receive(sock, 5) for sock in served] == [b"first"] * len(served)
        waiting = socks[len(served):]
        assert served and len(waiting) >= 10
        before, began = process.cpu_seconds(), time.monotonic()
        for _ in range(6):
            for sock in served:
                ping(sock)
            assert is_quiet(waiting[0])
        if not service.spins:
            assert process.cpu_seconds() - before < 0.5 * (time.monotonic() - began)
        served.pop().close()
        assert receive(waiting[0], 5) == b"first"  # one client left, and one is served instead
        assert is_quiet(waiting[-1])
        process.tell("release")
        assert [receive(sock, 5) for sock in waiting[1:]] == [b"first"] * (len(waiting) - 1)
        ping(served[0])
        for sock in socks:
            sock.close()
        code, events = process.stop(signal.SIGTERM)
    assert code == EXIT_OK
    told = [event["event"] for event in events]
    assert told.count("exhausted") == 1
    assert len(told) <= 3
    assert events[-1]["accepted"] == len(socks)
    assert events[-1]["errors"] == events[-1]["resets"] == 0


@linux_only
@each(KINDS, fast=TIMED)
def test_without_descriptors_it_can_still_be_stopped(service: Service) -> None:
    with Process("30", "0", *service.options, program=CROWDED) as process:
        socks = [process.connect() for _ in range(30)]
        for sock in socks:
            sock.sendall(b"first")
        served = 0
        while not is_quiet(socks[served]):
            assert receive(socks[served], 5) == b"first"
            served += 1
        process.signal(signal.SIGTERM)
        for sock in socks[:served]:
            assert rest_of(sock) == b""
            sock.close()
        for sock in socks:
            sock.close()
        code, _ = process.finish()
    assert code == EXIT_OK


@pytest.mark.skipif(not WINDOWS, reason="on POSIX select limits the number of a descriptor, not the count")
@each([service for service in SERVICES if service.backend in over("select")])
def test_the_513th_socket_is_refused_and_the_others_are_kept(service: Service) -> None:
    with Server(service) as server:
        socks = [server.connect() for _ in range(510)]  # with the listener and the waker, 512
        for sock in (socks[0], socks[-1]):
            ping(sock)
        for _ in range(3):
            assert rest_of(server.connect()) == b""
        ping(socks[-1])
        socks[0].close()
        deadline = time.monotonic() + PATIENCE
        while len(server.model.loop._connections) == 510:  # type: ignore[attr-defined]
            assert time.monotonic() < deadline, "the place of a closed connection is not free again"
            time.sleep(QUIET)
        ping(server.connect())
        stats = server.end()
    assert (stats.refused, stats.errors) == (3, 0)
    assert sum("512 sockets in one call" in line for line in server.lines()) == 1, "logged once"


@pytest.mark.needs("posix-select")
@each([service for service in SERVICES if service.backend in over("select")])
def test_select_refuses_whom_it_cannot_watch_and_keeps_the_others(service: Service) -> None:
    room_for(3000)
    blockers: List[socket.socket] = []
    with Server(service) as server:
        good = server.connect()
        ping(good)
        try:
            while not blockers or blockers[-1].fileno() < 1030:
                blockers.append(socket.socket())
            for _ in range(3):
                refused = server.connect()
                assert rest_of(refused) == b""
            ping(good)
            for sock in blockers[:10]:
                sock.close()
            ping(server.connect())  # its descriptor has a small number again
        finally:
            for sock in blockers:
                sock.close()
        stats = server.end()
    assert (stats.refused, stats.exhausted) == (3, 0)
    assert len([line for line in server.lines() if "refused a connection" in line]) == 1
