"""The server's log on standard output: one line per event, as text for people or as JSON for programs."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any, Dict, Optional, TextIO


class Log:
    """Writes events to ``stream`` (default: standard output). With ``as_json`` each line is a JSON object that has the
    event's name under the key ``event``."""

    def __init__(self, as_json: bool = False, stream: Optional[TextIO] = None) -> None:
        self.as_json = as_json
        self._stream: Optional[TextIO] = sys.stdout if stream is None else stream
        self._lock = threading.Lock()  # the blocking model logs from many threads

    def event(self, name: str, text: str, **fields: Any) -> None:
        """Write one event: ``text`` for people, or ``name`` and ``fields`` as JSON. JSON must be able to hold the
        fields."""
        self.line(json.dumps(dict({"event": name}, **fields)) if self.as_json else text)

    def line(self, text: str) -> None:
        """Write one line and flush it. If nobody reads the stream any more, serving goes on and the log falls
        silent."""
        with self._lock:
            if self._stream is None:
                return
            try:
                try:
                    self._stream.write(text + "\n")
                except UnicodeEncodeError:  # a path that is not UTF-8, or a terminal that has only ASCII
                    known = getattr(self._stream, "encoding", None) or "ascii"
                    self._stream.write(text.encode(known, "backslashreplace").decode(known) + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # EPIPE; ValueError: somebody closed the stream
                self._stream = None

    def problem(self, name: str, text: str, **fields: Any) -> None:
        """Write a warning: an event that the operator should know about. The server goes on."""
        self.event(name, text, level="warning", **fields)

    def bug(self, error: Exception) -> None:
        """Report an exception that nobody foresaw. The caller closes the one connection that it came from."""
        self.problem("bug", "bug: %r; the server closed the connection; please report this" % error, error=repr(error))


def pairs(fields: Dict[str, Any]) -> str:
    """The fields as ``key=value key=value``, the form of the ready line."""
    return " ".join("%s=%s" % item for item in fields.items())
