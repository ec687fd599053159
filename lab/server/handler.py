"""What a connection says, apart from how its bytes travel: the protocols of the lab's servers.

A handler does no I/O (the "sans I/O" way of h11), so that all four I/O models run the very same ones, and a test
can drive one with any split of any input. The model calls

    opened()         once, when the connection stands; what it returns is sent
    received(data)   for each piece of input, however it was cut; what it returns is sent
    more()           whenever all output has gone out; an endless handler returns the next piece

and closes the connection once ``finished`` is true and the output is out. ``data`` is a view of a buffer that the
next read overwrites: a handler may return it, or a part of it, but must copy what it keeps.
"""

from __future__ import annotations

from typing import Union

Output = Union[bytes, bytearray, memoryview]


class Handler:
    """The parts that most handlers share: says nothing, never finishes. One instance may serve every
    connection, as long as it keeps no state."""

    __slots__ = ()

    finished = False
    """True once nothing more will come: flush, close."""
    endless = False
    """True where ``more`` always has more, so that only the peer can end the connection."""

    def opened(self) -> Output:
        """The greeting."""
        return b""

    def received(self, data: memoryview) -> Output:
        """The answer to one piece of input."""
        raise NotImplementedError

    def more(self) -> Output:
        """The next piece of an endless output."""
        return b""
