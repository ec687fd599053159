"""`lab load`: how options become a plan, and what the command prints."""

from __future__ import annotations

import argparse
import io
import json
from typing import Callable, List

import pytest

import lab.load.run
from lab.errors import EXIT_INTERRUPTED, EXIT_OK, Usage
from lab.load import command
from lab.load.plan import Plan
from tests.core.load.peer import Peer

pytestmark = pytest.mark.winsock

Serve = Callable[..., Peer]


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    return parser.parse_args(words)


def at(peer: Peer, *words: str) -> List[str]:
    return ["--port", str(peer.address.where[1]), *words]


def test_the_defaults_are_those_of_the_plan() -> None:
    plan = command.plan_of(parse())
    assert plan == Plan(plan.address)
    assert str(plan.address) == "127.0.0.1:10000"
    assert plan.sending_seconds == 3.0


def test_options_reach_the_plan() -> None:
    plan = command.plan_of(parse("--mode", "pipelined", "--size", "4K", "--depth", "3", "--rate", "0.5", "--count", "9",
                                 "--patience", "300ms", "--seed", "5", "--backend", "select", "--connections", "2"))
    assert plan == Plan(plan.address, "select", 2, "pipelined", 4096, None, 9, 0.5, 3, patience=0.3, seed=5)
    assert command.plan_of(parse("--mode", "stream", "--total", "1M")).total_bytes == 1024 ** 2


@pytest.mark.parametrize("words", [["--depth", "4"], ["--total", "5M"], ["--mode", "stream", "--size", "5"],
                                   ["--mode", "stream", "--rate", "5"], ["--size", "0"], ["--patience", "0"]])
def test_contradictions_are_usage_errors(words: List[str]) -> None:
    with pytest.raises(Usage):
        command.plan_of(parse(*words))


@pytest.mark.parametrize("words", [["--rate", "0"], ["--rate", "nan"], ["--rate", "inf"], ["--rate", "x"],
                                   ["--connections", "0"], ["--mode", "burst"]])
def test_the_parser_refuses(words: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(*words)
    assert "error: argument" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--mode", "pipelined"], ["--rate", "1000"]])
def test_the_text_fits_80_columns(serve: Serve, words: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(parse(*at(serve(), "--count", "30", *words))) == EXIT_OK
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines), captured.out
    for word in ("messages", "sent", "received", "verified", "time", "latency", "p99.9"):
        assert any(word in line for line in lines), word


def test_json_is_one_object_with_units_in_its_keys(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(parse(*at(serve(), "--count", "30", "--json", "--backend", "select"))) == EXIT_OK
    found = json.loads(capsys.readouterr().out)
    assert found["messages"] == 30
    assert found["verified_bytes"] == 30 * 1024
    assert found["backend"] == "select"
    assert found["mode"] == "ping-pong"
    assert found["python_implementation"] and found["python_version"]
    assert list(found["latency_seconds"]) == ["p50", "p90", "p99", "p99.9", "max"]
    assert found["cpu_seconds"] > 0 and found["seconds"] > 0


def test_stream_has_no_latency(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(parse(*at(serve(), "--mode", "stream", "--total", "1M"))) == EXIT_OK
    assert "latency" not in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_erased(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "PROGRESS", 0.05)
    monkeypatch.setattr(lab.load.run, "SLICE", 0.02)
    for duration in ("200ms", "1s", "5s"):  # the machine may pause for all of the first duration
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        assert command.run(parse(*at(serve(), "--duration", duration))) == EXIT_OK
        text = terminal.getvalue()
        if "verified" in text:
            break
    assert "verified" in text
    assert text.endswith("\r") and text.split("\r")[-2].strip() == ""
    assert "\n" not in text


def test_ctrl_c_prints_the_report(serve: Serve, monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(lab.load.run, "SLICE", 0.02)
    monkeypatch.setattr(command._Progress, "__call__", interrupt)
    assert command.run(parse(*at(serve(), "--duration", "60"))) == EXIT_INTERRUPTED
    assert "interrupted" in capsys.readouterr().out
