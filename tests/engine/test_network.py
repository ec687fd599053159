"""A network that fails during a load: one end is frozen, killed or cut off, and the tests check what the other end
sees.

Server and client are two containers on a network of their own that leads nowhere else. The client is `lab load`, which
counts and checks every byte. The server is `lab serve`, whose last line has its counts.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any, Callable, Dict, Iterator

import pytest

from lab.errors import EXIT_BROKEN, EXIT_DEVIATION, EXIT_OK
from tests.waits import CONTAINER

CONNECTIONS = 4
SIZE = 1000
COUNT = 2000
PATIENCE = 2.0
"""Seconds that a client waits for a silent server."""
IDLE = 1.5
"""Seconds after which the server closes an idle connection."""
BEGUN = 100_000
"""A load counts as in its middle once this many bytes have arrived: a tenth of COUNT messages or more."""
BY_RATE = ("--size", str(SIZE), "--rate", "400", "--count", str(COUNT))
"""Five seconds of load: a test ends it long before that, or makes it wait."""
FOREVER = ("--size", str(SIZE), "--rate", "400", "--duration", "300")


@pytest.fixture
def network(scope: str) -> Iterator[Any]:
    """A network without a route to any other."""
    from testcontainers.core.network import Network

    from lab.harness import engine

    with Network(docker_network_kw={"internal": True, "labels": engine.labels("test")}) as made:
        yield made
    made._docker.client.close()


@pytest.fixture
def server(server_image: Callable[[str], str], network: Any) -> Iterator[Any]:
    """The server, once it listens."""
    from tests.engine.serving import Talking, serving

    with serving(server_image("trixie"), "--log", "json", "--idle-timeout", str(IDLE), network=network, alias="server",
                 ready=Talking()) as container:
        yield container


@contextlib.contextmanager
def begun(server: Any, network: Any, *options: str, patience: float = PATIENCE) -> Iterator[Any]:
    """A client with these options of `lab load`."""
    from tests.engine.serving import serving

    command = ["python3", "/opt/lab/lab.pyz", "load", "--host", "server", "--json", "--patience", str(patience)]
    with serving(server.image.tags[0], "--connections", str(CONNECTIONS), *options, network=network, alias="client",
                 entrypoint=command) as container:
        yield container


@contextlib.contextmanager
def load(server: Any, network: Any, *options: str, patience: float = PATIENCE) -> Iterator[Any]:
    """Such a client, as soon as it is in the middle of its load."""
    from tests.engine.serving import until

    with begun(server, network, *options, patience=patience) as container:
        until(lambda: received(container) > BEGUN, "the load to begin")
        yield container


def received(container: Any) -> int:
    """The number of bytes that the container has received from the network, by its own kernel's count."""
    from tests.engine.serving import python

    code, said = python(container, "print(open('/proc/net/dev').read().split('eth0:')[1].split()[0])")
    assert code == 0, "%s; its log: %s" % (said, container.logs().decode())
    return int(said)


def silent(container: Any) -> bool:
    """Whether nothing arrives between two looks."""
    return received(container) == received(container)


def report(client: Any) -> Dict[str, Any]:
    """The final report of a load that succeeded."""
    code = client.wait()["StatusCode"]
    assert code == EXIT_OK, client.logs().decode()
    return dict(json.loads(client.logs(stdout=True, stderr=False)))


def complaint(client: Any, code: int) -> str:
    """The one line that a load with this exit code prints."""
    ended = client.wait()["StatusCode"]
    said = client.logs().decode()
    assert ended == code, said
    line, = said.splitlines()
    return str(line)


def count_of(server: Any) -> Dict[str, Any]:
    """Stop the server, and return its counts."""
    server.kill("SIGTERM")
    assert server.wait()["StatusCode"] == EXIT_OK
    return dict(json.loads(server.logs(tail=1)))


def serves(server: Any, network: Any) -> bool:
    """Whether a new client gets its bytes back."""
    with begun(server, network, "--size", str(SIZE), "--count", str(COUNT)) as client:
        return bool(report(client)["verified_bytes"] == COUNT * SIZE)


