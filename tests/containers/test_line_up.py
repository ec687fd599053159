"""`lab up` and the commands around it, as a user runs them; and nothing is left in the engine, whatever happens."""

from __future__ import annotations

import random
import re
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Dict, Iterator, List

import pytest

from lab import address, health
from lab.errors import EXIT_BROKEN, EXIT_NOT_HERE, EXIT_OK, EXIT_USAGE
from tests.cli.program import Result, command, environment, run

PATIENCE = 60.0

MAKER = """
import sys, uuid
from docker.errors import APIError
from lab.harness import engine, images
client = engine.connect()
tag, made = images.find("trixie").tag, engine.labels("test")
print("begun", flush=True)
while True:
    network = client.networks.create("muxlab-test-" + uuid.uuid4().hex[:8], internal=True, labels=made)
    client.volumes.create("muxlab-test-" + uuid.uuid4().hex[:8], labels=made)
    client.containers.run(tag, ["python3", "-c", "input()"], stdin_open=True, detach=True, network=network.name,
                          labels=made)
"""
"""A run that is for ever making containers, networks and volumes of its own."""


def left(client: Any, scope: str) -> List[str]:
    """All that is in the engine of this scope."""
    wanted: Dict[str, Any] = {"filters": {"label": "org.muxlab.scope=%s" % scope}}
    found = [*client.containers.list(all=True, ignore_removed=True, **wanted), *client.networks.list(**wanted),
             *client.volumes.list(**wanted)]
    return [str(each.name) for each in found]


@pytest.fixture(autouse=True)
def everything_is_taken_down(client: Any, scope: str) -> Iterator[None]:
    """Also after a test that failed in its middle."""
    yield
    run("down", "--all")
    assert left(client, scope) == []


def rows(result: Result) -> List[List[str]]:
    """The lines of a table, without its head, in words."""
    assert result.code == EXIT_OK, result
    return [line.split() for line in result.out.splitlines()[1:] if line.strip()]


def echoes(where: str) -> bool:
    host, _, port = where.rpartition(":")
    return health.ask(address.resolve(host, int(port)), PATIENCE) == health.REQUEST


def test_a_line_up_is_started_seen_driven_read_and_ended(client: Any, scope: str) -> None:
    started = rows(run("up", "--backend", "epoll", "--backend", "select"))
    assert [words[:4] for words in started] == [["epoll", "epoll", "trixie", "runc"],
                                                ["select", "select", "trixie", "runc"]]
    assert all(words[4].startswith("127.0.0.1:") and echoes(words[4]) for words in started)
    host, _, port = started[0][4].rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as held:
        held.sendall(b"x")
        assert held.recv(1) == b"x"  # it is accepted: the engine's proxy would take any
        shown = {words[0]: words for words in rows(run("ps", "--once"))}
    assert shown["epoll"][:5] == started[0] and shown["epoll"][6] == "1" and shown["select"][6] == "0"
    driven = run("load", "select", "--count", "50", "--connections", "2", "--size", "100")
    assert driven.code == EXIT_OK
    assert re.search(r"verified +5\.0 kB", driven.out), driven.out
    assert "listening on 0.0.0.0:10000" in run("logs", "select").out
    assert run("logs", "select", "--tail", "1").out.count("\n") == 1
    assert run("down", "epoll").out == "removed epoll\n"
    assert [words[0] for words in rows(run("ps", "--once"))] == ["select"]
    assert "removed muxlab-%s-select" % scope in run("down", "--all").out
    assert left(client, scope) == []
    assert run("ps").out == "no server is up; `lab up` starts some\n"
    assert run("down", "--all").out == "there was nothing to remove\n"


def test_it_stops_in_order_and_takes_another_name_where_one_is_taken(client: Any) -> None:
    names = [rows(run("up"))[0][0] for _ in range(2)]
    assert names == ["epoll", "epoll-2"]
    assert "there is a server called epoll already" in run("up", "--name", "epoll").complaint()


def test_under_gvisor_it_serves_as_well(client: Any) -> None:
    started, = rows(run("up", "--runtime", "runsc", "--backend", "poll"))
    assert started[3] == "runsc" and echoes(started[4])
    assert rows(run("ps", "--once"))[0][6] == "0"


