"""What a terminal can do that a file cannot: colours, and a line that is rewritten as work goes on."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Mapping, Optional, TextIO

NONE, BOLD, RED, GREEN, YELLOW, DIM = "", "1", "1;31", "32", "33", "2"
"""Codes for ``Paint``."""


class Paint:
    """Writes text in colours (ECMA-48 SGR), or leaves it as it is."""

    def __init__(self, coloured: bool) -> None:
        self.coloured = coloured

    def __call__(self, code: str, text: str) -> str:
        return "\x1b[%sm%s\x1b[0m" % (code, text) if self.coloured and code and text else text


def is_coloured(stream: Optional[TextIO], environ: Mapping[str, str]) -> bool:
    """Whether to write colours to a stream: to a terminal that knows them, unless NO_COLOR is set (no-color.org)."""
    if not is_terminal(stream):
        return False
    knows = "WT_SESSION" in environ or "ANSICON" in environ if sys.platform == "win32" else True
    return knows and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def is_terminal(stream: Optional[TextIO]) -> bool:
    """Whether a stream is a terminal. Python has None for a stream that was closed before it began: `lab probe >&-`."""
    return stream is not None and stream.isatty()


class ProgressLine:
    """One line on a terminal that ``show`` rewrites and ``erase``, or the end of a ``with`` block, removes. On any
    other stream it does nothing.

    interval: seconds between two rewritings; what ``show`` is given in between is dropped.
    """

    def __init__(self, stream: Optional[TextIO], interval: float = 0.1) -> None:
        self._stream = stream if is_terminal(stream) else None
        self._interval = interval
        self._next = 0.0
        self._columns = 0

    def show(self, text: str) -> None:
        """Put this text in place of the last one, cut to the terminal's width."""
        now = time.monotonic()
        if self._stream is None or now < self._next:
            return
        self._next = now + self._interval
        text = text[:shutil.get_terminal_size().columns - 1]
        self._write(text.ljust(self._columns))
        self._columns = len(text)

    def erase(self) -> None:
        """Leave the line empty, with the cursor at its beginning."""
        if self._columns:
            self._write(" " * self._columns + "\r")
            self._columns = 0

    def _write(self, text: str) -> None:
        assert self._stream is not None
        self._stream.write("\r" + text)
        self._stream.flush()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.erase()
