"""What no probe shows of the rig: it fills a growing buffer with few, large writes, and its page lists its verbs."""

from __future__ import annotations

import re
from typing import Dict, List

from lab.probing import rig
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


def test_the_page_of_the_rig_lists_every_verb_under_the_module_that_has_it() -> None:
    listed = {module: verbs.split(", ") for module, verbs in re.findall(
        r"^    (\w+)  +((?:\w+, )+\w+)$", rig.__doc__ or "", re.MULTILINE)}
    found: Dict[str, List[str]] = {}
    for kind in Rig.__mro__[1:-1]:
        found[kind.__module__.rpartition(".")[2]] = [name for name in vars(kind) if not name.startswith("_")]
    assert {module: sorted(verbs) for module, verbs in listed.items()} == {
        module: sorted(verbs) for module, verbs in found.items()}
