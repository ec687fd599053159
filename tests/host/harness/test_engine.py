"""What of an engine can be told without one: whose a thing is, whether its owner is gone, and errors in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, Dict, List

import pytest
import requests
from docker.errors import APIError, ImageLoadError

from lab.errors import Broken, NotHere
from lab.harness import engine

_os: Any = os  # typed loosely: POSIX only

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="a process has no start time here")

GONE = ": the engine does not answer any more: %s; is it running?"


class Client:
    """An engine that answers `info`."""

    def __init__(self, **info: Any) -> None:
        self._info = info

    def info(self) -> Dict[str, Any]:
        return self._info


def owned_by(pid: int, role: str = "probe") -> Dict[str, str]:
    return {**engine.labels(role), engine.OWNER: engine.owner(pid)}


def test_what_a_living_process_made_is_no_orphan() -> None:
    assert engine.labels("probe")[engine.ROLE] == "probe"
    assert not engine.is_orphan(engine.labels("probe"))


@needs_proc
def test_what_an_ended_process_made_is_an_orphan_unless_it_is_a_server() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    left, server = owned_by(process.pid), owned_by(process.pid, engine.SERVER)
    assert not engine.is_orphan(left)
    process.communicate()
    assert engine.is_orphan(left)
    assert not engine.is_orphan(server)


@needs_proc
def test_a_later_process_of_the_same_number_is_another_owner() -> None:
    machine, pid, born = engine.owner(os.getpid()).split(":")
    assert engine.is_orphan({engine.OWNER: "%s:%s:%d" % (machine, pid, int(born) + 1)})


@needs_proc
def test_a_process_that_has_ended_and_was_not_waited_for_owns_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    left = owned_by(process.pid)
    _os.waitid(_os.P_PID, process.pid, _os.WEXITED | _os.WNOWAIT)
    assert engine.is_orphan(left)
    process.wait()


@pytest.mark.parametrize("owner", ["", "other-machine:1:1", "no number", engine.owner(1).partition(":")[0] + ":x:1"])
def test_of_what_nobody_can_tell_the_owner_it_is_no_orphan(owner: str) -> None:
    assert not engine.is_orphan({engine.OWNER: owner})


def test_a_scope_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_SCOPE", raising=False)
    assert engine.labels("probe")[engine.SCOPE] == "common"
    monkeypatch.setenv("LAB_SCOPE", "mine")
    assert engine.labels("probe")[engine.SCOPE] == "mine"


@pytest.mark.filterwarnings("ignore:.*unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_an_engine_it_is_one_line_that_tells_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    # docker-py forgets to close a socket that does not connect; garbage collection does it.
    for host, told in (("unix:///no/such.sock", "No such file"), ("tcp://127.0.0.1:1", "refused"), ("nonsense", "")):
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(NotHere) as refused:
            engine.connect(timeout=5)
        assert "no container engine answers at %s: " % host in str(refused.value)
        assert told in str(refused.value) and "make engine" in str(refused.value)
        assert str(refused.value).isprintable()


@pytest.mark.parametrize("error, told", [
    (APIError("500", None, "no space left\non device"), "x: the engine says: no space left on device"),
    (ImageLoadError("Error processing tar file: no space left on device"),
     "x: the engine says: Error processing tar file: no space left on device"),
    (requests.ConnectionError(ConnectionRefusedError(111, "Connection refused")), "x" + GONE % "Connection refused"),
    (BrokenPipeError(32, "Broken pipe"), "x" + GONE % "Broken pipe"),
])
def test_what_an_engine_refuses_is_one_line(error: Exception, told: str) -> None:
    with pytest.raises(Broken) as refused, engine.errors_as_broken("x"):
        raise error
    assert str(refused.value) == told


def test_runtimes_are_named_the_default_first() -> None:
    client: Any = Client(DefaultRuntime="runsc", Runtimes={"runc": {}, "io.containerd.runc.v2": {}, "runsc": {}})
    assert engine.runtimes(client) == ["runsc", "runc"]
    assert engine.check_runtime(client, None, "x") == "runsc"
    with pytest.raises(NotHere) as refused:
        engine.check_runtime(client, "kata", "docker:x@kata")
    assert str(refused.value) == "docker:x@kata: the engine has no runtime kata; here: runsc, runc"


@pytest.mark.parametrize("said, version", [
    (["runsc version 0.0~20240729.0", "spec: 1.2.0"], "20240729.0"),
    (["runsc version release-20260101.0"], "20260101.0"),
    (["runc version 1.1.5+ds1", "spec: 1.0.2-dev"], "1.1.5"), (["nothing"], None)])
@pytest.mark.skipif(os.name == "nt", reason="a script as a program")
def test_the_version_of_a_runtime_is_what_its_program_says(tmp_path: Any, said: List[str], version: str) -> None:
    program = tmp_path / "runtime"
    program.write_text("#!/bin/sh\n" + "".join("echo '%s'\n" % line for line in said))
    program.chmod(0o755)
    client: Any = Client(Runtimes={"r": {"path": str(program)}, "gone": {"path": "/no/such"}, "none": {}})
    assert engine.runtime_version(client, "r") == version
    assert engine.runtime_version(client, "gone") is engine.runtime_version(client, "none") is None
