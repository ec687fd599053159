"""Asking several times, and what was heard each time, in words that are the same for every interface.

For probes whose question is whether something is told again: "told, silent" is one call that answered, and one that did
not. The masks themselves go into the detail.
"""

from __future__ import annotations

from typing import Any, List

from lab.probing.probe import Seen, seen
from lab.probing.rig import Rig, number
from lab.probing.watchers import SILENT, Watcher


def watching(rig: Rig, thing: Any, want: str = "r") -> Watcher:
    """A new watcher that watches only this."""
    asked = rig.watcher()
    asked.watch(number(thing), want)
    return asked


def hear(rig: Rig, asked: Watcher, thing: Any, timeout: float) -> str:
    """The mask that one call answers with for this, or silent; unlike ``Rig.mask`` it lets errors out."""
    return "/".join(mask for fd, mask in rig.heard(asked, timeout) if fd == number(thing)) or SILENT


def sequence(masks: List[str]) -> Seen:
    """What each call told: ``told`` or ``silent``, in order."""
    return seen(", ".join(SILENT if mask == SILENT else "told" for mask in masks), masks=masks)
