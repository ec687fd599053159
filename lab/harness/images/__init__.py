"""The Linux images that the lab knows by name: the rows of docker/images.toml, and the code that obtains their images.

A row has up to two sources. The engine pulls the image from a registry. If no registry can be reached, the lab makes
the image from Debian's packages, which takes seconds (``debian``, ``layer``), or minutes for musl, which it compiles
(``debian.musl``). Either way the image gets the tag ``muxlab/ID:HASH``. HASH covers the row and the source files of the
recipe. So the lab finds an image again that it has made once, and makes a new one when the row or the recipe changes.

    lab images list | build | pin        (command)
"""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import lab
from lab import architectures
from lab.errors import Usage
from lab.harness.tables import checked, toml
from lab.text import shown

FOLDER = next(each for each in (Path(lab.__file__).parent / "docker", Path(lab.__file__).parents[1] / "docker")
              if each.is_dir() or each.parent != Path(lab.__file__).parent)
"""The folder docker/ of the repository, or the part of it that the wheel contains."""
PATH = FOLDER / "images.toml"

NAME = re.compile(r"^[a-z0-9]+(?:[.-][a-z0-9]+)*$")
_FIELDS = {"id": str, "registry": str, "debian": str, "python": str, "libc": str, "family": str, "install": str}
_OPTIONAL = ("registry", "debian", "install")
_RECIPES = {"glibc": ("layer.py", "debian/recipe.py", "debian/bytecode.py"),
            "musl": ("layer.py", "debian/recipe.py", "debian/bytecode.py", "debian/musl.py", "debian/musl.sh")}
"""The source files that determine the content of an image, by libc."""

ARCHITECTURES: Dict[str, Dict[str, str]] = {
    name: {"architecture": each.oci, **({"variant": each.variant} if each.variant else {})}
    for name, each in architectures.ARCHITECTURES.items()}
"""What the configuration of an image says of its architecture, by Debian's name."""


class Row(NamedTuple):
    """One image: its name, its properties, and its sources.

    registry: a reference in the form that engines accept, with ``@sha256:...`` once it is pinned; None: no registry.
    debian: suite and architecture to make the image from; None: the engine can only pull it.
    python: ``3.13``, ``pypy3.11``. libc: glibc or musl. family: debian, alpine, rhel, ...
    install: a shell command that installs Python, if the registry's image has none.
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
        """Debian's name of the architecture, e.g. amd64, s390x."""
        return self.debian[1] if self.debian is not None else "amd64"

    @property
    def program(self) -> str:
        """The command that starts the image's Python."""
        return "pypy3" if self.python.startswith("pypy") else "python3"

    @property
    def tag(self) -> str:
        """The tag of the row's image in the engine."""
        return "muxlab/%s:%s" % (self.id, self.digest())

    def digest(self) -> str:
        """Twelve hexadecimal digits that change when the row or the recipe changes."""
        return hashlib.sha256(repr(tuple(self)).encode("utf-8") + _recipe(self.libc)).hexdigest()[:12]


@functools.lru_cache(maxsize=None)
def _recipe(libc: str) -> bytes:
    """The source files of the recipe, joined. Cached, so that editing one while images are being made has no effect on
    these images."""
    return b"".join((Path(__file__).parent / name).read_bytes() for name in _RECIPES[libc])


def load(path: Path = PATH) -> Dict[str, Row]:
    """The rows by id, in the order of the file. Raises ``Usage``, which names the row and the field that are wrong."""
    content = toml(path)
    listed = content.get("images")
    if set(content) != {"images"} or not isinstance(listed, list) or not all(isinstance(e, dict) for e in listed):
        raise Usage("%s: it must hold images = [ {...}, ... ] and nothing else" % path)
    rows: Dict[str, Row] = {}
    for number, fields in enumerate(listed, 1):
        row = _row("%s: row %d" % (path.name, number), fields)
        if rows.setdefault(row.id, row) is not row:
            raise Usage("%s: row %d: id: an earlier row has the id %s, too" % (path.name, number, row.id))
    return rows


def _row(where: str, fields: Dict[str, Any]) -> Row:
    checked(where, fields, _FIELDS, _OPTIONAL)
    debian = tuple(fields["debian"].split()) if "debian" in fields else None
    if not NAME.match(fields["id"]):
        raise Usage("%s: id: must be lower-case words with dots or dashes" % where)
    if debian is not None and len(debian) != 2:
        raise Usage("%s: debian: must be a suite and an architecture, such as \"trixie amd64\"" % where)
    if debian is not None and debian[1] not in ARCHITECTURES:
        raise Usage("%s: debian: %s is not one of %s" % (where, shown(debian[1]), ", ".join(ARCHITECTURES)))
    if debian is None and "registry" not in fields:
        raise Usage("%s: registry or debian: the row must have one of them" % where)
    if not re.match(r"^(pypy)?3\.\d+$", fields["python"]) or fields["libc"] not in _RECIPES:
        raise Usage("%s: python must be X.Y or pypyX.Y, and libc one of %s" % (where, ", ".join(_RECIPES)))
    return Row(fields["id"], fields.get("registry"), debian, fields["python"], fields["libc"],
               fields["family"], fields.get("install"))


def find(name: str) -> Row:
    """The row with the id ``name``. Raises ``Usage`` if there is none."""
    rows = load()
    if name not in rows:
        raise Usage('no image "%s"; images: %s' % (shown(name), ", ".join(rows)))
    return rows[name]


def names() -> List[str]:
    """The ids of all rows."""
    return list(load())


