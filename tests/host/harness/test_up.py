"""`lab up` without an engine: what it refuses before it asks for one, and what it makes of options."""

from __future__ import annotations

from typing import List

import pytest

pytest.importorskip("docker", reason="needs the extra harness")

from lab.cli import build_parser
from lab.errors import EXIT_NOT_HERE, EXIT_USAGE, Usage
from lab.harness.server_containers import hardening, netem, up
from lab.harness.server_variants import Variant
from tests.host.cli.program import call


@pytest.mark.parametrize("words, told", [
    (["up", "--backend", "epol"], ['no backend "epol"', "epoll"]),
    (["up", "--model", "blocking", "--backend", "epoll"], ["--backend epoll", "--model multiplexing"]),
    (["up", "--memory", "8M"], ["--memory 8388608", "32M"]),
    (["up", "--cpus", "0"], ["--cpus", "'0'", "0.5"]),
    (["up", "--nofile", "none"], ["--nofile", "'none'"]),
    (["up", "--port", "0"], ["--port 0", "1 to 65535"]),
    (["up", "--port", "65535", "--backend", "epoll", "--backend", "poll"], ["--port 65535", "2 servers"]),
    (["up", "--name", "a b"], ['--name "a b"', "letters"]),
    (["up", "--netem", ""], ['--netem ""', "delay 20ms loss 1%"]),
    (["up", "--netem", "hello"], ['--netem "hello"', "delay"]),
    (["up", "--netem", "delay 20ms; reboot"], ['"20ms;"', "tc-netem(8)"]),
    (["down"], ["--all"]),
    (["down", "--all", "epoll"], ["--all"]),
    (["load", "epoll", "--port", "x"], ["--port"]),
])
def test_what_makes_no_sense_is_one_line(words: List[str], told: List[str]) -> None:
    result = call(*words)
    line = result.complaint()
    assert result.code == EXIT_USAGE
    for each in told:
        assert each in line


@pytest.mark.parametrize("words", [["up"], ["ps"], ["logs", "epoll"], ["down", "--all"], ["load", "epoll"]])
def test_without_an_engine_it_is_one_line(words: List[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")  # of a socket's path the SDK would leave its own open
    result = call(*words)
    assert "no container engine answers at tcp://127.0.0.1:1" in result.complaint()
    assert result.code == EXIT_NOT_HERE


def services_of(*words: str) -> List[Variant]:
    options = build_parser(only="up").parse_args(["up", *words])
    return up.services_of(options.model, options.backend)


def test_one_server_for_each_backend() -> None:
    made = services_of("--backend", "epoll", "--backend", "select")
    assert [each.options for each in made] == [["--model", "multiplexing", "--backend", "epoll"],
                                               ["--model", "multiplexing", "--backend", "select"]]
    assert [each.name for each in services_of()] == ["epoll"]
    assert [each.name for each in services_of("--model", "asynchronous")] == ["asynchronous"]


def test_the_words_of_netem() -> None:
    assert netem.parse("delay 20ms 5ms loss 1.5%") == ["delay", "20ms", "5ms", "loss", "1.5%"]
    with pytest.raises(Usage):
        netem.parse("delay --help")


def test_limits_are_what_was_asked_for() -> None:
    made = hardening.confined(hardening.Limits(nofile=100, memory_bytes=64 << 20, cpus=0.5))
    assert (made["nano_cpus"], made["mem_limit"], made["memswap_limit"]) == (500_000_000, 64 << 20, 64 << 20)
    assert (made["ulimits"][0].soft, made["ulimits"][0].hard) == (100, 100)
    assert "nano_cpus" not in hardening.confined(hardening.Limits())
