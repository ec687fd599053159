"""`make test-all`: small steps in the place of the real ones, and what is said of them at the end."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest
from rich.console import Console

from lab.errors import EXIT_DEVIATION, EXIT_INTERRUPTED, EXIT_NOT_HERE, EXIT_OK, EXIT_USAGE
from lab.harness import images
from lab.harness.verifying import matrix
from tests.waits import PROGRAM
from tools import reports, test_all
from tools.test_all import FAILED, NOT_RUN, PASSED, Row, Runner, Step

RESULT = {"py38": {"success": True, "skipped": False, "duration": 12.3},
          "py39": {"success": False, "skipped": False, "duration": 3.0},
          "py314": {"success": True, "skipped": True, "duration": 0.01}}
"""What tox writes of three environments: one that passed, one that failed, one whose interpreter is not here."""

TEST = '<testcase classname="tests.test_a" name="%s">%s</testcase>'


def step(name: str, source: str = "", needs_engine: bool = False, tox: Optional[Path] = None) -> Step:
    return Step(name, [sys.executable, "-c", source], "make " + name, needs_engine, {}, tox)


def tox_step(folder: Path, result: Dict[str, Any], source: str = "") -> Step:
    """A step that says what tox wrote."""
    path = folder / "result.json"
    path.write_text(json.dumps({"testenvs": {name: {"result": each} for name, each in result.items()}}))
    return step("tox", source, tox=path)


def report(folder: Path, name: str, *cases: str) -> None:
    """The JUnit file that pytest wrote of an environment."""
    path = folder / "junit" / (name + ".xml")
    path.parent.mkdir(exist_ok=True)
    path.write_text("<testsuites><testsuite>%s</testsuite></testsuites>" % "".join(cases))


def passed_again(name: str) -> str:
    """A test that failed at its first try and passed at its second."""
    return TEST % (name, '<properties><property name="failed" value="the first time"/></properties>')


ENGINE, NO_ENGINE = step("engine"), step("engine", "raise SystemExit(3)")


def steps(prefix: str) -> List[Step]:
    """The steps of the plan whose names begin so."""
    return [one for phase in test_all.plan() for lane in phase for one in lane if one.name.startswith(prefix)]


def results(tmp_path: Path, steps: Sequence[Sequence[Step]], engine: Step = ENGINE, policy: str = ""
            ) -> Tuple[int, List[Row]]:
    """Run phases whose steps are a lane each."""
    runner = Runner(tmp_path, lambda text: None)
    code = test_all.run(runner, [[[one] for one in phase] for phase in steps], engine, policy)
    return code, runner.rows


def table(rows: Sequence[Row]) -> str:
    file = io.StringIO()
    test_all.summary(Console(file=file, width=120), rows, "2 min 05 s")
    return file.getvalue()


def test_all_that_passes_is_0(tmp_path: Path) -> None:
    code, rows = results(tmp_path, [[step("a"), step("b", needs_engine=True)]])
    assert code == EXIT_OK and {row.name: row.result for row in rows} == {"engine": PASSED, "a": PASSED, "b": PASSED}


def test_one_that_fails_stops_no_other_and_says_how_to_repeat_it(tmp_path: Path) -> None:
    code, rows = results(tmp_path, [[step("bad", "raise SystemExit(7)"), step("beside")], [step("after")]])
    found = {row.name: row for row in rows}
    assert code == EXIT_DEVIATION
    assert [found[name].result for name in ("bad", "beside", "after")] == [FAILED, PASSED, PASSED]
    assert "exit code 7, see" in found["bad"].why and found["bad"].command == "make bad"


def test_a_command_that_does_not_exist_fails(tmp_path: Path) -> None:
    code, rows = results(tmp_path, [[Step("gone", [str(tmp_path / "gone")], "make gone")]])
    assert (code, rows[0].result) == (EXIT_DEVIATION, FAILED)


def test_a_missing_engine_is_a_failure_with_the_way_out(tmp_path: Path) -> None:
    code, rows = results(tmp_path, [[step("a"), step("b", needs_engine=True)]], NO_ENGINE)
    assert code == EXIT_NOT_HERE
    assert rows[1] == Row("b", NOT_RUN, 0.0, "no container engine", "make engine, then: make b")
    code, _ = results(tmp_path, [[step("a", "raise SystemExit(1)"), step("b", needs_engine=True)]], NO_ENGINE)
    assert code == EXIT_DEVIATION


def test_who_said_none_is_told_what_was_not_run(tmp_path: Path) -> None:
    code, rows = results(tmp_path, [[step("a"), step("b", needs_engine=True)]], NO_ENGINE, "none")
    assert code == EXIT_OK
    assert {row.name: row.why for row in rows} == {"b": "ENGINE=none was said", "a": ""}


def test_nobody_starts_an_engine_for_steps_that_need_none(tmp_path: Path) -> None:
    assert results(tmp_path, [[step("a")]], NO_ENGINE)[0] == EXIT_OK


def test_environments_of_tox_are_rows_of_their_own(tmp_path: Path) -> None:
    report(tmp_path, "py38", TEST % ("test_b", ""), TEST % ("test_c", "<skipped/>"))
    code, rows = results(tmp_path, [[tox_step(tmp_path, RESULT, "raise SystemExit(1)")]])
    assert code == EXIT_DEVIATION
    assert [(row.name, row.result, row.seconds, row.tests) for row in rows] == [
        ("py38", PASSED, 12.3, 1), ("py39", FAILED, 3.0, None), ("py314", NOT_RUN, 0.01, None)]
    assert rows[2].command == "install it, then: tox -e py314"


def test_a_test_that_passed_only_when_run_again_is_named(tmp_path: Path) -> None:
    report(tmp_path, "py38", passed_again("test_b[c d]"), TEST % ("test_e", ""))
    code, rows = results(tmp_path, [[tox_step(tmp_path, {"py38": RESULT["py38"]})]])
    assert code == EXIT_OK
    assert [(row.passed_again, row.why, row.command) for row in rows] == [
        (["tests.test_a::test_b[c d]"], "see %s" % (tmp_path / "tox.log"), "tox -e py38")]
    shown = table(rows)
    assert "passed when run again: tests.test_a::test_b[c d]" in shown
    assert "1 passed, 0 FAILED, 0 not run, 1 test passed only when run again, 2 tests, in 2 min 05 s" in shown


def test_so_is_one_of_a_step_that_is_not_tox_s(tmp_path: Path) -> None:
    report(tmp_path, "windows", passed_again("test_b"))
    _, rows = results(tmp_path, [[step("windows")]])
    assert [(row.result, row.passed_again, row.why, row.command) for row in rows] == [
        (PASSED, ["tests.test_a::test_b"], "see %s" % (tmp_path / "windows.log"), "make windows")]


def test_reruns_have_a_budget(tmp_path: Path) -> None:
    """Two environments with one test, or more than three tests: then the run has failed, though every step passed."""
    both = {"py38": RESULT["py38"], "py310": RESULT["py38"]}
    report(tmp_path, "py38", *(passed_again("test_%d" % number) for number in range(3)))
    report(tmp_path, "py310", TEST % ("test_1", ""))
    code, rows = results(tmp_path, [[tox_step(tmp_path, both)]])
    assert code == EXIT_OK
    report(tmp_path, "py310", passed_again("test_1"))
    code, rows = results(tmp_path, [[tox_step(tmp_path, both)]])
    assert (code, rows[-1].name, rows[-1].result) == (EXIT_DEVIATION, "reruns", FAILED)
    assert rows[-1].why == "passed only when run again, in more than one environment: tests.test_a::test_1"
    report(tmp_path, "py310", passed_again("test_9"))
    code, rows = results(tmp_path, [[tox_step(tmp_path, both)]])
    assert code == EXIT_DEVIATION and "more than 3 tests" in table(rows)


def test_what_pytest_writes_of_a_rerun_is_read(tmp_path: Path) -> None:
    """The file is pytest's own, of a test that fails at first; only tests/conftest.py notes that."""
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_bytes((Path(__file__).parents[2] / "conftest.py").read_bytes())
    (tests / "test_a.py").write_text(
        "tries = []\n\ndef test_shaky():\n    tries.append(1)\n    assert len(tries) > 1\n\n"
        "def test_wrong():\n    assert False\n\ndef test_right():\n    pass\n")
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-n", "1", "--reruns", "1", "-p", "no:cacheprovider", "-c",
                    os.devnull, "--rootdir", str(tmp_path), "--junitxml", "x.xml", "tests"], cwd=tmp_path,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=PROGRAM)
    found = reports.read("x", tmp_path)
    assert found == reports.Report(3, ["tests.test_a::test_wrong"], ["tests.test_a::test_shaky"])


