"""Asks an interface several times, to observe whether it reports a state again.

The words are the same for every interface: "told, silent" is one call that reported the file, and one that did not. The
masks themselves go into the detail.
"""

from __future__ import annotations

from typing import Any, List

from lab.probing.probe import Seen, seen
from lab.probing.rig import Rig, number
from lab.probing.watchers import SILENT, Watcher


def watcher_of(rig: Rig, thing: Any, want: str = "r") -> Watcher:
    """A new watcher that watches only this."""
    asked = rig.watcher()
    asked.watch(number(thing), want)
    return asked


def mask_or_raise(rig: Rig, asked: Watcher, thing: Any, timeout: float) -> str:
    """Ask a watcher once; return the mask that it reports for this, or ``silent``. Unlike ``Rig.mask`` it raises what
    the API raises."""
    return "/".join(mask for fd, mask in rig.heard(asked, timeout) if fd == number(thing)) or SILENT


def told_or_silent(masks: List[str]) -> Seen:
    """An observation of several calls: ``told`` or ``silent`` for each mask, in order."""
    return seen(", ".join(SILENT if mask == SILENT else "told" for mask in masks), masks=masks)
