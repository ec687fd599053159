"""Call functions at given instants: a heap of the few timers that an event loop needs, with the next one on top."""

from __future__ import annotations

import heapq
import itertools
from typing import Callable, List, Optional, Tuple


class Timers:
    """Timers, by instants of ``time.monotonic`` in seconds. A timer cannot be cancelled: a callback checks whether it
    is still needed. So do not start one for each connection."""

    def __init__(self) -> None:
        self._heap: List[Tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()  # breaks ties, because callbacks cannot be compared

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, instant: float, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, in the first ``run`` at or after ``instant``."""
        heapq.heappush(self._heap, (instant, next(self._order), callback))

    def until_next(self, now: float) -> Optional[float]:
        """Seconds until the next timer is due, never negative; None if there is no timer."""
        return max(self._heap[0][0] - now, 0.0) if self._heap else None

    def run(self, now: float) -> None:
        """Call every callback that is due. A timer that a callback adds waits for the next ``run``, even if it is due
        already."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        for callback in due:
            callback()
