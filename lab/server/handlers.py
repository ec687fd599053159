"""The handlers that `lab serve --handler` offers: four of the oldest protocols, and enough HTTP for a load tool."""

from __future__ import annotations

import time
from typing import Callable, Dict

from lab.server.handler import Handler, Output
from lab.server.http import Http


class Echo(Handler):
    """RFC 862: send back every byte that arrives."""

    __slots__ = ()

    def received(self, data: memoryview) -> Output:
        return data


class Discard(Handler):
    """RFC 863: throw away every byte that arrives."""

    __slots__ = ()

    def received(self, data: memoryview) -> Output:
        return b""


def _pattern() -> bytes:
    """95 lines of 72 characters. Each line starts one printing character after the one above it; the 96th would be the
    first again."""
    ring = bytes(range(0x20, 0x7F)) * 2
    return b"".join(ring[first:first + 72] + b"\r\n" for first in range(95))


class Chargen(Handler):
    """RFC 864: send a rotating pattern of printing characters until the peer closes; throw away the input."""

    __slots__ = ()

    endless = True
    _block = _pattern() * 8  # 56,240 bytes: whole turns of the pattern, so that no connection keeps a position

    def opened(self) -> Output:
        return self._block

    def received(self, data: memoryview) -> Output:
        return b""

    def more(self) -> Output:
        return self._block


class Daytime(Handler):
    """RFC 867: send the date and time as one line of text, then close. UTC, and English in every locale."""

    __slots__ = ()

    finished = True
    _days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    _months = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
               "November", "December")

    def opened(self) -> Output:
        now = time.gmtime(time.time())  # without an argument gmtime calls time(2), which is a tick behind
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
"""By name, a function that returns the handler of one connection. Connections share the handlers that have no state."""

DISCARD = Discard()
"""The handler of a connection that is finished, but whose input the server must still read and throw away."""
