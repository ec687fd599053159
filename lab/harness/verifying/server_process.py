"""Runs `lab serve` in a separate process for the duration of a ``with`` block."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any, Dict, Optional, Sequence, Type

from lab.address import Address, resolve
from lab.errors import Broken

PATIENCE = 20.0
"""Seconds that a server may take to start listening, and again to end."""


class ServerProcess:
    """`lab serve` with these options on a free port of 127.0.0.1, run by the interpreter that runs us.

    ``ready`` is the event that it logs when it listens, ``stopped`` the event that it logs at the end (see `lab serve
    --log json`). Raises ``Broken`` when it does not start listening, or does not end with exit code 0.
    """

    def __init__(self, options: Sequence[str]) -> None:
        self.command = [sys.executable, "-m", "lab", "serve", "--port", "0", "--log", "json", *options]
        self.ready: Dict[str, Any] = {}
        self.stopped: Dict[str, Any] = {}
        self._complaint = ""  # its standard error

    def __enter__(self) -> ServerProcess:
        flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # otherwise Ctrl-Break would end us, too
        self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, creationflags=flags, universal_newlines=True)
        self.ready = self._next_event("listening")
        return self

    @property
    def address(self) -> Address:
        """The address on which it listens."""
        host, _, port = self.ready["addresses"][0].rpartition(":")
        return resolve(host, int(port))

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        try:
            self._process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))
            if error is None:
                self.stopped = self._next_event("stopped")
                if self._process.wait(PATIENCE):
                    raise self._failed("ended with exit code %d" % self._process.returncode)
        finally:
            self._end()

    def _next_event(self, name: str) -> Dict[str, Any]:
        """Read its output up to the next event of that name, and return the event."""
        assert self._process.stdout is not None
        watchdog = threading.Timer(PATIENCE, self._process.kill)
        watchdog.start()
        try:
            for line in self._process.stdout:
                event: Dict[str, Any] = json.loads(line)
                if event["event"] == name:
                    return event
        except ValueError as bad:
            self._end()
            raise self._failed("wrote a line that is not JSON: %s" % bad) from None
        finally:
            watchdog.cancel()
            watchdog.join()
        raise self._failed("never logged that it is %s" % name)

    def _failed(self, what: str) -> Broken:
        self._end()
        last = self._complaint.splitlines()[-1:]
        return Broken("`%s` %s%s" % (" ".join(["lab", *self.command[3:]]), what, "".join("; " + line for line in last)))

    def _end(self) -> None:
        """End the process and close its pipes, whatever happened before. May be called twice."""
        if self._process.poll() is None:
            self._process.kill()
        assert self._process.stderr is not None
        if not self._process.stderr.closed:
            self._complaint = self._process.communicate()[1]
