"""`make test-all`: every test that this machine can run, and at the end one table of what ran, what did not, and why.

It never passes by skipping. A step that needs a container engine where there is none has not passed: only ENGINE=none,
said by whoever runs this, makes that right, and then the table says so. A step that fails stops no other, and the last
that it said stands below the table: who sees no more than the end of a log learns there what failed.

What runs beside what: compiling and checking side by side; then what waits for something, two environments or images at
a time, because it dislikes a crowd; the engine's own tests and the matrix alone.

    python -m tools.test_all [STEP ...]
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.errors import EXIT_DEVIATION, EXIT_INTERRUPTED, EXIT_NOT_HERE, EXIT_OK, EXIT_USAGE, Usage
from lab.harness import images
from tools import daemon

LOGS = Path("build", "test-all")
TAIL = 60
"""Lines of a failed step that are shown at once; all of them are in its log."""
LAST = 18
"""Lines below the table that all failed steps share."""

INSIDE = ("forky", "musl", "bookworm-i386")
"""The images that the portable tests are run in: a Python, a C library and a word size that hosts mostly lack."""

PASSED, FAILED, NOT_RUN = "passed", "FAILED", "not run"
_TOX_ROW = re.compile(r"^  (\S+): (OK|SKIP|FAIL)[^(]*\(([\d.]+)", re.MULTILINE)
_AGAIN = re.compile(r"^passed when run again, in (\S+): (.+)$", re.MULTILINE)
"""What tests/conftest.py says of a test that has failed first."""
_TEST = re.compile(r"(?:FAILED|ERROR) \S+::")
"""pytest's own list of what failed."""

_COLOURS = {PASSED: "green", FAILED: "bold red", NOT_RUN: "yellow"}


class Step(NamedTuple):
    """One command. ``again`` is what to type to have it alone."""

    name: str
    command: Sequence[str]
    again: str
    needs_engine: bool = False
    env: Mapping[str, str] = MappingProxyType({})


class Row(NamedTuple):
    """One line of the table. ``command``: what repeats it, or enables it. ``again``: tests that passed only when they
    were run again. ``last``: the lines of the failed step that tell what failed."""

    name: str
    result: str
    seconds: float
    why: str = ""
    command: str = ""
    again: Sequence[str] = ()
    last: Sequence[str] = ()


def tox(names: Sequence[str] = ()) -> List[str]:
    """The command for these environments, or for all of tox.ini's list; JOBS at a time."""
    chosen = ["-e", ",".join(names)] if names else []
    return [sys.executable, "-m", "tox", "run-parallel", "-q", "--parallel", os.environ.get("JOBS", "2"),
            "--parallel-no-spinner", *chosen]


def plan() -> List[List[Step]]:
    """All steps; those in one list run at the same time, the lists one after the other."""
    lab = str(Path(sys.executable).with_name("lab"))
    inside = ["image-" + name for name in INSIDE]
    return [
        [Step("images", [lab, "images", "build"], "lab images build", True),
         Step("checks", tox(["lint", "types"]), "tox -e lint,types")],
        [Step("tox", tox(), "tox run-parallel", env={"TOX_SKIP_ENV": "lint|types"})],
        [Step("containers", [sys.executable, "-m", "tox", "run", "-q", "-e", "containers"], "tox -e containers", True)],
        [Step("inside", tox(inside), "tox -e " + ",".join(inside), True)],
        [Step("matrix", [lab, "verify", "--matrix", "daily", "--jobs", "1", "--out", "build/records/daily"],
              "lab verify --matrix daily --jobs 1", True)],
        *windows(lab),
    ]


def windows_python() -> str:
    """The Windows Python that is to be tested on, as the Makefile tells it; empty for none."""
    return os.environ.get("WINDOWS_PYTHON", "").strip()


def windows(lab: str) -> List[List[Step]]:
    """The portable tests and the catalogue under Wine, each alone: its send hangs in a crowd (docs/findings.md, 26)."""
    python = windows_python()
    if not python:
        return []
    return [[Step("windows", [sys.executable, "-m", "tools.windows", python], "make test-windows")],
            [Step("windows-catalogue", [lab, "verify", "--target", "wine:" + python, "--out", "build/records/wine"],
                  "make test-windows")]]


