""".github/workflows/ci.yml is what GitHub takes, holds our rules, and what it runs exists. `make lint` runs this.

Nobody can run a workflow here, so it is checked by two programs that know what GitHub takes: actionlint, and the schema
of workflows. Each is shown a few broken copies too, so that one which accepts everything is found out.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

from tests.waits import PROGRAM

ROOT = Path(__file__).parents[3]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
TEXT = WORKFLOW.read_text(encoding="utf-8")
yaml: Any = pytest.importorskip("yaml", reason="pyyaml is not installed here; `make lint` has it")

ACTIONLINT, SCHEMA = "actionlint", "check-jsonschema"


def complaint(program: str, file: Path) -> str:
    """What the program says against a workflow; empty where it has nothing to say. Skips where it is not here."""
    path = shutil.which(program, path=str(Path(sys.executable).parent)) or shutil.which(program)
    if path is None:
        pytest.skip("%s is not installed here; `make lint` has it" % program)
    options = {ACTIONLINT: ["-shellcheck=", "-pyflakes=", "-oneline", "-no-color"],  # those two may be here, or not
               SCHEMA: ["--builtin-schema", "vendor.github-workflows"]}
    done = subprocess.run([path, *options[program], str(file)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=PROGRAM)
    said = done.stdout.decode("utf-8", "replace")
    return said or "exit code %d" % done.returncode if done.returncode else ""


def jobs() -> Dict[str, Any]:
    found: Dict[str, Any] = yaml.safe_load(TEXT)["jobs"]
    return found


def steps() -> Iterator[Dict[str, Any]]:
    for job in jobs().values():
        yield from job["steps"]


# What GitHub takes.


@pytest.mark.parametrize("program", [ACTIONLINT, SCHEMA])
def test_nothing_is_said_against_it(program: str) -> None:
    assert complaint(program, WORKFLOW) == ""


@pytest.mark.parametrize("program, was, broken, said", [
    (ACTIONLINT, "    timeout-minutes: 15\n", "    timeout-minute: 15\n", 'unexpected key "timeout-minute"'),
    (ACTIONLINT, "${{ matrix.os }}-", "${{ matrix.system }}-", 'property "system" is not defined'),
    (ACTIONLINT, "steps.install.outcome == 'success'", "steps.install.outcome == 'success", "unexpected EOF"),
    (ACTIONLINT, "steps.install.outcome", "steps.instal.outcome", 'property "instal" is not defined'),
    (ACTIONLINT, "needs: [portable, linux]", "needs: [portable, unix]", 'job "unix"'),
    (ACTIONLINT, "macos-latest]", "macos-newest]", 'label "macos-newest" is unknown'),
    (SCHEMA, "    timeout-minutes: 15\n", "    timeout-minute: 15\n", "'timeout-minute'"),
    (SCHEMA, "contents: read", "contents: all", "'all'"),
    (SCHEMA, "fail-fast: false", "fail-fast: [false]", "[False]"),
    (SCHEMA, "    runs-on: ubuntu-latest\n    timeout-minutes: 15\n", "", "'runs-on' is a required property"),
])
def test_a_broken_copy_is_refused(program: str, was: str, broken: str, said: str, tmp_path: Path) -> None:
    assert was in TEXT
    copy = tmp_path / ".github" / "workflows" / "ci.yml"
    copy.parent.mkdir(parents=True)
    copy.write_text(TEXT.replace(was, broken), encoding="utf-8")
    assert said in complaint(program, copy)


# Our rules.


def test_every_action_is_pinned_by_commit_and_the_comment_names_its_version() -> None:
    used = [line for line in TEXT.splitlines() if re.search(r"^\s*(- )?uses:", line)]
    assert len(used) == len([step for step in steps() if "uses" in step])
    pins: Dict[str, str] = {}
    for line in used:
        match = re.search(r"uses: (\S+)@([0-9a-f]{40}  # v\d+\.\d+\.\d+)$", line)
        assert match, line
        assert pins.setdefault(match.group(1), match.group(2)) == match.group(2), "two versions of one action"


def test_it_may_read_and_nothing_else() -> None:
    told = yaml.safe_load(TEXT)
    assert told["permissions"] == {"contents": "read"}
    assert [name for name, job in jobs().items() if "permissions" in job] == []
    assert "pull_request_target" not in TEXT and "secrets" not in TEXT
    checkouts = [step for step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(jobs())
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


def test_nothing_that_others_write_is_pasted_into_a_command() -> None:
    """A branch may be called `$(...)`: of expressions, a command has those of the matrix alone."""
    assert [step["run"] for step in steps() if re.search(r"\$\{\{(?! matrix\.)", step.get("run", ""))] == []


def test_every_job_ends_by_itself() -> None:
    assert [name for name, job in jobs().items() if not 0 < job.get("timeout-minutes", 0) <= 90] == []


def test_every_cpython_that_tox_knows_is_run_everywhere() -> None:
    minors = re.search(r"^env_list = .*\bpy\{([\d,]+)\}", (ROOT / "tox.ini").read_text(encoding="utf-8"), re.MULTILINE)
    assert minors is not None
    wanted = ["3." + each[1:] for each in minors.group(1).split(",")]
    assert (wanted[0], len(wanted)) >= ("3.8", 8)
    matrix = jobs()["portable"]["strategy"]["matrix"]
    assert matrix == {"os": ["windows-latest", "macos-latest"], "python": wanted}
    on_linux = [step["with"]["python-version"] for step in jobs()["linux"]["steps"] if "python-version" in
                step.get("with", {})]
    assert sorted(on_linux[0].split()) == sorted(wanted)


def test_records_are_kept_from_every_job_whatever_failed_and_merged() -> None:
    merge = jobs()["merge"]
    assert set(merge["needs"]) == set(jobs()) - {"merge"}
    assert merge["if"] == "${{ !cancelled() }}"
    for name, job in jobs().items():
        kept = [step for step in job["steps"] if step.get("uses", "").startswith("actions/upload-artifact@")]
        assert "!cancelled()" in kept[0]["if"] and kept[0]["with"]["if-no-files-found"] == "error", name
        assert kept[0]["with"]["name"].startswith("merged" if name == "merge" else "records-")


# What it runs.


def commands() -> List[List[str]]:
    return [shlex.split(line) for step in steps() for line in step.get("run", "").splitlines()]


def missing(words: List[str]) -> Optional[str]:
    """What a command names and is not here."""
    if words[0] == "echo" and words[1].startswith("::warning::"):  # what was not run is said where people look
        return None
    if words[0] == "make":
        known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        return None if words[1] in known else "make " + words[1]
    if words[:2] != ["python", "-m"] or words[2] not in ("pip", "pytest", "lab"):
        return words[0]
    paths = [each for each in words if each.startswith("tests/")]
    return next((each for each in paths if not (ROOT / each).exists()), None)


def test_every_command_is_one_of_the_project() -> None:
    assert commands()
    assert [words for words in commands() if missing(words) is not None] == []


@pytest.mark.parametrize("words", [("make", "everything"), ("curl", "x"), ("python", "-m", "pytest", "tests/none.py")])
def test_a_command_that_is_none_of_the_project_is_found(words: Tuple[str, ...]) -> None:
    assert missing(list(words)) is not None
