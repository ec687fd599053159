"""The interface of a protocol handler: it turns input bytes into output bytes and does no I/O.

Because a handler does no I/O (h11 calls that "sans I/O"), all four I/O models run the same handlers, and a test can
feed one any input, split anywhere. The I/O model calls

    opened()         once, when the connection is established
    received(data)   for each piece of input, however the input was split
    more()           whenever all output has been sent; an endless handler returns its next piece

and sends what each of them returns. It closes the connection once ``finished`` is true and all output is sent.
``data`` is a view of a buffer that the next read overwrites: a handler may return it, or a part of it, but must copy
what it keeps.
"""

from __future__ import annotations

from typing import Union

Output = Union[bytes, bytearray, memoryview]


class Handler:
    """The defaults of most handlers: no greeting, no end. A handler without state serves all connections with one
    instance."""

    __slots__ = ()

    finished = False
    """True once the handler will produce no more output: the model sends what is left, then closes."""
    endless = False
    """True if ``more`` never runs out of output, so that only the peer can end the connection."""

    def opened(self) -> Output:
        """The output that opens the connection."""
        return b""

    def received(self, data: memoryview) -> Output:
        """The output that answers one piece of input."""
        raise NotImplementedError

    def more(self) -> Output:
        """The next piece of an endless output."""
        return b""
