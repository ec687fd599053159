"""Run the portable tests on a Windows Python under Wine: `python -m tools.windows PATH/python.exe [pytest arguments]`.

`make test-windows` runs this. We copy the tree to drive C of a private Wine prefix, which is removed at the end
(``lab.harness.wine``). So the tests write nothing into this tree. pytest is fetched as for images (``tools.in_image``).

We do not change the Python that is tested. python.org's embeddable package reads ``sys.path`` from a file,
``python313._pth``, and then ignores PYTHONPATH, which the tests set for their children. So we run that package from a
folder of links to all its files except that one. We run a full installation where it is.
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
from lab.text import last_line
from tools import in_image, reports

LIMIT = 3600.0
"""Seconds for the whole run. It takes nine minutes on two processors (Wine 8, CPython 3.13, -n 2)."""

START = 120.0
"""Seconds within which Python must print its version. It takes one."""

PATHS = ("tests/core", "tests/winsock", "tests/host/cli")
"""What is run: all that differs on Windows."""

TEST = 300
"""Seconds for one test. A test that takes longer ends its process, because Windows has no SIGALRM; xdist then starts
another process."""

WITHOUT = """\
import sys
sys.modules["_wmi"] = None
import _winapi
if hasattr(_winapi, "CopyFile2"):
    del _winapi.CopyFile2
"""
"""A sitecustomize.py for pytest's own processes. CPython since 3.12 uses two things that Wine 8 lacks, and their use
ends the process: WMI, when pytest asks ``platform`` for the system, and CopyFile2, in shutil. This module removes both.
The lab's own processes run without it, because the lab must not need it."""


def main(arguments: Sequence[str]) -> int:
    """Run the tests. Returns pytest's exit code. In any case, no process of Wine is left."""
    if not arguments or not arguments[0] or arguments[0].startswith("-"):
        print("windows: give a program: WINDOWS_PYTHON=PATH/python.exe, of %s; or run `make windows-python` first"
              % wine.GET, file=sys.stderr)
        return EXIT_USAGE
    if sys.platform == "win32":
        print("windows: this is Windows itself: run `python -m pytest` with the Python to test", file=sys.stderr)
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
    """Run pytest with this Windows Python on the source of this tree, and print its output. Returns its exit code."""
    wine.check(str(program))
    with wine.Prefix(wine.find()) as prefix:
        python = with_pythonpath(program.resolve(), Path(prefix.path, "python"))
        packages = in_image.packages(version(prefix, python), tree)
        disk = Path(prefix.drive_c, "lab")
        with tarfile.open(fileobj=io.BytesIO(in_image.sources(tree))) as tar:
            safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # 3.12 warns without it
            tar.extractall(str(disk / "src"), **safely)
        (disk / "first").mkdir()
        (disk / "first" / "sitecustomize.py").write_text(WITHOUT, encoding="ascii")
        path = ["C:\\lab\\first", "C:\\lab\\src", wine.windows(str(packages))]
        report = "--junitxml=" + wine.windows(str(tree / reports.FOLDER / "windows.xml"))
        words = in_image.pytest_words([*arguments, "-n", "2", report], PATHS, TEST)  # Wine fails in a crowd
        environment = {"PYTHONPATH": ";".join(path), "HYPOTHESIS_STORAGE_DIRECTORY": "C:\\lab\\hypothesis"}
        process = prefix.run(str(python), words, cwd=str(disk / "src"), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, env=environment)
        return shown(prefix, process)


def shown(prefix: wine.Prefix, process: subprocess.Popen[bytes]) -> int:
    """Print the output of the process until it ends. Returns its exit code. After LIMIT seconds, kill all processes in
    the prefix."""
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
        print("windows: the tests did not end within %g s, so Wine or a test hangs; killed all of them" % LIMIT,
              file=sys.stderr)
        return EXIT_BROKEN
    return code


def with_pythonpath(program: Path, folder: Path) -> Path:
    """The path of the same Python that uses PYTHONPATH: ``program`` itself, or a link in ``folder`` beside links to the
    rest."""
    if not list(program.parent.glob("*._pth")):
        return program
    folder.mkdir()
    for each in program.parent.iterdir():
        if each.suffix != "._pth":
            (folder / each.name).symlink_to(each)
    return folder / program.name


def version(prefix: wine.Prefix, python: Path) -> str:
    """The Python's version, such as ``3.13``. Raises ``Broken`` if it does not start, ``Usage`` if it is too old."""
    process = prefix.run(str(python), ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        said, complaint = process.communicate(timeout=START)
    except subprocess.TimeoutExpired:
        raise Broken("%s: printed no version under Wine within %g s" % (python, START)) from None
    match = re.match(rb"(\d+)\.(\d+)\s*$", said)
    if match is None:
        raise Broken("%s: printed no version under Wine (exit code %d): %s; is that a Python?" % (
            python, process.returncode, last_line(complaint.decode("utf-8", "replace")) or "it printed nothing"))
    major, minor = int(match.group(1)), int(match.group(2))
    if (major, minor) < (3, 8):
        raise Usage("%s: this is Python %d.%d; the lab needs 3.8 or newer" % (python, major, minor))
    return "%d.%d" % (major, minor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
