"""From a row to an image that is there: found, pulled, or made here, whichever comes first."""

from __future__ import annotations

import threading
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from docker.errors import ImageNotFound

from lab.errors import LabError, NotHere
from lab.harness import engine, images
from lab.harness.images import Row, architecture, layer, registry
from lab.harness.images.debian import bytecode, mirror, musl, recipe

HERE = "is here"
"""How an image came to be here that was here already."""

SOURCES = ("auto", "registry", "debian")

_locks: Dict[str, threading.Lock] = {}
_guard = threading.Lock()


class Made(NamedTuple):
    """How an image came to be here.

    how: in words. why_not: why a registry was tried and not used; empty where it was not tried.
    """

    tag: str
    how: str
    bytes: int
    why_not: str = ""


class Here(NamedTuple):
    """An image that the engine has. source: registry or debian."""

    source: str
    bytes: int


def here(client: Any, row: Row) -> Optional[Here]:
    """The image of this row and this recipe, or None. Raises ``Broken``."""
    with engine.errors_as_broken(row.id):
        try:
            found = client.images.get(row.tag)
        except ImageNotFound:
            return None
        return Here(found.labels.get(engine.LABEL + ".source", "registry"), found.attrs["Size"])


def is_here(client: Any, row: Row) -> bool:
    """Whether the engine has the image of this row and this recipe."""
    return here(client, row) is not None


def why_not(client: Any, row: Row) -> List[str]:
    """What keeps the row's image from being had, or from being run, here; nothing where it can. Raises ``Broken``."""
    reasons = []
    if row.debian is None and row.registry is not None and not is_here(client, row):
        try:
            registry.digest(row.registry)
        except NotHere as error:
            reasons.append("cannot be had: %s" % error)
    cannot_run = architecture.missing(client, row)
    return reasons + ([cannot_run.replace(row.id + ": ", "", 1)] if cannot_run is not None else [])


def ensure(client: Any, row: Row, say: recipe.Say, source: str = "auto", fresh: bool = False) -> str:
    """The tag of the row's image, which is made first where it is not here; see ``made``."""
    return made(client, row, say, source, fresh).tag


def made(client: Any, row: Row, say: recipe.Say, source: str = "auto", fresh: bool = False) -> Made:
    """The row's image, which is made first where it is not here, or ``fresh`` is asked for. Two threads that want the
    same one wait for each other.

    source: ``registry`` and ``debian`` allow that one only; ``auto`` tries them in this order.
    Raises ``NotHere`` where the source cannot be reached, ``Broken`` where it fails.
    """
    with _guard:
        lock = _locks.setdefault(row.tag, threading.Lock())
    with lock:
        found = None if fresh else here(client, row)
        if found is not None and source in ("auto", found.source):
            return Made(row.tag, HERE, found.bytes)
        try:
            how, why_not = _make(client, row, say, source)
        except LabError as error:  # many are made at a time: each says whose it is
            if str(error).startswith(row.id + ": "):
                raise
            raise type(error)("%s: %s" % (row.id, error)) from None
        now = here(client, row)
        return Made(row.tag, how, now.bytes if now is not None else 0, why_not)


def _make(client: Any, row: Row, say: recipe.Say, source: str) -> Tuple[str, str]:
    """How it was made, and why not by a registry."""
    why_not = ""
    if source != "debian" and row.registry is not None:
        try:
            registry.pull(client, row, say)
            return "pulled from a registry: %s" % registry.unpinned(row.registry), ""
        except NotHere as error:
            why_not = str(error)
            if source == "registry" or row.debian is None:
                raise
            say(why_not)
    if row.debian is None or source == "registry":
        raise NotHere("no %s has it; images.toml names its only source" % (
            "suite of Debian" if row.debian is None else "registry"))
    _from_debian(client, row, say)
    return "made from Debian's packages: %s%s" % (" ".join(row.debian), "" if mirror.can_check_signatures() else (
        " (unsigned, for all we know: gpgv or Debian's keys are not here)")), why_not


def _from_debian(client: Any, row: Row, say: recipe.Say) -> None:
    """Make it in two layers: what is in the packages, and the standard library compiled."""
    root = musl.build(client, row, say) if row.libc == "musl" else recipe.build(row, say)
    if row.arch in architecture.native(client):
        bare = "muxlab/%s-bare:%s" % (row.id, row.digest())
        try:
            _load(client, row, bare, [root])
            compiled = bytecode.compiled(client, root, row, bare, row.program, say)
            say("loading %.0f MB" % ((len(root) + len(compiled)) / 1e6))
            _load(client, row, row.tag, [root, compiled])
        finally:
            _forget(client, bare)
        return
    layers = [root]
    compiler = _compiler(client, row)
    if compiler is not None:
        with_it = ensure(client, compiler, lambda what: say("first %s: %s" % (compiler.id, what)))
        layers.append(bytecode.compiled(client, root, row, with_it, compiler.program, say))
    say("loading %.0f MB" % (sum(map(len, layers)) / 1e6))
    _load(client, row, row.tag, layers)


def _compiler(client: Any, row: Row) -> Optional[Row]:
    """The row of the same Python that the engine runs without qemu."""
    native = architecture.native(client)
    return next((each for each in images.load().values() if each.python == row.python and each.arch in native
                 and each.debian is not None and each.libc == row.libc), None)


def _load(client: Any, row: Row, tag: str, layers: List[bytes]) -> None:
    with engine.errors_as_broken(row.id):
        client.images.load(layer.archive(tag, layers, row.arch, recipe.config(row)))


def _forget(client: Any, tag: str) -> None:
    """Remove the name, and with it what nothing else uses."""
    with engine.errors_as_broken(tag):
        try:
            client.images.remove(tag, force=True)
        except ImageNotFound:  # it was never loaded
            pass