def left_out() -> List[Row]:
    """What this never runs, so that nobody takes it for run."""
    rows = [Row("matrix ci", NOT_RUN, 0.0, "all images on gVisor too: ten minutes more", "lab verify --matrix ci")]
    if not windows_python():
        rows.append(Row("windows", NOT_RUN, 0.0, "no Windows Python for Wine: give WINDOWS_PYTHON, the python.exe of "
                        "python.org's embeddable package or of NuGet's `python`, or have one brought",
                        "make windows-python test-windows"))
    others = [row.id for row in images.load().values() if row.debian is not None and row.id not in INSIDE]
    return rows + [Row("inside others", NOT_RUN, 0.0, "too slow for every day, the matrix runs their probes: %s"
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
        rows = told(step, code, seconds, text, log)
        with self._lock:
            self.rows += rows
            if code != 0:
                self.show("\n".join(text.splitlines()[-TAIL:]))
            self.show("test-all: %s %s, %.0f s" % (step.name, FAILED if code else PASSED, seconds))
        return code == 0

    def _call(self, step: Step, log: Path) -> int:
        with log.open("wb") as file:
            try:
                with self._lock:  # so that `end` knows of all that has been started
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
            except KeyboardInterrupt:  # in the main thread; others are ended by `end`
                process.send_signal(signal.SIGINT)
                process.wait()
                raise
            finally:
                with self._lock:
                    self._running.discard(process)

    def phase(self, steps: Sequence[Step]) -> None:
        """Run these at the same time."""
        with ThreadPoolExecutor(max(1, len(steps))) as pool:
            try:
                for job in [pool.submit(self.step, step) for step in steps]:
                    job.result()
            except KeyboardInterrupt:
                self.end()
                raise

    def end(self) -> None:
        """Interrupt what is running, and start no more; it cleans up after itself. Not SIGTERM: tox dies of it and
        leaves its children."""
        with self._lock:
            self._is_ended = True
            for process in self._running:
                process.send_signal(signal.SIGINT)


def told(step: Step, code: int, seconds: float, text: str, log: Path) -> List[Row]:
    """The rows of a step that has run: one, or of tox one for each environment."""
    words = {"OK": PASSED, "FAIL": FAILED, "SKIP": NOT_RUN}
    again = _AGAIN.findall(text)
    rows = [_of_tox(name, words[word], float(span), log, [test for where, test in again if where == name])
            for name, word, span in _TOX_ROW.findall(text)]
    if not rows or (code != 0 and all(row.result != FAILED for row in rows)):
        known = {row.name for row in rows}
        others = [test for where, test in again if where not in known]
        why = "exit code %d, see %s" % (code, log) if code else "see %s" % log if others else ""
        rows.append(Row(step.name, FAILED if code else PASSED, seconds, why, step.again if why else "", others))
    failed = next((number for number, row in enumerate(rows) if row.result == FAILED), None)
    if failed is not None:
        rows[failed] = rows[failed]._replace(last=gist(text))
    return rows


def gist(text: str) -> List[str]:
    """The lines of a log that tell what failed: the tests' names, as pytest lists them, or the last ones."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return list(dict.fromkeys(line for line in lines if _TEST.match(line)) or lines[-LAST:])


def _of_tox(name: str, result: str, seconds: float, log: Path, again: Sequence[str]) -> Row:
    if result == NOT_RUN:
        return Row(name, result, seconds, "its interpreter is not here", "install it, then: tox -e " + name)
    why = "see %s" % log if result == FAILED or again else ""
    return Row(name, result, seconds, why, "tox -e " + name if why else "", again)


def without_engine(step: Step, policy: str) -> Row:
    """The row of a step that is not run for lack of an engine."""
    if policy == "none":
        return Row(step.name, NOT_RUN, 0.0, "ENGINE=none was said", "make test-all")
    return Row(step.name, NOT_RUN, 0.0, "no container engine", "make engine, then: " + step.again)


def engine_step() -> Step:
    """What finds or starts an engine."""
    return Step("engine", [sys.executable, "-m", "tools.daemon", "start"], "make engine")


def run(runner: Runner, phases: Sequence[Sequence[Step]], engine: Step, policy: str) -> int:
    """Run all. Returns the exit code: 1 where a step failed, 3 where only the engine is missing."""
    wants_engine = any(step.needs_engine for phase in phases for step in phase)
    has_engine = wants_engine and policy != "none" and runner.step(engine)
    for phase in phases:
        runner.rows += [without_engine(step, policy) for step in phase if step.needs_engine and not has_engine]
        runner.phase([step for step in phase if has_engine or not step.needs_engine])
    failed = {row.name for row in runner.rows if row.result == FAILED}
    if failed == {engine.name}:
        return EXIT_NOT_HERE
    return EXIT_DEVIATION if failed else EXIT_OK


def remembered(seconds: float, kind: str, file: Path) -> str:
    """How long it took, and how long the last run of the other kind did: cold, where environments had to be made first,
    or warm."""
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
    """The table, with failures last, where the eye is; below it the last that they said, and the counts."""
    made = Table(box=None, pad_edge=False)
    for heading in ("what", "result", "seconds", "why", "command"):
        made.add_column(heading, justify="right" if heading == "seconds" else "left", overflow="fold")
    for row in sorted(rows, key=lambda row: (PASSED, NOT_RUN, FAILED).index(row.result)):
        made.add_row(row.name, Text(row.result, _COLOURS[row.result]),
                     "%.0f" % row.seconds if row.result != NOT_RUN else "",
                     Text("\n".join([*("passed when run again: " + test for test in row.again), row.why])),
                     Text(row.command))
    console.print(made)
    telling = [row for row in rows if row.last]
    for row in telling:
        console.rule(Text("%s: %s" % (row.name, row.why)), align="left", style="red")
        for line in row.last[-max(3, LAST // len(telling)):]:
            console.print(line[:300], markup=False, highlight=False, soft_wrap=True)
    counts = ["%d %s" % (sum(row.result == each for row in rows), each) for each in (PASSED, FAILED, NOT_RUN)]
    again = sum(len(row.again) for row in rows)
    if again:
        counts.append("%d test%s passed only when run again" % (again, "" if again == 1 else "s"))
    console.print("test-all: %s, in %s" % (", ".join(counts), took))


def chosen(names: Sequence[str], phases: List[List[Step]]) -> Tuple[List[List[Step]], Optional[str]]:
    """Only the steps of these names, if there are any; and a name that is none."""
    known = [step.name for phase in phases for step in phase]
    wrong = next((name for name in names if name not in known), None)
    if wrong is not None:
        return [], "no step %s; steps: %s" % (ascii(wrong), ", ".join(known))
    return [[step for step in phase if not names or step.name in names] for phase in phases], None


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
