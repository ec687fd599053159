"""lab.pyz in a folder whose name has blanks and a letter that is not ASCII, run by an interpreter in one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab import interpreters, records
from tests.pyz.bare import ENVIRONMENT, INTERPRETERS
from tests.waits import ARCHIVE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * ARCHIVE)]

PYTHONS = pytest.mark.parametrize("python", [pytest.param(each, id=each.version) for each in INTERPRETERS])


@pytest.fixture
def folder(tmp_path: Path, pyz: Path) -> Path:
    made = tmp_path / "a folder \u015b"
    (made / "tmp").mkdir(parents=True)
    shutil.copy(str(pyz), str(made / "lab copy.pyz"))
    return made


def lab(folder: Path, python: interpreters.Interpreter, *arguments: str, **more: str) -> bytes:
    """The output of `lab` there. Fails where it ends other than with 0, or complains."""
    program = python.path
    if sys.platform != "win32":  # programs are no symbolic links there
        program = str(folder / "a python")
        if not os.path.lexists(program):
            os.symlink(os.path.realpath(python.path), program)
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder / "tmp"))
    done = subprocess.run([program, "-I", "-S", str(folder / "lab copy.pyz"), *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=ARCHIVE, env={**ENVIRONMENT, **temporary, **more})
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


@PYTHONS
@pytest.mark.parametrize("start", ["", "spawn"])
def test_a_topic_is_observed(folder: Path, python: interpreters.Interpreter, start: str) -> None:
    said = lab(folder, python, "probe", "hangup", "readiness", "--jsonl", LAB_PROBE_START=start)
    found = records.parse(said.splitlines(True), python.version)
    outcomes = {each.outcome for each in found.observations}
    assert "observed" in outcomes and outcomes <= {"observed", "unsupported"}
    assert os.listdir(str(folder / "tmp")) == []


@PYTHONS
def test_doctor_answers(folder: Path, python: interpreters.Interpreter) -> None:
    assert b"CPython %s" % python.version.encode("ascii") in lab(folder, python, "doctor")
