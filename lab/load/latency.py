"""A histogram of latencies: fixed memory, however long the run.

As in HdrHistogram, a latency in whole nanoseconds falls into a bucket by its leading bits. Up to 2**BITS every
nanosecond has its own; above, each power of two is cut into 2**BITS / 2 equal parts. So no bucket is wider than
1/64 of what is in it, from nanoseconds to centuries, in 3,776 counters. ``max`` is kept exactly.
"""

from __future__ import annotations

import math
from typing import List

BITS = 7
PRECISION = 2.0 ** (1 - BITS)
"""``percentile`` is never below the true value, and above it by less than this share of it (plus 1 ns)."""

_HALF = 1 << (BITS - 1)
_WIDTH = 64  # bits of the largest latency kept apart, 584 years; more counts as that


class Latencies:
    """Spans of time, in seconds. ``count`` is how many; ``max`` is the longest, exact."""

    __slots__ = ("_buckets", "count", "max")

    def __init__(self) -> None:
        self._buckets: List[int] = [0] * (_HALF * (_WIDTH - BITS + 2))
        self.count = 0
        self.max = 0.0

    def record(self, seconds: float) -> None:
        """Count one latency. A negative one, of a clock that was set back, counts as 0."""
        nanoseconds = int(seconds * 1e9)
        shift = nanoseconds.bit_length() - BITS
        if shift > 0:
            bucket = shift * _HALF + (nanoseconds >> shift)
        else:
            bucket = max(nanoseconds, 0)
        try:
            self._buckets[bucket] += 1
        except IndexError:
            self._buckets[-1] += 1
        self.count += 1
        if seconds > self.max:
            self.max = seconds

    def percentile(self, fraction: float) -> float:
        """The latency in seconds that ``fraction`` (0 to 1) of all do not exceed: the nearest rank, rounded up
        to the end of its bucket and never above ``max``. 0.0 where nothing was recorded."""
        rank = max(1, math.ceil(fraction * self.count))
        for bucket, count in enumerate(self._buckets):
            rank -= count
            if rank <= 0:
                return min(_end(bucket), self.max)
        return self.max


def _end(bucket: int) -> float:
    """Where the bucket ends, in seconds."""
    if bucket < 2 * _HALF:
        return (bucket + 1) / 1e9
    shift = bucket // _HALF - 1
    return (((bucket - shift * _HALF) + 1) << shift) / 1e9
