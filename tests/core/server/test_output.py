"""The queue of output for a peer keeps the bytes in order, in pieces of bounded size, however they are added and
removed."""

from __future__ import annotations

from typing import List

from hypothesis import given, settings, strategies as st

from lab.server.output import PIECE, SMALL, Waiting
from tests.core.conformance.peers import pattern

SIZES = st.one_of(st.integers(0, 3), st.integers(0, SMALL + 2), st.integers(0, PIECE + 2), st.just(3 * PIECE))


@given(st.lists(SIZES, min_size=1, max_size=6), st.lists(st.integers(0, PIECE), max_size=12))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_what_goes_in_comes_out_in_order(sizes: List[int], takes: List[int]) -> None:
    data = pattern(3 * PIECE * len(sizes))
    waiting, put, got = Waiting(data[:sizes[0]]), sizes[0], b""
    for size in sizes[1:]:
        waiting.append(memoryview(data)[put:put + size])
        put += size
    for take in takes:
        first = waiting.first()
        assert len(first) <= PIECE
        got += first[:take]
        if first:
            waiting.sent(len(first[:take]))
        assert waiting.size == put - len(got)
    while waiting.size:
        got += waiting.first()
        waiting.sent(len(waiting.first()))
    assert got == data[:put]
    assert not waiting.first()


def test_single_bytes_share_a_piece() -> None:
    waiting = Waiting(b"a")
    for _ in range(1000):
        waiting.append(b"b")
    assert waiting.first() == b"a" + 1000 * b"b"


def test_what_is_taken_is_gone_and_may_be_kept() -> None:
    waiting = Waiting(b"a")
    waiting.append(pattern(PIECE + 1))
    taken = [waiting.take(), waiting.take(), waiting.take()]
    waiting.append(b"more")
    assert b"".join(taken) == b"a" + pattern(PIECE + 1)
    assert (waiting.size, waiting.first()) == (4, b"more")


def test_a_small_output_may_come_after_a_part_was_sent() -> None:
    waiting = Waiting(b"abc")
    waiting.sent(1)
    waiting.append(b"d")
    assert bytes(waiting.first()) == b"bcd"


def test_it_keeps_a_copy() -> None:
    buffer = bytearray(b"first")
    waiting = Waiting(memoryview(buffer))
    buffer[:] = b"other"
    assert waiting.first() == b"first"
