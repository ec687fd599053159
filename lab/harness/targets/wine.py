"""``wine:PATH/python.exe``: a Windows CPython, run by Wine.

As with ``python:``, lab.pyz goes there and records come back on standard output. What differs is all Wine's
(``lab.harness.wine``): a prefix of its own for each run, paths as Windows spells them, and a server that must be ended.
The catalogue takes 20 s there, as `lab probe` keeps its workers where it cannot fork: starting one costs half a second.
"""

from __future__ import annotations

import platform
import subprocess
import threading
import time
from typing import Any, Dict, List, Optional

from lab import records
from lab.errors import Broken, Usage
from lab.harness import wine
from lab.harness.targets._base import Progress, Request, Target, last_line, parse_output

SILENCE = 180.0
"""Seconds without a record after which it hangs, stretched as waits are. A cell may take 20, a first worker 60."""


class Wine(Target):
    """One Windows Python program."""

    kind = "wine"
    spelling = "wine:PATH/python.exe"

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = "wine:%s" % path
        self._prefix: Optional[wine.Prefix] = None
        self._stopped = threading.Event()

    @classmethod
    def parse(cls, text: str) -> List[Target]:
        """One program. Raises ``Usage`` for what is none."""
        if not text:
            raise Usage("wine: names no program; give the python.exe of %s" % wine.GET)
        wine.check(text)
        return [cls(text)]

    def collect(self, request: Request, progress: Progress) -> records.Records:
        """Run `lab probe` there. Raises ``NotHere`` without Wine, ``Broken`` where no records come back or it hangs."""
        programs = wine.find()
        with wine.Prefix(programs) as prefix:
            self._prefix = prefix
            if self._stopped.is_set():
                raise Broken("%s: stopped" % self.name)
            found = self._run(prefix, request, progress)
        host = {"system": platform.system(), "release": platform.release()}
        facts: Dict[str, Any] = {**found.platform.facts, "wine": {"version": programs.version, "host": host}}
        if (facts.get("runtime") or {}).get("name") != "wine":
            raise Broken("%s: its records do not say Wine, so they are not of Wine; is that Python from a newer lab?"
                         % self.name)
        return found._replace(platform=records.Platform.of(facts, found.platform.slow, found.platform.started))

    def _run(self, prefix: wine.Prefix, request: Request, progress: Progress) -> records.Records:
        process = prefix.run(self.path, [wine.windows(str(request.pyz)), "probe", "--jsonl", *request.options()],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        errors = _Listener(process.stderr)
        limit = SILENCE * request.slow
        watchdog = _Watchdog(limit, prefix.kill)
        lines: List[bytes] = []
        try:
            for line in process.stdout:
                watchdog.pat()
                lines.append(line)
                progress(len(lines) - 1)
            code = process.wait()
        finally:
            watchdog.stop()
        complaint = last_line(errors.text())
        if watchdog.bit and not self._stopped.is_set():
            raise Broken("%s: no record for %g s after %d of them, so Wine or this Python hangs; it was killed" % (
                self.name, limit, max(0, len(lines) - 1)))
        return parse_output(self.name, code, lines, complaint, self._stopped.is_set())

    def stop(self) -> None:
        """End all that runs in the prefix, which ends whatever waits for it."""
        self._stopped.set()
        if self._prefix is not None:
            self._prefix.kill()


class _Listener:
    """Reads a pipe to its end, in a thread: Wine's Python does not start with a file as standard error."""

    def __init__(self, stream: Any) -> None:
        self._said = b""
        self._thread = threading.Thread(target=self._listen, args=(stream,), daemon=True)
        self._thread.start()

    def _listen(self, stream: Any) -> None:
        for line in stream:
            self._said = (self._said + line)[-4096:]

    def text(self) -> str:
        """The last that it said, up to now; waits a moment for the end."""
        self._thread.join(wine.END)
        return self._said.decode("utf-8", "replace")


class _Watchdog:
    """Calls ``bite`` from a thread when nobody has patted it for so many seconds."""

    def __init__(self, limit: float, bite: Any) -> None:
        self.bit = False
        self._limit, self._bite = limit, bite
        self._last = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def pat(self) -> None:
        """Something has come."""
        self._last = time.monotonic()

    def _watch(self) -> None:
        while True:
            left = self._last + self._limit - time.monotonic()
            if self._done.wait(max(left, 0.0)):
                return
            if left <= 0:
                self.bit = True
                self._bite()
                return

    def stop(self) -> None:
        """Watch no more."""
        self._done.set()
        self._thread.join()


TARGET = Wine