def test_a_report_that_is_cut_short_is_none(tmp_path: Path) -> None:
    (tmp_path / "py38.xml").write_text("<testsuites><testsui")
    assert reports.read("py38", tmp_path) is None and reports.read("py39", tmp_path) is None


def test_a_tox_that_fails_without_an_environment_that_did_has_failed(tmp_path: Path) -> None:
    report(tmp_path, "py38", TEST % ("test_b", ""))
    code, rows = results(tmp_path, [[tox_step(tmp_path, {"py38": RESULT["py38"]}, "raise SystemExit(1)")]])
    assert code == EXIT_DEVIATION and [row.result for row in rows] == [PASSED, FAILED]


def test_an_environment_that_left_no_report_of_its_tests_has_failed(tmp_path: Path) -> None:
    both = {"py38": RESULT["py38"], "types": RESULT["py38"]}
    code, rows = results(tmp_path, [[tox_step(tmp_path, both)]])
    assert code == EXIT_DEVIATION
    assert [(row.name, row.result, row.why.split(",")[0]) for row in rows] == [
        ("py38", FAILED, "it left no report of its tests"), ("types", PASSED, "")]


def test_a_tox_that_wrote_no_result_has_failed(tmp_path: Path) -> None:
    code, rows = results(tmp_path, [[step("tox", "raise SystemExit(1)", tox=tmp_path / "none.json")]])
    assert code == EXIT_DEVIATION and [(row.name, row.result) for row in rows] == [("tox", FAILED)]


