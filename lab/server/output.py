"""The output that waits until a peer reads: a queue of pieces, each as large as what was put in.

One bytearray would be simpler, and on CPython as good, which shortens it from the front for free. PyPy moves all that
is left each time, copies whatever it sends unless that is bytes, and grows a large one in steps whose garbage is as
large: a peer that read nothing cost a server on PyPy 3.11 three times what waited for it. So each piece is bytes, and
none is moved, grown or copied again. Only small outputs share a piece, or a peer that sends byte by byte would cost an
object for each byte.
"""

from __future__ import annotations

import collections
from typing import Deque, Union

from lab.server.handler import Output

PIECE = 64 * 1024
"""Bytes of one send at most, and of a piece that small outputs share."""

SMALL = 4096
"""Bytes of an output that shares a piece with others."""


class Waiting:
    """Bytes that wait to be sent, first in, first out. ``size``: how many they are."""

    __slots__ = ("_pieces", "_sent", "size")

    def __init__(self, output: Output) -> None:
        self._pieces: Deque[Union[bytes, bytearray]] = collections.deque()
        self._sent = 0  # of the first piece
        self.size = 0
        self.append(output)

    def append(self, output: Output) -> None:
        """Put a copy of this behind all that waits."""
        count = len(output)
        if not count:
            return
        self.size += count
        if count >= SMALL:
            self._pieces.append(bytes(output))
            return
        last = self._pieces[-1] if self._pieces else b""
        if isinstance(last, bytearray) and len(last) + count <= PIECE:
            last += output
        else:
            self._pieces.append(bytearray(output))

    def first(self) -> Output:
        """The bytes to send next, at most PIECE of them; empty where nothing waits."""
        if not self._pieces:
            return b""
        piece = self._pieces[0]
        if not self._sent and len(piece) <= PIECE:
            return piece
        return memoryview(piece)[self._sent:self._sent + PIECE]

    def sent(self, count: int) -> None:
        """Forget so many of ``first()``."""
        self.size -= count
        self._sent += count
        if self._sent == len(self._pieces[0]):
            self._sent = 0
            self._pieces.popleft()

    def take(self) -> Output:
        """Remove ``first()`` and return it."""
        first = self.first()
        self.sent(len(first))
        return first
