"""The output that waits until a peer reads: a queue of bytes in pieces of a bounded size.

One bytearray would be simpler, and on CPython as good, which shortens it from the front for free. PyPy moves all that
is left each time, copies whatever it is given to send, and grows a large one in steps whose garbage its collector does
not count: a peer that read nothing cost a server on PyPy 3.11 three times what waited for it. In pieces it costs what
waits, and one piece more, on every interpreter.
"""

from __future__ import annotations

import collections
from typing import Deque

from lab.server.handler import Output

PIECE = 256 * 1024
"""Bytes of one piece, and so of one send. A fourth of it doubles what CPython spends on a large queue."""


class Waiting:
    """Bytes that wait to be sent, first in, first out. ``size``: how many they are."""

    __slots__ = ("_pieces", "size")

    def __init__(self, output: Output) -> None:
        self._pieces: Deque[bytearray] = collections.deque()
        self.size = 0
        self.append(output)

    def append(self, output: Output) -> None:
        """Put a copy of this behind all that waits."""
        rest = memoryview(output)
        self.size += len(rest)
        taken = 0
        if self._pieces:  # first into the last piece: byte by byte would else cost an object for each byte
            last = self._pieces[-1]
            taken = PIECE - len(last)
            last += rest[:taken]
        for start in range(taken, len(rest), PIECE):
            self._pieces.append(bytearray(rest[start:start + PIECE]))

    def first(self) -> bytearray:
        """The bytes to send next, at most PIECE of them; empty where nothing waits."""
        return self._pieces[0] if self._pieces else bytearray()

    def take(self) -> bytearray:
        """Remove ``first()`` and return it."""
        piece = self._pieces.popleft()
        self.size -= len(piece)
        return piece

    def sent(self, count: int) -> None:
        """Forget so many of ``first()``."""
        self.size -= count
        first = self._pieces[0]
        if count == len(first):
            self._pieces.popleft()
        else:
            del first[:count]