def test_lanes_of_a_phase_run_at_the_same_time(tmp_path: Path) -> None:
    """Each waits for the other's file, and would wait for ever alone."""
    wait = ("import pathlib, time\npathlib.Path(%r).touch()\nwhile not pathlib.Path(%r).exists(): time.sleep(0.01)")
    mine, yours = str(tmp_path / "mine"), str(tmp_path / "yours")
    code, _ = results(tmp_path, [[step("a", wait % (mine, yours)), step("b", wait % (yours, mine))]])
    assert code == EXIT_OK


def test_the_table_has_failures_last_and_no_row_is_lost() -> None:
    text = table([Row("x", FAILED, 1.0, "exit code 1", "make x"), Row("y", PASSED, 61.0),
                  Row("z", NOT_RUN, 0.0, "no [engine]", "make engine")])
    lines = [line.split() for line in text.splitlines()]
    assert "test-all: 1 passed, 1 FAILED, 1 not run, 0 tests, in 2 min 05 s" in text
    assert [line[0] for line in lines[-4:-1]] == ["y", "z", "x"] and "no [engine]" in text


def test_what_failed_says_below_the_table_what_it_was(tmp_path: Path) -> None:
    """The end of a log is all that some see of it."""
    said = "print('first')\nfor number in range(50): print('said', number)\nraise SystemExit(1)"
    report(tmp_path, "py39", TEST % ("test_[b]", "<failure/>"), TEST % ("test_d", "<error/>"), TEST % ("test_e", ""))
    _, rows = results(tmp_path, [[step("bad", said)], [tox_step(tmp_path, RESULT, "raise SystemExit(1)")],
                                 [step("good")]])
    below = table(rows).split("\nbad: exit code 1, see ")[1]
    assert "said 49" in below and "first" not in below
    assert "\ntests.test_a::test_[b]\ntests.test_a::test_d\ntest-all:" in below
    assert "good" not in below and len(below.splitlines()) < test_all.LAST


def test_a_cold_run_and_a_warm_one_remember_each_other(tmp_path: Path) -> None:
    times = tmp_path / "test-all" / "times.json"
    assert test_all.remembered(2105.0, "cold", times) == "35 min 05 s (cold; none was warm yet)"
    assert test_all.remembered(600.0, "warm", times) == "10 min 00 s (warm; the last cold one took 35 min 05 s)"
    assert test_all.remembered(61.0, "cold", times) == "1 min 01 s (cold; the last warm one took 10 min 00 s)"
    times.write_text("cut sho")
    assert test_all.remembered(5.0, "warm", times) == "0 min 05 s (warm; none was cold yet)"


