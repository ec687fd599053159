"""From a row to an image that is there: found, pulled, or made here, whichever comes first."""

from __future__ import annotations

import threading
from typing import Any, Dict

from docker.errors import ImageNotFound

from lab.errors import NotHere
from lab.harness import engine
from lab.harness.images import Row, musl, recipe, registry

SOURCES = ("auto", "registry", "debian")

_locks: Dict[str, threading.Lock] = {}
_guard = threading.Lock()


def is_here(client: Any, row: Row) -> bool:
    """Whether the engine has the image of this row and this recipe."""
    with engine.told(row.id):
        try:
            client.images.get(row.tag)
        except ImageNotFound:
            return False
    return True


def ensure(client: Any, row: Row, say: recipe.Say, source: str = "auto", fresh: bool = False) -> str:
    """The tag of the row's image, which is made first where it is not here, or ``fresh`` is asked for. Two threads
    that want the same one wait for each other.

    source: ``registry`` and ``debian`` allow that one only; ``auto`` tries them in this order.
    Raises ``NotHere`` where the source cannot be reached, ``Broken`` where it fails.
    """
    with _guard:
        lock = _locks.setdefault(row.tag, threading.Lock())
    with lock:
        if fresh or not is_here(client, row):
            _make(client, row, say, source)
    return row.tag


def _make(client: Any, row: Row, say: recipe.Say, source: str) -> None:
    if source != "debian" and row.registry is not None:
        try:
            registry.pull(client, row, say)
            say("pulled from a registry: %s" % registry.unpinned(row.registry))
            return
        except NotHere as error:
            if source == "registry" or row.debian is None:
                raise NotHere("%s: %s" % (row.id, error)) from None
            say(str(error))
    if row.debian is None or source == "registry":
        raise NotHere("%s: no %s has it; images.toml names its only source" % (
            row.id, "suite of Debian" if row.debian is None else "registry"))
    built = musl.build(client, row, say) if row.libc == "musl" else recipe.build(row, say)
    say("loading %.0f MB" % (len(built) / 1e6))
    with engine.told(row.id):
        client.images.load(built)
    say("made from Debian's packages: %s" % " ".join(row.debian))
