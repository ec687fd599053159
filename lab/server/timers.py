"""Callbacks at an instant, for the few appointments of a loop: a heap, with the next one on top."""

from __future__ import annotations

import heapq
import itertools
from typing import Callable, List, Optional, Tuple


class Timers:
    """Appointments in seconds of ``time.monotonic``. Not meant for one a connection: they cannot be cancelled,
    so a callback looks whether it is still wanted."""

    def __init__(self) -> None:
        self._heap: List[Tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()  # callbacks do not compare

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, instant: float, callback: Callable[[], None]) -> None:
        """Call back once, when ``run`` is called at or after that instant."""
        heapq.heappush(self._heap, (instant, next(self._order), callback))

    def until_next(self, now: float) -> Optional[float]:
        """Seconds to the next appointment, not negative; None where there is none."""
        return max(self._heap[0][0] - now, 0.0) if self._heap else None

    def run(self, now: float) -> None:
        """Call what is due. What a callback adds, even for now, waits for the next run."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        for callback in due:
            callback()