def test_netem_is_set_or_the_kernel_is_told_to_lack_it(client: Any, scope: str) -> None:
    result = run("up", "--netem", "delay 50ms")
    if result.code == EXIT_NOT_HERE:
        assert "the engine's kernel has no sch_netem; `modprobe sch_netem`" in result.complaint()
        assert left(client, scope) == []
        return
    began = time.monotonic()
    assert echoes(rows(result)[0][4])
    assert time.monotonic() - began >= 0.1  # the handshake's answer, and the echo


@pytest.mark.parametrize("words, code, told", [
    (["--backend", "epol"], EXIT_USAGE, 'no backend "epol"; they are: epoll'),
    (["--backend", "kqueue"], EXIT_NOT_HERE, "kqueue"),
    (["--model", "blocking", "--backend", "poll"], EXIT_USAGE, "--model multiplexing"),
    (["--image", "no-such-image"], EXIT_NOT_HERE, 'the engine has no image "no-such-image"'),
    (["--runtime", "nonesuch"], EXIT_NOT_HERE, "the engine has no runtime nonesuch; here: runc"),
    (["--memory", "1M"], EXIT_USAGE, "needs 32M at least"),
    (["--cpus", "none"], EXIT_USAGE, "no number of processors"),
    (["--name", "a/b"], EXIT_USAGE, "--name"),
    (["--port", "0"], EXIT_USAGE, "ports go from 1"),
    (["--netem", "nonsense"], EXIT_USAGE, "begin with one of delay"),
])
def test_what_cannot_be_is_one_line_and_leaves_nothing(client: Any, scope: str, words: List[str], code: int, told: str
                                                       ) -> None:
    result = run("up", *words)
    assert (result.code, told in result.complaint()) == (code, True), result
    assert left(client, scope) == []


def test_a_port_in_use_is_one_line_and_leaves_nothing(client: Any, scope: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        result = run("up", "--port", str(other.getsockname()[1]))
    assert (result.code, "it is in use; choose another" in result.complaint()) == (EXIT_BROKEN, True)
    assert left(client, scope) == []


@pytest.mark.parametrize("words", [["load", "nobody"], ["logs", "nobody"], ["down", "nobody"]])
def test_a_server_that_is_not_up_is_one_line(client: Any, words: List[str]) -> None:
    result = run(*words)
    assert (result.code, 'no server "nobody"' in result.complaint()) == (EXIT_USAGE, True)


# Killed.


@pytest.mark.parametrize("seed", range(3))
def test_what_a_run_that_is_killed_at_any_moment_has_made_is_swept(client: Any, scope: str, seed: int) -> None:
    from lab.harness import engine

    with subprocess.Popen([sys.executable, "-c", MAKER], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          env=environment()) as maker:
        assert maker.stdout is not None and maker.stdout.readline() == b"begun\n"
        time.sleep(random.Random(seed).uniform(0.2, 2.0))  # the moment; nothing waits for it
        maker.kill()
    assert left(client, scope)
    assert engine.sweep(client)
    assert left(client, scope) == []


@pytest.mark.parametrize("seed", range(3))
def test_lab_up_that_is_killed_at_any_moment_leaves_nothing_that_down_does_not_find(client: Any, scope: str, seed: int
                                                                                    ) -> None:
    with subprocess.Popen(command("up", "--backend", "epoll", "--backend", "poll", "--backend", "select"),
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env=environment()) as starter:
        time.sleep(random.Random(seed).uniform(0.3, 2.5))
        starter.kill()
    assert run("down", "--all").code == EXIT_OK
    assert left(client, scope) == []


def test_ctrl_c_during_lab_up_leaves_nothing(client: Any, scope: str) -> None:
    with subprocess.Popen(command("up", "--backend", "epoll", "--backend", "poll", "--backend", "select"),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment()) as starter:
        deadline = time.monotonic() + PATIENCE
        while not left(client, scope) and time.monotonic() < deadline:
            time.sleep(0.02)
        starter.send_signal(signal.SIGINT)
        _, err = starter.communicate(timeout=PATIENCE)
    assert err.endswith(b"interrupted\n") and b"Traceback" not in err
    assert left(client, scope) == []
