"""SIGINT and SIGTERM, and on Windows Ctrl-C and Ctrl-Break: once to stop in order, twice to stop at once.

A Python signal handler runs in the main thread, between two instructions: a select on Windows, or a recv, would
have to return first. ``signal.set_wakeup_fd`` has the C handler write a byte into the model's waker, and that ends
the wait on every platform.
"""

from __future__ import annotations

import signal
import warnings
from types import FrameType
from typing import Any, Callable, Dict, Optional, Sequence

NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")


class StopSignals:
    """While entered, the first signal of these names calls ``stop`` and the second ends the process with 128 + its
    number. Main thread only."""

    def __init__(self, stop: Callable[[], None], wakeup_fd: int = -1, names: Sequence[str] = NAMES) -> None:
        self._stop = stop
        self._names = names
        self._wakeup_fd = wakeup_fd
        self._previous: Dict[int, Any] = {}
        self._previous_fd = -1
        self.received: Optional[int] = None
        """The number of the first signal, or None."""

    def __enter__(self) -> StopSignals:
        for name in self._names:
            number = getattr(signal, name, None)
            if number is not None:
                self._previous[number] = signal.signal(number, self._handle)
        if self._wakeup_fd >= 0:
            self._previous_fd = signal.set_wakeup_fd(self._wakeup_fd, warn_on_full_buffer=False)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._wakeup_fd >= 0:
            signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        if self.received is not None:
            # asyncio may be between making a coroutine and awaiting it: that this one never is, is what was asked for
            warnings.simplefilter("ignore", RuntimeWarning)
            raise SystemExit(128 + number)
        self.received = number
        self._stop()
