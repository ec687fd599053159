"""The latency histogram, compared with a sorted list."""

from __future__ import annotations

import math
from typing import List

import pytest
from hypothesis import given, strategies as st

from lab.load.latency import PRECISION, Latencies

pytestmark = pytest.mark.winsock

spans = st.one_of(st.floats(0, 1e-6), st.floats(1e-6, 1.0), st.floats(1.0, 1e5))


@given(st.lists(spans, min_size=1, max_size=200), st.floats(0, 1))
def test_percentiles_agree_with_a_sorted_list_to_the_stated_precision(values: List[float], fraction: float) -> None:
    latencies = Latencies()
    for value in values:
        latencies.record(value)
    exact = sorted(values)[max(1, math.ceil(fraction * len(values))) - 1]
    found = latencies.percentile(fraction)
    assert exact - 1e-15 * exact <= found <= exact * (1 + PRECISION) + 1.001e-9
    assert latencies.count == len(values)
    assert latencies.max == latencies.percentile(1.0) == max(values)


@given(st.integers(0, 63))
def test_neighbouring_buckets_meet(power: int) -> None:
    for nanoseconds in (2 ** power - 1, 2 ** power, 2 ** power + 1):
        latencies = Latencies()
        latencies.record(nanoseconds / 1e9)
        latencies.record(1e12)
        assert nanoseconds / 1e9 * (1 - 1e-12) <= latencies.percentile(0.5)
        assert latencies.percentile(0.5) <= nanoseconds / 1e9 * (1 + PRECISION) + 1.001e-9


def test_nothing_recorded_is_zero() -> None:
    assert Latencies().percentile(0.5) == 0.0
    assert Latencies().max == 0.0


@pytest.mark.parametrize("value", [-1e-9, -5.0])
def test_a_clock_that_was_set_back_counts_as_zero(value: float) -> None:
    latencies = Latencies()
    latencies.record(value)
    assert latencies.count == 1
    assert latencies.percentile(1.0) <= 1e-9


def test_what_is_beyond_all_buckets_is_still_counted() -> None:
    latencies = Latencies()
    latencies.record(1e30)
    assert latencies.count == 1
    assert latencies.max == 1e30
