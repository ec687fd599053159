"""Reads named sets of targets from docker/matrix.toml, for `lab verify --matrix ci`.

A machine may lack parts of a matrix: an image that only a registry has, the emulator of an architecture, a runtime. The
report lists each missing part with the reason.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from lab.errors import Usage
from lab.harness import engine, images, runtimes
from lab.harness.images import Row, architecture, make
from lab.harness.tables import checked, toml
from lab.text import shown

PATH = images.FOLDER / "matrix.toml"

_LISTS = ("images", "without", "runtimes", "targets")
_FIELDS = {"about": str, **dict.fromkeys(_LISTS, list)}


class Matrix(NamedTuple):
    """One set: ``images`` but ``without`` times ``runtimes``, and ``targets`` in their own spellings."""

    name: str
    about: str
    images: Tuple[str, ...]
    without: Tuple[str, ...]
    runtimes: Tuple[str, ...]
    targets: Tuple[str, ...]

    def rows(self) -> List[Row]:
        """Its images, as rows of images.toml and in that order."""
        return [row for row in images.load().values()
                if ("*" in self.images or row.id in self.images) and row.id not in self.without]

    def spellings(self, own: str = "amd64") -> List[str]:
        """The spellings of all targets. ``own``: the architecture of the engine's machine, as Debian calls it."""
        chosen = self.rows()
        if not self.runtimes:
            return [*self.targets, *("docker:%s" % row.id for row in chosen)]
        return [*self.targets, *("docker:%s@%s" % (row.id, runtime) for runtime in self.runtimes for row in chosen
                                 if row.arch == own or not runtimes.is_native_only(runtime))]


def load(path: Path = PATH) -> Dict[str, Matrix]:
    """The sets by name. Raises ``Usage`` that names the set and the wrong field."""
    known = images.load()
    found = {}
    for name, fields in toml(path).items():
        where = "%s: %s" % (path.name, name)
        if not isinstance(fields, dict):
            raise Usage("%s: must be a table" % where)
        checked(where, fields, _FIELDS, _LISTS)
        made = Matrix(name, fields["about"], *(_texts(where, fields, each) for each in _LISTS))
        for field, ids in (("images", made.images), ("without", made.without)):
            for each in ids:
                if each not in known and (field, each) != ("images", "*"):
                    raise Usage("%s: %s: images.toml has no %s" % (where, field, each))
        found[name] = made
    return found


def _texts(where: str, fields: Dict[str, Any], name: str) -> Tuple[str, ...]:
    values = fields.get(name, [])
    if not all(isinstance(each, str) and each for each in values):
        raise Usage("%s: %s: must be a list of words" % (where, name))
    return tuple(values)


def find(name: str) -> Matrix:
    """The set of that name. Raises ``Usage``."""
    found = load()
    if name not in found:
        near = difflib.get_close_matches(name, found, 1)
        raise Usage('no matrix "%s"%s; they are: %s' % (
            shown(name), "; %s?" % near[0] if near else "", ", ".join(found)))
    return found[name]


def choose(name: str) -> Tuple[List[str], Dict[str, str]]:
    """The spellings of the targets in that set that this machine can have; and the images that it cannot have, with the
    reasons. Targets of a runtime that the engine lacks are among the former; they fail with a hint how to install it.
    Raises ``Usage``, and ``NotHere`` without an engine."""
    chosen = find(name)
    if not chosen.images:
        return list(chosen.targets), {}
    client = engine.connect()
    try:
        lacking = {row.id: "; ".join(make.obstacles(client, row)) for row in chosen.rows()}
        own = next(iter(architecture.native(client)), "amd64")
    finally:
        client.close()
    missing = {name: why for name, why in lacking.items() if why}
    return [each for each in chosen.spellings(own) if each.partition(":")[2].partition("@")[0] not in missing], missing
