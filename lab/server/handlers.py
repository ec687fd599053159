"""The protocols that the lab's servers speak, by name: four of the oldest, and enough HTTP for a load tool."""

from __future__ import annotations

import time
from typing import Callable, Dict

from lab.server.handler import Handler, Output
from lab.server.http import Http


class Echo(Handler):
    """RFC 862: what comes in goes out."""

    __slots__ = ()

    def received(self, data: memoryview) -> Output:
        return data


class Discard(Handler):
    """RFC 863: what comes in is thrown away."""

    __slots__ = ()

    def received(self, data: memoryview) -> Output:
        return b""


def _pattern() -> bytes:
    """95 lines of 72 characters, each line starting one printing character later: where the next begins."""
    ring = bytes(range(0x20, 0x7F)) * 2
    return b"".join(ring[first:first + 72] + b"\r\n" for first in range(95))


class Chargen(Handler):
    """RFC 864: the rotating pattern of printing characters, until the peer has enough; input is thrown away."""

    __slots__ = ()

    endless = True
    _block = _pattern() * 8  # 56,240 bytes: whole turns of the pattern, so that it needs no position

    def opened(self) -> Output:
        return self._block

    def received(self, data: memoryview) -> Output:
        return b""

    def more(self) -> Output:
        return self._block


class Daytime(Handler):
    """RFC 867: the date and time as one line of text, then the end. UTC, and English on every locale."""

    __slots__ = ()

    finished = True
    _days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    _months = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
               "November", "December")

    def opened(self) -> Output:
        now = time.gmtime(time.time())  # of itself it asks time(2), which is a tick behind
        text = "%s, %s %d, %d %02d:%02d:%02d-UTC\r\n" % (
            self._days[now.tm_wday], self._months[now.tm_mon - 1], now.tm_mday, now.tm_year, now.tm_hour,
            now.tm_min, now.tm_sec)
        return text.encode("ascii")

    def received(self, data: memoryview) -> Output:
        return b""


Factory = Callable[[], Handler]


def _shared(handler: Handler) -> Factory:
    return lambda: handler


HANDLERS: Dict[str, Factory] = {
    "echo": _shared(Echo()),
    "discard": _shared(Discard()),
    "chargen": _shared(Chargen()),
    "daytime": _shared(Daytime()),
    "http": Http,
}
"""By name, what makes the handler of one connection. Those without state are one object for all."""

DISCARD = Discard()
"""For connections that are finished, but whose input must still be read away."""
