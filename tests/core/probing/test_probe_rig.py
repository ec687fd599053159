"""A property of the probes' rig that no probe shows by itself: it fills a growing buffer with few, large writes."""

from __future__ import annotations

from typing import List

from lab.probing.rig import Rig


class Growing:
    """Accepts as much as it has room for. The third send that finds no room makes room for ``later`` more bytes."""

    def __init__(self, room: int, later: int) -> None:
        self._room = room
        self._later = [0, 0, later]
        self.writes: List[int] = []

    def send(self, data: bytes) -> int:
        if not self._room:
            if self._later:
                self._room = self._later.pop(0)
            raise BlockingIOError
        taken = min(len(data), self._room)
        self._room -= taken
        self.writes.append(taken)
        return taken


def fill(thing: Growing) -> int:
    with Rig("select") as rig:
        return rig.fill(thing)


def test_all_is_filled_and_counted() -> None:
    thing = Growing(200_001, 0)
    assert fill(thing) == 200_001
    assert thing.writes == [65536, 65536, 65536, 3393]


def test_room_that_comes_late_is_filled_in_large_pieces() -> None:
    thing = Growing(100_000, 2_500_000)
    assert fill(thing) == 2_600_000
    assert len(thing.writes) < 50
