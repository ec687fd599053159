"""`lab verify` re-runs unexpected results once, alone; what counts then, and what the reports say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List, Set, Union

import pytest
from junitparser import JUnitXml

from lab import records
from lab.cli import main
from lab.errors import EXIT_DEVIATION, EXIT_INTERRUPTED, EXIT_OK, Broken, LabError, NotHere
from lab.harness.targets import Request, recorded
from lab.harness.verifying import axes, compare, expectations, judge, rerun
from lab.records import Observation, Records
from tests.host.harness.made import PROBE, failed, run, seen

POLL = seen("IN+OUT+RDHUP", backend="poll")
REQUEST = Request((), (), 1.0, Path("lab.pyz"))


class Scripted:
    """Stands in for a target that observes. It gives these answers, one for each run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Union[Records, BaseException]) -> None:
        self.asked: List[Request] = []
        self._answers = list(answers)
        monkeypatch.setattr(expectations, "load_all", list)
        monkeypatch.setattr(recorded.Recorded, "observes", True)
        monkeypatch.setattr(recorded.Recorded, "collect", lambda target, request, progress: self.answer(request))

    def answer(self, request: Request) -> Records:
        self.asked.append(request)
        said = self._answers.pop(0)
        if isinstance(said, BaseException):
            raise said
        return said


def verify(tmp_path: Path, *options: str) -> int:
    return main(["verify", "--target", "recorded:a.jsonl", "--out", str(tmp_path), *options])


def kept(tmp_path: Path) -> List[Observation]:
    return records.load(tmp_path / "recorded-a.jsonl").observations


def test_an_unexpected_result_that_is_not_reproduced_is_listed_and_does_not_fail(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    target = Scripted(monkeypatch, run(seen("[w]"), POLL), run(seen("r+w", detail={"a": 1})))
    assert verify(tmp_path, "--junit", str(tmp_path / "j.xml")) == EXIT_OK
    assert target.asked[1][:2] == ((PROBE,), ("select",))
    assert kept(tmp_path) == [seen("r+w", detail={"a": 1, "seen_before": "[w]"}), POLL]
    out = capsys.readouterr().out
    assert re.search(r"%s  select of recorded:a.jsonl\n  first run +\[w\] *\n  second run +r\+w" % PROBE, out)
    assert "unsteady: not reproduced on a second run" in out
    assert out.splitlines()[-1] == "1 probes, 2 observations: all as expected, 1 only on the second run."
    case = next(iter(next(iter(JUnitXml.fromfile(str(tmp_path / "j.xml"))))))
    assert not case.result and case.system_out == "not reproduced on a second run; first run: [w]"
    # whoever reads the records learns it too, and a recorded target cannot be asked again
    monkeypatch.undo()
    assert main(["verify", "--target", "recorded:%s" % (tmp_path / "recorded-a.jsonl")]) == EXIT_OK
    assert "1 only on the second run" in capsys.readouterr().out


def test_one_that_is_reproduced_fails_and_its_record_says_that_it_came_twice(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Scripted(monkeypatch, run(seen("w")), run(seen("w")))
    assert verify(tmp_path) == EXIT_DEVIATION
    assert kept(tmp_path) == [seen("w", detail={"seen_before": "w"})]
    assert '{"seen_before": "w"}' in capsys.readouterr().out


@pytest.mark.parametrize("second", [run(seen("r+w", backend="epoll")), run(failed("timeout")), Broken("it fell over")],
                         ids=["of-another-cell", "without-an-answer", "not-to-be-had"])
def test_a_second_run_without_a_result_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   second: Union[Records, Broken]) -> None:
    Scripted(monkeypatch, run(seen("w")), second)
    assert verify(tmp_path) == EXIT_DEVIATION
    assert kept(tmp_path) == [seen("w")]


@pytest.mark.parametrize("outcome", ["timeout", "broken"])
def test_what_could_not_be_observed_is_re_run_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str
                                                      ) -> None:
    Scripted(monkeypatch, run(failed(outcome, "no \x1b answer")), run(seen("r+w")))
    assert verify(tmp_path) == EXIT_OK
    assert kept(tmp_path)[0].detail == {"seen_before": outcome + ": no \x1b answer"}


