"""Output for people through rich, which reads ``[bold]`` and ``:smile:`` inside a text as its own markup.

Whatever the lab did not write itself goes through ``literal`` before it becomes part of a line or of a table.
"""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape

from lab.terminal import is_terminal
from lab.text import escaped, shown

WIDTH = 120
"""Columns where the output is no terminal, which would have a width of its own."""


def console() -> Console:
    """Standard output. It marks up what we say, and colours no number or path by itself."""
    return Console(highlight=False, emoji=False, width=None if is_terminal(sys.stdout) else WIDTH)


def literal(text: object) -> str:
    """A text as markup that rich prints as it is: escaped for the terminal, then for rich."""
    return escape(escaped(str(text)))


def short(value: object) -> str:
    """As ``literal``, in at most as many characters as a value may have inside a message."""
    return escape(shown(value))
