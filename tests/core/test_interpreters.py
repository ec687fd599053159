"""Finding Python interpreters: real ones, and shell scripts that pretend to be Pythons or print nonsense."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import List, Optional

import pytest

from lab import interpreters
from lab.interpreters import Interpreter
from tests.waits import PROGRAM

posix = pytest.mark.skipif(sys.platform == "win32", reason="the fakes are shell scripts")


def fake(path: Path, answer: str = "", then: str = "") -> str:
    """Write a program that answers as a Python would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nprintf '%s'\n%s\n" % (answer, then))
    path.chmod(0o755)
    return str(path)


def only(places: List[Path], patience: float = 10.0) -> Interpreter:
    found = interpreters.find([str(each) for each in places], patience)
    assert len(found) == 1
    return found[0]


def test_this_very_python_is_found() -> None:
    found = interpreters.find([os.path.dirname(os.path.realpath(sys.executable))])
    mine = "%d.%d.%d" % sys.version_info[:3]
    assert [each for each in found if each.usable and each.version.startswith(mine)]


@posix
@pytest.mark.needs("sh")
class TestFind:
    def test_they_are_sorted_by_implementation_and_version_as_numbers(self, tmp_path: Path) -> None:
        for name, answer in (("pypy3", "lab|PyPy|3.9.16|"), ("python3.10", "lab|cpython|3.10.1|"),
                             ("python3.9", "lab|cpython|3.9.18|"), ("python3.15", "lab|cpython|3.15.0b1|")):
            fake(tmp_path / name, answer)
        found = [(each.implementation, each.version) for each in interpreters.find([str(tmp_path)])]
        assert found == [("CPython", "3.9.18"), ("CPython", "3.10.1"), ("CPython", "3.15.0b1"), ("PyPy", "3.9.16")]

    def test_several_names_of_one_are_one_by_the_longest(self, tmp_path: Path) -> None:
        fake(tmp_path / "python3.12", "lab|cpython|3.12.1|")
        for name in ("python", "python3"):
            (tmp_path / name).symlink_to("python3.12")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "python3").symlink_to(tmp_path / "python3.12")
        assert only([tmp_path, elsewhere]).path == str(tmp_path / "python3.12")

    def test_copies_in_one_directory_are_one(self, tmp_path: Path) -> None:
        """As on Windows, which has no links."""
        for name in ("python", "python3"):
            fake(tmp_path / name, "lab|cpython|3.12.1|")
        assert only([tmp_path]).version == "3.12.1"

    def test_a_free_threaded_build_beside_the_usual_one_is_another(self, tmp_path: Path) -> None:
        fake(tmp_path / "python3.13", "lab|cpython|3.13.0|")
        fake(tmp_path / "python3.13t", "lab|cpython|3.13.0|t")
        assert [each.version for each in interpreters.find([str(tmp_path)])] == ["3.13.0", "3.13.0t"]

    @pytest.mark.parametrize("version, usable", [("2.7.18", False), ("3.7.17", False), ("3.8.0", True),
                                                     ("3.10.0", True), ("4.0.0", True)])
    def test_the_oldest_usable_one_is_3_8(self, tmp_path: Path, version: str, usable: bool) -> None:
        fake(tmp_path / "python3", "lab|cpython|%s|" % version)
        found = only([tmp_path])
        assert (found.version, found.usable) == (version, usable)
        assert (found.why_not is None) == usable

    @pytest.mark.parametrize("answer", ["", "Python 3.9", "lab|cpython|three|", "x" * 5000])
    def test_what_answers_nonsense_is_named_and_not_usable(self, tmp_path: Path, answer: str) -> None:
        fake(tmp_path / "python3", answer, "exit 127")
        assert only([tmp_path]).why_not == "is no Python, or a broken one (exit code 127)"

    def test_what_does_not_start_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "python3").write_bytes(b"\x7fELF of another machine")
        (tmp_path / "python3").chmod(0o755)
        assert only([tmp_path]).why_not == "does not start"

    def test_what_hangs_is_ended(self, tmp_path: Path) -> None:
        note = tmp_path / "pid"
        fake(tmp_path / "python3", "", "echo $$ > %s; exec sleep 60" % note)
        found = [interpreters.find([str(tmp_path)], 0.5)]
        assert found[0][0].why_not == "does not answer"
        if note.exists():  # on a busy machine the program may not have written it yet
            with pytest.raises(ProcessLookupError):
                os.kill(int(note.read_text()), 0)

    def test_a_grandchild_that_keeps_the_pipe_open_is_not_waited_for(self, tmp_path: Path) -> None:
        note = tmp_path / "pid"
        fake(tmp_path / "python3", "", "sleep 60 & echo $! > %s; exit 1" % note)
        start = time.monotonic()
        try:
            assert "exit code 1" in str(only([tmp_path]).why_not)
            assert time.monotonic() - start < 30
        finally:
            os.kill(int(note.read_text()), 9)

    def test_they_are_asked_at_the_same_time(self, tmp_path: Path) -> None:
        """Each program waits until the other has been started, so starting one after the other would never end."""
        for mine, other in (("python3.8", "python3.9"), ("python3.9", "python3.8")):
            fake(tmp_path / mine, "", "touch %s.up; while [ ! -e %s.up ]; do sleep 0.01; done\n"
                                      "printf 'lab|cpython|%s.0|'" % (tmp_path / mine, tmp_path / other, mine[6:]))
        assert [each.usable for each in interpreters.find([str(tmp_path)], 20.0)] == [True, True]

    def test_more_than_a_batch(self, tmp_path: Path) -> None:
        for minor in range(8, 28):
            fake(tmp_path / ("python3.%d" % minor), "lab|cpython|3.%d.0|" % minor)
        assert [each.version for each in interpreters.find([str(tmp_path)])] == ["3.%d.0" % minor
                                                                                for minor in range(8, 28)]

    @pytest.mark.parametrize("name", ["python3-config", "python3.8-gdb.py", "pythonw", "python3.6m", "pypy3clean"])
    def test_other_programs_are_not_run(self, tmp_path: Path, name: str) -> None:
        fake(tmp_path / name, "", "touch %s" % (tmp_path / "was-run"))
        assert interpreters.find([str(tmp_path)]) == [] and not (tmp_path / "was-run").exists()

    def test_nothing_in_the_current_directory_can_answer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("sys", "site", "re", "platform", "encodings"):
            (tmp_path / ("%s.py" % name)).write_text("raise SystemExit(5)\n")
        monkeypatch.chdir(tmp_path)
        assert interpreters.ask([os.path.realpath(sys.executable)])[0].usable


