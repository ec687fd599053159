"""`wine:PATH/python.exe` with a stand-in for Wine: what is started and how, and what is said where that goes wrong."""

from __future__ import annotations

import os
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from lab.cli import main
from lab.errors import EXIT_NOT_HERE, EXIT_OK, EXIT_USAGE, Broken, LabError, NotHere, Usage
from lab.harness import pyz, targets, wine
from lab.harness.targets import Request, wine as wine_target
from tests.host.harness import standin_wine
from tests.waits import PROGRAM

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Wine is a script, with #!")


def executable(path: Path, machine: int = 0x8664, magic: bytes = b"MZ", signature: bytes = b"PE\0\0") -> Path:
    """The first bytes of a Windows program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(magic + bytes(58) + struct.pack("<I", 128) + bytes(64) + signature + struct.pack("<H", machine))
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the stand-in, first on PATH; temporary files go beside it, and none must be left."""
    temporary = tmp_path / "temporary files"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    folder = standin_wine.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(folder) + os.pathsep + os.environ["PATH"])
    monkeypatch.setenv("DISPLAY", ":7")
    yield folder
    assert os.listdir(temporary) == []


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> Request:
    path = tmp_path_factory.mktemp("a folder") / "lab.pyz"
    pyz.build(path)
    return Request(("contract",), ("select",), 1.0, path)


def target(tmp_path: Path) -> Any:
    return targets.parse("wine:%s" % executable(tmp_path / "a Python" / "python.exe"))[0]


def test_the_catalogue_runs_there(place: Path, tmp_path: Path, request_: Request) -> None:
    counted: List[int] = []
    found = target(tmp_path).collect(request_, counted.append)
    assert {each.probe.partition("/")[0] for each in found.observations} == {"contract"}
    assert all(each.outcome in ("observed", "unsupported") for each in found.observations)
    assert counted == list(range(len(found.observations) + 1))
    facts = found.platform.facts
    assert (facts["system"], facts["wine"]["version"]) == ("Wine", "8.0")
    assert set(facts["wine"]["host"]) == {"system", "release"}


def test_what_wine_is_asked(place: Path, tmp_path: Path, request_: Request) -> None:
    target(tmp_path).collect(request_, lambda done: None)
    boot, program, *ends = standin_wine.calls(place)
    assert boot["arguments"] == ["wineboot", "--init"]
    windows = "Z:" + str(tmp_path / "a Python" / "python.exe").replace("/", "\\")
    assert program["arguments"] == [windows, "Z:" + str(request_.pyz).replace("/", "\\"), "probe", "--jsonl", "--slow",
                                    "1", "contract", "--backend", "select"]
    assert ends and all((each["program"], each["arguments"]) == ("wineserver", ["-k"]) for each in ends)
    prefixes = {each["environment"]["WINEPREFIX"] for each in (boot, program, *ends)}
    assert len(prefixes) == 1, "one prefix for all, whose server is ended"
    prefix = Path(prefixes.pop())
    assert prefix.is_absolute() and prefix.parent.parent == tmp_path / "temporary files"
    for each in (boot, program):
        assert each["environment"]["HOME"] == str(prefix.parent), "nothing of the user's is touched"
        assert each["environment"]["DISPLAY"] is None
        assert "winemenubuilder.exe" in each["environment"]["WINEDLLOVERRIDES"]
        assert each["kinds"] == ["other"] * 3, "Wine's Python dies of a standard stream that is a file"


def test_two_runs_have_two_prefixes(place: Path, tmp_path: Path, request_: Request) -> None:
    for _ in range(2):
        target(tmp_path).collect(request_, lambda done: None)
    assert len({each["environment"]["WINEPREFIX"] for each in standin_wine.calls(place)}) == 2


def failure(tmp_path: Path, request_: Request) -> LabError:
    """What collecting raises, in a line."""
    with pytest.raises(LabError) as refused:
        target(tmp_path).collect(request_, lambda done: None)
    assert str(refused.value).isprintable()
    return refused.value


@pytest.mark.parametrize("mood, kind, complaint", [
    ("no-version", NotHere, "--version prints no version; is that Wine?"),
    ("no-prefix", Broken, "wine: Wine has made no prefix in"),
    ("dies", Broken, "`lab probe` ended with exit code 77: wine: Unhandled page fault"),
    ("complains", NotHere, "python.exe: --selector: there is none"),
    ("is-windows", Broken, "do not name Wine, so we cannot trust them"),
])
def test_what_goes_wrong_is_one_line(place: Path, tmp_path: Path, request_: Request, mood: str, kind: type,
                                     complaint: str) -> None:
    (place / "mood").write_text(mood)
    error = failure(tmp_path, request_)
    assert isinstance(error, kind) and complaint in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("mood, after", [("hangs", 0), ("hangs-later", 4), ("orphan", 0)])
