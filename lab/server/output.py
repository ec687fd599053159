"""The queue of output that a peer has not read yet, in pieces of a bounded size.

One bytearray would be simpler. On CPython it would be as good, because CPython deletes from the front of a bytearray
for free. PyPy moves all the bytes that are left on each deletion, copies what it sends, and grows a large bytearray in
steps whose garbage its collector does not count: a peer that read nothing cost a server on PyPy 3.11 three times the
size of the queue. In pieces, the queue costs its own size and one piece more, on every interpreter.
"""

from __future__ import annotations

import collections
from typing import Deque

from lab.server.handler import Output

PIECE = 256 * 1024
"""Bytes of one piece, and so of one send. Pieces of a quarter of this size double CPython's time on a large queue."""


class Waiting:
    """Bytes that wait to be sent, first in, first out. ``size`` is their number."""

    __slots__ = ("_pieces", "size")

    def __init__(self, output: Output) -> None:
        self._pieces: Deque[bytearray] = collections.deque()
        self.size = 0
        self.append(output)

    def append(self, output: Output) -> None:
        """Append a copy of ``output`` to the queue."""
        rest = memoryview(output)
        self.size += len(rest)
        taken = 0
        if self._pieces:  # fill the last piece first, so that many small outputs do not become as many objects
            last = self._pieces[-1]
            taken = PIECE - len(last)
            last += rest[:taken]
        for start in range(taken, len(rest), PIECE):
            self._pieces.append(bytearray(rest[start:start + PIECE]))

    def first(self) -> bytearray:
        """The bytes to send next, at most PIECE of them; empty if the queue is empty."""
        return self._pieces[0] if self._pieces else bytearray()

    def take(self) -> bytearray:
        """Remove ``first()`` and return it."""
        piece = self._pieces.popleft()
        self.size -= len(piece)
        return piece

    def sent(self, count: int) -> None:
        """Remove ``count`` bytes from the front, after a send of ``first()`` took that many."""
        self.size -= count
        first = self._pieces[0]
        if count == len(first):
            self._pieces.popleft()
        else:
            del first[:count]
