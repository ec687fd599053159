"""Runs code beside a probe: in threads, in signal handlers and in forked children."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import Any, Callable, Optional, Tuple

from lab.probing.rig.running import Running
from lab.probing.rig.waiting import Waiting
from lab.wait_status import exit_code

_os: Any = os  # typed loosely, as the next: what only POSIX has
_signal: Any = signal


class Processes(Waiting):
    """Starts threads, timers and children, which have ended, and sets handlers, which are restored, at the end."""

    def thread(self, function: Callable[..., Any], *arguments: Any) -> Running:
        """Call a function in another thread, from now on."""
        made = Running(function, arguments, self.patience, self.quiet)
        self._stack.callback(made.join)
        return made

    def later(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in another thread after so many seconds, unless the rig is closed before."""
        timer = threading.Timer(seconds, function, arguments)
        self._stack.callback(timer.join)
        self._stack.callback(timer.cancel)
        timer.start()

    def handle(self, signal_number: int, handler: Any) -> None:
        """Set a signal handler."""
        self._stack.callback(signal.signal, signal_number, signal.signal(signal_number, handler))

    def alarm(self, after: float, handler: Any, every: float = 0.0) -> None:
        """Have SIGALRM call ``handler(number, frame)`` after so many seconds, and then at every interval."""
        self.handle(_signal.SIGALRM, handler)
        self._stack.callback(_signal.setitimer, _signal.ITIMER_REAL, 0)
        _signal.setitimer(_signal.ITIMER_REAL, after, every)

    def fork(self, function: Callable[[], Any]) -> int:
        """Call a function in a forked child, and return its process id. The child exits with code 0, or 1 if the
        function raised. It is killed and reaped at the end, unless ``reap`` was called."""
        pid = int(_os.fork())
        if pid == 0:
            code = 1
            try:
                function()
                code = 0
            finally:
                os._exit(code)
        self._stack.callback(self._bury, pid)
        return pid

    def reap(self, pid: int) -> int:
        """Wait for that child, up to patience, and return its exit code, negative for a signal's number."""
        def ended() -> Optional[Tuple[int, int]]:
            found = _os.waitpid(pid, _os.WNOHANG)
            return found if found[0] else None
        return exit_code(self.until(ended)[1])

    def _bury(self, pid: int) -> None:
        with contextlib.suppress(ChildProcessError, ProcessLookupError):  # the probe has reaped it
            if _os.waitpid(pid, _os.WNOHANG)[0] == 0:
                os.kill(pid, _signal.SIGKILL)
                _os.waitpid(pid, 0)
