"""`lab load` on Windows' select, as tests/winsock/winsock.py imitates it: a refused connect, which only the
exceptional set reports, ends the run at once with a message."""

from __future__ import annotations

import socket
import time
from typing import Any, Callable, Iterator

import pytest

from lab.address import resolve
from lab.backends import select as backend_select
from lab.errors import Broken
from lab.load.plan import PING_PONG, STREAM, Plan
from lab.load.run import drive
from lab.probing.probe import over
from tests.core.conformance.rig import WINDOWS
from tests.waits import PATIENCE
from tests.winsock.winsock import FD_SETSIZE, Winsock, installed, needs_poll

pytestmark = needs_poll

BACKENDS = pytest.mark.parametrize("name", over("select"))


@pytest.fixture
def winsock() -> Iterator[Winsock]:
    with installed(Winsock()) as fake:
        yield fake


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port on which nobody listens, and on which nobody else can listen."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def plan(port: int, name: str, **fields: Any) -> Plan:
    fields.setdefault("count", 10)
    return Plan(resolve("127.0.0.1", port), backend=name, **{"connections": 2, "patience": PATIENCE, **fields})


@BACKENDS
def test_a_refused_connect_ends_the_run_in_words(winsock: Winsock, deaf: int, name: str) -> None:
    began = time.monotonic()
    with pytest.raises(Broken, match=r"cannot connect to 127\.0\.0\.1:%d: .*ECONNREFUSED.*lab serve" % deaf):
        drive(plan(deaf, name))
    assert time.monotonic() - began < PATIENCE / 2


@pytest.mark.skipif(WINDOWS, reason="the control needs a wait that can miss the exceptional set")
def test_without_the_exceptional_set_it_would_wait_out_its_patience(winsock: Winsock, deaf: int,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""
    monkeypatch.setattr(backend_select, "WINDOWS", False)
    with pytest.raises(Broken, match=r"nothing moved for 0\.3 s"):
        drive(plan(deaf, "select", patience=0.3))


@BACKENDS
@pytest.mark.parametrize("mode", [PING_PONG, STREAM])
def test_every_byte_is_sent_and_verified(winsock: Winsock, serve: Callable[..., Any], name: str, mode: str) -> None:
    fields = {"mode": mode, "count": None, "total_bytes": 500_000} if mode == STREAM else {"mode": mode}
    report = drive(plan(serve().address.where[1], name, **fields))
    assert report.bytes_received == report.bytes_sent > 0
    assert winsock.calls


@BACKENDS
def test_more_connections_than_512_are_refused_in_one_line(winsock: Winsock, name: str) -> None:
    resource = pytest.importorskip("resource")
    if 0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] < FD_SETSIZE + 100:
        pytest.skip("the limit on open files is too low")
    with socket.socket() as listener:  # its backlog holds the connections; nobody has to accept them
        listener.bind(("127.0.0.1", 0))
        listener.listen(FD_SETSIZE + 100)
        with pytest.raises(Broken, match=r"512 sockets in one call.*fewer --connections"):
            drive(plan(listener.getsockname()[1], name, connections=FD_SETSIZE + 1, count=FD_SETSIZE + 1))
