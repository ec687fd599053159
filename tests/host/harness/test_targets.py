"""Targets: how they are spelled, and how they fail."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List

import pytest

from lab import interpreters
from lab.cli import main
from lab.errors import EXIT_OK, Broken, LabError, NotHere, Usage
from lab.harness import pyz, targets
from lab.harness.targets import Request, Target
from lab.harness.targets.interpreter import Interpreter
from tests.host.harness.made import PROBE, run, save, seen

REQUEST = Request((), (), 1.0, Path("lab.pyz"))

FOUND = [interpreters.Interpreter("/x/%s" % version, implementation, version, usable)
         for implementation, version, usable in [
             ("CPython", "3.8.17", True), ("CPython", "3.8.18", True), ("CPython", "3.13.0", True),
             ("CPython", "3.13.0t", True), ("CPython", "3.6.15", False), ("PyPy", "3.9.16", True)]]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "find", lambda: FOUND)


def names(*texts: str) -> List[str]:
    return [target.name for target in targets.choose(texts).targets]


def test_kinds_are_found_without_a_list() -> None:
    assert {"here", "python", "recorded"} <= set(targets.kinds())
    for word, kind in targets.kinds().items():
        assert kind.kind == word and kind.spelling.startswith(word)


@pytest.mark.usefixtures("known")
def test_an_interpreter_is_named_by_version() -> None:
    assert names("python:3.8") == ["python:3.8.18"]
    assert names("python:3.8.17") == ["python:3.8.17"]
    assert names("python:3.13") == ["python:3.13.0"]
    assert names("python:3.13t") == ["python:3.13.0t"]
    assert names("python:pypy") == names("python:pypy3.9") == names("python:PyPy3") == ["python:pypy3.9.16"]
    assert names("python:all") == ["python:3.8.17", "python:3.8.18", "python:3.13.0", "python:3.13.0t",
                                   "python:pypy3.9.16"]
    assert names("python:3.8", "here", "python:3.8.18") == ["python:3.8.18", "here"]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("texts, merged", [
    (["python:3.8", "python:3.8.17"], []),
    (["python:3.8", "python:3.8.18"], ["python:3.8 and python:3.8.18 are the same interpreter; it runs once"]),
    (["here", "here"], ["here was given 2 times; it runs once"]),
    (["python:all", "python:pypy", "python:pypy3"],
     ["python:pypy3.9.16, python:pypy and python:pypy3 are the same interpreter; it runs once"]),
    (["recorded:a/x.jsonl", "recorded:b/x.jsonl"], []),
])
def test_a_target_that_is_given_twice_runs_once_and_a_line_says_so(texts: List[str], merged: List[str]) -> None:
    assert targets.choose(texts).merged == merged


class Prefixed(Interpreter):
    """A kind of target as somebody might add it: a command of several words starts the interpreter."""

    kind = "prefixed"
    spelling = "prefixed:N"

    @classmethod
    def parse(cls, text: str) -> List[Target]:
        return [cls("prefixed:%s" % text, [sys.executable, "-X", "utf8=%s" % text])]


@pytest.fixture
def prefixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "kinds", lambda: {"prefixed": Prefixed})


@pytest.mark.usefixtures("prefixed")
def test_two_targets_that_differ_in_any_word_of_their_command_both_run() -> None:
    chosen = targets.choose(["prefixed:0", "prefixed:1"])
    assert [target.name for target in chosen.targets] == ["prefixed:0", "prefixed:1"] and chosen.merged == []


def test_two_interpreters_whose_files_have_one_name_are_named_by_their_paths(tmp_path: Path) -> None:
    texts = []
    for folder in ("a folder", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "python").write_text("")
        texts.append("python:%s" % (tmp_path / folder / "python"))
    assert [target.name for target in targets.choose(texts).targets] == texts


def test_two_targets_of_different_classes_both_run_although_their_places_are_spelled_alike(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Other(Interpreter):
        kind = "other"

    (tmp_path / "python").write_text("")
    monkeypatch.setattr(targets, "kinds", lambda: {"python": Interpreter, "other": Other})
    chosen = targets.choose(["python:%s" % (tmp_path / "python"), "other:%s" % (tmp_path / "python")])
    assert len(chosen.targets) == 2 and chosen.merged == []


@pytest.mark.usefixtures("prefixed")
def test_verify_observes_both_and_says_which_spelling_runs_once(capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for number in (0, 1, 1) for word in ("--target", "prefixed:%d" % number)]
    assert main(["verify", *words, "--only", PROBE, "--backend", "select"]) == EXIT_OK
    out = capsys.readouterr().out
    assert "1 probes, 2 observations: all as expected." in out
    assert "prefixed:1 was given 2 times; it runs once" in out


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("text", ["python:3.7", "python:3.6", "python:3.1", "python:", "python:\x1b[31m",
                                  "python:3.8t"])
def test_an_interpreter_that_is_not_here_is_one_line_that_lists_those_that_are(text: str) -> None:
    with pytest.raises(NotHere) as refused:
        targets.parse(text)
    assert "here: python:3.8.17, python:3.8.18" in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("text, complaint", [
    ("her", 'no target "her"; targets: '), ("here:x", "here takes nothing"),
    ("recorded:", "recorded: no file is given"),
    ("python:/no/such", "python:/no/such: there is no such file"), ("", 'no target ""'),
])
def test_a_wrong_spelling_is_refused_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(Usage) as refused:
        targets.parse(text)
    assert complaint in str(refused.value) and "\n" not in str(refused.value)


def test_records_are_a_target(tmp_path: Path) -> None:
    made = run(seen(), seen("IN", backend="poll"))
    target = targets.parse("recorded:%s" % save(tmp_path / "x.jsonl", made))[0]
    assert target.name == "recorded:x.jsonl"
    assert target.collect(REQUEST, lambda done: None).observations == made.observations
    only = target.collect(REQUEST._replace(backends=("poll",), names=("hangup",)), lambda done: None)
    assert only.observations == [made.observations[1]]
    with pytest.raises(Usage):
        targets.parse("recorded:%s" % (tmp_path / "none"))[0].collect(REQUEST, lambda done: None)


def program(tmp_path: Path, body: str) -> Interpreter:
    """A program that is asked in place of a Python."""
    path = tmp_path / "program.py"
    path.write_text(body)
    return Interpreter("python:made", [sys.executable, str(path)])


@pytest.mark.parametrize("body, complaint", [
    ("raise SystemExit('no [such] thing')", "ended with exit code 1: no [such] thing"),
    ("import os; os._exit(77)", "ended with exit code 77"),
    ("print('hello')", "ended with exit code 0"),
    ("print('hello'); print('hello')", "made:1"),
])
def test_an_interpreter_that_brings_no_records_is_one_line(tmp_path: Path, body: str, complaint: str) -> None:
    with pytest.raises(LabError) as refused:
        program(tmp_path, body).collect(REQUEST, lambda done: None)
    assert complaint in str(refused.value) and "\n" not in str(refused.value)


def test_a_program_that_is_no_python_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text("no script")
    with pytest.raises(Broken, match="cannot be started"):
        targets.parse("python:%s" % path)[0].collect(REQUEST, lambda done: None)


def test_one_probe_is_observed_here(tmp_path: Path) -> None:
    pyz.build(tmp_path / "lab.pyz")
    done: List[int] = []
    request = Request(("hangup/half-close",), ("select",), 1.0, tmp_path / "lab.pyz")
    found = targets.parse("here")[0].collect(request, done.append)
    assert [(each.probe, each.backend, each.token) for each in found.observations] == [
        ("hangup/half-close", "select", "r+w")]
    assert found.platform.facts["interpreter"]["version"] == "%d.%d.%d" % sys.version_info[:3]
    assert done[-1] == 1
