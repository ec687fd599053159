"""The leak check of tests/conftest.py finds each kind of leak, names the right test, and passes clean ones.

It also shortens the output of failed tests.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Dict

import pytest

pytest_plugins = ["pytester"]

WATCH = Path(__file__).parents[1].joinpath("conftest.py").read_text(encoding="utf-8")
WATCH = WATCH.replace("GRACE = 2.0", "GRACE = 0.1")

LEAKS = """
    import gc, os, socket, subprocess, sys, threading, time
    import pytest

    kept = []

    def test_clean():
        with socket.socket(), open(os.devnull):
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()
        subprocess.run([sys.executable, "-c", ""], check=True)

    def test_thread_that_is_just_finishing():
        threading.Thread(target=time.sleep, args=(0.02,)).start()

    def test_socket():
        kept.append(socket.socket())

    def test_after_a_leak_others_are_not_blamed():
        pass

    def test_thread():
        threading.Thread(target=threading.Event().wait, name="left-alone", daemon=True).start()

    def test_running_child():
        # It ends with this process, which holds the other end of the pipe.
        kept.append(subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE))
"""

ON_POSIX = """
    def test_file():
        kept.append(os.open(os.devnull, os.O_RDONLY))

    def test_zombie():
        if os.fork() == 0:
            os._exit(0)

    def test_another_in_its_place():
        os.close(kept[-1])
        assert os.open("/", os.O_RDONLY) == kept[-1]

    def test_in_a_cycle():
        sock = socket.socket()
        cycle = [sock]
        cycle.append(cycle)

    @pytest.fixture(scope="module")
    def wide():
        kept.append(os.open("/", os.O_RDONLY))

    def test_of_a_module(wide):
        pass
"""


@pytest.fixture(autouse=True)
def _plain_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep pytest from truncating the lines of its summary, and from loading plugins, which takes a second."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def outcomes(pytester: pytest.Pytester, watch: str, tests: str) -> Dict[str, str]:
    """The error text, or "", of each test by name."""
    pytester.makeconftest(watch)
    pytester.makepyfile(tests)
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rE", "-q", "--tb=line")
    told: Dict[str, str] = {}
    for line in result.outlines:
        if line.startswith("ERROR ") and "::" in line:
            name, _, text = line.partition("::")[2].partition(" - ")
            told[name] = told.get(name, "") + text
    return told


@pytest.mark.skipif(sys.platform == "win32", reason="the platform does not list descriptors and children")
def test_each_leak_is_named_with_the_test_that_made_it(pytester: pytest.Pytester) -> None:
    told = outcomes(pytester, WATCH, LEAKS + ON_POSIX)
    if not hasattr(os, "waitid"):  # PyPy 3.9, macOS before 3.13: it sees only children of subprocess
        told.setdefault("test_zombie", "Failed: this test: left child process ")
    assert sorted(told) == ["test_another_in_its_place", "test_file", "test_in_a_cycle", "test_of_a_module",
                            "test_running_child", "test_socket", "test_thread", "test_zombie"]
    for name, start, end in (
            ("test_socket", "Failed: this test: left descriptor ", ""),
            ("test_thread", "Failed: this test: left thread ", "(left-alone)"),
            ("test_running_child", "Failed: this test: left child process ", ""),
            ("test_file", "Failed: this test: left descriptor ", ""),
            ("test_zombie", "Failed: this test: left child process ", ""),
            ("test_another_in_its_place", "Failed: this test: left descriptor ", "which was open before"),
            ("test_in_a_cycle", "pytest.PytestUnraisableExceptionWarning: ", ""),
            ("test_of_a_module", "Failed: fixtures of a module, a class or the session: left descriptor ", "")):
        assert told[name].startswith(start), told[name]
        assert told[name].endswith(end), told[name]


def test_a_platform_that_lists_nothing_still_notes_sockets_and_children(pytester: pytest.Pytester) -> None:
    blind = WATCH.replace('("/proc/self/fd", "/dev/fd")', "()").replace('hasattr(os, "waitid")', "False")
    told = outcomes(pytester, blind, LEAKS)
    assert sorted(told) == ["test_running_child", "test_socket", "test_thread"]


def test_the_output_of_a_failed_test_is_shortened(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(WATCH)
    pytester.makepyfile("def test_loud():\n    print('first' + 'x' * 10**6 + 'last')\n    assert False\n")
    text = str(pytester.runpytest_subprocess("-p", "no:cacheprovider").stdout)
    assert "first" in text
    assert "last" in text
    assert len(text) < 20_000


def test_what_passed_only_when_run_again_is_told_with_its_first_failure(
        pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pytest_rerunfailures")
    monkeypatch.setenv("TOX_ENV_NAME", "py99")
    pytester.makeconftest(WATCH)
    pytester.makepyfile("""
        import os
        kept = []

        def test_shaky():
            if not kept:
                kept.append(os.open(os.devnull, os.O_RDONLY))  # a second failure of the same run
                raise AssertionError("the first time")

        def test_wrong():
            raise AssertionError("each time")
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "pytest_rerunfailures", "--reruns", "1")
    text = str(result.stdout)
    assert [line for line in result.outlines if line.startswith("passed when run again")] == [
        "passed when run again, in py99: %s.py::test_shaky" % pytester.path.name[:-1]], text
    assert "the first time" in text
    result.assert_outcomes(passed=1, failed=1)
