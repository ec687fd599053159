"""Obtain the image of a row: use the one that the engine has, else pull it, else make it from Debian's packages."""

from __future__ import annotations

import threading
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from docker.errors import ImageNotFound

from lab.errors import LabError, NotHere
from lab.harness import engine, images
from lab.harness.images import Row, architecture, layer, registry
from lab.harness.images.debian import bytecode, mirror, musl, recipe

ALREADY_HERE = "is here"
"""The value of ``Obtained.how`` for an image that the engine had already."""

SOURCES = ("auto", "registry", "debian")

_locks: Dict[str, threading.Lock] = {}
_guard = threading.Lock()


class Obtained(NamedTuple):
    """An image that the engine has now, and where it came from.

    how: where the image came from, as a phrase for the user. why_not_pulled: the reason why pulling failed; empty if it
    did not fail or was not tried.
    """

    tag: str
    how: str
    bytes: int
    why_not_pulled: str = ""


class LocalImage(NamedTuple):
    """An image that the engine has. source: ``registry`` or ``debian``."""

    source: str
    bytes: int


def local_image(client: Any, row: Row) -> Optional[LocalImage]:
    """The engine's image of this row and this recipe, or None. Raises ``Broken``."""
    with engine.errors_as_broken(row.id):
        try:
            found = client.images.get(row.tag)
        except ImageNotFound:
            return None
        return LocalImage(found.labels.get(engine.LABEL + ".source", "registry"), found.attrs["Size"])


def is_here(client: Any, row: Row) -> bool:
    """Whether the engine has the image of this row and this recipe."""
    return local_image(client, row) is not None


def obstacles(client: Any, row: Row) -> List[str]:
    """The reasons why this machine cannot obtain the row's image, or cannot run it; empty if it can. Raises
    ``Broken``."""
    reasons = []
    if row.debian is None and row.registry is not None and not is_here(client, row):
        try:
            registry.digest(row.registry)
        except NotHere as error:
            reasons.append("not available: %s" % error)
    cannot_run = architecture.missing(client, row)
    return reasons + ([cannot_run.replace(row.id + ": ", "", 1)] if cannot_run is not None else [])


def ensure(client: Any, row: Row, say: recipe.Say, source: str = "auto", fresh: bool = False) -> str:
    """Obtain the row's image, as ``obtain`` does. Returns its tag."""
    return obtain(client, row, say, source, fresh).tag


def obtain(client: Any, row: Row, say: recipe.Say, source: str = "auto", fresh: bool = False) -> Obtained:
    """Pull or make the row's image, unless the engine has it. ``fresh``: do so even if the engine has it. If two
    threads want the same image, the second waits for the first and finds its image.

    source: ``registry`` and ``debian`` allow only that source; ``auto`` tries the registry, then Debian.
    Raises ``NotHere`` if the source cannot be reached, ``Broken`` if it fails.
    """
    with _guard:
        lock = _locks.setdefault(row.tag, threading.Lock())
    with lock:
        found = None if fresh else local_image(client, row)
        if found is not None and source in ("auto", found.source):
            return Obtained(row.tag, ALREADY_HERE, found.bytes)
        try:
            how, why_not = _make(client, row, say, source)
        except LabError as error:  # several images are made at a time, so every error names its image
            if str(error).startswith(row.id + ": "):
                raise
            raise type(error)("%s: %s" % (row.id, error)) from None
        now = local_image(client, row)
        return Obtained(row.tag, how, now.bytes if now is not None else 0, why_not)


def _make(client: Any, row: Row, say: recipe.Say, source: str) -> Tuple[str, str]:
    """Pull or make the image. Returns ``how`` and ``why_not_pulled`` of ``Obtained``."""
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
        raise NotHere("images.toml names no %s for this image; use its other source" % (
            "suite of Debian" if row.debian is None else "registry"))
    _from_debian(client, row, say)
    return "made from Debian's packages: %s%s" % (" ".join(row.debian), "" if mirror.can_check_signatures() else (
        " (signature not checked: this machine lacks gpgv or Debian's keys)")), why_not


def _from_debian(client: Any, row: Row, say: recipe.Say) -> None:
    """Make the image in two layers: the content of the packages, and the compiled standard library."""
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
    """A row with the same Python that the engine runs without qemu, to compile the standard library with; or None."""
    native = architecture.native(client)
    return next((each for each in images.load().values() if each.python == row.python and each.arch in native
                 and each.debian is not None and each.libc == row.libc), None)


def _load(client: Any, row: Row, tag: str, layers: List[bytes]) -> None:
    with engine.errors_as_broken(row.id):
        client.images.load(layer.archive(tag, layers, row.arch, recipe.config(row)))


def _forget(client: Any, tag: str) -> None:
    """Remove the tag, and the layers that no other image uses."""
    with engine.errors_as_broken(tag):
        try:
            client.images.remove(tag, force=True)
        except ImageNotFound:  # loading it failed, or never began
            pass
