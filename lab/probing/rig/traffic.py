"""Reads from a file and writes to it: once, until it is full, until it is empty."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from lab.probing.rig.attempts import attempt
from lab.probing.rig.base import Base


class Traffic(Base):
    """Reads and writes; each call is non-blocking, and takes a socket or a descriptor."""

    def write(self, thing: Any, data: bytes = b"x") -> int:
        """Write or send once; return how many bytes were taken."""
        return os.write(thing, data) if isinstance(thing, int) else int(thing.send(data))

    def read(self, thing: Any, size: int = 1 << 16) -> bytes:
        """Read or receive once."""
        return os.read(thing, size) if isinstance(thing, int) else bytes(thing.recv(size))

    def found(self, thing: Any) -> str:
        """What one read returns, in words: ``4 bytes``, ``end``, or the name of the exception that it raised."""
        return attempt(self.read, thing, ok=lambda data: "%d bytes" % len(data) if data else "end")

    def fill(self, thing: Any, piece: int = 1 << 16) -> int:
        """Write until not even one byte is taken; return how many bytes were. After each piece that was taken we try
        the largest size again: gVisor makes room for megabytes meanwhile, and keeps each write as a segment."""
        total, size = 0, piece
        while size:
            try:
                total += self.write(thing, b"x" * size)
                size = piece
            except BlockingIOError:
                size //= 4
        return total

    def drain(self, thing: Any) -> int:
        """Read until nothing is left, or until the end of the file; return how many bytes there were."""
        total = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self.read(thing)
                if not data:
                    break
                total += len(data)
        return total
