"""`make test-all`: run every test that this machine can run, and end with one table of what ran, what did not, and why.

It never passes by skipping. A step that needs a container engine where there is none has not passed, unless ENGINE=none
was set, and then the table says so. A step that fails stops no other step. The table is made of files that programs
write for programs: tox's own result, and the JUnit file of each environment (tools/reports.py).

One environment of tox runs at a time, with as many workers as there are processors: tests that stand on real sockets
and clocks fail when they starve. Meanwhile the images are made, at the lowest priority, out of the time in which the
tests wait. docs/architecture.md says what each minute buys.

    python -m tools.test_all [STEP ...]
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.errors import EXIT_DEVIATION, EXIT_INTERRUPTED, EXIT_NOT_HERE, EXIT_OK, EXIT_USAGE, Usage
from lab.harness import images
from lab.harness.verifying import matrix
from lab.text import shown
from tools import daemon, in_image, reports

LOGS = Path("build", "test-all")
TAIL = 60
"""Lines of a failed step that are shown at once; all of them are in its log."""
LAST = 18
"""Lines below the table that all failed steps share."""

INSIDE = matrix.find("daily").without
"""The images in which the tests run: a Python, a C library and a word size that hosts mostly lack. The tests run the
catalogue there, too, so the matrix takes those records and starts no second container."""

RERUNS = 3
"""Tests that may pass only when they are run again, in all environments together. One that needs it in two environments
has failed: that is no accident of a busy machine."""

PASSED, FAILED, NOT_RUN = "passed", "FAILED", "not run"
_COLOURS = {PASSED: "green", FAILED: "bold red", NOT_RUN: "yellow"}


class Step(NamedTuple):
    """One command. ``again`` is what to type to run it alone; ``tox`` is the file of tox's result, if tox runs it."""

    name: str
    command: Sequence[str]
    again: str
    needs_engine: bool = False
    env: Mapping[str, str] = MappingProxyType({})
    tox: Optional[Path] = None


class Row(NamedTuple):
    """One line of the table.

    tests: how many ran; None where the step runs no tests. why, command: what went wrong, and what repeats or enables
    it. passed_again: the tests that passed only when they were run again. last: lines that tell what failed.
    """

    name: str
    result: str
    seconds: float
    why: str = ""
    command: str = ""
    tests: Optional[int] = None
    passed_again: Sequence[str] = ()
    last: Sequence[str] = ()


Lane = Sequence[Step]
"""Steps that run one after the other."""
Phase = Sequence[Lane]
"""Lanes that run at the same time."""


def tox(name: str, environments: Sequence[str], needs_engine: bool = False) -> Step:
    """The step that runs these environments of tox, one after the other; with none named, all of tox.ini's list but
    those of other steps."""
    result = LOGS / ("tox-%s.json" % name)
    chosen = ["-e", ",".join(environments)] if environments else []
    return Step(name, [sys.executable, "-m", "tox", "run", "-q", "--result-json", str(result), *chosen],
                "tox -e " + ",".join(environments) if environments else "tox run", needs_engine,
                {} if environments else {"TOX_SKIP_ENV": "|".join(CHECKS)}, result)


CHECKS = ("lint", "types")
WITHOUT_TESTS = ("types",)
"""The environments of tox that run no tests. Any other has failed if it leaves no report of its tests."""


def plan() -> List[Phase]:
    """All phases, which run one after the other."""
    lab = str(Path(sys.executable).with_name("lab"))
    low = ["nice", "-n", "19"] if os.name == "posix" else []
    inside = [word for name in INSIDE for word in ("--target", "recorded:%s" % (in_image.KEPT / (name + ".jsonl")))]
    return [
        [[Step("images", [*low, lab, "images", "build"], "lab images build", True)],
         [tox("checks", CHECKS), tox("tox", ())]],
        [[tox("engine", ["engine"], True)]],
        [[tox("inside", ["image-" + name for name in INSIDE], True)]],
        [[Step("matrix", [lab, "verify", "--matrix", "daily", *inside, "--jobs", "2", "--out", "build/records/daily"],
               "lab verify --matrix daily", True)]],
        *windows(lab),
    ]


