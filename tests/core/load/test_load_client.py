"""One connection on a scripted backend: which interests it registers, and what it does when no real server could make
it."""

from __future__ import annotations

import socket
from typing import Iterator, List, Tuple, Type

import pytest

import lab.load.session
from lab.address import resolve
from lab.backends.fake import Fake
from lab.errors import Deviation
from lab.events import BOTH, READ, WRITE
from lab.load.client import Client, Messages, Stream
from lab.load.pattern import CHUNK
from lab.load.plan import Plan
from lab.load.session import Session

pytestmark = pytest.mark.winsock

# A message that fits into any socket pair: 8 KiB on macOS.
PLAN = Plan(resolve("127.0.0.1", 1), connections=1, size_bytes=4_000, count=1)


@pytest.fixture
def pair() -> Iterator[Tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield near, far


def start(plan: Plan, near: socket.socket, edge: bool, kind: Type[Client] = Messages) -> Client:
    session = Session(plan, Fake(edge=edge))
    client = kind(session, 0, near)
    session.clients.append(client)
    session.backend.register(near.fileno(), READ, client)
    session.started_at = 1.0
    return client


def modified(client: Client) -> List[int]:
    """The interests that the backend got, in order."""
    backend = client.session.backend
    assert isinstance(backend, Fake)
    return [call[2] for call in backend.calls if call[0] == "modify"]


def echoed(client: Client, far: socket.socket) -> None:
    """Receive everything that was sent, and send it back; a socket pair holds that much."""
    taken = b""
    while len(taken) < client.sent - client.received:
        taken += far.recv(CHUNK)
    far.sendall(taken)


@pytest.mark.parametrize("edge", [False, True])
def test_one_message_is_one_send_and_one_receive_under_either_trigger(
        pair: Tuple[socket.socket, socket.socket], edge: bool) -> None:
    client = start(PLAN, pair[0], edge)
    client.begin()
    echoed(client, pair[1])
    client.on_ready(READ)
    assert client.is_finished
    assert client.session.messages == 1
    assert modified(client) == []


def test_an_edge_triggered_reader_that_stops_early_asks_again(
        pair: Tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.load.session, "BUDGET", 1)
    client = start(PLAN, pair[0], edge=True)
    client.begin()
    pair[1].sendall(pair[1].recv(2_000))
    client.on_ready(READ)
    assert not client.is_finished
    assert modified(client) == [READ]


def test_an_edge_triggered_writer_that_stops_early_asks_again_each_time(
        pair: Tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.load.session, "BUDGET", 1)
    plan = Plan(PLAN.address, connections=1, mode="stream", total_bytes=10_000_000)
    client = start(plan, pair[0], edge=True, kind=Stream)
    client.begin()
    client.on_ready(WRITE)
    assert modified(client) == [BOTH, BOTH]


def test_a_spurious_wakeup_changes_nothing(pair: Tuple[socket.socket, socket.socket]) -> None:
    client = start(PLAN, pair[0], edge=False)
    client.begin()
    sent = client.sent
    client.on_ready(BOTH)
    assert (client.sent, client.received) == (sent, 0)


def test_interest_in_writing_ends_with_what_is_to_be_written(pair: Tuple[socket.socket, socket.socket]) -> None:
    client = start(Plan(PLAN.address, connections=1, size_bytes=3_000_000, count=1), pair[0], edge=False)
    client.begin()
    pair[1].setblocking(False)
    taken = bytearray()
    while not client.is_finished:
        client.on_ready(BOTH)
        try:
            taken += pair[1].recv(CHUNK)
        except BlockingIOError:
            pass
        if taken:
            try:
                del taken[:pair[1].send(taken)]
            except BlockingIOError:
                pass
    assert modified(client) == [BOTH, READ]


@pytest.mark.parametrize("extra", [1, 1_000])
def test_more_bytes_than_were_sent_are_too_many(pair: Tuple[socket.socket, socket.socket], extra: int) -> None:
    client = start(PLAN, pair[0], edge=False)
    client.begin()
    run = client.session.pattern.run(0, 0, 4_000)
    pair[1].sendall(bytes(run) + bytes(client.session.pattern.run(0, 4_000, extra)))
    with pytest.raises(Deviation, match=r"more bytes came back than the 4000 that were sent"):
        client.on_ready(READ)


def test_the_last_look_finds_what_came_too_late(pair: Tuple[socket.socket, socket.socket]) -> None:
    client = start(PLAN, pair[0], edge=False)
    client.begin()
    echoed(client, pair[1])
    client.on_ready(READ)
    client.conclude()
    pair[1].sendall(b"x")
    with pytest.raises(Deviation, match="1 more bytes came back"):
        client.conclude()
    pair[1].close()
    client.conclude()  # from now on the peer may leave
