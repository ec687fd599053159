"""`--trace` shows what happened: level against edge trigger on the same input, and every byte that moved."""

from __future__ import annotations

import json
import re
import socket
from typing import Any, Dict, List

from lab.server import loop
from tests.core.conformance.peers import exchange, is_quiet, pattern, ping, rest_of
from tests.core.conformance.serving import SERVICES, Server, Service, each

TRACED = [service for service in SERVICES if service.is_loop]
SIZE = 1000


def waits(server: Server) -> List[Dict[str, Any]]:
    """The JSON lines of the trace. Fails if anything else was logged."""
    events = [json.loads(line) for line in server.lines()]
    assert {event["event"] for event in events} == {"wait"}
    return events


def reads(events: List[Dict[str, Any]]) -> List[List[Any]]:
    """For each wait that led to reading from the one connection, the results of these reads, in order."""
    return [list(outcomes) for event in events for outcomes in event.get("read", {}).values()]


def moved(events: List[Dict[str, Any]], what: str) -> int:
    """The total number of bytes read, or written."""
    return sum(outcome for event in events for outcomes in event.get(what, {}).values() for outcome in outcomes
               if isinstance(outcome, int))


def served(service: Service, as_json: bool, data: bytes, monkeypatch: Any) -> Server:
    """A traced server that has answered one client, whose input and end had arrived before the server first waited."""
    monkeypatch.setattr(loop, "BUFFER", 400)
    server = Server(service, trace=True, as_json=as_json)
    sock = server.connect()
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    with server:
        assert rest_of(sock) == data
    return server


@each(TRACED)
def test_level_reads_once_a_wait_and_edge_until_eagain(service: Service, monkeypatch: Any) -> None:
    got = reads(waits(served(service, True, pattern(SIZE), monkeypatch)))
    if service.is_edge:
        assert got == [[400, 400, 200, "EOF"]]
    else:
        assert got == [[400], [400], [200], ["EOF"]]


@each([service for service in TRACED if not service.spins])
def test_the_same_input_in_words(service: Service, monkeypatch: Any) -> None:
    lines = [line for line in served(service, False, pattern(SIZE), monkeypatch).lines() if line.startswith("wait ")]
    said = " ".join(re.findall(r"read \d+:(\S+)", "\n".join(lines)))
    assert said == ("400x2,200,EOF" if service.is_edge else "400 400 200 EOF")
    assert all(re.match(r"wait \d+ +\d+\.\d{3} ms  watched ", line) for line in lines)


@each(TRACED)
def test_what_it_tells_adds_up(service: Service) -> None:
    data = pattern(500_000)
    with Server(service, trace=True, as_json=True, buffers=16 * 1024, max_buffer=10_000) as server:
        assert exchange(server.connect(buffers=16 * 1024), data) == data
        ping(server.connect())
        stats = server.end()
    events = waits(server)
    assert moved(events, "read") == stats.bytes_in == len(data) + 4
    assert moved(events, "wrote") == stats.bytes_out == len(data) + 4
    assert len([outcome for event in events for outcomes in event.get("accepted", {}).values() for outcome in outcomes
                if outcome != "EAGAIN"]) == 2
    numbers = [event["wait"] for event in events]
    assert numbers == sorted(set(numbers))
    for event in events:
        assert set(event["ready"]) <= set(event["watched"])
        assert event["seconds"] >= 0.0


def test_busy_polling_tells_only_the_turns_in_which_something_moved() -> None:
    (service,) = [service for service in SERVICES if service.spins]
    with Server(service, trace=True, as_json=True) as server:
        sock = server.connect()
        for _ in range(5):
            assert is_quiet(sock)
            ping(sock)
        stats = server.end()
    events = waits(server)
    assert len(events) < 40
    assert sum(event["idle_before"] for event in events) > 0
    assert stats.waits > len(events)
