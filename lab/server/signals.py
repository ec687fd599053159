"""Stop the server on SIGINT and SIGTERM, and on Windows on Ctrl-C and Ctrl-Break: the first drains, the second exits.

Python runs a signal handler in the main thread, between two bytecode instructions. So a handler cannot run while the
main thread sleeps in recv, or in select on Windows. ``signal.set_wakeup_fd`` solves that: the C handler writes a byte
into the model's waker, and that byte ends the wait on every platform.
"""

from __future__ import annotations

import signal
import warnings
from types import FrameType
from typing import Any, Callable, Dict, Optional, Sequence

NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")


class StopSignals:
    """A context manager: inside it, the first of these signals calls ``stop``, and the second exits the process with
    128 + its number. ``wakeup_fd`` is a descriptor for ``signal.set_wakeup_fd``, -1 for none. Use it in the main thread
    only."""

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
            # asyncio may have made a coroutine that it has not awaited yet. It never will, and should not warn of it.
            warnings.simplefilter("ignore", RuntimeWarning)
            raise SystemExit(128 + number)
        self.received = number
        self._stop()
