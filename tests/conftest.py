"""Nothing may be left behind: after each test the same descriptors are open, and the same threads and children alive.

A test that leaks gets an error of its own that names the leak; what the fixtures of a module or of the session leave
is named at the end, with the last test. Cheap enough for every test (0.1 ms with 20 descriptors, Linux, CPython 3.11)
because garbage is collected, and a thread that is just finishing waited for, only where something seems to be left.

How it looks depends on what the platform tells:

    descriptors  the directory /proc/self/fd or /dev/fd: number and identity (device, inode), so that one that was
                 closed and another one opened in its place are seen too. Where there is no such directory (Windows),
                 sockets and only those: each is noted when it is made.
    children     waitid(2) tells whether there are any, /proc who they are. Where either is missing, those of the
                 module subprocess, noted when they are made.
    threads      those that Python knows.

`--winsock` has Windows' select played. And the report is kept short: what was skipped is told once for each reason, and
no output of a test runs to miles.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

import pytest

GRACE = 2.0
"""Seconds that a thread or process which is on its way out may take. A test that leaks waits as long."""

KEPT = 4000
"""Characters of a failed test's output that are shown, from its start and from its end."""

Leak = Tuple[str, int, Any]
"""What kind, which number, and an identity that tells it from a later one of the same number."""

# Not on Windows: Wine takes a path with slashes for one of its host's, and shows the descriptors of its own server.
_FD_DIRECTORY = next((each for each in ("/proc/self/fd", "/dev/fd") if sys.platform != "win32" and os.path.isdir(each)),
                     None)
_os: Any = os  # typed loosely: type checkers know waitid on Linux only
_CAN_WAITID = hasattr(os, "waitid")

# For `from tests.core.conformance.rig import ...`. At the end, not in front: in tox the wheel in site-packages must
# stay the `lab` that is tested, not the folder here.
sys.path.append(str(Path(__file__).parents[1]))

# A shell without job control has what runs in its background ignore Ctrl-C, and so would all that we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if importlib.util.find_spec("hypothesis"):
    from hypothesis import HealthCheck, settings
    settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("untimed")  # a busy machine is no failure

_reported: Set[Leak] = set()
_noted_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
_noted_children: weakref.WeakSet[subprocess.Popen[Any]] = weakref.WeakSet()


def _note(kind: Any, where: Any) -> None:
    """Have every new instance of the class put into the set ``where``."""
    make = kind.__init__

    def noting(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        where.add(self)

    kind.__init__ = noting


if _FD_DIRECTORY is None:
    _note(socket.socket, _noted_sockets)
if not _CAN_WAITID:
    _note(subprocess.Popen, _noted_children)


def _descriptors() -> Iterator[Leak]:
    if _FD_DIRECTORY is None:
        for sock in list(_noted_sockets):
            if sock.fileno() >= 0:
                yield "descriptor", sock.fileno(), id(sock)
        return
    for name in os.listdir(_FD_DIRECTORY):
        try:
            status = os.fstat(int(name))
        except OSError:  # EBADF: the one that listed the directory
            continue
        yield "descriptor", int(name), (status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode))


def _children() -> Iterator[Leak]:
    if not _CAN_WAITID:
        for process in list(_noted_children):
            if process.returncode is None:
                yield "child process", process.pid, id(process)
        return
    try:
        _os.waitid(_os.P_ALL, 0, _os.WEXITED | _os.WNOHANG | _os.WNOWAIT)
    except ChildProcessError:  # ECHILD: there is none, neither running nor waited for
        return
    for pid in _child_pids():
        yield "child process", pid, None


def _child_pids() -> List[int]:
    """Also those that have ended and were not waited for. Slow: it reads all of /proc."""
    me, found = str(os.getpid()), []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        try:
            with open("/proc/%s/stat" % name, encoding="latin-1") as file:
                if file.read().rpartition(")")[2].split()[1] == me:
                    found.append(int(name))
        except (OSError, ValueError, IndexError):  # not a process, or it is gone
            continue
    return found or [0]  # there is one: waitid said so


def _threads() -> Iterator[Leak]:
    for thread in threading.enumerate():
        if not thread.name.startswith("pytest_timeout "):  # where there is no SIGALRM, each test has one, of the plugin
            yield "thread", thread.ident or 0, id(thread)


def look() -> Set[Leak]:
    """All that is open or alive now."""
    return {*_descriptors(), *_children(), *_threads()}


def describe(leak: Leak) -> str:
    """One leak in words: which it is, and what."""
    kind, number, _ = leak
    what: Optional[str] = None
    if kind == "thread":
        what = next((thread.name for thread in threading.enumerate() if thread.ident == number), None)
    else:
        what = _proc("fd/%d" % number, "self") if kind == "descriptor" else _proc("cmdline", str(number))
    return "%s %d (%s)" % (kind, number, what or "gone by now")


def _proc(name: str, pid: str) -> Optional[str]:
    path = "/proc/%s/%s" % (pid, name)
    try:
        if name == "cmdline":
            with open(path, "rb") as file:
                return file.read().replace(b"\0", b" ").decode(errors="replace").strip() or "ended, but not waited for"
        return os.readlink(path)
    except OSError:  # ENOENT: closed or ended meanwhile, or no /proc: the number must do
        return None


