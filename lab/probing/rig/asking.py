"""Asks the API that a probe observes: makes its watchers, and spells their answers."""

from __future__ import annotations

from typing import Any, Optional

from lab.probing import faults
from lab.probing.rig.attempts import attempt
from lab.probing.rig.base import Base, number
from lab.probing.watchers import SILENT, Answer, Watcher, watcher


class Asking(Base):
    """Asks through the backend of one cell, or through a watcher with a fault."""

    def __init__(self, backend: str, slow: float = 1.0, fault: Optional[str] = None) -> None:
        super().__init__(slow)
        self.backend = backend
        self._fault = fault

    def watcher(self, name: Optional[str] = None) -> Watcher:
        """A new watcher of this cell's backend, or of the named one."""
        made = watcher(name or self.backend)
        self._stack.callback(made.close)
        return made if self._fault is None else faults.wrap(self._fault, made)

    def selector(self) -> Any:
        """A new object of this cell's selectors class."""
        made: Any = self.watcher()
        return made.api

    def heard(self, asked: Watcher, timeout: Optional[float] = None) -> Answer:
        """Ask a watcher once, waiting up to ``timeout`` seconds, by default quiet. Raises what the API raises."""
        return asked.ask(self.quiet if timeout is None else timeout)

    def mask(self, asked: Watcher, thing: Any, timeout: Optional[float] = None) -> str:
        """Ask a watcher once; return the mask that it reports for that descriptor, ``silent``, or the name of the
        exception that the API raises."""
        fd = number(thing)

        def spelled(answer: Answer) -> str:
            return "/".join(mask for found, mask in answer if found == fd) or SILENT
        return attempt(self.heard, asked, timeout, ok=spelled)

    def ask(self, thing: Any, want: str = "r", timeout: Optional[float] = None) -> str:
        """``mask`` of a new watcher that watches only this, or the name of the exception that registering raises."""
        asked = self.watcher()
        registered = attempt(asked.watch, number(thing), want)
        return self.mask(asked, thing, timeout) if registered == "ok" else registered
