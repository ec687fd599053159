"""lab.pyz: the same bytes from the same tree, nothing of the harness, and one clear line from an old Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, List, Optional

import pytest

import lab
from lab.errors import EXIT_NOT_HERE
from lab.harness import pyz
from tests.waits import PROGRAM

PACKAGE = Path(lab.__file__).parent
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly built lab.pyz."""
    out = tmp_path_factory.mktemp("dist") / "lab.pyz"
    pyz.build(out)
    return out


def run(*command: str, cwd: Optional[Path] = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROGRAM, cwd=cwd)


def test_the_same_bytes_twice(archive: Path, tmp_path: Path) -> None:
    assert pyz.build(tmp_path / "lab.pyz") == archive.read_bytes()


def test_the_same_bytes_from_a_copy_with_other_times_modes_and_line_ends(archive: Path, tmp_path: Path) -> None:
    copy = tmp_path / "lab"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for number, path in enumerate(sorted(copy.rglob("*.py"))):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        path.chmod(0o600)
        os.utime(path, (number * 100_000, number * 100_000))
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "left.py").with_suffix(".pyc").write_bytes(b"\0")
    (copy / "events.py.orig").write_text("left by an editor")
    assert pyz.build(tmp_path / "lab.pyz", copy) == archive.read_bytes()


def test_another_tree_gives_other_bytes(archive: Path, tmp_path: Path) -> None:
    copy = tmp_path / "lab"
    shutil.copytree(PACKAGE, copy)
    with open(copy / "events.py", "a", encoding="utf-8") as file:
        file.write("# one more line\n")
    assert pyz.build(tmp_path / "lab.pyz", copy) != archive.read_bytes()


def test_what_is_in_it(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        names = opened.namelist()
        infos = opened.infolist()
    assert names == sorted(names)
    assert not [name for name in names if name.startswith("lab/harness")]
    expected = {"lab/" + path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")
                if "harness" not in path.parts[len(PACKAGE.parts):]}
    assert set(names) == expected | {"__main__.py"}
    assert {(info.date_time, info.create_system, info.compress_type, info.external_attr) for info in infos} == {
        ((1980, 1, 1, 0, 0, 0), 3, zipfile.ZIP_STORED, 0o100644 << 16)}
    assert archive.read_bytes().startswith(b"#!/usr/bin/env python3\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission to execute")
def test_it_is_executable_and_replaced_in_one_step(tmp_path: Path) -> None:
    out = tmp_path / "lab.pyz"
    out.write_text("an older one")
    with open(out, encoding="utf-8") as reader:
        pyz.build(out)
        assert reader.read() == "an older one"
    assert os.stat(out).st_mode & 0o777 == 0o755
    assert os.listdir(str(tmp_path)) == ["lab.pyz"]


def test_a_failed_build_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(old: str, new: str) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "lab.pyz"
    out.write_text("an older one")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        pyz.build(out)
    assert out.read_text() == "an older one"
    assert os.listdir(str(tmp_path)) == ["lab.pyz"]


def test_the_command_tells_path_size_and_checksum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "lab.pyz"
    assert pyz.main(["--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("%s: %d bytes, sha256 " % (out, out.stat().st_size))
    assert len(text.split()[-1]) == 64


def test_it_runs_without_site_packages_from_anywhere(archive: Path, tmp_path: Path) -> None:
    done = run(sys.executable, "-I", "-S", str(archive), "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "lab %s\n" % lab.__version__, "")


def old_interpreters() -> List[Path]:
    """Those that pyenv has and that are too old for the lab; one of each minor version."""
    root = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))
    found = {}
    for path in sorted(root.glob("versions/[23].*/bin/python")):
        minor = tuple(path.parts[-3].split(".")[:2])
        if minor[0] == "2" or (minor[0] == "3" and minor[1].isdigit() and int(minor[1]) < 8):
            found[minor] = path
    return list(found.values())


OLD: List[Any] = [*old_interpreters()] or [
    pytest.param(None, marks=pytest.mark.skip(reason="pyenv has no Python under 3.8"))]


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.parts[-3] if path else "none")
@pytest.mark.parametrize("way", ["lab.pyz", "-m lab"])
def test_an_interpreter_too_old_is_told_so_in_one_line(archive: Path, old: Path, way: str) -> None:
    command = [str(archive)] if way == "lab.pyz" else ["-B", "-m", "lab"]
    done = run(str(old), *command, "doctor", cwd=PACKAGE.parent)
    assert (done.returncode, done.stdout) == (EXIT_NOT_HERE, "")
    assert done.stderr.startswith("lab needs Python 3.8 or newer; this is %s (" % old.parts[-3])
    assert done.stderr.endswith("): run it with another interpreter\n")
    assert done.stderr.count("\n") == 1
