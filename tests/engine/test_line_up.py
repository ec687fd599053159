"""`lab up`, `ps`, `load NAME`, `logs` and `down` as a user runs them; nothing is left in the engine, not even by a
rejected or killed command."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from lab import address, health
from lab.errors import EXIT_BROKEN, EXIT_NOT_HERE, EXIT_OK, EXIT_USAGE
from lab.probing.probe import over
from tests.host.cli.program import Result, call, command, environment, run
from tests.waits import CONTAINER

ROW = "trixie"
SEED = 4
KILLS = 5
MOMENTS = 1.5
"""Seconds within which a run is killed; `lab up` takes about that long."""
SETTLED = 10
"""How many looks in a row must find nothing: what the engine was creating when its client died appears late."""
HOLDER = """
import sys
from lab.harness import engine
client = engine.connect()
while True:
    marks = engine.labels("test")
    client.volumes.create(labels=marks)
    client.networks.create("muxlab-held", labels=marks)
    client.containers.run(sys.argv[1], detach=True, labels=marks, network_mode="none")
    print("held", flush=True)
"""
"""Like a test suite: creates one object of each kind again and again, and removes nothing."""


@pytest.fixture(autouse=True)
def nothing_before_and_nothing_after(client: Any, server_image: Callable[[str], str]) -> Iterator[None]:
    """Each test has the scope for itself. ``server_image`` skips if the row is not available."""
    server_image(ROW)
    assert left(client) == []
    yield
    assert run("down", "--all").code == EXIT_OK
    assert left(client) == []


def left(client: Any) -> List[str]:
    """The names of everything in our scope that the engine has."""
    from lab.harness import engine

    return [str(thing.name) for thing in engine.ours(client)
            if engine.labels_of(thing).get(engine.SCOPE) == engine.scope()]


def rows(result: Result) -> Dict[str, Dict[str, str]]:
    """A table of `up` or `ps`, by its first column."""
    assert (result.code, result.err) == (EXIT_OK, ""), result
    head, *lines = result.out.splitlines()
    return {line.split()[0]: dict(zip(head.split(), line.split())) for line in lines}


def echoes(where: str) -> bool:
    host, _, port = where.rpartition(":")
    return health.ask(address.resolve(host, int(port)), 30.0) == health.REQUEST


def test_a_line_up_from_its_start_to_its_end(client: Any) -> None:
    from lab.harness import engine

    up = rows(run("up", "--backend", "epoll", "--backend", "select", "--image", ROW))
    assert {name: (row["backend"], row["image"]) for name, row in up.items()} == {
        "epoll": ("epoll", ROW), "select": ("select", ROW)}
    assert all(echoes(row["address"]) for row in up.values())
    assert engine.sweep(client) == []  # servers stay, although the process that started them has ended

    host, _, port = up["epoll"]["address"].rpartition(":")
    with socket.create_connection((host, int(port)), 30.0) as held:
        held.sendall(b"held")
        assert held.recv(100) == b"held"
        shown = rows(run("ps"))
        assert (shown["epoll"]["connections"], shown["select"]["connections"]) == ("1", "0")
        assert shown["epoll"]["address"] == up["epoll"]["address"]

    loaded = run("load", "select", "--count", "10", "--connections", "2", "--json")
    assert json.loads(loaded.out)["verified_bytes"] == 10 * 1024
    assert "listening on 0.0.0.0:10000 backend=select" in run("logs", "select").out
    assert run("down", "epoll").out == "removed epoll\n"
    assert list(rows(run("ps"))) == ["select"]
    assert run("down", "--all").out == "removed %s\n" % container_name("select")
    assert left(client) == []
    assert run("down", "--all").out == "nothing to remove\n"
    assert run("ps").out == "no server is up; `lab up` starts some\n"


def container_name(name: str) -> str:
    from lab.harness.server_containers import starting

    return starting.container_name(name)


def test_a_server_that_is_told_to_go_sends_what_it_owes() -> None:
    host, _, port = rows(run("up"))["epoll"]["address"].rpartition(":")
    with socket.create_connection((host, int(port)), 30.0) as sock:
        sock.sendall(b"owed")
        assert run("down", "epoll").code == EXIT_OK
        assert b"".join(iter(lambda: sock.recv(100), b"")) == b"owed"


@pytest.mark.parametrize("handler", ["discard", "chargen", "daytime", "http"])
def test_a_server_with_another_handler_is_waited_for_too(handler: str) -> None:
    assert list(rows(run("up", "--handler", handler, "--name", "other"))) == ["other"]


@pytest.mark.parametrize("model", ["blocking", "nonblocking", "asynchronous"])
def test_a_model_without_a_backend_is_called_by_its_own_name(model: str) -> None:
    assert echoes(rows(run("up", "--model", model))[model]["address"])


def test_limits_are_those_that_were_asked_for(client: Any) -> None:
    rows(run("up", "--nofile", "64", "--cpus", "0.5", "--memory", "64M"))
    config = client.containers.get(container_name("epoll")).attrs["HostConfig"]
    assert (config["Ulimits"][0]["Hard"], config["NanoCpus"], config["Memory"], config["MemorySwap"]) == (
        64, 500_000_000, 64 << 20, 64 << 20)


def neighbours() -> Tuple[socket.socket, int]:
    """A port that is in use, and the number of the free port before it."""
    while True:
        taken = socket.create_server(("127.0.0.1", 0))
        port = taken.getsockname()[1] - 1
        try:
            socket.create_server(("127.0.0.1", port)).close()
            return taken, port
        except OSError:  # EADDRINUSE: try another pair
            taken.close()


def test_ports_follow_each_other_where_the_first_is_given() -> None:
    taken, port = neighbours()
    taken.close()
    up = rows(run("up", "--backend", "epoll", "--backend", "poll", "--port", str(port)))
    assert [row["address"] for row in up.values()] == ["127.0.0.1:%d" % port, "127.0.0.1:%d" % (port + 1)]


def test_runsc_serves_and_its_connections_are_counted(client: Any) -> None:
    from lab.harness import engine

    result = run("up", "--runtime", "runsc")
    if "runsc" not in engine.runtimes(client):
        assert (result.code, "apt-get install runsc" in result.complaint()) == (EXIT_NOT_HERE, True)
        return
    row = rows(result)["epoll"]
    host, _, port = row["address"].rpartition(":")
    assert row["runtime"] == "runsc"
    with socket.create_connection((host, int(port)), 30.0) as held:
        held.sendall(b"held")
        assert held.recv(100) == b"held"
        assert rows(run("ps"))["epoll"]["connections"] == "1"
    assert run("down", "epoll").out == "removed epoll\n"


def test_netem_delays_what_comes_back_or_the_kernel_has_none(client: Any) -> None:
    """The kernel decides which of the two; a delay of 20 ms cannot be missed on a path of microseconds."""
    result = run("up", "--netem", "delay 20ms")
    if result.code == EXIT_OK:
        rows(result)
        latency = json.loads(run("load", "epoll", "--count", "20", "--json").out)["latency_seconds"]
        assert 0.02 <= latency["p50"] < 0.2
        assert "epoll: netem delay 20ms" in run("ps").out
    else:
        assert result.code == EXIT_NOT_HERE
        assert "--netem: the engine's kernel has no sch_netem" in result.complaint()
        assert left(client) == []


@pytest.mark.parametrize("words, code, text", [
    (["--backend", "abacus"], EXIT_USAGE, 'no backend "abacus"; the backends are: epoll'),
    (["--runtime", "abacus"], EXIT_NOT_HERE, "no runtime abacus; here: "),
    (["--image", "abacus:1"], EXIT_NOT_HERE, 'no image "abacus:1"'),
    (["--image", "No Image"], EXIT_USAGE, '--image "No Image"'),
    (["--nofile", "2000000000"], EXIT_NOT_HERE, "--nofile 2000000000"),
    (["--memory", "8M"], EXIT_USAGE, "needs at least 32M"),
    (["--cpus", "100000"], EXIT_USAGE, "Range of CPUs"),
    (["--netem", "nonsense"], EXIT_USAGE, "begin with one of delay"),
    (["--netem", "delay nonsense"], EXIT_USAGE, "tc does not understand"),
    (["--backend", "epoll", "--backend", "kqueue"], EXIT_NOT_HERE, "kqueue")])
def test_what_cannot_be_is_one_line_and_leaves_nothing(client: Any, words: List[str], code: int, text: str) -> None:
    result = run("up", *words)
    assert (result.code, text in result.complaint()) == (code, True), result
    assert left(client) == []


def test_a_port_in_use_is_one_line_and_the_first_of_two_servers_goes_too(client: Any) -> None:
    taken, port = neighbours()
    with taken:
        result = run("up", "--backend", "epoll", "--backend", "poll", "--port", str(port))
    assert result.code == EXIT_BROKEN, result
    assert "--port %d: the port is in use" % (port + 1) in result.complaint()
    assert left(client) == []


def test_a_name_that_is_taken_is_one_line_and_the_server_stays() -> None:
    where = rows(run("up", "--name", "mine"))["mine"]["address"]
    result = run("up", "--name", "mine")
    assert (result.code, "`lab down mine`" in result.complaint()) == (EXIT_USAGE, True)
    assert echoes(where)


@pytest.mark.parametrize("words", [["logs", "nobody"], ["down", "nobody"], ["load", "nobody"], ["down"],
                                   ["down", "nobody", "--all"]])
def test_a_server_that_there_is_not_is_one_line(words: List[str]) -> None:
    result = call(*words)
    assert result.code == EXIT_USAGE
    result.complaint()


def test_a_server_that_does_not_run_is_told_and_can_be_removed(client: Any) -> None:
    rows(run("up"))
    client.containers.get(container_name("epoll")).kill()
    client.containers.get(container_name("epoll")).wait()
    assert "exited 137" in run("ps").out
    result = run("load", "epoll")
    assert (result.code, "epoll does not run: its state is exited 137" in result.complaint()) == (EXIT_BROKEN, True)
    assert run("down", "epoll").out == "removed epoll\n"


def killed(words: List[str], moment: float) -> None:
    """Start this command, and kill it with SIGKILL after that time, wherever it is by then."""
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env=environment(LAB_SCOPE=os.environ["LAB_SCOPE"])) as process:
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()


def gone(client: Any, clean: Callable[[], Any]) -> bool:
    """Whether nothing of our scope is left after this, and nothing appears later."""
    from tests.engine.serving import until

    found: List[List[str]] = []

    def settled() -> bool:
        clean()
        found.append(left(client))
        return found[-SETTLED:] == [[]] * SETTLED

    return bool(until(settled, "nothing to be left"))


def test_lab_up_killed_at_any_moment_leaves_nothing_that_down_does_not_find(client: Any) -> None:
    from lab.harness import engine

    moments = random.Random(SEED)
    for _ in range(KILLS):
        killed(command("up", "--backend", "epoll", "--backend", "poll"), moments.uniform(0.3, MOMENTS))
        assert run("down", "--all").code == EXIT_OK
        assert gone(client, lambda: engine.sweep(client, everything=True))


def test_a_run_that_was_killed_at_any_moment_is_swept_by_the_next(client: Any, server_image: Callable[[str], str]
                                                                 ) -> None:
    from lab.harness import engine

    moments = random.Random(SEED)
    kinds = set()
    for _ in range(KILLS):
        killed([sys.executable, "-c", HOLDER, server_image(ROW)], moments.uniform(0.3, MOMENTS))
        kinds |= {type(thing).__name__ for thing in engine.ours(client)
                  if engine.labels_of(thing).get(engine.SCOPE) == engine.scope()}
        assert gone(client, lambda: engine.sweep(client))
    assert kinds == {"Container", "Network", "Volume"}  # otherwise the test had nothing to sweep


def test_ctrl_c_in_the_middle_of_lab_up_leaves_nothing(client: Any) -> None:
    from tests.engine.serving import until

    with subprocess.Popen(command("up", "--backend", "epoll", "--backend", "poll", "--backend", "select"),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment()) as starter:
        until(lambda: left(client), "the first server")
        starter.send_signal(signal.SIGINT)
        _, err = starter.communicate(timeout=CONTAINER)
    assert err.endswith(b"interrupted\n") and b"Traceback" not in err
    assert left(client) == []


def test_ctrl_c_right_after_a_container_was_created_leaves_nothing(client: Any, monkeypatch: pytest.MonkeyPatch
                                                                   ) -> None:
    from lab.harness import engine
    from lab.harness.server_containers import starting
    from lab.harness.server_variants import Variant

    real, made = engine.create, []

    def create(*arguments: Any, **more: Any) -> Any:
        made.append(real(*arguments, **more))
        if len(made) == 2:
            raise KeyboardInterrupt
        return made[-1]

    monkeypatch.setattr(engine, "create", create)
    services = [(name, Variant("multiplexing", name)) for name in over(raw=True, edge=False)[:2]]
    with pytest.raises(KeyboardInterrupt):
        starting.start(client, starting.LineUp(services), lambda said: None)
    assert len(made) == 2 and left(client) == []
