"""Lays out text for a terminal: colours, wrapping and escapes, in WIDTH columns unless a word is longer."""

from __future__ import annotations

import sys
import textwrap
from typing import Iterator, List, Mapping, Optional, Sequence, TextIO, Tuple

WIDTH = 100

NONE, BOLD, RED, GREEN, YELLOW, DIM = "", "1", "1;31", "32", "33", "2"
"""For ``Paint``."""


class Paint:
    """Colours (ECMA-48 SGR), or none."""

    def __init__(self, coloured: bool) -> None:
        self.coloured = coloured

    def __call__(self, code: str, text: str) -> str:
        return "\x1b[%sm%s\x1b[0m" % (code, text) if self.coloured and code and text else text


def is_coloured(stream: Optional[TextIO], environ: Mapping[str, str]) -> bool:
    """Whether to write colours to that stream: if it is a terminal that knows them, and NO_COLOR is not set
    (no-color.org)."""
    if stream is None or not stream.isatty():  # None: `lab probe >&-`
        return False
    knows = "WT_SESSION" in environ or "ANSICON" in environ if sys.platform == "win32" else True
    return knows and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def section(title: str, lines: List[str], paint: Paint) -> str:
    """The lines below a title; an empty text if there are no lines."""
    return "\n".join([paint(BOLD, title), *lines]) if lines else ""


def labelled(paint: Paint, label: str, text: str, indent: str = "  ", code: str = "") -> List[str]:
    """``label   text``, wrapped under itself."""
    room = len(indent) + 10
    first, *more = textwrap.wrap(plain(text), WIDTH - room, break_long_words=False, break_on_hyphens=False) or [""]
    return [indent + paint(DIM, label.ljust(10)) + paint(code, first), *(" " * room + paint(code, each)
                                                                          for each in more)]


def flow(items: Sequence[Tuple[int, str]], between: str, room: int) -> Iterator[str]:
    """(columns, text) joined, in lines of so many columns."""
    line, used = "", 0
    for size, text in items:
        if used and used + len(between) + size > room:
            yield line + between.rstrip(" |")
            line, used = "", 0
        line += (between if used else "") + text
        used += (len(between) if used else 0) + size
    yield line


def hanging(head: str, text: str, paint: Paint, code: str) -> Iterator[str]:
    """The text behind the head, wrapped under itself."""
    for number, each in enumerate(textwrap.wrap(plain(text), max(40, WIDTH - len(head)), break_on_hyphens=False)):
        yield (head if number == 0 else " " * len(head)) + paint(code, each)


def plain(text: str) -> str:
    """The text with every character escaped that a terminal may not show, or may take for a command."""
    return "".join(each if " " <= each <= "~" else ascii(each)[1:-1] for each in text)