def windows_python() -> str:
    """The Windows Python to test, as the Makefile names it; empty for none."""
    return os.environ.get("WINDOWS_PYTHON", "").strip()


def windows(lab: str) -> List[Phase]:
    """The tests and the catalogue under Wine, each alone: Wine's send hangs in a crowd (docs/findings.md, 26)."""
    python = windows_python()
    if not python:
        return []
    return [[[Step("windows", [sys.executable, "-m", "tools.windows", python], "make test-windows")]],
            [[Step("windows-catalogue", [lab, "verify", "--target", "wine:" + python, "--out", "build/records/wine"],
                   "make test-windows")]]]


def left_out() -> List[Row]:
    """What this never runs, so that nobody takes it for run."""
    rows = [Row("matrix ci", NOT_RUN, 0.0, "all images on gVisor too: ten minutes more", "lab verify --matrix ci")]
    if not windows_python():
        rows.append(Row("windows", NOT_RUN, 0.0, "no Windows Python for Wine: give WINDOWS_PYTHON, the python.exe of "
                        "python.org's embeddable package or of NuGet's `python`, or have one brought",
                        "make windows-python test-windows"))
    others = [row.id for row in images.load().values() if row.debian is not None and row.id not in INSIDE]
    return rows + [Row("inside others", NOT_RUN, 0.0, "too slow for every day; the matrix runs the probes in them: %s"
                       % ", ".join(others), "tox -e image-ID")]


class Runner:
    """Runs steps, keeps their rows, and ends what is still running when it is interrupted."""

    def __init__(self, logs: Path = LOGS, show: Any = print) -> None:
        self.logs, self.show = logs, show
        self.rows: List[Row] = []
        self._running: Set[subprocess.Popen[bytes]] = set()
        self._is_ended = False
        self._lock = threading.Lock()

    def step(self, step: Step) -> bool:
        """Run one. Returns whether it passed."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / (step.name + ".log")
        self.show("test-all: %s ..." % step.name)
        began = time.monotonic()
        code = self._call(step, log)
        seconds = time.monotonic() - began
        text = log.read_text(encoding="utf-8", errors="replace")
        rows = rows_of(step, code, seconds, text, log, self.logs / "junit")
        with self._lock:
            self.rows += rows
            if code != 0:
                self.show("\n".join(text.splitlines()[-TAIL:]))
            self.show("test-all: %s %s, %.0f s" % (step.name, FAILED if code else PASSED, seconds))
        return code == 0

    def _call(self, step: Step, log: Path) -> int:
        with log.open("wb") as file:
            try:
                with self._lock:  # so that `end` knows of every process that has been started
                    if self._is_ended:
                        return EXIT_INTERRUPTED
                    process = subprocess.Popen(step.command, stdin=subprocess.DEVNULL, stdout=file,
                                               stderr=subprocess.STDOUT, env={**os.environ, **step.env})
                    self._running.add(process)
            except OSError as error:  # whatever it is, the step cannot be run
                file.write(("%s: %s\n" % (step.command[0], error.strerror)).encode("utf-8"))
                return 127
            try:
                return process.wait()
            except KeyboardInterrupt:  # in the main thread; the steps of other threads are ended by `end`
                process.send_signal(signal.SIGINT)
                process.wait()
                raise
            finally:
                with self._lock:
                    self._running.discard(process)

    def phase(self, lanes: Phase) -> None:
        """Run these lanes at the same time, and the steps of each in turn."""
        with ThreadPoolExecutor(max(1, len(lanes))) as pool:
            try:
                for job in [pool.submit(lambda lane: [self.step(step) for step in lane], lane) for lane in lanes]:
                    job.result()
            except KeyboardInterrupt:
                self.end()
                raise

    def end(self) -> None:
        """Interrupt what is running, and start no more; each process cleans up after itself. Not SIGTERM: tox dies of
        it and leaves its children."""
        with self._lock:
            self._is_ended = True
            for process in self._running:
                process.send_signal(signal.SIGINT)


def rows_of(step: Step, code: int, seconds: float, text: str, log: Path, junit: Path) -> List[Row]:
    """The rows of a step that has run: one, or of tox one for each environment. A failed step always has a failed row.
    Each of these names the tests that failed, by the reports, or else quotes the end of the log."""
    rows = []
    for name, is_passed, is_skipped, span in environments(step.tox):
        if is_skipped:
            rows.append(Row(name, NOT_RUN, span, "its interpreter is not here", "install it, then: tox -e " + name))
        else:
            row = _row(name, PASSED if is_passed else FAILED, span, log, "tox -e " + name, junit)
            rows.append(_reported(row, log))
    if not rows or (code != 0 and all(row.result != FAILED for row in rows)):
        rows.append(_row(step.name, FAILED if code else PASSED, seconds, log, step.again, junit,
                         "exit code %d, " % code if code else ""))
    end = [line.rstrip() for line in text.splitlines() if line.strip()][-LAST:]
    return [row._replace(last=row.last or end) if row.result == FAILED else row for row in rows]


def _reported(row: Row, log: Path) -> Row:
    """This row of an environment, which has failed if nothing says which tests it ran."""
    if row.result == FAILED or row.tests is not None or row.name in WITHOUT_TESTS:
        return row
    return row._replace(result=FAILED, why="it left no report of its tests, see %s" % log, command="tox -e " + row.name)


def environments(result: Optional[Path]) -> List[Tuple[str, bool, bool, float]]:
    """Name, whether it passed, whether it was skipped, and seconds of each environment in tox's result."""
    try:
        content = json.loads(result.read_text(encoding="utf-8")) if result is not None else {}
    except (OSError, ValueError):  # ENOENT: tox ended before it wrote one
        return []
    found = [(name, each["result"]) for name, each in content.get("testenvs", {}).items() if "result" in each]
    return [(name, each["success"], each["skipped"], each["duration"]) for name, each in found]