def test_a_target_that_broke_is_re_run_as_a_whole_and_a_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    Scripted(monkeypatch, Broken("recorded:a.jsonl: it [fell] over"), run(seen("w")), run(seen("r+w")))
    assert verify(tmp_path) == EXIT_OK
    assert "recorded:a.jsonl: failed once (it [fell] over); the second run succeeded" in capsys.readouterr().err
    assert kept(tmp_path) == [seen("r+w", detail={"seen_before": "w"})]


def test_a_target_that_is_re_run_keeps_its_row_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    Scripted(monkeypatch, Broken("it fell over"), run(seen("r+w")), run(seen("r+w")))
    assert verify(tmp_path, "--target", "recorded:b.jsonl", "--jobs", "1") == EXIT_OK
    out = capsys.readouterr().out
    assert out.index("recorded:a.jsonl ") < out.index("recorded:b.jsonl ")


@pytest.mark.parametrize("errors, asked", [([Broken("first"), Broken("second")], 2), ([NotHere("first")], 1)],
                         ids=["broken-twice", "not-here"])
def test_a_target_that_fails_twice_reports_its_first_error(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], errors: List[LabError],
        asked: int) -> None:
    target = Scripted(monkeypatch, *errors)
    assert verify(tmp_path) == errors[0].exit_code
    assert "not observed  recorded:a.jsonl: first" in capsys.readouterr().out
    assert len(target.asked) == asked


def test_a_crash_is_not_re_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Scripted(monkeypatch, run(failed("crash")))
    assert verify(tmp_path) == EXIT_DEVIATION
    assert len(target.asked) == 1


@pytest.mark.parametrize("options, made", [(["--once"], run(seen("w"))), ([], run(seen("r+w"), POLL))],
                         ids=["once", "as-expected"])
def test_nothing_is_re_run_without_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: List[str],
                                                 made: Records) -> None:
    target = Scripted(monkeypatch, made)
    verify(tmp_path, *options)
    assert len(target.asked) == 1


def test_more_than_twenty_unexpected_results_of_one_target_are_not_re_run() -> None:
    some = [seen("w", probe="a/%d" % number) for number in range(rerun.MANY + 1)]
    judged = {"few": judge.judge("few", run(*some[1:]), []), "many": judge.judge("many", run(*some), [])}
    assert {name: len(cells) for name, cells in rerun.unexpected_cells(judged, []).items()} == {"few": rerun.MANY}


@pytest.mark.parametrize("answers, asked", [
    ({"IN": ["a", "b"], "OUT": ["c"]}, {"c"}), ({"IN": ["a"], "OUT": ["c"]}, {"a", "c"}),
    ({"IN": ["a"], "crash": ["crashed"]}, {"a"}),
])
def test_in_a_dispute_the_rarer_answer_is_re_run(answers: Dict[str, List[str]], asked: Set[str]) -> None:
    judged = {name: judge.judge(name, run(POLL), []) for name in "abc"}
    judged["crashed"] = judge.judge("crashed", run(failed("crash", backend="poll")), [])
    dispute = axes.Dispute("Linux", compare.Difference(PROBE, "poll", answers))
    assert rerun.unexpected_cells(judged, [dispute]) == {name: {(PROBE, "poll")} for name in asked}


def test_a_second_run_has_one_cell_at_a_time() -> None:
    wanted = rerun.narrowed(REQUEST, [("b/x", "poll"), ("a/y", "none"), ("a/y", "poll")])
    assert wanted.options() == ["--slow", "1", "--jobs", "1", "a/y", "b/x", "--backend", "none", "--backend", "poll"]


def test_ctrl_c_during_a_second_run_stops_the_target_and_keeps_the_first_records(tmp_path: Path,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: List[str] = []
    Scripted(monkeypatch, run(seen("w")), KeyboardInterrupt())
    monkeypatch.setattr(recorded.Recorded, "stop", lambda self: stopped.append(self.name))
    assert verify(tmp_path) == EXIT_INTERRUPTED
    assert stopped == ["recorded:a.jsonl"] and kept(tmp_path) == [seen("w")]


def test_a_real_interpreter_is_re_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that lists a token which nobody observes makes one cell fail, twice."""
    row = expectations.Row(PROBE, "select", {}, "never", "why", "https://example.org/", False, "x.toml: cause 1")
    monkeypatch.setattr(expectations, "load_all", lambda: [row])
    assert main(["verify", "--only", PROBE, "--backend", "select", "--out", str(tmp_path)]) == EXIT_DEVIATION
    found, = records.load(tmp_path / "here.jsonl").observations
    assert found.detail["seen_before"] == found.token == "r+w"
