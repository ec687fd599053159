"""Wrong readiness: the loop on a scripted backend whose events are false, repeated, or in an unusual order.

The sockets are real, the events are scripted. Each script ends with the event of the waker, after ``stop`` was called.
"""

from __future__ import annotations

import io
import socket
from typing import Any, Callable, Iterator, List, Mapping

import pytest

from lab.address import listen, resolve
from lab.backends.fake import Fake
from lab.events import ERROR, HANGUP, INVALID, READ, WRITE
from lab.server.handlers import HANDLERS
from lab.server.limits import Limits, Stats
from lab.server.log import Log
from lab.server.loop import Loop
from tests.core.conformance.peers import pattern, receive, rest_of, stuff
from tests.core.conformance.rig import arrived, reset
from tests.waits import PATIENCE

Step = Callable[["Stage"], Mapping[int, int]]


class Stage:
    """A loop on a ``Fake`` whose script is written as it runs: each step sees what is registered by then."""

    def __init__(self, handler: str, steps: List[Step], edge: bool, **limits: Any) -> None:
        self.listener = listen(resolve("127.0.0.1", 0))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.listening = self.listener.fileno()
        self.where = self.listener.getsockname()
        self.fake = Fake(self._script(steps), edge)
        self.output = io.StringIO()
        self.loop = Loop(self.fake, [self.listener], HANDLERS[handler], Limits(**limits), Log(stream=self.output))
        self.clients: List[socket.socket] = []

    def _script(self, steps: List[Step]) -> Iterator[Mapping[int, int]]:
        for step in steps:
            yield step(self)
        self.loop.stop()
        self.loop.stop()
        yield {self.loop.waker.fd: READ}

    def connect(self) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(PATIENCE)
        sock.connect(self.where)
        self.clients.append(sock)
        return sock

    @property
    def peers(self) -> List[int]:
        """The descriptors of the connections, oldest first."""
        return [fd for fd in self.fake.interest if fd not in (self.listening, self.loop.waker.fd)]

    def run(self) -> Stats:
        try:
            return self.loop.run()
        finally:
            for sock in self.clients:
                sock.close()


def accept(stage: Stage) -> Mapping[int, int]:
    """Connect one more client, and return the true event for it."""
    stage.connect()
    return {stage.listening: READ}


@pytest.fixture(name="edge", params=[False, True], ids=["level", "edge"])
def each_trigger(request: Any) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("event", [READ, WRITE, READ | WRITE, ERROR, HANGUP, READ | ERROR | HANGUP, INVALID,
                                   ERROR | WRITE])
def test_an_event_without_a_cause_costs_nothing(event: int, edge: bool) -> None:
    def lie(stage: Stage) -> Mapping[int, int]:
        return {stage.peers[0]: event}

    def speak(stage: Stage) -> Mapping[int, int]:
        stage.clients[0].sendall(b"still here")
        arrived_at(stage)
        return {stage.peers[0]: READ}

    def check(stage: Stage) -> Mapping[int, int]:
        assert receive(stage.clients[0], 10) == b"still here"
        return {}

    stage = Stage("echo", [accept, lie, lie, speak, check], edge)
    stats = stage.run()
    assert (stats.accepted, stats.resets, stats.errors) == (1, 0, 0), stage.output.getvalue()


def arrived_at(stage: Stage) -> None:
    """Return when the data of the first client has arrived at the server's socket."""
    (connection,) = stage.loop._connections
    arrived(connection.sock)


def test_an_acceptor_that_is_ready_for_nobody_goes_on(edge: bool) -> None:
    def nobody(stage: Stage) -> Mapping[int, int]:
        return {stage.listening: READ}

    stats = Stage("echo", [nobody, nobody, accept, nobody], edge).run()
    assert (stats.accepted, stats.errors) == (1, 0)


def test_a_client_that_reset_before_the_acceptor_came(edge: bool) -> None:
    def gone(stage: Stage) -> Mapping[int, int]:
        reset(stage.connect())
        return {stage.listening: READ}

    def read(stage: Stage) -> Mapping[int, int]:
        return dict.fromkeys(stage.peers, READ | ERROR | HANGUP)

    stats = Stage("echo", [gone, read, accept], edge).run()
    assert stats.errors == 0
    assert stats.accepted in (1, 2)  # the BSDs remove it from the backlog


