"""The runner: a probe that misbehaves spoils only its own cell, the others are observed, and nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import pytest

from lab.errors import Usage
from lab.probing.run import endings, leaks, runner
from tests.core.conformance.serving import posix_only
from tests.host.cli.program import environment
from tests.waits import PROGRAM

ROOT = str(Path(__file__).parents[3])

CRASH, LEAK, BROKEN = "crash", "leak", "broken"
EXPECTED: Dict[str, Tuple[str, str]] = {
    "segfault": (CRASH, "killed by SIGSEGV"),
    "kills_group": (CRASH, "killed by SIGKILL"),
    "exits": (CRASH, "ended without an answer: exit code 7"),
    "exits_politely": (CRASH, "ended without an answer: exit code 3"),
    "interrupts": (CRASH, ""),
    "leaves_descriptors": (LEAK, "descriptors: 2 left open"),
    "leaves_thread": (LEAK, "threads: 1 left running"),
    "ends_thread_late": ("observed", "None"),
    "leaves_child": (LEAK, "children: left running"),
    "crashes_with_orphan": (CRASH, "ended without an answer: exit code 9"),
    "leaves_file": (LEAK, "temporary files: 1 left"),
    "prints": ("observed", "None"),
    "closes_streams": (LEAK, "descriptors: 3 closed that were not its own"),
    "closes_all": (CRASH, "ended without an answer: exit code 1"),
    "sends_garbage": (CRASH, "it sent something else than an answer: b'garbage'"),
    "sends_half": (CRASH, "ended without an answer: exit code 0"),
    "sends_hundred_megabytes": (BROKEN, "its answer is longer than 4 MiB"),
    "huge_detail": (BROKEN, "its answer is longer than 4 MiB"),
    "large_detail": (BROKEN, "is longer than 1 MiB"),
    "odd_detail": (BROKEN, "its detail is no JSON"),
    "odd_number": (BROKEN, "its detail is no JSON"),
    "odd_token": (BROKEN, "token: "),
    "returns_number": (BROKEN, "the probe returned int, not seen(token, ...)"),
    "raises": (BROKEN, "RuntimeError: not foreseen"),
    "fails_at_first": ("observed", "None"),
    "fails": (BROKEN, "nothing came"),
    "refuses": ("unsupported", "not on this platform"),
    "refuses_and_leaves": (BROKEN, "not on this platform; and it left behind: descriptors: 1 left open"),
    "changes_handler": (LEAK, "signal handlers: left changed"),
    "changes_limit": (LEAK, "resource limits: left changed"),
    "leaves_wakeup": (LEAK, "wakeup descriptor: left changed"),
}
"""The outcome of each scripted probe, and a part of the reason."""


class Ran(NamedTuple):
    """One run of scripted probes: the cell of each, the token of the good probe after each, and what is left behind."""

    isolation: str
    cells: Dict[str, Dict[str, Any]]
    neighbours: Dict[str, Any]
    left: Dict[str, Any]
    files: List[str]


def scripted_environment(**more: str) -> Dict[str, str]:
    """Our environment, with the scripted probes on the path, after the package under test."""
    kept = environment(LAB_PROBE_MODULES="tests.core.probing.scripted_probes", **more)
    return dict(kept, PYTHONPATH=os.pathsep.join([kept["PYTHONPATH"], ROOT]))


def run_scripted(isolation: str, names: List[str], where: Path, patience: float = 30.0, slow: float = 1.0) -> Ran:
    told = [isolation, str(patience), str(slow), *names]
    done = subprocess.run([sys.executable, "-W", "error", "-m", "tests.core.probing.scripted_run", *told],
                          env=scripted_environment(TMPDIR=str(where)), stdin=subprocess.DEVNULL, timeout=PROGRAM,
                          capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    *lines, left = [json.loads(line) for line in done.stdout.splitlines()]
    return Ran(isolation, {name: line[0] for name, line in zip(names, lines)},
               {name: line[1] for name, line in zip(names, lines)}, left, os.listdir(str(where)))


@posix_only
@pytest.mark.parametrize("isolation", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_each_costs_one_cell_and_its_neighbours_are_observed_and_nothing_is_left(isolation: str, tmp_path: Path
                                                                                ) -> None:
    ran = run_scripted(isolation, [name.replace("_", "-") for name in EXPECTED], tmp_path)
    wrong = {}
    for name, (outcome, reason) in EXPECTED.items():
        cell = ran.cells[name.replace("_", "-")]
        has_token = outcome in ("observed", LEAK)
        if (cell["outcome"], cell["token"] is not None) != (outcome, has_token) or reason not in str(cell["reason"]):
            wrong[name] = cell
    assert wrong == {}
    assert ran.cells["fails-at-first"]["detail"] == {"broken_before": "nothing came"}
    assert {name for name, token in ran.neighbours.items() if token != "fine"} == set()
    assert ran.left["after"] == ran.left["before"]
    assert ran.left["children"] is False
    assert ran.left["alive"] == []
    assert ran.files == []


@posix_only
@pytest.mark.parametrize("isolation", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_one_that_never_ends_is_killed(isolation: str, tmp_path: Path) -> None:
    ran = run_scripted(isolation, ["loops"], tmp_path, patience=0.7)
    assert (ran.cells["loops"]["outcome"], ran.cells["loops"]["reason"]) == ("timeout", "no answer within 0.7 s")
    assert 0.7 <= ran.cells["loops"]["seconds"] < 20.0
    assert ran.neighbours == {"loops": "fine"}
    assert ran.left["children"] is False
    assert ran.files == []


@posix_only
@pytest.mark.parametrize("isolation", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_those_that_run_alone_come_last_and_one_by_one(isolation: str, tmp_path: Path) -> None:
    names = ["alone-first", "in-the-crowd", "alone-second"]
    result = run_scripted(isolation, names, tmp_path)
    spans = [(result.cells[name]["detail"]["began"], result.cells[name]["detail"]["ended"])
             for name in ("in-the-crowd", "alone-first", "alone-second")]
    assert spans == sorted(spans)
    assert all(one[1] <= other[0] for one, other in zip(spans, spans[1:]))
    assert [name.partition("/")[2] for name in result.left["order"]][-2:] == ["alone-first", "alone-second"]
    assert list(result.cells) == names


@posix_only
def test_an_orphan_is_a_leak_of_the_cell_that_forked_it(tmp_path: Path) -> None:
    result = run_scripted("fork", ["leaves-orphan"], tmp_path)
    assert result.cells["leaves-orphan"]["outcome"] == LEAK
    assert result.left["alive"] == []


@posix_only
def test_an_orphan_of_a_worker_ends_with_the_worker(tmp_path: Path) -> None:
    result = run_scripted("spawn", ["leaves-orphan"], tmp_path)
    assert result.neighbours == {"leaves-orphan": "fine"}
    assert result.left["alive"] == []


@posix_only
def test_a_child_that_has_answered_and_is_late_to_exit_is_observed_and_its_slow_end_noted(tmp_path: Path) -> None:
    result = run_scripted("fork", ["exits-slowly"], tmp_path)
    cell = result.cells["exits-slowly"]
    assert (cell["outcome"], cell["token"]) == ("observed", "answered")
    assert cell["detail"] == {"slow_end": "it had not exited 2 s after its answer, and was killed"}
    assert result.left["children"] is False


@posix_only
@pytest.mark.slow
def test_a_grandchild_of_one_that_is_late_to_exit_is_a_leak_nevertheless(tmp_path: Path) -> None:
    result = run_scripted("fork", ["exits-slowly-with-orphan"], tmp_path)
    cell = result.cells["exits-slowly-with-orphan"]
    assert (cell["outcome"], cell["reason"]) == (LEAK, "children: left running")
    assert result.left["alive"] == []


@posix_only
@pytest.mark.slow
def test_with_slow_a_child_may_take_longer_to_exit(tmp_path: Path) -> None:
    result = run_scripted("fork", ["exits-slowly"], tmp_path, slow=10.0)
    assert result.cells["exits-slowly"]["detail"] == {}


# The parts.

@pytest.mark.parametrize("code, words", [
    (0, "exit code 0"), (3, "exit code 3"), (0xC0000005, "exit code 3221225477 (0xC0000005)"),
    (-9, "killed by SIGKILL"), (-99, "killed by signal 99")])
def test_how_a_process_died_is_told_by_name(code: int, words: str) -> None:
    if code == -9 and os.name == "nt":
        pytest.skip("Windows has no SIGKILL")
    assert endings.death(code).endswith(words)


@pytest.mark.parametrize("line", [b"", b"garbage", b"[]", b"{}", b"42", b"\xff", b"[" * 100_000, b'"outcome"'],
                         ids=lambda line: ascii(line[:12]))  # ids go into the environment; Windows takes no 100 KB
def test_what_is_no_answer_is_a_crash(line: bytes) -> None:
    assert endings.answered(line)["outcome"] == "crash"


def test_the_look_finds_what_comes_and_goes(tmp_path: Path) -> None:
    before = leaks.look()
    assert leaks.left(before, str(tmp_path)) == []
    (tmp_path / "file").write_text("left")
    assert leaks.left(before, str(tmp_path)) == ["temporary files: 1 left"]


def test_with_slow_a_thread_may_take_longer_to_end(tmp_path: Path) -> None:
    for slow, found in ((1.0, ["threads: 1 left running"]), (20.0, [])):
        before = leaks.look()
        thread = threading.Thread(target=time.sleep, args=(2 * leaks.GRACE,))
        thread.start()
        assert leaks.left(before, str(tmp_path), slow) == found
        thread.join()


def test_an_isolation_that_is_none_is_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runner.SWITCH, "thread")
    with pytest.raises(Usage, match='LAB_PROBE_START="thread": give fork or spawn'):
        runner.isolation()

