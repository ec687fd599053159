"""`lab probe` as a user runs it: what it prints, how it ends, and that it leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest

from lab import records
from lab.backends import LADDER
from lab.cli import build_parser
from lab.errors import EXIT_BROKEN, EXIT_DEVIATION, EXIT_INTERRUPTED, EXIT_NOT_HERE, EXIT_OK, EXIT_USAGE
from lab.probing.catalogue import find
from lab.probing.command import _Progress, exit_code
from lab.probing.probe import SELECTORS
from lab.probing.run.child import Task
from lab.probing.run.observe import Cell
from lab.terminal import ProgressLine
from tests.core.conformance.serving import posix_only
from tests.host.cli.program import Result, call, command, environment, finish
from tests.waits import PROGRAM
from tools import pages

ROOT = str(Path(__file__).parents[3])


def scripted(**more: str) -> Dict[str, str]:
    """The environment in which the scripted probes are a topic."""
    kept = environment(LAB_PROBE_MODULES="tests.core.probing.scripted_probes", **more)
    return dict(kept, PYTHONPATH=os.pathsep.join([kept["PYTHONPATH"], ROOT]))


def probe(*words: str, **more: str) -> Result:
    """Run scripted probes by their names."""
    names = [word if word.startswith("-") or ":" in word else "scripted-probes/" + word for word in words]
    return finish(command("probe", *names), env=scripted(**more)).plain()


# What is wrong.

@pytest.mark.parametrize("words, told", [
    (["nonsense"], ['no probe or topic "nonsense"', "topics: "]),
    (["hangup/nonsense"], ['no probe or topic "hangup/nonsense"']),
    (["--topic", "nonsense"], ['no topic "nonsense"', "topics: ", "hangup"]),
    (["--backend", "nonsense"], ['no backend "nonsense"', "they are: select, poll, ", "selectors:PKG.MOD:CLASS"]),
    (["--backend", "selectors:a b:C"], ["selectors:PKG.MOD:CLASS"]),
    (["edge/once", "--backend", "none"], ["none of these probes asks none; they ask epoll"]),
    (["--slow", "0"], ["--slow", "'0'"]),
    (["--jobs", "0"], ["--jobs", "'0'"]),
    (["--jsonl", "--control"], ["--control", "not allowed with", "--jsonl"]),
])
def test_a_wrong_command_line_is_usage(words: List[str], told: List[str]) -> None:
    result = call("probe", *words)
    line = result.complaint()
    assert result.code == EXIT_USAGE
    for each in told:
        assert each in line


def test_what_the_environment_says_wrong_is_usage_too() -> None:
    for more, told in (({"LAB_BACKENDS": "nonsense"}, 'LAB_BACKENDS names no backend "nonsense"'),
                       ({"LAB_PROBE_START": "nonsense"}, 'LAB_PROBE_START="nonsense": give fork or spawn'),
                       ({"LAB_PROBE_MODULES": "no.such"}, "LAB_PROBE_MODULES: no.such cannot be imported")):
        result = finish(command("probe", "hangup/half-close"), env=environment(**more))
        assert told in result.complaint()
        assert result.code == EXIT_USAGE


@pytest.mark.parametrize("name, told", [
    ("selectors:no.such.module:Class", "No module named 'no'"),
    ("selectors:json:Nonsense", "json has no Nonsense"),
    ("selectors:breaks:Class", "RuntimeError: not today"),
    ("selectors:ends:Class", "exit code 5"),
])
def test_a_class_that_cannot_be_imported_is_not_here(name: str, told: str, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "breaks.py").write_text("raise RuntimeError('not today')\n")
    (tmp_path / "ends.py").write_text("import os; os._exit(5)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    result = call("probe", "hangup", "--backend", name)
    line = result.complaint()
    assert result.code == EXIT_NOT_HERE
    assert name in line and told in line


# What is right.

@pytest.mark.needs("harness")
def test_the_help_names_every_option_in_its_first_lines() -> None:
    parser = pages.commands(build_parser())["probe"]
    options = [option for action in parser._actions for option in action.option_strings if option != "--help"]
    assert [option for option in options if option not in parser.format_usage()] == []


def test_the_list_names_ids_and_claims_and_runs_nothing() -> None:
    result = call("probe", "--list", "hangup")
    assert (result.code, result.err) == (EXIT_OK, "")
    lines = result.out.splitlines()
    assert "hangup/half-close" in lines
    assert all(line.startswith(("    ", "hangup/")) for line in lines)


@pytest.mark.parametrize("isolation", ["", pytest.param("spawn", marks=pytest.mark.slow)])
def test_records_come_in_the_order_of_the_catalogue_and_can_be_read_back(isolation: str) -> None:
    result = finish(command("probe", "--jsonl", "readiness", "hangup/half-close"),
                    env=environment(LAB_PROBE_START=isolation))
    assert (result.code, result.err) == (EXIT_OK, "")
    found = records.parse(io.BytesIO(result.out.encode()), "out")
    assert found.platform.slow == 1.0
    listed = [line for line in call("probe", "--list", "readiness", "hangup/half-close").out.splitlines()
              if not line.startswith(" ")]
    assert list(dict.fromkeys(each.probe for each in found.observations)) == listed
    assert {each.outcome for each in found.observations} <= {"observed", "unsupported"}


def test_backends_are_chosen_and_switched_off() -> None:
    result = finish(command("probe", "--jsonl", "hangup/half-close", "--backend", "select", "--backend", "poll"),
                    env=environment(LAB_BACKENDS="select"))
    assert result.code == EXIT_OK
    found = records.parse(io.BytesIO(result.out.encode()), "out").observations
    assert (found[0].backend, found[0].outcome) == ("select", "observed")
    assert found[1].backend == "poll"
    assert found[1].reason == "switched off: LAB_BACKENDS=select"


@pytest.mark.parametrize("outcomes, code", [
    ([], EXIT_OK), (["observed", "unsupported"], EXIT_OK), (["observed", "crash"], EXIT_DEVIATION),
    (["timeout"], EXIT_DEVIATION), (["leak"], EXIT_DEVIATION), (["observed", "broken"], EXIT_BROKEN),
    (["broken", "crash"], EXIT_DEVIATION)])
def test_the_exit_code_tells_whether_observations_can_be_believed(outcomes: List[str], code: int) -> None:
    found = [records.Observation("topic/name", "none", each, None, None, "", {}, "why", 0.0) for each in outcomes]
    assert exit_code(found, agreeing=False) == code
    assert exit_code(found, agreeing=True) == EXIT_DEVIATION


def test_what_needs_a_look_comes_first_with_the_command_that_repeats_it() -> None:
    code, out, err = probe("fine", "deviates", "exits", "flaky", "refuses", "on-selectors", "fails")
    assert (code, err) == (EXIT_DEVIATION, "")
    titles = ["not as the source promises", "not observed, or not to be trusted", "not the same in every trial",
              "scripted-probes", "unsupported on this platform"]
    assert [line for line in out.splitlines() if line in titles] == titles
    for line in ("    expected  promised", "    observed  other", "    repeat    lab probe scripted-probes/deviates",
                 "  crash  scripted-probes/exits", "    reason    ended without an answer: exit code 7",
                 "     1  not on this platform"):
        assert line in out.splitlines()
    assert "1 not as the source promises, 1 flaky, 1 broken, 1 crashed" in out.replace("\n", " ")
    assert max(map(len, out.splitlines())) <= 100


def test_one_probe_is_shown_with_all_that_it_saw() -> None:
    out = probe("fine", "--control").out
    for line in ("  claim     scripted", "  steps     Behave.", "  control   changed=True",
                 "  fine  as the source promises; its control observed changed",
                 '  {"number": 1, "words": ["a", "b"]}'):
        assert line in out.splitlines()


def test_a_control_that_agrees_is_found() -> None:
    result = probe("--control", "blind", "fine", "told-apart", "not-told-apart", "deviates")
    assert (result.code, result.err) == (EXIT_DEVIATION, "")
    _, _, told = result.out.partition("the control observes the same\n")
    assert told.partition("\n\n")[0].splitlines() == [
        "  scripted-probes/blind  observes blind, and so does its control: changed=True",
        "  %s on selectors:SelectSelector  observes same, and so does its control: backend select"
        % "scripted-probes/not-told-apart"]


@pytest.mark.skipif("selectors:SelectSelector" in [kind.name for kind in LADDER if kind.missing()],
                    reason="SelectSelector is not here")
def test_a_class_of_somebody_else_is_one_more_backend(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import os, selectors, sys\nsys.stdout.write('noise')\n"
                                     "class Mine(selectors.SelectSelector): pass\n")
    env = scripted()
    env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    result = finish(command("probe", "--jsonl", "scripted-probes", "--backend", "selectors:own:Mine"), env=env)
    assert (result.code, result.err) == (EXIT_OK, "")
    found = records.parse(io.BytesIO(result.out.encode()), "out").observations
    assert [(each.probe, each.backend, each.token) for each in found] == [
        ("scripted-probes/on-selectors", "selectors:own:Mine", "READ")]
    assert "selectors:own:Mine" not in SELECTORS


def test_nothing_of_the_user_is_in_the_records(tmp_path: Path) -> None:
    out = finish(command("probe", "--jsonl", "hangup"), env=environment(TMPDIR=str(tmp_path))).out
    for word in (str(tmp_path), os.path.expanduser("~") + "/", ROOT):
        assert word not in out


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_that_is_erased() -> None:
    probe = find("hangup/half-close")[0]
    made = records.Observation(probe.id, "epoll", "unsupported", None, None, "", {}, "why", 0.0)
    terminal = Terminal()
    with ProgressLine(terminal, 3600.0) as line:
        progress = _Progress(line, 2, None)
        progress.note(Task(Cell(probe, "epoll")), made)
        progress.note(Task(Cell(probe, "poll")), made)  # too soon after the first
    text = "1/2 hangup/half-close on epoll"
    assert terminal.getvalue() == "\r%s\r%s\r" % (text, " " * len(text))


# How it ends.

@posix_only
@pytest.mark.parametrize("words", [["--jsonl"], ["--list"], []])
def test_a_closed_pipe_is_no_error(words: List[str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = finish(command("probe", "hangup/half-close", *words), stdout=writer, env=environment(
            TMPDIR=str(tmp_path)))
    finally:
        os.close(writer)
    assert (result.code, result.err) == (EXIT_OK, "")
    assert os.listdir(str(tmp_path)) == []


@posix_only
@pytest.mark.parametrize("isolation", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
def test_a_stop_signal_leaves_nothing_behind(isolation: str, stop: str, tmp_path: Path) -> None:
    where = tmp_path / "pid"
    (tmp_path / "tmp").mkdir()
    env = scripted(LAB_PROBE_START=isolation, SCRIPTED_PID=str(where), TMPDIR=str(tmp_path / "tmp"))
    words = command("probe", "--jsonl", "scripted-probes/fine", "scripted-probes/loops")
    started: Any = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE)
    with started:
        deadline = time.monotonic() + PROGRAM
        while not where.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        pid = int(where.read_text())
        started.send_signal(getattr(signal, stop))
        out, err = started.communicate(timeout=PROGRAM)
    assert err == (b"interrupted\n" if stop == "SIGINT" else b"")
    assert started.returncode == (EXIT_INTERRUPTED if stop == "SIGINT" else -signal.SIGTERM)
    kinds = [json.loads(line)["kind"] for line in out.splitlines()]
    assert kinds in (["platform"], ["platform", "observation"])  # the good one may not have ended
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert os.listdir(str(tmp_path / "tmp")) == []


@posix_only
@pytest.mark.needs("sh")
@pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy's own start needs its standard streams")
def test_closed_standard_streams_are_no_trouble() -> None:
    result = finish(["sh", "-c", 'exec "$@" <&- 2>&-', "sh", *command("probe", "--jsonl", "hangup/half-close")])
    assert result.code == EXIT_OK
    assert len(records.parse(io.BytesIO(result.out.encode()), "out").observations) > 1