@pytest.mark.parametrize("who", ["server", "client"])
def test_one_that_freezes_and_thaws_loses_nothing(server: Any, network: Any, who: str) -> None:
    from tests.engine.serving import until

    with load(server, network, *BY_RATE, patience=CONTAINER) as client:
        frozen, other = (server, client) if who == "server" else (client, server)
        frozen.pause()
        since = time.monotonic()
        until(lambda: silent(other), "silence")
        span = time.monotonic() - since
        frozen.unpause()
        said = report(client)
        assert (said["messages"], said["verified_bytes"]) == (COUNT, COUNT * SIZE)
        assert said["latency_seconds"]["max"] > 0.5 * span  # the pause counts, from when it was due
        counted = count_of(server)
        assert (counted["bytes_in"], counted["bytes_out"]) == (COUNT * SIZE, COUNT * SIZE)
        assert (counted["accepted"], counted["resets"]) == (CONNECTIONS, 0)


def test_a_stream_whose_reader_freezes_waits_for_it(server: Any, network: Any) -> None:
    """Megabytes are on their way when the reader freezes; the server holds its share and no more."""
    from tests.engine.serving import until

    total = 200_000_000
    with load(server, network, "--mode", "stream", "--total", str(total), patience=CONTAINER) as client:
        client.pause()
        until(lambda: silent(server), "silence")
        client.unpause()
        assert report(client)["verified_bytes"] == total
        assert count_of(server)["bytes_out"] == total


def test_a_server_that_stays_frozen_costs_its_clients_their_patience(server: Any, network: Any) -> None:
    with load(server, network, *FOREVER) as client:
        server.pause()
        since = time.monotonic()
        line = complaint(client, EXIT_DEVIATION)
        assert "the server lost bytes or hangs" in line and "for %g s" % PATIENCE in line
        assert time.monotonic() - since > 0.9 * PATIENCE
        server.unpause()
    assert serves(server, network)


def test_a_server_that_is_killed_ends_its_connections(server: Any, network: Any) -> None:
    """The kernel ends them: with a reset if bytes were unread, otherwise with an end of the stream."""
    with load(server, network, "--mode", "pipelined", "--duration", "300", patience=CONTAINER) as client:
        since = time.monotonic()
        server.kill("SIGKILL")
        code = client.wait()["StatusCode"]
        line, = client.logs().decode().splitlines()
        assert time.monotonic() - since < 30.0  # at once, without waiting for patience
        assert code == (EXIT_BROKEN if "ECONNRESET" in line else EXIT_DEVIATION), line
        assert "ECONNRESET" in line or "the stream ended after" in line
    server.reload()
    assert server.attrs["State"]["ExitCode"] == 128 + 9


def test_a_server_that_is_cut_off_is_silent(server: Any, network: Any) -> None:
    """No packet arrives any more, not even one that would end the connection."""
    with load(server, network, *FOREVER) as client:
        network._network.disconnect(server.id)
        since = time.monotonic()
        line = complaint(client, EXIT_DEVIATION)
        assert "the server lost bytes or hangs" in line and "for %g s" % PATIENCE in line
        assert time.monotonic() - since > 0.5 * PATIENCE


def test_a_client_that_is_killed_leaves_the_server_serving(server: Any, network: Any) -> None:
    from lab.harness.server_containers import watching
    from tests.engine.serving import until

    with load(server, network, *FOREVER) as client:
        assert watching.connections(server) == (CONNECTIONS, "")
        client.kill("SIGKILL")
        until(lambda: watching.connections(server) == (0, ""), "the connections to end")
    assert serves(server, network)
    counted = count_of(server)
    assert (counted["accepted"], counted["cut_off"], counted["errors"]) == (2 * CONNECTIONS, 0, 0)


def test_a_client_that_is_cut_off_is_closed_when_it_has_been_idle(server: Any, network: Any) -> None:
    """The server has no other way to notice: nothing arrives, not even an end."""
    from lab.harness.server_containers import watching
    from tests.engine.serving import until

    with load(server, network, *FOREVER) as client:
        network._network.disconnect(client.id)
        assert watching.connections(server) == (CONNECTIONS, "")
        until(lambda: watching.connections(server) == (0, ""), "the server to give them up")
    counted = count_of(server)
    assert (counted["idle"], counted["accepted"]) == (CONNECTIONS, CONNECTIONS)
