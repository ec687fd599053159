"""The images that the lab knows by name: rows of docker/images.toml, and what makes an image of one.

A row has two sources. From a registry an engine pulls it; where none can be reached, it is made here out of Debian's
packages, which takes seconds (``debian``, ``layer``; ``musl`` compiles, which takes minutes). Either way the image gets
the tag ``muxlab/ID:HASH``, of a hash over the row and all that the recipe is made of: what has been made once is found
again, and is made anew when either changes.

    lab images list | build | pin        (command)
"""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import lab
from lab.errors import Usage
from lab.harness.tables import checked, toml

FOLDER = next(each for each in (Path(lab.__file__).parent / "docker", Path(lab.__file__).parents[1] / "docker")
              if each.is_dir() or each.parent != Path(lab.__file__).parent)
"""docker/ of the tree, or what the wheel has of it."""
PATH = FOLDER / "images.toml"

NAME = re.compile(r"^[a-z0-9]+(?:[.-][a-z0-9]+)*$")
_FIELDS = {"id": str, "registry": str, "debian": str, "python": str, "libc": str, "family": str, "install": str}
_OPTIONAL = ("registry", "debian", "install")
_RECIPES = {"glibc": ("layer.py", "debian/recipe.py", "debian/bytecode.py"),
            "musl": ("layer.py", "debian/recipe.py", "debian/bytecode.py", "debian/musl.py", "debian/musl.sh")}
"""The files that what is in an image depends on, by libc."""

ARCHITECTURES: Dict[str, Dict[str, str]] = {
    "amd64": {"architecture": "amd64"}, "i386": {"architecture": "386"},
    "arm64": {"architecture": "arm64", "variant": "v8"}, "armhf": {"architecture": "arm", "variant": "v7"},
    "ppc64el": {"architecture": "ppc64le"}, "riscv64": {"architecture": "riscv64"}, "s390x": {"architecture": "s390x"},
}
"""Debian's name of an architecture, and what an image's configuration calls it."""


class Row(NamedTuple):
    """One image: what it is called, what it is, and where it can come from.

    registry: a reference as engines take it, with ``@sha256:...`` once it is pinned; None: it is made here only.
    debian: suite and architecture; None: it can only be pulled.
    python: ``3.13``, ``pypy3.11``. libc: glibc or musl. family: debian, alpine, rhel, ...
    install: a shell command that brings Python, for an image of a registry that has none.
    """

    id: str
    registry: Optional[str]
    debian: Optional[Tuple[str, str]]
    python: str
    libc: str
    family: str
    install: Optional[str]

    @property
    def arch(self) -> str:
        """Debian's word for the architecture, e.g. amd64, s390x."""
        return self.debian[1] if self.debian is not None else "amd64"

    @property
    def program(self) -> str:
        """What starts its Python."""
        return "pypy3" if self.python.startswith("pypy") else "python3"

    @property
    def tag(self) -> str:
        """The name of its image in the engine."""
        return "muxlab/%s:%s" % (self.id, self.digest())

    def digest(self) -> str:
        """Twelve digits that change when the row or the recipe does."""
        return hashlib.sha256(repr(tuple(self)).encode("utf-8") + _recipe(self.libc)).hexdigest()[:12]


@functools.lru_cache(maxsize=None)
def _recipe(libc: str) -> bytes:
    """All that the recipe is made of. Read once: whoever edits it while images are made gets them as they were begun.
    """
    return b"".join((Path(__file__).parent / name).read_bytes() for name in _RECIPES[libc])


def load(path: Path = PATH) -> Dict[str, Row]:
    """The rows by id, in the order of the file. Raises ``Usage`` with the row and the field that is wrong."""
    content = toml(path)
    listed = content.get("images")
    if set(content) != {"images"} or not isinstance(listed, list) or not all(isinstance(e, dict) for e in listed):
        raise Usage("%s: it must hold images = [ {...}, ... ] and nothing else" % path)
    rows: Dict[str, Row] = {}
    for number, fields in enumerate(listed, 1):
        row = _row("%s: row %d" % (path.name, number), fields)
        if rows.setdefault(row.id, row) is not row:
            raise Usage("%s: row %d: id: %s is there twice" % (path.name, number, row.id))
    return rows


def _row(where: str, fields: Dict[str, Any]) -> Row:
    checked(where, fields, _FIELDS, _OPTIONAL)
    debian = tuple(fields["debian"].split()) if "debian" in fields else None
    if not NAME.match(fields["id"]):
        raise Usage("%s: id: must be lower-case words with dots or dashes" % where)
    if debian is not None and len(debian) != 2:
        raise Usage("%s: debian: must be a suite and an architecture, such as \"trixie amd64\"" % where)
    if debian is not None and debian[1] not in ARCHITECTURES:
        raise Usage("%s: debian: %s is none of %s" % (where, ascii(debian[1])[1:-1], ", ".join(ARCHITECTURES)))
    if debian is None and "registry" not in fields:
        raise Usage("%s: registry or debian: one of them must be there" % where)
    if not re.match(r"^(pypy)?3\.\d+$", fields["python"]) or fields["libc"] not in _RECIPES:
        raise Usage("%s: python must be X.Y or pypyX.Y, libc one of %s" % (where, ", ".join(_RECIPES)))
    return Row(fields["id"], fields.get("registry"), debian, fields["python"], fields["libc"],
               fields["family"], fields.get("install"))


def find(name: str) -> Row:
    """The row of that id. Raises ``Usage``."""
    rows = load()
    if name not in rows:
        raise Usage('no image "%s"; images: %s' % (ascii(name)[1:-1], ", ".join(rows)))
    return rows[name]


def names() -> List[str]:
    """All ids."""
    return list(load())


