"""``wine:PATH/python.exe``: a Windows CPython, run by Wine.

As with ``python:``, the interpreter runs lab.pyz and writes records to its standard output. Wine itself needs more
(``lab.harness.wine``): a prefix of its own for each run, paths as Windows spells them, and a server that we must end.
The catalogue takes 20 s there. `lab probe` keeps its workers where it cannot fork, as each start costs half a second.
"""

from __future__ import annotations

import platform
import subprocess
import threading
import time
from typing import Any, Callable, Dict, List, Optional

from lab import records
from lab.errors import Broken, Usage
from lab.harness import wine
from lab.harness.targets._base import Progress, Request, Target, parse_output
from lab.text import last_line

SILENCE = 180.0
"""Seconds without a record after which we kill it, multiplied as all waits are. A cell may take 20 s, the first worker
60 s."""


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
        """One program. Raises ``Usage`` where the file is no Windows program."""
        if not text:
            raise Usage("wine: no program is given; give the python.exe of %s" % wine.GET)
        wine.check(text)
        return [cls(text)]

    def collect(self, request: Request, progress: Progress) -> records.Records:
        """Run `lab probe` there. Raises ``NotHere`` without Wine, ``Broken`` where it writes no records or hangs."""
        programs = wine.find()
        with wine.Prefix(programs) as prefix:
            self._prefix = prefix
            if self._stopped.is_set():
                raise Broken("%s: stopped" % self.name)
            found = self._run(prefix, request, progress)
        host = {"system": platform.system(), "release": platform.release()}
        facts: Dict[str, Any] = {**found.platform.facts, "wine": {"version": programs.version, "host": host}}
        if (facts.get("runtime") or {}).get("name") != "wine":
            raise Broken("%s: the facts in its records do not name Wine, so we cannot trust them" % self.name)
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
                watchdog.reset()
                lines.append(line)
                progress(len(lines) - 1)
            code = process.wait()
        finally:
            watchdog.stop()
        complaint = last_line(errors.text())
        if watchdog.expired and not self._stopped.is_set():
            raise Broken("%s: no record for %g s after the first %d, so Wine or this Python hangs; we killed it" % (
                self.name, limit, max(0, len(lines) - 1)))
        return parse_output(self.name, code, lines, complaint, self._stopped.is_set())

    def stop(self) -> None:
        """End everything that runs in the prefix, so that ``collect`` reads to the end of its output."""
        self._stopped.set()
        if self._prefix is not None:
            self._prefix.kill()


class _Listener:
    """Reads a pipe to its end in a thread, because Wine's Python does not start with a file as standard error."""

    def __init__(self, stream: Any) -> None:
        self._said = b""
        self._thread = threading.Thread(target=self._listen, args=(stream,), daemon=True)
        self._thread.start()

    def _listen(self, stream: Any) -> None:
        for line in stream:
            self._said = (self._said + line)[-4096:]

    def text(self) -> str:
        """The last 4 KiB that came through the pipe. Waits a moment for its end."""
        self._thread.join(wine.END)
        return self._said.decode("utf-8", "replace")


class _Watchdog:
    """Calls a function, from a thread, once ``reset`` has not been called for ``limit`` seconds."""

    def __init__(self, limit: float, on_expiry: Callable[[], None]) -> None:
        self.expired = False
        self._limit, self._on_expiry = limit, on_expiry
        self._last = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Start to count anew."""
        self._last = time.monotonic()

    def _watch(self) -> None:
        while True:
            left = self._last + self._limit - time.monotonic()
            if self._done.wait(max(left, 0.0)):
                return
            if left <= 0:
                self.expired = True
                self._on_expiry()
                return

    def stop(self) -> None:
        """Stop watching."""
        self._done.set()
        self._thread.join()


TARGET = Wine