class TestDirectories:
    def places(self, tmp_path: Path, path: List[str]) -> List[str]:
        environ = {"PATH": os.pathsep.join(path), "HOME": str(tmp_path / "home"), "USERPROFILE": str(tmp_path / "home")}
        return interpreters.directories(environ, str(tmp_path / "root"))

    def test_path_comes_first_and_each_once(self, tmp_path: Path) -> None:
        first, second = tmp_path / "b", tmp_path / "a"
        first.mkdir()
        second.mkdir()
        assert self.places(tmp_path, [str(first), str(second), str(first), ""])[:2] == [str(first), str(second)]

    @posix
    def test_the_usual_places(self, tmp_path: Path) -> None:
        usual = ["home/.pyenv/versions/3.8.18/bin", "root/usr/local/bin", "root/usr/bin", "root/opt/pypy/bin",
                 "home/.local/share/uv/python/cpython-3.13/bin", "root/opt/homebrew/opt/python@3.12/bin"]
        for each in usual:
            (tmp_path / each).mkdir(parents=True)
        found = self.places(tmp_path, [])
        assert {str(tmp_path / each) for each in usual} <= set(found)

    def test_shims_environments_and_relative_ones_are_left_out(self, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
        for each in (".pyenv/shims", "venv/bin", "bin"):
            (tmp_path / each).mkdir(parents=True)
        (tmp_path / "venv/pyvenv.cfg").write_text("")
        monkeypatch.chdir(tmp_path)
        found = self.places(tmp_path, [str(tmp_path / ".pyenv/shims"), str(tmp_path / "venv/bin"), "bin", "."])
        assert [each for each in found if each.startswith(str(tmp_path)) or not os.path.isabs(each)] == []


def test_the_launchers_list_is_understood_in_its_two_forms() -> None:
    text = (" -V:3.13 *        C:\\Python 313\\python.exe\r\n -3.8-64          \"C:\\Users\\x\\python.exe\"\r\n"
            "Installed Pythons found by py.exe Launcher for Windows\r\n")
    assert interpreters.launched(text) == ["C:\\Python 313\\python.exe", "C:\\Users\\x\\python.exe"]


class TestPathEntries:
    def python(self, place: str, version: str, implementation: str = "CPython", usable: bool = True,
               why_not: Optional[str] = None) -> Interpreter:
        return Interpreter(os.path.join(os.path.normpath(place), "python"), implementation, version, usable, why_not)

    def entries(self, found: List[Interpreter], known: List[str]) -> List[str]:
        return [each.replace(os.sep, "/") for each in interpreters.path_entries(found, known)]

    def test_the_newest_release_comes_first(self) -> None:
        found = [self.python("/pypy", "3.11.1", "PyPy"), self.python("/beta", "3.15.0b1"), self.python("/9", "3.9.1"),
                 self.python("/10", "3.10.1")]
        assert self.entries(found, []) == ["/10", "/9", "/pypy", "/beta"]

    def test_those_on_path_come_last_in_their_order(self) -> None:
        found = [self.python("/usr/bin", "3.13.0"), self.python("/usr/local/bin", "3.9.1"), self.python("/8", "3.8.1")]
        known = ["/usr/local/bin", "/sbin", "/usr/bin"]
        assert self.entries(found, known) == ["/8", "/usr/local/bin", "/usr/bin"]

    def test_too_old_ones_bring_no_directory(self) -> None:
        assert self.entries([self.python("/6", "3.6.1", usable=False)], []) == []


def test_as_a_module_it_prints_one_line_with_this_python() -> None:
    done = subprocess.run([sys.executable, "-m", "lab.interpreters"], capture_output=True, stdin=subprocess.DEVNULL,
                          timeout=PROGRAM, check=True)
    assert done.stderr == b"" and done.stdout.count(b"\n") == 1
    names = [name for place in os.fsdecode(done.stdout).strip().split(os.pathsep) for name in os.listdir(place)]
    assert any(name.lower().startswith(("python", "pypy")) for name in names)
