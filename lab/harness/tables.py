"""Read TOML files that people write, and check them field by field: an error is one line that names the field."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple, Union

from lab.errors import Usage, reason
from lab.text import shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def toml(path: Path) -> Dict[str, Any]:
    """The content of a TOML file. Raises ``Usage`` if it cannot be read, or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Usage("%s: cannot be read: %s" % (path, reason(error))) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Usage("%s: is no TOML: %s" % (path, str(error).replace("\n", " "))) from error


def tables(path: Path, key: str) -> List[Dict[str, Any]]:
    """The ``[[key]]`` tables of a TOML file that holds nothing else. Raises ``Usage`` for any other content."""
    content = toml(path)
    found = content.get(key, [])
    if set(content) - {key} or not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Usage("%s: it must hold [[%s]] tables and nothing else" % (path, key))
    return found


Kind = Union[type, Tuple[type, ...]]
"""The type of a field, or several that it may have."""


def checked(where: str, fields: Mapping[str, Any], known: Mapping[str, Kind], optional: Tuple[str, ...] = ()) -> None:
    """Raise ``Usage`` for an unknown field, a missing field that is not optional, or a value that is empty or of the
    wrong type. ``where`` begins the message."""
    for name in fields:
        if name not in known:
            raise Usage("%s: %s: unknown field; known: %s" % (where, shown(name), ", ".join(known)))
    for name, kind in known.items():
        if name not in fields and name not in optional:
            raise Usage("%s: %s: is missing" % (where, name))
        if name in fields and (not isinstance(fields[name], kind) or fields[name] in ("", {})):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            raise Usage("%s: %s: must be a %s that is not empty" % (
                where, name, " or a ".join(each.__name__ for each in kinds)))
