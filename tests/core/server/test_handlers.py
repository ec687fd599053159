"""The output of each handler does not depend on the pieces in which the input arrives."""

from __future__ import annotations

import locale
import re
import time
from typing import List, Tuple

import pytest
from hypothesis import given, settings, strategies as st

from lab.server.handler import Handler
from lab.server.handlers import DISCARD, HANDLERS, Daytime

STABLE = settings(max_examples=150, deadline=None, derandomize=True)


def pieces(data: bytes, cuts: List[int]) -> List[bytes]:
    """``data`` cut at these places, in any order; equal cuts count once."""
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:]) if start < end]


def said(handler: Handler, segments: List[bytes]) -> Tuple[bytes, bool]:
    """All output, and whether the handler has finished. The input is in one buffer that is overwritten, as in the
    models."""
    output = bytes(handler.opened())
    buffer = bytearray(max([1, *map(len, segments)]))
    for segment in segments:
        if handler.finished:
            break
        buffer[:len(segment)] = segment
        with memoryview(buffer) as view:
            output += bytes(handler.received(view[:len(segment)]))
        buffer[:] = b"\xff" * len(buffer)
    return output, handler.finished


@pytest.mark.parametrize("name", ["echo", "discard", "chargen"])
@given(data=st.binary(max_size=2000), cuts=st.lists(st.integers(0, 2000), max_size=20))
@STABLE
def test_any_split_of_any_input_says_the_same(name: str, data: bytes, cuts: List[int]) -> None:
    make = HANDLERS[name]
    assert said(make(), pieces(data, cuts)) == said(make(), [data] if data else [])


@given(data=st.binary(max_size=2000), cuts=st.lists(st.integers(0, 2000), max_size=20))
@STABLE
def test_echo_says_what_it_hears(data: bytes, cuts: List[int]) -> None:
    assert said(HANDLERS["echo"](), pieces(data, cuts)) == (data, False)


def test_discard_says_nothing_and_never_ends() -> None:
    assert said(HANDLERS["discard"](), [b"x" * 1000] * 3) == (b"", False)
    assert not DISCARD.endless
    assert DISCARD.more() == b""


def test_chargen_says_lines_of_72_characters_that_rotate_without_a_seam() -> None:
    chargen = HANDLERS["chargen"]()
    text = bytes(chargen.opened()) + bytes(chargen.more()) + bytes(chargen.more())
    assert text.endswith(b"\r\n")
    lines = text[:-2].split(b"\r\n")
    ring = bytes(range(0x20, 0x7F))
    assert len(ring) == 95
    for number, line in enumerate(lines):
        assert line == (ring * 3)[number % 95:][:72], number
    assert len(lines) > 3 * 95
    assert chargen.endless and not chargen.finished


def test_daytime_says_one_line_and_is_finished() -> None:
    form = re.compile(r"(\w+day), (\w+) (\d{1,2}), (\d{4}) (\d\d:\d\d:\d\d)-UTC\r\n\Z")
    before = int(time.time())
    text, finished = said(HANDLERS["daytime"](), [b"ignored"])
    after = time.time()
    match = form.match(text.decode("ascii"))
    assert match is not None and finished
    instants = [time.gmtime(second) for second in range(before, int(after) + 1)]
    assert match.group(5) in [time.strftime("%H:%M:%S", each) for each in instants]
    assert int(match.group(4)) in [each.tm_year for each in instants]
    assert int(match.group(3)) in [each.tm_mday for each in instants]


@pytest.mark.parametrize("instant, text", [
    (0, b"Thursday, January 1, 1970 00:00:00-UTC\r\n"),
    (951782400 + 86399, b"Tuesday, February 29, 2000 23:59:59-UTC\r\n"),
    (1735603200, b"Tuesday, December 31, 2024 00:00:00-UTC\r\n"),
    (1704585600, b"Sunday, January 7, 2024 00:00:00-UTC\r\n"),
])
def test_daytime_knows_every_day_and_month(instant: int, text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    there = time.gmtime(instant)
    monkeypatch.setattr(time, "gmtime", lambda second: there)
    assert Daytime().opened() == text


def test_daytime_speaks_english_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other locales are seldom installed, so the test forbids the functions that depend on the locale."""
    def forbidden(*args: object) -> str:
        raise AssertionError("asked the locale")

    for name in ("strftime", "asctime", "ctime"):
        monkeypatch.setattr(time, name, forbidden)
    monkeypatch.setattr(locale, "setlocale", forbidden)
    assert bytes(Daytime().opened()).startswith(tuple(day.encode() for day in Daytime._days))


def test_only_http_keeps_state_so_the_others_are_one_object() -> None:
    shared = {name for name, make in HANDLERS.items() if make() is make()}
    assert shared == {"echo", "discard", "chargen", "daytime"}
    for name in sorted(shared):
        with pytest.raises(AttributeError):
            HANDLERS[name]().whatever = 1  # type: ignore[attr-defined]
