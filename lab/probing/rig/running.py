"""A call in another thread, for probes in which one thread waits while another acts."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, List, Optional, Tuple

from lab.probing.probe import SetUpFailed


class Running:
    """A function that runs in another thread."""

    def __init__(self, function: Callable[..., Any], arguments: Tuple[Any, ...], patience: float, quiet: float) -> None:
        self._patience = patience
        self._quiet = quiet
        self._outcome: List[Tuple[Optional[BaseException], Any]] = []
        self._native = 0
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(function, arguments), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., Any], arguments: Tuple[Any, ...]) -> None:
        self._native = threading.get_native_id()
        self._begun.set()
        try:
            self._outcome.append((None, function(*arguments)))
        except BaseException as error:  # result() raises it again
            self._outcome.append((error, None))

    def until_asleep(self) -> None:
        """Return when the thread sleeps inside a call, or has ended. Without /proc, which tells, return after quiet."""
        self._begun.wait(self._patience)
        asleep = 0
        deadline = time.monotonic() + (self._patience if self._state() != "?" else self._quiet)
        while asleep < 5 and not self.done() and time.monotonic() < deadline:
            asleep = asleep + 1 if self._state() in "SD" else 0  # five looks: waiting for a lock is a sleep, too
            time.sleep(0.001)  # lets the other thread have the interpreter; nothing depends on its length

    def _state(self) -> str:
        try:
            with open("/proc/self/task/%d/stat" % self._native, encoding="latin-1") as file:
                return file.read().rpartition(")")[2].split()[0]
        except OSError:  # ENOENT: no /proc, or the thread has ended
            return "?"

    def done(self) -> bool:
        """Whether it has returned or raised."""
        return bool(self._outcome)

    def result(self, timeout: Optional[float] = None) -> Any:
        """The return value, waited for up to ``timeout``, by default patience. Raises what the function raised, or
        ``SetUpFailed`` if it has not ended by then."""
        self._thread.join(self._patience if timeout is None else timeout)
        if not self._outcome:
            raise SetUpFailed("a thread did not end in time")
        error, value = self._outcome[0]
        if error is not None:
            raise error
        return value

    def join(self) -> None:
        """Wait for the thread, up to patience. If it runs on, the runner's leak check finds it."""
        self._thread.join(self._patience)
