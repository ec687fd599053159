"""Colours are for terminals that want them, and the progress line leaves nothing behind."""

from __future__ import annotations

import io
from typing import Dict, Optional

import pytest

from lab.terminal import BOLD, NONE, Paint, ProgressLine, is_coloured


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream, environ, expected", [
    (Terminal(), {"TERM": "xterm", "WT_SESSION": "1"}, True),
    (Terminal(), {"TERM": "xterm", "WT_SESSION": "1", "NO_COLOR": ""}, True),  # an empty NO_COLOR counts as unset
    (Terminal(), {"TERM": "xterm", "WT_SESSION": "1", "NO_COLOR": "1"}, False),
    (Terminal(), {"TERM": "dumb", "WT_SESSION": "1"}, False),
    (io.StringIO(), {"TERM": "xterm", "WT_SESSION": "1"}, False)])
def test_colours_are_for_terminals_that_want_them(stream: io.StringIO, environ: Dict[str, str], expected: bool) -> None:
    assert is_coloured(stream, environ) is expected


def test_paint_leaves_text_without_a_code_as_it_is() -> None:
    paint = Paint(True)
    assert (paint(BOLD, "a"), paint(NONE, "a"), paint(BOLD, "")) == ("\x1b[1ma\x1b[0m", "a", "")
    assert Paint(False)(BOLD, "a") == "a"


def test_the_progress_line_is_rewritten_and_erased() -> None:
    terminal = Terminal()
    with ProgressLine(terminal, 0.0) as line:
        line.show("1/10 long")
        line.show("2/10")
    assert terminal.getvalue() == "\r1/10 long" + "\r2/10     " + "\r    \r"


def test_a_progress_line_shows_nothing_between_two_of_its_moments() -> None:
    terminal = Terminal()
    line = ProgressLine(terminal, 3600.0)
    line.show("first")
    line.show("second")
    assert "second" not in terminal.getvalue()


def test_a_progress_line_is_cut_to_the_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    terminal = Terminal()
    ProgressLine(terminal, 0.0).show("x" * 100)
    assert terminal.getvalue() == "\r" + "x" * 9


@pytest.mark.parametrize("stream", [io.StringIO(), None], ids=["file", "closed"])
def test_a_progress_line_is_for_terminals_only(stream: Optional[io.StringIO]) -> None:
    with ProgressLine(stream, 0.0) as line:
        line.show("1/10")
    assert stream is None or stream.getvalue() == ""