def left(before: Set[Leak]) -> Set[Leak]:
    """What is there now and was not before, once the garbage is gone and the grace has passed."""
    found = look() - before
    if found:
        gc.collect()  # what only a cycle holds would have been closed soon, with a ResourceWarning
        deadline = time.monotonic() + GRACE
        while found and time.monotonic() < deadline:
            time.sleep(0.002)
            found = look() - before
    return found


@contextmanager
def nothing_left(whose: str) -> Iterator[None]:
    """Fail where the body leaves something behind that nobody was blamed for yet, or closes what is not its own."""
    before = look()
    yield
    found = left(before) - _reported
    closed = {leak for leak in before - look() if leak[0] == "descriptor"}
    _reported.update(found)
    told = ["left " + describe(leak) for leak in sorted(found, key=str)]
    told += ["closed descriptor %d, which was open before" % leak[1] for leak in sorted(closed, key=str)]
    if told:
        pytest.fail("%s: %s" % (whose, "; ".join(told)), pytrace=False)


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> Iterator[None]:
    with nothing_left("this test"):
        yield


@pytest.fixture(autouse=True, scope="session")
def _nothing_left_by_wider_fixtures() -> Iterator[None]:
    with nothing_left("fixtures of a module, a class or the session"):
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """One option."""
    parser.addoption("--winsock", action="store_true", help="have Windows' select, as tests/winsock/winsock.py "
                     "plays it, and no other; `tox -e winsock` gives the tests for which that is enough of Windows")


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Start the longest tests first: one that starts last keeps a worker busy when all others have nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(optionalhook=True)  # where xdist is not installed, nobody calls it
def pytest_xdist_auto_num_workers() -> int:
    """Two workers for each processor: the tests wait half of the time. On two processors tests/core took 130 s with two
    workers and 75 s with four (CPython 3.11)."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """Install the fake before any test is collected, because tests ask while they are imported what is here."""
    if config.getoption("--winsock"):
        from tests.winsock.winsock import Winsock, installed
        fake = ExitStack()
        fake.enter_context(installed(Winsock()))
        config.add_cleanup(fake.close)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:  # EAFNOSUPPORT, EADDRNOTAVAIL: the kernel, or this container, has none
        return False
    return True


def _tells_resets() -> bool:
    from tests.core.conformance.rig import tells_resets
    return tells_resets()


def _has_posix_select() -> bool:
    from lab.backends import select
    return not select.WINDOWS


def _has_console() -> bool:
    if sys.platform != "win32":
        return False
    import ctypes
    return bool(ctypes.WinDLL("kernel32").GetConsoleCP())


NEEDS: Dict[str, Tuple[str, Callable[[], bool]]] = {
    "sh": ("there is no shell here", lambda: shutil.which("sh") is not None),
    "harness": ("the harness' packages are not installed here",
                lambda: all(importlib.util.find_spec(name) for name in ("rich", "jsonschema", "docker"))),
    "console": ("no Windows console here on which to press Ctrl-Break", _has_console),
    "ipv6": ("no IPv6 on the loopback here", _has_ipv6),
    "resets": ("a reset is read as the end of the stream here, as on Wine", _tells_resets),
    "real-select": ("Windows' select is only played here", lambda: _has_posix_select() or sys.platform == "win32"),
    "posix-select": ("select counts sockets here and takes nothing else, as on Windows", _has_posix_select),
}
"""What a test may ask for by the marker needs: why it is not run where that is missing, and whether it is there."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs something that is not here; the summary tells each reason once."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            why, is_here = NEEDS[name]
            if not is_here():
                pytest.skip(why)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Shorten the output of a failed test: a server that spun once wrote 350 MB, and tox keeps all of it in memory. And
    note each failed try in the test's properties, which JUnit files keep (tools/reports.py)."""
    outcome: Any = yield
    report = outcome.get_result()
    report.sections = [(title, shortened(text)) for title, text in report.sections]
    if report.failed:
        item.user_properties.append(("failed", shortened(report.longreprtext)))


def shortened(text: str) -> str:
    """The first and last few thousand characters."""
    if len(text) <= 3 * KEPT:
        return text
    return "%s\n[... %d characters ...]\n%s" % (text[:KEPT], len(text) - 2 * KEPT, text[-KEPT:])


def pytest_report_teststatus(report: Any, config: pytest.Config) -> Optional[Tuple[str, str, str]]:
    """No dots for what is fine where nobody watches them grow: twelve environments would make 300 lines of them."""
    is_fine = report.skipped or (report.passed and report.when == "call")
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")  # sys.stdout is pytest's own while it captures
    if is_fine and not hasattr(report, "wasxfail") and not terminal.isatty and config.get_verbosity() < 0:
        return report.outcome, "", ""
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was not run: each reason once. pytest's own list has a line for each test, which nobody reads.

    And for each test that failed and was run again, by `--reruns`: why it failed, and whether it passed only then.
    """
    failed = {report.nodeid for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, [])}
    first = terminalreporter.stats.get("rerun", [])
    for report in first:
        terminalreporter.write_sep("_", "the first run of %s" % report.nodeid)
        terminalreporter.write_line(shortened(report.longreprtext))
    for name in sorted({report.nodeid for report in first} - failed):
        terminalreporter.write_line("passed when run again, in %s: %s" % (os.environ.get("TOX_ENV_NAME", "here"), name))
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line("not run: %d, %s" % (count, reason.replace("Skipped: ", "", 1)))
