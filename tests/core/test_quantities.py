"""Numbers with units, as options take them and as results print them."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Callable

import pytest
from hypothesis import given, strategies as st

from lab.quantities import byte_count, format_bytes, format_seconds, positive, seconds


@pytest.mark.parametrize("text, count", [
    ("0", 0), ("4096", 4096), (" 7 ", 7), ("1K", 1024), ("64k", 65536), ("1KiB", 1024), ("100M", 100 * 1024 ** 2),
    ("2g", 2 * 1024 ** 3), ("10B", 10)])
def test_bytes_are_powers_of_1024(text: str, count: int) -> None:
    assert byte_count(text) == count


@pytest.mark.parametrize("text, span", [
    ("0", 0.0), ("2.5", 2.5), (".5", 0.5), ("3.", 3.0), ("300ms", 0.3), ("4s", 4.0), ("1m", 60.0), ("0.5m", 30.0)])
def test_seconds_take_a_unit(text: str, span: float) -> None:
    assert seconds(text) == pytest.approx(span)


@pytest.mark.parametrize("parse, text", [
    (byte_count, ""), (byte_count, "-1"), (byte_count, "1.5K"), (byte_count, "5T"), (byte_count, "K"),
    (byte_count, "1 K"), (byte_count, "0x10"),
    (seconds, ""), (seconds, "-1"), (seconds, "."), (seconds, "inf"), (seconds, "nan"), (seconds, "1e3"),
    (seconds, "5h"),
    (positive, "0"), (positive, "-3"), (positive, "2.0"), (positive, ""), (positive, "many"), (positive, "1_000")])
def test_anything_else_is_refused_in_one_line_that_quotes_it(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        parse(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_whole_number_from_1() -> None:
    assert positive("1") == 1
    assert positive(" 20000 ") == 20000


@given(st.integers(min_value=0, max_value=10 ** 15))
def test_a_plain_number_of_bytes_is_itself(count: int) -> None:
    assert byte_count(str(count)) == count


@pytest.mark.parametrize("count, text", [
    (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1500, "1.5 kB"), (999_949, "999.9 kB"), (999_951, "1.0 MB"),
    (100e6, "100.0 MB"), (1.2e9, "1.2 GB"), (5e12, "5000.0 GB")])
def test_printed_bytes_are_powers_of_1000(count: float, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize("span, text", [
    (0.0, "0 ns"), (25e-9, "25 ns"), (12.3e-6, "12.3 us"), (4.56e-3, "4.56 ms"), (0.9996, "1 s"), (1.0, "1 s"),
    (78.9, "78.9 s"), (3600.0, "3600 s")])
def test_printed_seconds_have_three_figures(span: float, text: str) -> None:
    assert format_seconds(span) == text


@given(st.floats(min_value=1e-9, max_value=1e6))
def test_printed_seconds_are_within_half_a_percent(span: float) -> None:
    number, unit = format_seconds(span).split()
    assert float(number) * {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}[unit] == pytest.approx(span, rel=0.0051)
