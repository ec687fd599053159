"""What a server says about itself: one line an event, for people or as JSON for machines, on standard output."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any, Dict, Optional, TextIO


class Log:
    """Writes events. ``as_json`` makes each line an object with its name under ``event``."""

    def __init__(self, as_json: bool = False, stream: Optional[TextIO] = None) -> None:
        self.as_json = as_json
        self._stream: Optional[TextIO] = sys.stdout if stream is None else stream
        self._lock = threading.Lock()  # the blocking model logs from many threads

    def event(self, name: str, text: str, **fields: Any) -> None:
        """One event: ``text`` for people; its name and ``fields``, which JSON can hold, for machines."""
        self.line(json.dumps(dict({"event": name}, **fields)) if self.as_json else text)

    def line(self, text: str) -> None:
        """One line at once. A reader that went away is no reason to stop serving: the log falls silent."""
        with self._lock:
            if self._stream is None:
                return
            try:
                try:
                    self._stream.write(text + "\n")
                except UnicodeEncodeError:  # a path that is no UTF-8, a terminal that knows no more than ASCII
                    known = getattr(self._stream, "encoding", None) or "ascii"
                    self._stream.write(text.encode(known, "backslashreplace").decode(known) + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # EPIPE; ValueError: somebody closed the stream
                self._stream = None

    def problem(self, name: str, text: str, **fields: Any) -> None:
        """An event that the operator should know of; the server goes on."""
        self.event(name, text, level="warning", **fields)

    def bug(self, error: Exception) -> None:
        """Something raised what nobody foresaw: that costs one connection, and is not kept quiet."""
        self.problem("bug", "bug: %r; its connection is closed, please report this" % error, error=repr(error))


def pairs(fields: Dict[str, Any]) -> str:
    """``key=value key=value``, as the ready line shows them."""
    return " ".join("%s=%s" % item for item in fields.items())
