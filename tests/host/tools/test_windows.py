"""The portable tests under Wine, with a stand-in for Wine: what is run where, and what is said when it goes wrong."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator

import pytest

from lab.errors import EXIT_BROKEN, EXIT_NOT_HERE, EXIT_OK, EXIT_USAGE
from tests.host.harness import standin_wine
from tests.host.harness.test_wine import executable
from tools import in_image, windows

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Wine is a script, with #!")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the stand-in, first on PATH; of temporary files none must be left. Nothing is fetched."""
    temporary = tmp_path / "temporary files"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(in_image, "packages", lambda version, tree: tmp_path / ("packages-" + version))
    folder = standin_wine.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(folder) + os.pathsep + os.environ["PATH"])
    yield folder
    assert os.listdir(temporary) == []


def python(tmp_path: Path, *others: str) -> str:
    """A python.exe, with other files beside it."""
    program = executable(tmp_path / "a Python" / "python.exe")
    for name in others:
        (program.parent / name).touch()
    return str(program)


def pytest_call(place: Path) -> Any:
    return next(each for each in standin_wine.calls(place) if "pytest" in each["arguments"])


def test_the_portable_tests_run_on_drive_c(place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert windows.main([python(tmp_path), "-k", "echo"]) == EXIT_OK
    assert capfd.readouterr().out == "2 passed\n"
    call = pytest_call(place)
    report, = [word for word in call["arguments"] if word.startswith("--junitxml=Z:") and word.endswith("windows.xml")]
    assert call["arguments"][1:] == in_image.pytest_words(
        ["-k", "echo", "-n", "2", report], windows.PATHS, windows.TEST)
    assert call["folder"] == os.path.join(call["environment"]["WINEPREFIX"], "drive_c", "lab", "src")
    assert {"lab", "tests", "pyproject.toml"} <= set(call["files"])
    packages = "Z:" + str(tmp_path / "packages-3.13").replace("/", "\\")
    assert call["environment"]["PYTHONPATH"] == ";".join(["C:\\lab\\first", "C:\\lab\\src", packages])
    assert call["kinds"] == ["other"] * 3, "no file is a standard stream"
    assert standin_wine.calls(place)[-1]["program"] == "wineserver"


def test_the_exit_code_is_that_of_pytest(place: Path, tmp_path: Path) -> None:
    (place / "mood").write_text("failing")
    assert windows.main([python(tmp_path)]) == 1


def test_a_full_installation_runs_where_it_is(place: Path, tmp_path: Path) -> None:
    program = python(tmp_path, "python313.dll")
    assert windows.main([program]) == EXIT_OK
    assert pytest_call(place)["arguments"][0] == "Z:" + program.replace("/", "\\")


def test_an_embeddable_one_is_run_without_the_file_that_has_it_ignore_pythonpath(tmp_path: Path) -> None:
    program = Path(python(tmp_path, "python313.dll", "python313._pth", "python313.zip"))
    linked = windows.with_pythonpath(program, tmp_path / "links")
    assert linked == tmp_path / "links" / "python.exe"
    assert sorted(os.listdir(str(linked.parent))) == ["python.exe", "python313.dll", "python313.zip"]
    assert linked.resolve() == program.resolve()
    assert (program.parent / "python313._pth").exists(), "what is the user's was changed"


def test_what_is_no_python_for_it_is_one_line(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    thirty_two = executable(tmp_path / "32" / "python.exe", machine=0x014C)
    for mood, path, code, told in (("", tmp_path / "none.exe", EXIT_USAGE, "No such file"),
                                   ("", tmp_path / "script", EXIT_USAGE, "not a Windows program"),
                                   ("", thirty_two, EXIT_USAGE, "32-bit"),
                                   ("old", python(tmp_path), EXIT_USAGE, "this is Python 3.7; the lab needs 3.8"),
                                   ("dies", python(tmp_path), EXIT_BROKEN, "(exit code 77): wine: Unhandled page"),
                                   ("no-prefix", python(tmp_path), EXIT_BROKEN, "made no prefix"),
                                   ("no-version", python(tmp_path), EXIT_NOT_HERE, "is that Wine?")):
        (place / "mood").write_text(mood)
        assert windows.main([str(path)]) == code
        error = capsys.readouterr().err
        assert told in error and error.startswith("windows: ") and error.count("\n") == 1, error


def test_what_hangs_is_killed(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                              capsys: pytest.CaptureFixture[str]) -> None:
    (place / "mood").write_text("hangs")
    monkeypatch.setattr(windows, "LIMIT", 1.0)
    assert windows.main([python(tmp_path)]) == EXIT_BROKEN
    assert capsys.readouterr().err == (
        "windows: the tests did not end within 1 s, so Wine or a test hangs; killed all of them\n")


@pytest.mark.parametrize("arguments", [[], [""], ["-k", "echo"]])
def test_without_a_program_it_is_said_how_to_come_by_one(arguments: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert windows.main(arguments) == EXIT_USAGE
    said = capsys.readouterr().err
    assert said.startswith("windows: give a program: WINDOWS_PYTHON=PATH/python.exe, of a Windows Python: ")
    assert "embeddable" in said and "NuGet" in said and "make windows-python" in said and said.count("\n") == 1
