"""A stand-in for Wine's programs: `wine` and `wineserver`, as scripts that do what the tests need Wine to do.

It runs lab.pyz with the Python of the tests, and has its records say Wine. What it was asked is in the file ``calls``
beside it: one JSON object a call. It behaves otherwise where the file ``mood`` says so:

    no-version, no-prefix, boot-hangs      before any program runs
    hangs, hangs-later, orphan             no record, or none after five; a grandchild in a session of its own holds on
    dies, complains, is-windows            exit code 77; exit code 3 and a reason; records that do not say Wine
    failing, old                           pytest, which is not run either, ends with 1; the Python is 3.7
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

_signal: Any = signal  # typed loosely: SIGKILL is POSIX only

SOURCE = """\
#!%s
import sys
sys.path[:0] = %r
from tests.host.harness import standin_wine
sys.exit(standin_wine.%s(sys.argv[1:], %r))
"""


def install(folder: Path, mood: str = "") -> Path:
    """Put both into that folder, which is to be on PATH."""
    folder.mkdir(exist_ok=True)
    for name in ("wine", "wineserver"):
        path = folder / name
        path.write_text(SOURCE % (sys.executable, sys.path, name, str(folder)))
        path.chmod(0o755)
    (folder / "mood").write_text(mood)
    return folder


def calls(folder: Path) -> List[Dict[str, Any]]:
    """What was asked of it, in order."""
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def running(folder: Path) -> List[int]:
    """The processes that `wineserver -k` would end in the last prefix, also those that have ended."""
    try:
        return _pids(Path(calls(folder)[-1]["environment"]["WINEPREFIX"]))
    except (FileNotFoundError, IndexError):  # nothing has run yet, or the first line is just being written
        return []


def _pids(prefix: Path) -> List[int]:
    return [int(pid) for pid in (prefix / "pids").read_text().split()]


def _note(folder: Path, program: str, arguments: List[str]) -> None:
    told = {name: os.environ.get(name) for name in ("WINEPREFIX", "HOME", "DISPLAY", "WINEDLLOVERRIDES", "PYTHONPATH")}
    with open(folder / "calls", "a", encoding="utf-8") as file:
        file.write(json.dumps({"program": program, "arguments": arguments, "environment": told,
                               "folder": os.getcwd(), "files": sorted(os.listdir(".")),
                               "kinds": [_kind(fd) for fd in range(3)]}) + "\n")


def _kind(fd: int) -> str:
    """What a standard stream is: Wine's Python does not start with a file."""
    mode = os.fstat(fd).st_mode
    return "file" if mode & 0o170000 == 0o100000 else "other"


def _remember(prefix: Path, pid: int) -> None:
    with open(prefix / "pids", "a", encoding="ascii") as file:
        file.write("%d\n" % pid)


def wine(arguments: List[str], place: str) -> int:
    folder = Path(place)
    mood = (folder / "mood").read_text()
    if arguments == ["--version"]:
        print("wine-8.0 (stand-in)" if mood != "no-version" else "what?")
        return 0
    prefix = Path(os.environ["WINEPREFIX"])
    prefix.mkdir(exist_ok=True)
    _note(folder, "wine", arguments)
    _remember(prefix, os.getpid())
    if arguments == ["wineboot", "--init"]:
        if mood == "no-prefix":
            print("wine: could not make it:\n[disk] full", file=sys.stderr)
            return 1
        if mood == "boot-hangs":
            time.sleep(600)
        (prefix / "drive_c").mkdir()
        return 0
    return _run(arguments, mood, prefix)


def _run(arguments: List[str], mood: str, prefix: Path) -> int:
    if mood == "dies":
        print("wine: Unhandled page fault", file=sys.stderr)
        return 77
    if mood == "complains":
        print("lab: --selector: there is none", file=sys.stderr)
        return 3
    if arguments[1] == "-c":
        print("3.7" if mood == "old" else "3.13", end="\r\n")
        return 0
    if arguments[1:3] == ["-m", "pytest"] and "hangs" not in mood:
        print("2 passed", end="\r\n")
        return 1 if mood == "failing" else 0
    if mood in ("hangs", "orphan"):
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
    else:
        command = [sys.executable, _unix(arguments[1]), *arguments[2:]]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=mood == "orphan")
    if mood == "orphan":  # as programs under Wine are: not in our process group, but with our standard output
        _remember(prefix, subprocess.Popen(command, start_new_session=True).pid)
    _remember(prefix, child.pid)
    assert child.stdout is not None
    for number, line in enumerate(child.stdout):
        if mood == "hangs-later" and number == 5:
            time.sleep(600)
        told = _as_wine(line) if number == 0 and mood != "is-windows" else line
        sys.stdout.buffer.write(told.rstrip(b"\n") + b"\r\n")  # as Windows ends lines
        sys.stdout.buffer.flush()
    return child.wait()


def _unix(path: str) -> str:
    assert path.startswith("Z:\\"), path
    return path[2:].replace("\\", "/")


def _as_wine(line: bytes) -> bytes:
    from lab import records

    platform = json.loads(line)
    facts = {**platform["facts"], "system": "Wine", "kernel": {"release": "8.0", "version": "as Windows 6.1.7601"},
             "runtime": {"name": "wine", "certain": True, "evidence": ["a stand-in"]}}
    return records.dump(records.Platform.of(facts, platform["slow"], platform["started"])).encode()


def wineserver(arguments: List[str], place: str) -> int:
    folder = Path(place)
    _note(folder, "wineserver", arguments)
    try:
        pids = _pids(Path(os.environ["WINEPREFIX"]))
    except FileNotFoundError:  # nothing has run
        return 1
    for pid in pids:
        try:
            os.kill(pid, _signal.SIGKILL)
        except ProcessLookupError:  # ended by itself
            pass
    return 0
