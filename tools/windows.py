"""`make test-windows`: the portable tests on a Windows Python, under Wine.

A copy of the tree goes onto drive C of a prefix that is private and removed at the end (``lab.harness.wine``), so that
this one is not written to. pytest comes as for images (``tools.in_image``).

Nothing of the Python that is given is changed. python.org's embeddable package takes ``sys.path`` from a file,
``python313._pth``, and then heeds no PYTHONPATH, which the tests give to their children; so it is run out of a folder
of links to all its files but that one. A full installation is run where it is.

    python -m tools.windows PATH/python.exe [arguments for pytest]
"""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any, List, Sequence

from lab.errors import EXIT_BROKEN, EXIT_INTERRUPTED, EXIT_USAGE, Broken, LabError, Usage
from lab.harness import wine
from lab.harness.targets._base import last_line
from tools import in_image, reports

LIMIT = 3600.0
"""Seconds for all of it. It takes nine minutes on two processors (Wine 8, CPython 3.13, -n 2)."""

START = 120.0
"""Seconds for a Python to tell its version. It takes one."""

PATHS = ("tests/core", "tests/winsock", "tests/host/cli")
"""What is run: all that differs on Windows."""

TEST = 300
"""Seconds for one test. One that is longer ends its process, as there is no SIGALRM, and xdist starts another."""

WITHOUT = """\
import sys
sys.modules["_wmi"] = None
import _winapi
if hasattr(_winapi, "CopyFile2"):
    del _winapi.CopyFile2
"""
"""What CPython uses since 3.12 and Wine 8 lacks, so that it ends the process: WMI, for pytest's question to
``platform`` what this is, and CopyFile2, for shutil. As sitecustomize.py of pytest's own processes: the lab must do
without."""


def main(arguments: Sequence[str]) -> int:
    """Run the tests, and return pytest's exit code. However it ends, nothing of Wine goes on."""
    if not arguments or not arguments[0] or arguments[0].startswith("-"):
        print("windows: no program is given: WINDOWS_PYTHON=PATH/python.exe, of %s; or `make windows-python` first"
              % wine.GET, file=sys.stderr)
        return EXIT_USAGE
    if sys.platform == "win32":
        print("windows: this is Windows itself: run `python -m pytest` with the Python to be tested", file=sys.stderr)
        return EXIT_USAGE
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(Path(arguments[0]), arguments[1:], Path(__file__).parents[1])
    except LabError as error:
        print("windows: %s" % error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def run(program: Path, arguments: Sequence[str], tree: Path) -> int:
    """Run pytest there on the source of this tree, and show what it says. Returns its exit code."""
    wine.check(str(program))
    with wine.Prefix(wine.find()) as prefix:
        python = heedful(program.resolve(), Path(prefix.path, "python"))
        packages = in_image.packages(version(prefix, python), tree)
        disk = Path(prefix.drive_c, "lab")
        with tarfile.open(fileobj=io.BytesIO(in_image.sources(tree))) as tar:
            safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # 3.12 warns without it
            tar.extractall(str(disk / "src"), **safely)
        (disk / "first").mkdir()
        (disk / "first" / "sitecustomize.py").write_text(WITHOUT, encoding="ascii")
        path = ["C:\\lab\\first", "C:\\lab\\src", wine.windows(str(packages))]
        report = "--junitxml=" + wine.windows(str(tree / reports.FOLDER / "windows.xml"))
        words = in_image.pytest_words([*arguments, report], PATHS, TEST)
        environment = {"PYTHONPATH": ";".join(path), "HYPOTHESIS_STORAGE_DIRECTORY": "C:\\lab\\hypothesis"}
        process = prefix.run(str(python), words, cwd=str(disk / "src"), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, env=environment)
        return shown(prefix, process)


def shown(prefix: wine.Prefix, process: subprocess.Popen[bytes]) -> int:
    """Pass on what it says to its end. Returns its exit code; ends it, and that of this all, after LIMIT."""
    assert process.stdout is not None
    late: List[float] = []

    def end() -> None:
        late.append(LIMIT)
        prefix.kill()

    watchdog = threading.Timer(LIMIT, end)
    watchdog.start()
    try:
        for line in process.stdout:
            sys.stdout.buffer.write(line.replace(b"\r\n", b"\n"))
            sys.stdout.buffer.flush()
        code = process.wait()
    finally:
        watchdog.cancel()
        watchdog.join()
    if late:
        print("windows: not done within %g s, so Wine or a test hangs; it was killed" % LIMIT, file=sys.stderr)
        return EXIT_BROKEN
    return code


def heedful(program: Path, folder: Path) -> Path:
    """The same Python, where it heeds PYTHONPATH: itself, or in that folder as links to its files."""
    if not list(program.parent.glob("*._pth")):
        return program
    folder.mkdir()
    for each in program.parent.iterdir():
        if each.suffix != "._pth":
            (folder / each.name).symlink_to(each)
    return folder / program.name


def version(prefix: wine.Prefix, python: Path) -> str:
    """Its version, as 3.13. Raises ``Broken`` where it does not start, ``Usage`` where it is too old."""
    process = prefix.run(str(python), ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        said, complaint = process.communicate(timeout=START)
    except subprocess.TimeoutExpired:
        raise Broken("%s: does not tell its version under Wine within %g s" % (python, START)) from None
    match = re.match(rb"(\d+)\.(\d+)\s*$", said)
    if match is None:
        raise Broken("%s: tells no version under Wine (exit code %d): %s; is that a Python?" % (
            python, process.returncode, last_line(complaint.decode("utf-8", "replace")) or "it said nothing"))
    major, minor = int(match.group(1)), int(match.group(2))
    if (major, minor) < (3, 8):
        raise Usage("%s: is Python %d.%d; the lab needs 3.8 or newer" % (python, major, minor))
    return "%d.%d" % (major, minor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