def _row(name: str, result: str, seconds: float, log: Path, again: str, junit: Path, why: str = "") -> Row:
    report = reports.read(name, junit)
    passed_again = report.passed_again if report is not None else []
    is_worth_a_look = result == FAILED or bool(passed_again)
    return Row(name, result, seconds, "%ssee %s" % (why, log) if is_worth_a_look else "",
               again if is_worth_a_look else "", report.ran if report is not None else None, passed_again,
               report.failed if report is not None else ())


def without_engine(step: Step, policy: str) -> Row:
    """The row of a step that is not run for lack of an engine."""
    if policy == "none":
        return Row(step.name, NOT_RUN, 0.0, "ENGINE=none was said", "make test-all")
    return Row(step.name, NOT_RUN, 0.0, "no container engine", "make engine, then: " + step.again)


def over_budget(rows: Sequence[Row]) -> List[Row]:
    """A failed row where more tests passed only when they were run again than RERUNS allows."""
    counts = Counter(test for row in rows for test in row.passed_again)
    twice = sorted(test for test, count in counts.items() if count > 1)
    why = "in more than one environment: %s" % ", ".join(twice) if twice else (
        "more than %d tests: %s" % (RERUNS, ", ".join(sorted(counts))) if len(counts) > RERUNS else "")
    return [Row("reruns", FAILED, 0.0, "passed only when run again, " + why, "", None, (), [why])] if why else []


def engine_step() -> Step:
    """The step that finds a container engine or starts one."""
    return Step("start-engine", [sys.executable, "-m", "tools.daemon", "start"], "make engine")


def run(runner: Runner, phases: Sequence[Phase], engine: Step, policy: str) -> int:
    """Run all. Returns the exit code: 1 where a step failed, 3 where only the engine is missing."""
    wants_engine = any(step.needs_engine for phase in phases for lane in phase for step in lane)
    has_engine = wants_engine and policy != "none" and runner.step(engine)
    for phase in phases:
        lanes = [[step for step in lane if has_engine or not step.needs_engine] for lane in phase]
        runner.rows += [without_engine(step, policy) for lane in phase for step in lane
                        if step.needs_engine and not has_engine]
        runner.phase([lane for lane in lanes if lane])
    runner.rows += over_budget(runner.rows)
    failed = {row.name for row in runner.rows if row.result == FAILED}
    if failed == {engine.name}:
        return EXIT_NOT_HERE
    return EXIT_DEVIATION if failed else EXIT_OK


