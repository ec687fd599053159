"""`lab verify --target docker:...` in a real engine: its records, its errors, and that it leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from lab import records
from lab.errors import EXIT_BROKEN, EXIT_INTERRUPTED, EXIT_NOT_HERE, EXIT_OK, EXIT_USAGE
from tests.engine.own_engine import OwnEngine
from tests.host.cli.program import command, environment, finish, run
from tests.waits import CONTAINER

ONE = ("--only", "hangup/half-close", "--backend", "poll")


def ours(client: Any, scope: str) -> List[Any]:
    """The containers of this run."""
    return list(client.containers.list(all=True, filters={"label": "org.muxlab.scope=%s" % scope}, ignore_removed=True))


def a_running_one(client: Any, scope: str) -> Any:
    """The container that the probes run in, as soon as it runs."""
    deadline = time.monotonic() + CONTAINER
    while time.monotonic() < deadline:
        for each in ours(client, scope):
            if each.status == "running":
                return each
        time.sleep(0.05)
    return pytest.fail("no container started to run")


@pytest.fixture
def long_run(scope: str) -> Iterator[subprocess.Popen[bytes]]:
    """The whole catalogue in a container, which takes some seconds at least."""
    with subprocess.Popen(command("verify", "--target", "docker:trixie"), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        yield process
        if process.poll() is None:
            process.kill()


@pytest.mark.parametrize("runtime", ["runc", "runsc"])
def test_records_come_back_with_the_image_and_the_runtime_in_their_facts(client: Any, scope: str, runtime: str,
                                                                         tmp_path: Path) -> None:
    result = finish(command("verify", "--target", "docker:trixie@" + runtime, "--only", "readiness", "--out",
                            str(tmp_path)), env=environment())
    assert result.code == EXIT_OK, result
    facts = records.load(tmp_path / ("docker-trixie-%s.jsonl" % runtime)).platform.facts
    container = facts["container"]
    assert container["runtime"] == runtime and container["image"].startswith("sha256:")
    assert container["engine"] and container["version"] and container["emulated"] is False
    assert facts["limits"]["nofile"] == {"soft": 1024, "hard": 4096}
    assert (facts["runtime"]["name"] == "gvisor") == (runtime == "runsc")
    assert ours(client, scope) == []


def test_an_image_is_asked_by_any_name_and_by_a_python_that_is_named(client: Any, scope: str) -> None:
    from lab.harness import images

    tag = images.find("trixie").tag
    for words in (["docker:" + tag], ["docker:" + client.images.get(tag).id], ["docker:trixie", "--python",
                                                                              "/usr/bin/python3.13"]):
        assert run("verify", "--target", *words, *ONE).code == EXIT_OK


@pytest.mark.parametrize("words, code, told", [
    (["docker:no-such/image:1"], EXIT_NOT_HERE, "docker:no-such/image:1: the engine lacks this image and"),
    (["docker:trixie@nonesuch"], EXIT_NOT_HERE, "the engine has no runtime nonesuch; here: runc"),
    (["docker:trixie", "--python", "/no/python"], EXIT_NOT_HERE, "the container does not start"),
])
def test_what_is_not_here_is_one_line(client: Any, scope: str, words: List[str], code: int, told: str) -> None:
    result = run("verify", "--target", *words, *ONE)
    assert result.code == code
    line, = [line for line in result.out.splitlines() if line.startswith("not observed")]
    assert told in line
    assert result.err == "" and "Traceback" not in result.out
    assert ours(client, scope) == []


def test_an_image_without_python_is_one_line(client: Any, scope: str) -> None:
    from lab.harness.images import layer

    made = layer.Layer()
    made.skeleton()
    client.images.load(layer.archive("muxlab/no-python:1", [made.finish()], "amd64", {}))
    try:
        result = run("verify", "--target", "docker:muxlab/no-python:1", *ONE)
    finally:
        client.images.remove("muxlab/no-python:1", force=True)
    assert result.code == EXIT_NOT_HERE
    assert "docker:muxlab/no-python:1: we found no Python in this image; give its path with --python PATH" in result.out
    assert ours(client, scope) == []


def test_a_name_that_no_image_can_have_is_usage() -> None:
    result = run("verify", "--target", "docker:-x y")
    assert result.code == EXIT_USAGE
    assert "not a name of an image; try docker:trixie" in result.complaint()


def test_without_an_engine_it_is_one_line_that_tells_the_way() -> None:
    result = run("verify", "--target", "docker:trixie", *ONE, DOCKER_HOST="unix:///no/such.sock")
    assert result.code == EXIT_NOT_HERE
    assert "no container engine answers at unix:///no/such.sock: No such file or directory" in result.out
    assert "make engine" in result.out


# Interrupted.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_it_finds_nothing_left(client: Any, scope: str, long_run: subprocess.Popen[bytes],
                                              number: int) -> None:
    a_running_one(client, scope)
    long_run.send_signal(number)
    _, err = long_run.communicate(timeout=CONTAINER)
    assert (long_run.returncode, err) == (EXIT_INTERRUPTED, b"interrupted\n")
    assert ours(client, scope) == []


def test_what_a_killed_run_leaves_the_next_one_removes(client: Any, scope: str, long_run: subprocess.Popen[bytes]
                                                       ) -> None:
    left = a_running_one(client, scope)
    long_run.kill()
    long_run.communicate(timeout=CONTAINER)
    assert left.id in [each.id for each in ours(client, scope)]
    assert run("verify", "--target", "docker:trixie", *ONE).code == EXIT_OK
    assert ours(client, scope) == []


# An engine that the test may damage.


def test_an_engine_that_dies_half_way_is_one_line(scope: str, tmp_path: Path) -> None:
    with OwnEngine(tmp_path, size="400m") as own:
        own.load("trixie")
        # Warnings are not errors in this test: docker-py does not close a socket whose peer is gone.
        with subprocess.Popen([sys.executable, "-m", "lab", "verify", "--target", "docker:trixie"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=environment(DOCKER_HOST=own.address)) as process:
            a_running_one(own.client, scope)
            own.stop()
            out, err = process.communicate(timeout=CONTAINER)
        assert process.returncode == EXIT_BROKEN
        line, = [line for line in out.decode().splitlines() if line.startswith("not observed")]
        assert "docker:trixie: the engine does not answer any more" in line or "ended with exit code" in line
        assert err == b"" and b"Traceback" not in out


def test_a_full_disk_is_one_line(scope: str, tmp_path: Path) -> None:
    with OwnEngine(tmp_path, size="400m") as own:
        own.load("trixie")
        own.fill_disk()
        result = run("verify", "--target", "docker:trixie", *ONE, DOCKER_HOST=own.address)
        assert result.code == EXIT_BROKEN
        line, = [line for line in result.out.splitlines() if line.startswith("not observed")]
        assert "docker:trixie: the engine says: " in line and "no space left on device" in line
        assert ours(own.client, scope) == []
