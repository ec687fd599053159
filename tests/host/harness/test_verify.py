"""`lab verify`: what it prints and writes of records that were made by hand, and how it ends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from lab import records
from lab.cli import main
from lab.errors import EXIT_BROKEN, EXIT_DEVIATION, EXIT_INTERRUPTED, EXIT_NOT_HERE, EXIT_OK, EXIT_USAGE, Broken
from lab.harness.targets import recorded
from lab.harness.verifying import expectations, serve_check
from lab.harness.verifying.expectations import Row
from lab.records import Records
from tests.host.harness.made import PROBE, failed, run, save, seen

ROW = Row(PROBE, "select", {"interpreter.version": "==3.13"}, "r", "because [it] is", "https://example.org/", False,
          "x.toml: cause 1")


@pytest.fixture(autouse=True)
def one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expectations, "load_all", lambda: [ROW])


def verify(tmp_path: Path, *made: Records, options: List[str] = []) -> int:  # noqa: B006  # read only
    files = [save(tmp_path / ("%s.jsonl" % name), each) for name, each in zip("abc", made)]
    return main(["verify", *(word for file in files for word in ("--target", "recorded:%s" % file)), *options])


def test_all_as_expected_is_one_table_and_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = run(seen(backend="poll", token="IN+OUT+RDHUP"), failed("unsupported", "no such thing"),
               platform=(("version", "3.12.1"),))
    assert verify(tmp_path, made) == EXIT_OK
    out = capsys.readouterr().out
    assert "unexpected" not in out
    assert "unsupported    1: no such thing" in out
    assert out.splitlines()[-1] == "1 probes, 1 observations: all as expected."


def test_a_deviation_stands_with_all_that_is_needed_to_believe_it(tmp_path: Path,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(tmp_path, run(seen("[b]w", trials="2/3", detail={"errno": "x"}))) == EXIT_DEVIATION
    out = capsys.readouterr().out
    assert "deviation  %s\n" % PROBE in out
    for line in (r"on +select of recorded:a.jsonl", r"claim +a peer that shuts its sending side",
                 r"source +epoll_ctl\(2\)", r"expected +r\+w", r"observed +\[b\]w \(2/3 trials\)",
                 r'detail +\{"errno": "x"\}',
                 r"repeat +lab probe %s --backend select" % PROBE):
        assert re.search("^  " + line, out, re.MULTILINE), line
    assert out.splitlines()[-1] == "1 probes, 1 observations: 1 deviation."


def test_cells_that_fail_alike_are_one_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = run(seen("IN", backend="poll"), seen("IN", backend="epoll"))
    assert verify(tmp_path, made, made) == EXIT_DEVIATION
    out = capsys.readouterr().out
    assert out.count("deviation  %s" % PROBE) == 1
    assert re.search("on +poll, epoll of recorded:a.jsonl, recorded:b.jsonl", out)


def test_what_is_known_is_told_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(tmp_path, run(seen("r"))) == EXIT_OK
    out = capsys.readouterr().out
    assert re.search(r"half-close\n +`r\+w` expected, `r` observed +on select *\n +because \[it\] is\n", out)
    assert out.splitlines()[-1] == "1 probes, 1 observations: all as expected, 1 of them known platform differences."


def test_a_row_that_has_healed_fails_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(tmp_path, run(seen("r+w"))) == EXIT_DEVIATION
    out = capsys.readouterr().out
    assert "x.toml: cause 1 says r: because [it] is" in out
    assert "1 healed." in out


@pytest.mark.parametrize("outcome, code", [("crash", EXIT_DEVIATION), ("timeout", EXIT_DEVIATION),
                                           ("broken", EXIT_BROKEN)])
def test_what_could_not_be_observed_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str], outcome: str, code: int
                                          ) -> None:
    assert verify(tmp_path, run(failed(outcome, "the\x1b reason"))) == code
    assert re.search(r"reason +the\\x1b reason", capsys.readouterr().out)


def test_where_targets_differ_each_answer_stands_with_those_that_gave_it(tmp_path: Path,
                                                                        capsys: pytest.CaptureFixture[str]) -> None:
    newer, older = run(seen("r")), run(seen("r+w"), platform=(("version", "3.8.18"),))
    assert verify(tmp_path, newer, older, older) == EXIT_OK
    out = capsys.readouterr().out
    assert "where targets differ" in out
    assert re.search(r"%s\n +select +r +recorded:a.jsonl *\n +r\+w +the other 2 *\n +because \[it\] is\n" % PROBE, out)


def test_records_are_kept_and_can_be_verified_again(tmp_path: Path) -> None:
    made = run(seen("r"), seen("IN+OUT+RDHUP", backend="poll"))
    assert verify(tmp_path, made, options=["--out", str(tmp_path / "kept" / "here")]) == EXIT_OK
    kept = tmp_path / "kept" / "here" / "recorded-a.jsonl"
    assert records.load(str(kept)).observations == made.observations


def test_junit_says_the_same(tmp_path: Path) -> None:
    made = run(seen("w"), failed("crash", "SIG\x00SEGV", backend="poll"), failed("unsupported", backend="kqueue"),
               seen("IN+OUT+RDHUP", backend="epoll"))
    path = tmp_path / "deep" / "junit.xml"
    assert verify(tmp_path, made, options=["--junit", str(path)]) == EXIT_DEVIATION
    suite = next(iter(JUnitXml.fromfile(str(path))))
    assert (suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) == ("recorded:a.jsonl", 4, 1, 1, 1)
    results = {case.name.rpartition(" ")[2]: (case.result[0] if case.result else None) for case in suite}
    assert isinstance(results["select"], Failure) and "repeat    lab probe" in results["select"].text
    assert isinstance(results["poll"], Error) and "SIG\\x00SEGV" in results["poll"].message
    assert isinstance(results["kqueue"], Skipped) and results["epoll"] is None


def test_an_exclude_that_is_used_and_one_that_is_not_are_told(tmp_path: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[exclude]]\nprobe = "%s"\nreason = "ours is [patched]"\n'
                    '[[exclude]]\nprobe = "a/b"\nreason = "x"\n' % PROBE)
    assert verify(tmp_path, run(seen("w")), options=["--exclude", str(file)]) == EXIT_OK
    out = capsys.readouterr().out
    assert "excluded  %s of recorded:a.jsonl: ours is [patched]" % PROBE in out
    assert "unused  the exclude of a/b excluded nothing; remove it" in out


def test_a_target_that_cannot_be_observed_costs_only_itself_and_the_exit_code(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real = recorded.Recorded.collect

    def collect(self: recorded.Recorded, *arguments: object) -> Records:
        if self.path.name == "a.jsonl":
            raise Broken("a [fell] over")
        return real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(recorded.Recorded, "collect", collect)
    assert verify(tmp_path, run(seen("r")), run(seen("r")), options=["--junit", str(tmp_path / "j.xml")]) == EXIT_BROKEN
    out = capsys.readouterr().out
    assert "not observed  recorded:a.jsonl: a [fell] over" in out
    assert "1 targets could not be observed" in out
    suites = JUnitXml.fromfile(str(tmp_path / "j.xml"))
    assert [suite.name for suite in suites] == ["recorded:b.jsonl", "recorded:a.jsonl"]


def test_serving_comes_first_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_check, "check_all", lambda console: EXIT_DEVIATION)
    assert verify(tmp_path, run(seen("r"))) == EXIT_OK
    assert verify(tmp_path, run(seen("r")), options=["--serve"]) == EXIT_DEVIATION


def test_records_without_what_was_asked_for_are_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(tmp_path, run()) == EXIT_BROKEN
    assert "its records contain nothing that you asked for" in capsys.readouterr().out
    assert verify(tmp_path, run(seen("r")), options=["--backend", "poll"]) == EXIT_BROKEN


def test_targets_of_one_name_are_told_apart_and_one_place_is_one_target(tmp_path: Path,
                                                                        capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "a.jsonl", run(seen("r")))
    there = ["recorded:%s" % (tmp_path / folder / "a.jsonl") for folder in ("x", "y", "y")]
    assert main(["verify", *(word for each in there for word in ("--target", each)), "--out", str(tmp_path)]) == EXIT_OK
    assert "1 probes, 2 observations" in capsys.readouterr().out
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_ctrl_c_stops_the_targets_and_leaves_one_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    stopped: List[str] = []

    def interrupt(*arguments: object) -> Records:
        raise KeyboardInterrupt

    monkeypatch.setattr(recorded.Recorded, "collect", interrupt)
    monkeypatch.setattr(recorded.Recorded, "stop", lambda self: stopped.append(self.name))
    assert verify(tmp_path, run(seen("r"))) == EXIT_INTERRUPTED
    assert stopped == ["recorded:a.jsonl"]
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("options, code, complaint", [
    (["--target", "nowhere"], EXIT_USAGE, 'no target "nowhere"'),
    (["--target", "python:1.5"], EXIT_NOT_HERE, "python:1.5 is not on this machine"),
    (["--backend", "epol"], EXIT_USAGE, 'no backend "epol"; they are: select'),
    (["--only", "no/such"], EXIT_USAGE, 'no probe or topic "no/such"'),
    (["--selector", "nonsense"], EXIT_USAGE, "nonsense is no PKG.MOD:CLASS"),
    (["--exclude", "/no/such.toml"], EXIT_USAGE, "/no/such.toml: cannot be read"),
    (["--slow", "1000"], EXIT_USAGE, "'1000' is no number from 0.1 to 100"),
    (["--target", "recorded:/no/such.jsonl"], EXIT_USAGE, "/no/such.jsonl"),
])
def test_what_cannot_be_asked_for_is_refused_in_one_line(capsys: pytest.CaptureFixture[str], options: List[str],
                                                         code: int, complaint: str) -> None:
    try:
        ended = main(["verify", *options])
    except SystemExit as error:
        ended = int(error.code or 0)
    captured = capsys.readouterr()
    assert ended == code
    assert complaint in captured.err + captured.out


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert verify(tmp_path, run(seen("r")), options=["--out", str(tmp_path / "file")]) == EXIT_BROKEN
    assert "--out: " in capsys.readouterr().err
