"""Whatever text comes from elsewhere, what is printed of it is one line of printable characters."""

from __future__ import annotations

import sys
from typing import Optional

import pytest

from lab.text import LIMIT, escaped, last_line, one_line, shown

HOSTILE = ["\x1b[31mred", "a\nb", "a\rb", "\x00", "\x7f", "\x9b2J", "\u202eevil", "\u2066", "\u200b", "\u2028", "\x85",
           "\ud800", "\ufeff", "\U000e0041", "\xa0", "\xad"]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_whatever_is_not_printable_is_escaped(text: str) -> None:
    for made in (escaped(text), shown(text), one_line(text), last_line("first\n" + text + ".")):
        assert made is not None and made.isprintable()
    assert escaped("%s!" % text) == "%s!" % "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@pytest.mark.parametrize("code", range(0, sys.maxunicode, 0x10000), ids=hex)
def test_no_character_gets_through_that_unicode_does_not_call_printable(code: int) -> None:
    text = "".join(map(chr, range(code, code + 0x10000)))
    assert escaped(text).isprintable()


@pytest.mark.parametrize("text", ["", "plain", "a b", "C:\\x", "it's \"so\""])
def test_what_is_printable_ascii_stays(text: str) -> None:
    assert (escaped(text), shown(text), one_line(text)) == (text, text, text)


@pytest.mark.parametrize("text, ascii_only", [
    ("gr\xfcn", "gr\\xfcn"), ("\u0435poll", "\\u0435poll"), ("\u05d0", "\\u05d0")])
def test_other_scripts_stay_in_longer_text_and_are_spelled_out_in_a_value(text: str, ascii_only: str) -> None:
    assert (escaped(text), shown(text)) == (text, ascii_only)


def test_what_is_to_be_kept_is_kept() -> None:
    assert escaped("a\tb\nc\x1b", keep="\n\t") == "a\tb\nc\\x1b"


@pytest.mark.parametrize("text", ["x" * (LIMIT + 1), "x" * 10 ** 6, "\x1b" * LIMIT])
def test_a_value_has_a_bounded_length_and_its_end_shows_that_there_is_more(text: str) -> None:
    assert len(shown(text)) == LIMIT and shown(text).endswith("...")


def test_a_value_of_just_that_length_is_whole() -> None:
    assert shown("x" * LIMIT) == "x" * LIMIT


def test_a_value_may_be_of_any_type() -> None:
    assert (shown(None), shown(1.5), shown(["\x1b"])) == ("None", "1.5", "['\\x1b']")


def test_what_a_program_said_is_joined_to_one_line() -> None:
    assert one_line("  cannot\n  open\t\x1b[31mit\n") == "cannot open \\x1b[31mit"


@pytest.mark.parametrize("text, expected", [
    ("", None), ("\n \n", None), ("a\n  b  \n\n", "b"), ("a\x1b\r\n", "a\\x1b")])
def test_the_last_line_is_the_last_one_that_says_something(text: str, expected: Optional[str]) -> None:
    assert last_line(text) == expected
