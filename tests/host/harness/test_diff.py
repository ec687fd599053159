"""`lab diff`, and where targets differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cli import main
from lab.errors import EXIT_DEVIATION, EXIT_OK, EXIT_USAGE
from lab.harness.verifying import compare
from tests.host.harness.made import PROBE, failed, run, save, seen


def diff(tmp_path: Path, a: object, b: object) -> int:
    return main(["diff", str(save(tmp_path / "a.jsonl", a)), str(save(tmp_path / "b.jsonl", b))])  # type: ignore[arg-type]


def test_two_runs_of_one_platform_are_the_same_whatever_time_they_took(tmp_path: Path,
                                                                      capsys: pytest.CaptureFixture[str]) -> None:
    a = run(seen(), seen("r", backend="poll", trials="3/3"))
    b = run(seen(seconds=3.0, detail={"x": 1}), seen("r", backend="poll", trials="4/6"))
    assert diff(tmp_path, a, b) == EXIT_OK
    assert capsys.readouterr().out == "no facts differ\n0 of 2 observations that both have differ.\n"


def test_facts_and_observations_that_differ_are_shown_and_nothing_else(tmp_path: Path,
                                                                      capsys: pytest.CaptureFixture[str]) -> None:
    a = run(seen("r+w"), seen("IN", backend="poll"))
    b = run(seen("[red]r"), seen("IN", backend="poll"), platform=(("version", "3.8.18"), ("release", "3.8.18")))
    assert diff(tmp_path, a, b) == EXIT_DEVIATION
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines()] == [
        ["facts", "that", "differ", "A", "B"], ["interpreter.release", "3.13.0", "3.8.18"],
        ["interpreter.version", "3.13.0", "3.8.18"], [],
        ["observations", "that", "differ", "backend", "A", "B"], [PROBE, "select", "r+w", "[red]r"], [],
        ["1", "of", "2", "observations", "that", "both", "have", "differ."]]


def test_what_only_one_answers_is_told_and_unsupported_is_no_answer(tmp_path: Path,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    a = run(seen(), seen("IN", backend="poll"))
    b = run(seen(), failed("unsupported", backend="poll"))
    assert diff(tmp_path, a, b) == EXIT_OK
    assert "only A answers 1 cells: %s on poll\n0 of 1 observations" % PROBE in capsys.readouterr().out


def test_a_crash_differs_from_an_answer(tmp_path: Path) -> None:
    assert diff(tmp_path, run(seen()), run(failed("crash"))) == EXIT_DEVIATION


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = save(tmp_path / "a.jsonl", run(seen()))
    assert main(["diff", str(there), str(tmp_path / "none.jsonl")]) == EXIT_USAGE
    error = capsys.readouterr().err
    assert "none.jsonl" in error and error.count("\n") == 1


def test_differences_group_those_that_answer_alike() -> None:
    found = compare.observations({"a": [seen("r")], "b": [seen("r+w")], "c": [seen("r+w")]})
    assert found == [compare.Difference(PROBE, "select", {"r+w": ["b", "c"], "r": ["a"]})]
    assert compare.observations({"a": [seen("r")], "b": [seen("r")]}) == []


def test_facts_are_compared_leaf_by_leaf() -> None:
    sides = [run(), run(platform=(("extra", [1, 2]),))]
    assert compare.platforms(sides) == [compare.FactDifference("interpreter.extra", (None, [1, 2]))]
