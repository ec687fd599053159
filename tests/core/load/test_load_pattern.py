"""The pattern: computable at any offset, different for each connection, and able to locate wrong bytes."""

from __future__ import annotations

from hypothesis import given, strategies as st

from lab.load.pattern import CHUNK, PERIOD, Pattern

PATTERN = Pattern(seed=7)
indexes = st.integers(0, 100_000)
offsets = st.integers(0, 2 ** 40)


def test_the_period_is_prime() -> None:
    assert all(PERIOD % divisor for divisor in range(2, int(PERIOD ** 0.5) + 1))


def test_no_two_connections_start_at_the_same_place() -> None:
    assert len({Pattern.start(index) for index in range(100_000)}) == 100_000


def test_the_seed_decides_the_bytes() -> None:
    assert Pattern(7).block == PATTERN.block
    assert Pattern(8).block != PATTERN.block


@given(indexes, offsets, st.integers(0, CHUNK), st.data())
def test_a_run_is_whole_and_can_be_cut_anywhere(index: int, offset: int, length: int, data: st.DataObject) -> None:
    run = bytes(PATTERN.run(index, offset, length))
    assert len(run) == length
    cut = data.draw(st.integers(0, length))
    assert run == bytes(PATTERN.run(index, offset, cut)) + bytes(PATTERN.run(index, offset + cut, length - cut))
    assert PATTERN.first_wrong(index, offset, memoryview(run)) == length


@given(indexes, offsets, st.integers(1, 2000), st.integers(1, 255), st.data())
def test_the_first_wrong_byte_is_found(index: int, offset: int, length: int, flip: int, data: st.DataObject) -> None:
    run = bytearray(PATTERN.run(index, offset, length))
    at = data.draw(st.integers(0, length - 1))
    run[at] ^= flip
    if at + 1 < length:
        run[-1] ^= 0xFF  # a second wrong byte, which must not be reported
    assert PATTERN.first_wrong(index, offset, memoryview(run)) == at


@given(indexes, offsets, st.integers(8, 200))
def test_bytes_of_the_pattern_are_located(index: int, offset: int, length: int) -> None:
    at = PATTERN.locate(PATTERN.run(index, offset, length))
    assert at == (Pattern.start(index) + offset) % PERIOD


def test_few_or_foreign_bytes_are_not_located() -> None:
    assert PATTERN.locate(PATTERN.run(0, 0, 7)) == -1
    assert PATTERN.locate(memoryview(b"hello, world, I am no echo server")) == -1
