"""A backend is one file and one line: a toy is added so to a copy of the tree, and is served, probed and tested there.

Nothing else of the copy is touched. Where this fails, something about backends has to be edited in a second place.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

from lab import records
from lab.backends import names
from lab.probing.catalogue import find
from tests.waits import PATIENCE, TEST_RUN

ROOT = Path(__file__).parents[2]

FILE = '''\
"""A toy: select(2) again, with the interest of each descriptor in one dictionary instead of two sets."""

from __future__ import annotations

from typing import Dict, Optional

from lab.backends._base import Backend, Feature, Ready, span
from lab.backends.select import GONE, WINDOWS, admit, ask, ask_around, sleep_without_sets
from lab.events import READ, WRITE


class Toy(Backend):
    """select(2), level-triggered."""

    name = "toy"
    features = frozenset({Feature.SEES_CLOSED}) | (frozenset() if WINDOWS else frozenset({Feature.ANY_FD}))

    def __init__(self) -> None:
        super().__init__()
        self._interest: Dict[int, int] = {}

    def wait(self, timeout: Optional[float] = None) -> Ready:
        self._check_open()
        if WINDOWS and not self._data:
            sleep_without_sets(timeout)
            return []
        readers = {fd for fd, interest in self._interest.items() if interest & READ}
        writers = {fd for fd, interest in self._interest.items() if interest & WRITE}
        try:
            events = ask(readers, writers, None if timeout is None else span(timeout))
        except OSError as error:
            if error.errno not in GONE:
                raise
            events = ask_around(dict(self._interest))
        return [(self._data[fd], event) for fd, event in events.items() if fd in self._data]

    def _add(self, fd: int, interest: int) -> None:
        admit(fd, len(self._data))
        self._interest[fd] = interest

    def _change(self, fd: int, interest: int) -> None:
        self._interest[fd] = interest

    def _remove(self, fd: int) -> None:
        del self._interest[fd]
'''
BEFORE = '    "selectors.SIBLINGS",'
LINE = '    "toy.Toy",\n'


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree with one file and one line more."""
    folder = tmp_path_factory.mktemp("toy")
    for name in ("lab", "tests"):
        shutil.copytree(str(ROOT / name), str(folder / name), ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(str(ROOT / "pyproject.toml"), str(folder))
    (folder / "lab" / "backends" / "toy.py").write_text(FILE, encoding="utf-8")
    ladder = folder / "lab" / "backends" / "__init__.py"
    source = ladder.read_text(encoding="utf-8")
    assert source.count(BEFORE) == 1
    ladder.write_text(source.replace(BEFORE, LINE + BEFORE), encoding="utf-8")
    return folder


def environment(copy: Path) -> Dict[str, str]:
    """Ours, with the copy in reach and everything switched on."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "PYTEST_"))}
    return dict(kept, PYTHONPATH=str(copy))


def run(copy: Path, *arguments: str) -> str:
    """What `python -m` with these arguments writes. Fails unless it ends well."""
    done = subprocess.run([sys.executable, "-W", "error", "-m", *arguments], cwd=str(copy), env=environment(copy),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TEST_RUN)
    said = done.stdout.decode("utf-8", "replace").replace(os.linesep, "\n")
    assert done.returncode == 0, said
    return said


def run_tests(copy: Path, *arguments: str) -> str:
    """The same of pytest, with quick tests."""
    return run(copy, "pytest", "-p", "no:cacheprovider", "-q", "-m", "not slow", *arguments)


@contextlib.contextmanager
def serving(copy: Path) -> Iterator[int]:
    """The port of `lab serve --backend toy`, which says that it waits on that."""
    command = [sys.executable, "-W", "error", "-m", "lab", "serve", "--backend", "toy", "--port", "0", "--log", "json"]
    with subprocess.Popen(command, cwd=str(copy), env=environment(copy), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert (ready["backend"], ready["trigger"]) == ("toy", "level")
            yield int(ready["addresses"][0].rpartition(":")[2])
        finally:
            process.kill()


def test_a_new_backend_serves(copy: Path) -> None:
    with serving(copy) as port, socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.sendall(b"hello, toy")
        sock.shutdown(socket.SHUT_WR)
        said = b""
        while True:
            piece = sock.recv(100)
            if not piece:
                break
            said += piece
    assert said == b"hello, toy"


def test_lab_doctor_names_it(copy: Path) -> None:
    rows = {row["name"]: row for row in json.loads(run(copy, "lab", "doctor", "--json"))["backends"]}
    assert list(rows) == [*[name for name in names() if ":" not in name], "toy",
                          *[name for name in names() if ":" in name]]
    assert rows["toy"]["why_missing"] is None


def test_the_contract_is_probed_on_it_and_nothing_else_is(copy: Path) -> None:
    listed = run(copy, "lab", "probe", "--list", "--backend", "toy")
    everywhere = [probe.id for probe in find("contract") if len(probe.on) > 2]
    assert [probe_id for probe_id in everywhere if probe_id not in listed] == []
    said = run(copy, "lab", "probe", "--jsonl", "--backend", "toy")
    found = records.parse(io.BytesIO(said.encode()), "toy").observations
    assert sorted(each.probe for each in found) == sorted(everywhere)
    assert [each for each in found if each.outcome not in ("observed", "unsupported")] == []
    assert [each for each in found if each.outcome == "observed" and each.token != each.expected] == []


@pytest.mark.slow
def test_the_contract_is_tested_on_it(copy: Path) -> None:
    files = ["tests/core/conformance/test_backends%s.py" % part for part in ("", "_features", "_lifecycle", "_time")]
    collected = run_tests(copy, "--collect-only", *files).splitlines()
    told: List[str] = [line.replace("[toy", "[select") for line in collected if "[toy" in line]
    assert len(told) > 50
    assert set(told) == {line for line in collected if "[select]" in line or "[select-" in line}
    assert " passed" in run_tests(copy, "-k", "toy", *files)


@pytest.mark.slow
def test_no_other_test_asks_for_a_second_place(copy: Path) -> None:
    """Those that look at all backends together."""
    assert " passed" in run_tests(copy, "tests/core/backends/test_ladder.py", "tests/core/backends/test_spelling.py",
                                  "tests/core/backends/test_systems.py", "tests/core/probing/test_probe_backends.py",
                                  "tests/host/test_backend_lists.py", "tests/core/conformance/test_probes.py")