def test_what_hangs_is_killed_and_said(place: Path, tmp_path: Path, request_: Request, mood: str, after: int,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wine_target, "SILENCE", 4.0)
    (place / "mood").write_text(mood)
    error = failure(tmp_path, request_)
    assert isinstance(error, Broken)
    assert "no record for 4 s after the first %d, so Wine or this Python hangs; we killed it" % after in str(error)


@pytest.mark.slow
def test_a_prefix_that_is_never_made_is_given_up(place: Path, tmp_path: Path, request_: Request,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wine, "BOOT", 0.5)
    (place / "mood").write_text("boot-hangs")
    assert "Wine has made no prefix within 0.5 s" in str(failure(tmp_path, request_))


@pytest.mark.slow
def test_the_time_limit_grows_with_the_waits(place: Path, tmp_path: Path, request_: Request,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wine_target, "SILENCE", 1.0)
    (place / "mood").write_text("hangs")
    assert "no record for 2 s after" in str(failure(tmp_path, request_._replace(slow=2.0)))


@pytest.mark.parametrize("missing", ["wine", "wineserver"])
def test_without_wine_it_says_what_to_install(place: Path, tmp_path: Path, request_: Request, missing: str,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    (place / missing).unlink()
    monkeypatch.setenv("PATH", str(place))
    error = failure(tmp_path, request_)
    assert isinstance(error, NotHere)
    assert "there is no %s on PATH; install Wine (Debian: apt-get install wine)" % missing in str(error)


def test_a_wine_that_is_no_program_is_one_line(place: Path, tmp_path: Path, request_: Request) -> None:
    (place / "wine").write_text("")
    error = failure(tmp_path, request_)
    assert isinstance(error, NotHere) and "cannot start " in str(error)


def test_ctrl_c_ends_it(place: Path, tmp_path: Path, request_: Request) -> None:
    (place / "mood").write_text("orphan")
    one = target(tmp_path)
    failed: List[LabError] = []

    def collect() -> None:
        try:
            one.collect(request_, lambda done: None)
        except LabError as error:
            failed.append(error)

    thread = threading.Thread(target=collect)
    thread.start()
    deadline = time.monotonic() + PROGRAM
    while len(standin_wine.running(place)) < 4:  # wineboot, the program, its child, and the orphan
        assert time.monotonic() < deadline
        time.sleep(0.01)
    one.stop()
    thread.join(PROGRAM)
    assert not thread.is_alive()
    assert "ended with exit code" in str(failed[0])


def test_one_that_was_stopped_before_it_began_does_not_begin(place: Path, tmp_path: Path, request_: Request) -> None:
    one = target(tmp_path)
    one.stop()
    with pytest.raises(Broken, match="stopped"):
        one.collect(request_, lambda done: None)
    assert [each["arguments"] for each in standin_wine.calls(place)] == [["wineboot", "--init"], ["-k"]]


@pytest.mark.parametrize("change, complaint", [
    ({"machine": 0x014C}, "this program is 32-bit; give a 64-bit one"),
    ({"machine": 0xAA64}, "this program is for arm64"),
    ({"machine": 0x0200}, "this program is for machine 0x0200"), ({"magic": b"\x7fE"}, "this is not a Windows program"),
    ({"signature": b"NE\0\0"}, "this is not a Windows program"),
])
def test_what_wine_could_not_run_is_refused_at_once(tmp_path: Path, change: Any, complaint: str) -> None:
    with pytest.raises(Usage) as refused:
        targets.parse("wine:%s" % executable(tmp_path / "python.exe", **change))
    assert complaint in str(refused.value) and str(refused.value).isprintable()


@pytest.mark.parametrize("content", [b"", b"MZ", b"MZ" + b"\xff" * 62, b"#!/bin/sh\n"])
def test_a_file_that_is_too_short_is_no_windows_program(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "python.exe").write_bytes(content)
    with pytest.raises(Usage, match=r"not a Windows program; give the python\.exe of a Windows Python"):
        targets.parse("wine:%s" % (tmp_path / "python.exe"))


@pytest.mark.parametrize("text, complaint", [("wine:", "no program is given"), ("wine:/no/such", "No such file"),
                                             ("wine:\x1b[31m", r"wine:\x1b[31m: No such file")])
def test_what_is_not_there_is_one_line(text: str, complaint: str) -> None:
    with pytest.raises(Usage) as refused:
        targets.parse(text)
    assert complaint in str(refused.value) and str(refused.value).isprintable()


def test_verify_takes_it_like_any_target(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = executable(tmp_path / "python.exe")
    command = ["verify", "--target", "wine:%s" % program, "--only", "contract/duplicate", "--backend", "select",
               "--out", str(tmp_path / "records")]
    assert main(command) == EXIT_OK
    assert "Wine 8.0" in capsys.readouterr().out
    assert len(os.listdir(tmp_path / "records")) == 1
    (place / "mood").write_text("no-version")
    assert main(command) == EXIT_NOT_HERE
    assert main(["verify", "--target", "wine:/no/such/python.exe"]) == EXIT_USAGE