def remembered(seconds: float, kind: str, file: Path) -> str:
    """How long it took, and how long the last run of the other kind took: cold, where environments had to be made
    first, or warm."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # ENOENT: the first run here; or it was cut short
        known = {}
    known[kind] = seconds
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(known), encoding="utf-8")
    other = "warm" if kind == "cold" else "cold"
    return "%s (%s; %s)" % (_span(seconds), kind, "the last %s one took %s" % (other, _span(known[other]))
                            if other in known else "none was %s yet" % other)


def _span(seconds: float) -> str:
    return "%d min %02d s" % (seconds // 60, seconds % 60)


def summary(console: Console, rows: Sequence[Row], took: str) -> None:
    """Print the table, with failures last, where the eye is; below it what failed, and the counts."""
    made = Table(box=None, pad_edge=False)
    for heading in ("what", "result", "tests", "seconds", "why", "command"):
        made.add_column(heading, justify="right" if heading in ("tests", "seconds") else "left", overflow="fold")
    for row in sorted(rows, key=lambda row: (PASSED, NOT_RUN, FAILED).index(row.result)):
        made.add_row(row.name, Text(row.result, _COLOURS[row.result]), "" if row.tests is None else str(row.tests),
                     "%.0f" % row.seconds if row.result != NOT_RUN else "",
                     Text("\n".join([*("passed when run again: " + test for test in row.passed_again), row.why])),
                     Text(row.command))
    console.print(made)
    telling = [row for row in rows if row.result == FAILED and row.last]
    for row in telling:
        console.rule(Text("%s: %s" % (row.name, row.why)), align="left", style="red")
        for line in row.last[-max(3, LAST // len(telling)):]:
            console.print(line[:300], markup=False, highlight=False, soft_wrap=True)
    counts = ["%d %s" % (sum(row.result == each for row in rows), each) for each in (PASSED, FAILED, NOT_RUN)]
    again = sum(len(row.passed_again) for row in rows)
    if again:
        counts.append("%d test%s passed only when run again" % (again, "" if again == 1 else "s"))
    console.print("test-all: %s, %d tests, in %s" % (", ".join(counts), sum(row.tests or 0 for row in rows), took))


def chosen(names: Sequence[str], phases: List[Phase]) -> Tuple[List[Phase], Optional[str]]:
    """Only the steps of these names, if there are any; and a name that is none."""
    known = [step.name for phase in phases for lane in phase for step in lane]
    wrong = next((name for name in names if name not in known), None)
    if wrong is not None:
        return [], 'no step "%s"; steps: %s' % (shown(wrong), ", ".join(known))
    return [[[step for step in lane if not names or step.name in names] for lane in phase] for phase in phases], None


def main(names: Sequence[str]) -> int:
    """Run the steps, show the table, end the engine if it was started for this."""
    phases, wrong = chosen(names, plan())
    try:
        policy = daemon.policy()
    except Usage as error:
        wrong, policy = str(error), ""
    if wrong is not None:
        print("test-all: %s" % wrong, file=sys.stderr)
        return EXIT_USAGE
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell ignores SIGINT for what it starts with &, children too
        signal.signal(number, signal.default_int_handler)
    runner, began, was_started = Runner(show=_show), time.monotonic(), daemon.started()
    kind = "warm" if Path(".tox").is_dir() else "cold"
    reports.forget(LOGS / "junit")
    try:
        code = run(runner, phases, engine_step(), policy)
    except KeyboardInterrupt:
        runner.end()
        code = EXIT_INTERRUPTED
    finally:
        if was_started is None and daemon.started() is not None:
            daemon.main(["stop"])
    console = Console(width=None if sys.stdout.isatty() else 120)
    seconds = time.monotonic() - began
    took = _span(seconds) if names else remembered(seconds, kind, LOGS / "times.json")
    summary(console, [*runner.rows, *([] if names else left_out())], took)
    return code


def _show(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
