"""Lays out text for a terminal: sections, labels and wrapped lines, in WIDTH columns unless a word is longer."""

from __future__ import annotations

import textwrap
from typing import Iterator, List, Sequence, Tuple

from lab.terminal import BOLD, DIM, Paint
from lab.text import escaped

WIDTH = 100


def section(title: str, lines: List[str], paint: Paint) -> str:
    """The lines below a title; an empty text if there are no lines."""
    return "\n".join([paint(BOLD, title), *lines]) if lines else ""


def labelled(paint: Paint, label: str, text: str, indent: str = "  ", code: str = "") -> List[str]:
    """``label   text``, wrapped under itself."""
    room = len(indent) + 10
    first, *more = textwrap.wrap(escaped(text), WIDTH - room, break_long_words=False, break_on_hyphens=False) or [""]
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
    for number, each in enumerate(textwrap.wrap(escaped(text), max(40, WIDTH - len(head)), break_on_hyphens=False)):
        yield (head if number == 0 else " " * len(head)) + paint(code, each)