@pytest.mark.parametrize("event", [HANGUP, ERROR, ERROR | HANGUP, INVALID])
def test_a_hang_up_ends_a_connection_that_is_not_read_from(event: int, edge: bool) -> None:
    """Otherwise it would be reported for ever, because only a read would clear it."""
    def deaf(stage: Stage) -> Mapping[int, int]:
        stuff(stage.clients[0], pattern(200_000))
        return {stage.peers[0]: READ}

    def again(stage: Stage) -> Mapping[int, int]:
        return {stage.peers[0]: READ} if stage.fake.interest[stage.peers[0]] & READ else {}

    def hang_up(stage: Stage) -> Mapping[int, int]:
        assert stage.fake.interest[stage.peers[0]] == WRITE
        return {stage.peers[0]: event}

    def check(stage: Stage) -> Mapping[int, int]:
        assert stage.peers == []
        return {}

    stats = Stage("echo", [accept, deaf, again, again, hang_up, check], edge, max_buffer=10).run()
    assert (stats.resets, stats.errors) == (1, 0)


def test_events_in_any_order_in_one_turn(edge: bool) -> None:
    """The waker before the acceptor, a connection before the one that ends it, the newest first."""
    def all_at_once(stage: Stage) -> Mapping[int, int]:
        for sock in stage.clients:
            sock.sendall(b"x")
        for connection in stage.loop._connections:
            arrived(connection.sock)
        stage.clients[1].close()
        stage.connect()
        order = [stage.loop.waker.fd, *reversed(stage.peers), stage.listening]
        return dict.fromkeys(order, READ)

    def ends(stage: Stage) -> Mapping[int, int]:
        return dict.fromkeys(stage.peers, READ | WRITE | HANGUP)

    def check(stage: Stage) -> Mapping[int, int]:
        assert receive(stage.clients[0], 1) + receive(stage.clients[2], 1) == b"xx"
        return {}

    stats = Stage("echo", [accept, accept, accept, all_at_once, check, ends, ends], edge).run()
    assert (stats.accepted, stats.errors) == (4, 0)


def test_an_event_for_a_connection_that_ended_earlier_in_the_same_turn(edge: bool) -> None:
    """The stop comes first and ends all connections; the other events of that wait are stale."""
    def stop(stage: Stage) -> Mapping[int, int]:
        stage.loop.stop()
        stage.clients[0].close()
        arrived_at(stage)
        return dict.fromkeys([stage.loop.waker.fd, *stage.peers, stage.listening], READ | WRITE | HANGUP)

    stats = Stage("echo", [accept, stop], edge).run()
    assert (stats.accepted, stats.errors) == (1, 0)


def test_a_descriptor_that_somebody_else_closed_costs_its_connection(edge: bool) -> None:
    def steal(stage: Stage) -> Mapping[int, int]:
        (connection,) = stage.loop._connections
        fd = connection.sock.fileno()
        socket.close(fd)
        return {fd: INVALID}

    def check(stage: Stage) -> Mapping[int, int]:
        assert stage.peers == []
        assert not stage.loop._connections
        return {}

    stage = Stage("echo", [accept, steal, check, accept], edge)
    stats = stage.run()
    assert (stats.accepted, stats.errors) == (2, 1)  # a bug of the code that closed it
    assert any(name in stage.output.getvalue() for name in ("EBADF", "Bad file", "10038"))  # the last name is Winsock's


def test_write_readiness_that_lies_loses_no_output(edge: bool) -> None:
    data = pattern(100_000)

    def deaf(stage: Stage) -> Mapping[int, int]:
        stage.clients[0].sendall(data)
        arrived_at(stage)
        return {stage.peers[0]: READ}

    def lie(stage: Stage) -> Mapping[int, int]:
        return {stage.peers[0]: WRITE}

    got: List[bytes] = []

    def drain(stage: Stage) -> Mapping[int, int]:
        stage.clients[0].setblocking(False)
        try:
            got.append(stage.clients[0].recv(65536))
        except BlockingIOError:
            pass
        return {stage.peers[0]: stage.fake.interest[stage.peers[0]]}

    stats = Stage("echo", [accept, deaf, lie, lie, lie, *[drain] * 200], edge).run()
    assert b"".join(got) == data[:len(b"".join(got))]
    assert len(b"".join(got)) > 50_000
    assert (stats.errors, stats.resets) == (0, 0)


def test_an_endless_reader_is_served_a_piece_a_turn(edge: bool) -> None:
    stats = Stage("chargen", [accept, *[lambda stage: {stage.peers[0]: WRITE}] * 5], edge).run()
    assert stats.errors == 0
    assert 0 < stats.bytes_out < 1_000_000


def test_the_end_of_daytime_is_not_announced_twice(edge: bool) -> None:
    def ended(stage: Stage) -> Mapping[int, int]:
        assert rest_of(stage.clients[0]).endswith(b"-UTC\r\n")
        stage.clients[0].close()
        arrived_at(stage)
        return {stage.peers[0]: READ | HANGUP}

    stats = Stage("daytime", [accept, ended], edge).run()
    assert (stats.accepted, stats.errors, stats.resets) == (1, 0, 0)
