"""Load over every backend against a correct server: all bytes come back, and the figures add up."""

from __future__ import annotations

import dataclasses
import socket
import time
from typing import Callable

import pytest

import lab.load.run
from lab.errors import Usage
from lab.load.plan import Plan
from lab.load.run import drive
from lab.load.session import Session
from tests.core.load.peer import Peer, echo
from tests.waits import PATIENCE

pytestmark = pytest.mark.winsock

Serve = Callable[..., Peer]
unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no unix sockets here")


def crumbs(sock: socket.socket, number: int) -> None:
    """Echo in pieces of 1 to 7 bytes."""
    while True:
        data = sock.recv(100)
        if not data:
            return
        for at in range(0, len(data), 1 + number % 7):
            sock.sendall(data[at:at + 1 + number % 7])


@pytest.mark.parametrize("behave", [echo, crumbs])
@pytest.mark.parametrize("mode", ["ping-pong", "pipelined"])
def test_as_many_messages_as_asked_for_come_back(serve: Serve, backend: str, mode: str, behave: object) -> None:
    plan = Plan(serve(behave).address, backend, connections=7, mode=mode, size_bytes=100, count=50, depth=5)
    report = drive(plan)
    assert report.messages == 50
    assert report.bytes_sent == report.bytes_received == report.verified_bytes == 50 * 100
    assert report.latencies is not None and report.latencies.count == 50
    assert 0 < report.latencies.percentile(0.5) <= report.latencies.max <= report.seconds
    assert report.connections == 7
    assert report.backend == backend
    assert not report.is_interrupted


def test_messages_larger_than_any_buffer_come_back(serve: Serve, backend: str) -> None:
    report = drive(Plan(serve().address, backend, connections=2, size_bytes=3_000_001, count=3))
    assert report.bytes_received == 9_000_003


def test_a_stream_comes_back_whole(serve: Serve, backend: str) -> None:
    report = drive(Plan(serve().address, backend, connections=3, mode="stream", total_bytes=5_000_000))
    assert report.bytes_received == report.bytes_sent == 5_000_000
    assert report.latencies is None
    assert report.as_json()["latency_seconds"] is None


def test_more_connections_than_bytes_or_messages(serve: Serve, backend: str) -> None:
    address = serve().address
    assert drive(Plan(address, backend, connections=5, mode="stream", total_bytes=3)).bytes_received == 3
    assert drive(Plan(address, backend, connections=5, count=3)).messages == 3


@unix
@pytest.mark.parametrize("backlog", [1, 128])
def test_unix_sockets_also_with_a_full_backlog(serve: Serve, backend: str, backlog: int, tmp_path: object) -> None:
    address = serve(path="%s/s" % tmp_path, backlog=backlog).address
    assert drive(Plan(address, backend, connections=20, count=40)).messages == 40


def test_the_duration_ends_the_sending_and_the_rest_comes_back(serve: Serve, backend: str) -> None:
    report = drive(Plan(serve().address, backend, connections=3, mode="pipelined", duration=0.02))
    assert 0.02 <= report.seconds < PATIENCE
    assert report.bytes_received == report.bytes_sent == report.messages * 1024 > 0


def test_a_rate_spreads_the_messages(serve: Serve, backend: str) -> None:
    report = drive(Plan(serve().address, backend, connections=3, count=10, rate=500.0))
    assert report.messages == 10
    assert 0.018 <= report.seconds < PATIENCE
    assert report.unsent_messages == 0


def test_a_rate_and_a_duration_count_what_could_not_be_sent(serve: Serve) -> None:
    def slow(sock: socket.socket, number: int) -> None:
        data = sock.recv(1024)
        time.sleep(0.1)
        sock.sendall(data)

    report = drive(Plan(serve(slow).address, connections=1, rate=1000.0, duration=0.03))
    assert report.messages == 1
    assert report.unsent_messages == 29


def test_a_stall_shows_in_the_latency_of_what_was_due_meanwhile(serve: Serve) -> None:
    def stalls(sock: socket.socket, number: int) -> None:
        sock.recv(1, socket.MSG_PEEK)
        time.sleep(0.15)
        echo(sock, number)

    closed = drive(Plan(serve(stalls).address, connections=1, count=30)).latencies
    open_ = drive(Plan(serve(stalls).address, connections=1, count=30, rate=150.0)).latencies
    assert closed is not None and open_ is not None
    assert closed.percentile(0.5) < 0.05  # only one message of thirty is slow: coordinated omission
    assert open_.percentile(0.5) > 0.05
    assert open_.max >= 0.15


def test_ctrl_c_reports_what_was_measured_so_far(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.load.run, "SLICE", 0.02)

    def interrupt(session: Session) -> None:
        if session.messages:  # on a busy machine the first message may take more than one slice
            raise KeyboardInterrupt

    report = drive(Plan(serve().address, duration=60.0), watch=interrupt)
    assert report.is_interrupted
    assert report.messages > 0
    assert report.seconds < PATIENCE


def test_the_seed_changes_what_is_sent(serve: Serve) -> None:
    seen = []

    def record(sock: socket.socket, number: int) -> None:
        data = sock.recv(1024)
        seen.append(data)
        sock.sendall(data)

    for seed in (1, 1, 2):
        drive(Plan(serve(record).address, connections=1, count=1, size_bytes=100, seed=seed))
    assert seen[0] == seen[1] != seen[2]


def test_what_makes_no_sense_is_refused(serve: Serve) -> None:
    plan = Plan(serve().address)
    wrong = [{"mode": "burst"}, {"connections": 0}, {"size_bytes": 0}, {"rate": 0.0}, {"patience": -1.0},
             {"mode": "stream", "rate": 5.0}, {"mode": "stream", "duration": 0.0}, {"count": 0}, {"depth": 0}]
    for change in wrong:
        with pytest.raises(Usage):
            dataclasses.replace(plan, **change)  # type: ignore[arg-type]
    with pytest.raises(Usage, match='no backend "epol"'):
        drive(dataclasses.replace(plan, backend="epol"))


def test_our_own_cpu_time_is_reported(serve: Serve) -> None:
    report = drive(Plan(serve().address, count=100))
    assert 0 < report.cpu_seconds < 10