def test_an_unknown_step_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert test_all.main(["mystery"]) == EXIT_USAGE
    assert capsys.readouterr().err.startswith('test-all: no step "mystery"; steps: images, checks, tox, engine,')


def test_a_windows_python_is_tested_on_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINDOWS_PYTHON", "/a place/python.exe ")  # the Makefile's default ends with a blank
    tests, catalogue = steps("windows")
    assert tests.command[-2:] == ["tools.windows", "/a place/python.exe"]
    assert catalogue.command[1:4] == ["verify", "--target", "wine:/a place/python.exe"]
    assert "windows" not in {row.name for row in test_all.left_out()}


def test_how_to_come_by_a_windows_python_is_said_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINDOWS_PYTHON", " ")
    assert not steps("windows")
    row, = [row for row in test_all.left_out() if row.name == "windows"]
    assert "embeddable package" in row.why and "NuGet" in row.why and "make windows-python" in row.command


def test_every_image_is_run_or_said_to_be_left_out() -> None:
    """No image is forgotten: each that can be made here is in one of the two."""
    left_out, = [row for row in test_all.left_out() if row.name == "inside others"]
    commands = " ".join(word for phase in test_all.plan() for lane in phase for one in lane for word in one.command)
    for row in images.load().values():
        if row.debian is not None:
            is_run = "image-" + row.id in commands.replace(",", " ").split()
            assert is_run != (row.id in re.split("[ ,]+", left_out.why))


def test_what_would_start_after_the_end_does_not(tmp_path: Path) -> None:
    runner = test_all.Runner(tmp_path, lambda text: None)
    runner.end()
    assert not runner.step(test_all.Step("late", [sys.executable, "-c", "print(1)"], "x"))
    assert (tmp_path / "late.log").read_text() == ""
    assert [(row.result, row.why.split(",")[0]) for row in runner.rows] == [("FAILED", "exit code 130")]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM that a program hears")
@pytest.mark.parametrize("delay", [0.0, 1.0], ids=["", "it-is-slow-to-learn-that-the-step-runs"])
def test_a_run_that_is_ended_ends_its_steps_and_still_shows_its_table(tmp_path: Path, delay: float) -> None:
    source = ("import subprocess, sys, time\nfrom pathlib import Path\nfrom tools import test_all as e\n"
              "class Slow(subprocess.Popen):\n"
              "    def __init__(self, *args, **more):\n"
              "        super().__init__(*args, **more)\n"
              "        time.sleep(%r)\n"
              "subprocess.Popen = Slow\n"
              "child = 'import time; print(1, flush=True); time.sleep(600)'\n"
              "e.LOGS = Path(%r)\ne.Runner.__init__.__defaults__ = (e.LOGS, print)\n"
              "e.plan = lambda: [[[e.Step('long', [sys.executable, '-c', child], 'x')]]]\n"
              "sys.exit(e.main([]))" % (delay, str(tmp_path)))
    process = subprocess.Popen([sys.executable, "-u", "-c", source], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, encoding="utf-8", cwd=Path(__file__).parents[3])
    assert process.stdout is not None
    with process.stdout:
        assert "long ..." in process.stdout.readline()
        log = tmp_path / "long.log"
        while not (log.exists() and log.read_text()):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said = process.stdout.read()
    assert process.wait() == EXIT_INTERRUPTED, said
    assert "test-all: 0 passed, 1 FAILED" in said


def test_the_matrix_has_each_image_once_by_a_container_or_by_the_records_of_the_tests() -> None:
    spellings = matrix.load()["daily"].spellings()
    one, = steps("matrix")
    for row in images.load().values():
        is_recorded = any(word.endswith("/%s.jsonl" % row.id) for word in one.command)
        assert is_recorded != ("docker:%s@runc" % row.id in spellings), row.id


def test_only_the_reports_of_its_own_folder_are_forgotten(tmp_path: Path) -> None:
    report(tmp_path, "py38", TEST % ("test_b", ""))
    (tmp_path / "junit" / "notes.txt").write_text("kept")
    reports.forget(tmp_path / "junit")
    assert [path.name for path in (tmp_path / "junit").iterdir()] == ["notes.txt"]
