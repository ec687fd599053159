"""lab.pyz alone, with no site-packages: 100 MB over 200 connections, every byte verified, whoever serves."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

import pytest

from lab import interpreters
from lab.backends import LADDER, why_missing
from tests.core.conformance.rig import WINDOWS
from tests.pyz.bare import ENVIRONMENT, INTERPRETERS
from tests.waits import ARCHIVE

pytestmark = [pytest.mark.slow, pytest.mark.skipif(WINDOWS, reason="stops servers with SIGTERM")]

TOTAL = 100 * 1024 * 1024
CONNECTIONS = 200

WAYS = [["--model", "multiplexing", "--backend", kind.name] for kind in LADDER if why_missing(kind) is None]
WAYS += [["--model", name] for name in ("blocking", "nonblocking", "asynchronous")]


class Row(NamedTuple):
    """What one combination took: seconds of the exchange, CPU seconds of both sides."""

    python: str
    way: str
    seconds: float
    server_cpu: float
    load_cpu: float


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[List[Row]]:
    """Collects rows, and prints them when all are there."""
    rows: List[Row] = []
    yield rows
    plugins = request.config.pluginmanager
    reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")
    if reporter is None or capture is None or not rows:
        return
    with capture.global_and_fixture_disabled():
        reporter.ensure_newline()
        reporter.write_line("lab.pyz: %d MiB over %d connections, seconds of one trial each; %s, %d CPUs"
                            % (TOTAL >> 20, CONNECTIONS, platform.platform(), os.cpu_count() or 0))
        for row in rows:
            reporter.write_line("  %-8s %-24s %6.2f   CPU: server %6.2f   load %6.2f" % row)


class Serving:
    """`lab.pyz serve` on a free port, until its ``with`` block ends."""

    def __init__(self, python: str, pyz: Path, options: List[str]) -> None:
        self._popen = subprocess.Popen(
            [python, "-I", "-S", "-W", "error", str(pyz), "serve", "--port", "0", "--log", "json", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        self._watchdog = threading.Timer(ARCHIVE, self._popen.kill)

    def __enter__(self) -> Serving:
        self._watchdog.start()
        return self

    def port(self) -> str:
        """Where it listens, once it does."""
        assert self._popen.stdout is not None and self._popen.stderr is not None
        line = self._popen.stdout.readline()
        assert line, self._popen.stderr.read().decode()
        return str(json.loads(line)["addresses"][0].rpartition(":")[2])

    def stop(self) -> Dict[str, Any]:
        """End it in order; its last words. Fails where it complains, or ends otherwise."""
        self._popen.send_signal(signal.SIGTERM)
        out, err = self._popen.communicate(timeout=ARCHIVE)
        assert (self._popen.returncode, err) == (0, b"")
        events: List[Dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
        assert [event["event"] for event in events] == ["stopped"], events
        return events[0]

    def __exit__(self, *exception: Optional[object]) -> None:
        self._watchdog.cancel()
        self._watchdog.join()
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.communicate()


@pytest.mark.parametrize("options", WAYS, ids=lambda options: str(options[-1]))
@pytest.mark.parametrize("python", INTERPRETERS, ids=lambda python: str(python.version))
def test_every_byte_comes_back(python: interpreters.Interpreter, options: List[str], pyz: Path,
                               table: List[Row]) -> None:
    with Serving(python.path, pyz, options) as server:
        load = subprocess.run(
            [python.path, "-I", "-S", "-W", "error", str(pyz), "load", "--port", server.port(), "--mode", "stream",
             "--total", str(TOTAL), "--connections", str(CONNECTIONS), "--json"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=ARCHIVE, env=ENVIRONMENT)
        assert (load.returncode, load.stderr) == (0, b"")
        stopped = server.stop()
    report = json.loads(load.stdout)
    table.append(Row(python.version, options[-1], report["seconds"], stopped["cpu_seconds"], report["cpu_seconds"]))
    assert report["python_version"] == python.version
    assert (report["connections"], report["bytes_sent"], report["verified_bytes"]) == (CONNECTIONS, TOTAL, TOTAL)
    assert stopped["accepted"] == CONNECTIONS  # not at once: some may end while others wait in the backlog
    assert (stopped["bytes_in"], stopped["bytes_out"]) == (TOTAL, TOTAL)
    assert [stopped[key] for key in ("resets", "idle", "refused", "cut_off", "exhausted", "errors")] == [0] * 6


def test_the_oldest_supported_and_a_newer_interpreter_are_covered() -> None:
    """Where only one is here, the table is shorter, and this says so."""
    if len(INTERPRETERS) < 2 or interpreters.numbers(INTERPRETERS[0].version)[:2] != interpreters.OLDEST:
        pytest.skip("found only %s; install CPython 3.8 and a newer one, e.g. with pyenv"
                    % ", ".join(each.version for each in INTERPRETERS))
    assert interpreters.numbers(INTERPRETERS[1].version) > interpreters.numbers(INTERPRETERS[0].version)
