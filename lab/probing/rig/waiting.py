"""Waits for a situation, through an API that is not the one observed."""

from __future__ import annotations

import contextlib
import select
import time
from typing import Any, Callable, Dict, Iterator

from lab.capabilities import has
from lab.probing.probe import SetUpFailed
from lab.probing.rig.base import Base, number

_select: Any = select  # typed loosely: type checkers know poll on its platforms only


class Waiting(Base):
    """Waits for a state of a file, or for a condition."""

    def arrived(self, thing: Any, want: str = "r") -> None:
        """Return once the file is readable (or ``w``: writable). Raises ``SetUpFailed`` after patience."""
        if not self._reference(thing, want, self.patience):
            raise SetUpFailed("nothing came within %g s of what must come" % self.patience)

    def settle(self, thing: Any, want: str = "r") -> bool:
        """Wait until the file is readable (or ``w``: writable, ``""``: in error or hung up), at most for quiet. Returns
        whether it is."""
        return self._reference(thing, want, self.quiet)

    def _reference(self, thing: Any, want: str, timeout: float) -> bool:
        fd = number(thing)
        if has("poll"):
            reference = _select.poll()
            reference.register(fd, sum({"r": 0x1, "w": 0x4}[letter] for letter in want))
            return bool(reference.poll(timeout * 1000))
        return any(select.select([fd] if "r" in want else [], [fd] if "w" in want else [], [fd], timeout))

    def until(self, condition: Callable[[], Any]) -> Any:
        """Call ``condition`` again and again until it returns something true, and return that. Raises ``SetUpFailed``
        after patience."""
        deadline = time.monotonic() + self.patience
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                raise SetUpFailed("what must come true did not within %g s" % self.patience)
            time.sleep(0.0005)  # between two calls; nothing depends on its length

    @contextlib.contextmanager
    def timed(self) -> Iterator[Dict[str, float]]:
        """Measure a block: ``["seconds"]`` of the yielded dictionary, once the block has ended."""
        taken: Dict[str, float] = {}
        began = time.perf_counter()
        try:
            yield taken
        finally:
            taken["seconds"] = round(time.perf_counter() - began, 6)
