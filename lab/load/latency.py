"""A histogram of latencies that takes the same memory however long a run is.

As in HdrHistogram, the leading bits of a latency in whole nanoseconds choose its bucket. Up to 2**BITS every nanosecond
has its own bucket. Above that, each power of two is divided into 2**BITS / 2 equal buckets. So no bucket is wider than
1/64 of the values in it, from nanoseconds to centuries, with 3,776 counters. ``max`` is exact.
"""

from __future__ import annotations

import math
from typing import List

BITS = 7
PRECISION = 2.0 ** (1 - BITS)
"""``percentile`` is never below the true value, and exceeds it by less than this fraction of it (plus 1 ns)."""

_HALF = 1 << (BITS - 1)
_WIDTH = 64  # bits of the largest latency, 584 years; a longer one counts as that


class Latencies:
    """A histogram of latencies in seconds. ``count`` is their number; ``max`` is the longest, exact."""

    __slots__ = ("_buckets", "count", "max")

    def __init__(self) -> None:
        self._buckets: List[int] = [0] * (_HALF * (_WIDTH - BITS + 2))
        self.count = 0
        self.max = 0.0

    def record(self, seconds: float) -> None:
        """Count one latency. A negative one, from a clock that was set back, counts as 0."""
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
        """The latency in seconds that ``fraction`` (0 to 1) of all latencies do not exceed: the nearest rank, rounded
        up to the end of its bucket but not above ``max``. 0.0 if there are no latencies."""
        rank = max(1, math.ceil(fraction * self.count))
        for bucket, count in enumerate(self._buckets):
            rank -= count
            if rank <= 0:
                return min(_end(bucket), self.max)
        return self.max


def _end(bucket: int) -> float:
    """The upper end of a bucket, in seconds."""
    if bucket < 2 * _HALF:
        return (bucket + 1) / 1e9
    shift = bucket // _HALF - 1
    return (((bucket - shift * _HALF) + 1) << shift) / 1e9
