"""What platforms are known to do otherwise than a probe's source says: rows of TOML, each with its reason.

    [[row]]
    probe = "lifecycle/unregister-closed"
    backend = "epoll"                               # a name, a family (epoll, selectors), "=epoll" for it alone, or "*"
    where = { "interpreter.version" = "<3.9" }      # facts by dotted path
    observed = "ok"
    why = "EBADF was swallowed until bpo-39239"
    link = "https://github.com/python/cpython/issues/83420"

A value in ``where`` is compared as it is, or as versions where it begins with an operator; several comparisons are
joined with commas, and all must hold: ``">=5.5,<5.14"``. A list means any of its members. A fact that the platform does
not tell fulfils nothing but "!=".

``observed = "crash"`` is what stands where the platform ends the process, ``"hangs"`` where a call does not return and
the time for the cell is over.

``varies = true`` says that the platform does so at times, and as the source says at others.

``unverified = true`` marks a row that comes from a document and that no run has confirmed yet. Where some platforms of
a row have been seen and others not, it has a condition like ``where``: ``unverified = { "system" = "Windows" }``.

A row is a claim too. Where it applies and something else was observed, it has healed, or never was right: that is a
failure (``lab.harness.verifying.judge``).
"""

from __future__ import annotations

import operator
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple, Union

from lab.backends import spelling
from lab.harness.tables import Kind, checked, tables

FOLDER = Path(__file__).parent

_OPERATORS: Dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "==": operator.eq, "<": operator.lt, ">": operator.gt}
_COMPARISON = re.compile(r"^(<=|>=|!=|==|<|>)\s*(.+)$")
_FIELDS: Dict[str, Kind] = {"probe": str, "backend": str, "where": dict, "observed": str, "why": str, "link": str,
                            "unverified": (bool, dict), "varies": bool}
_OPTIONAL = ("unverified", "varies")


class Row(NamedTuple):
    """One known deviation."""

    probe: str
    backend: str
    where: Mapping[str, Any]
    observed: str
    why: str
    link: str
    unverified: Union[bool, Mapping[str, Any]]
    source: str
    """The file and the row's number in it, for messages."""
    varies: bool = False

    def covers(self, probe: str, backend: str) -> bool:
        """Whether it speaks of that cell."""
        return self.probe == probe and self.backend in ("*", "=" + backend, backend, spelling.family(backend))

    def applies(self, facts: Mapping[str, Any]) -> bool:
        """Whether it speaks of that platform."""
        return _hold(self.where, facts)

    def at(self, facts: Mapping[str, Any]) -> Row:
        """The same for that platform: ``unverified`` is a bool."""
        if isinstance(self.unverified, bool):
            return self
        return self._replace(unverified=_hold(self.unverified, facts))


def _hold(conditions: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    return all(matches(fact(facts, path), wanted) for path, wanted in conditions.items())


def fact(facts: Mapping[str, Any], path: str) -> Any:
    """The fact at a dotted path, such as ``interpreter.version``; None where there is none."""
    value: Any = facts
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def matches(value: Any, wanted: Any) -> bool:
    """Whether a fact is as a row wants it."""
    if isinstance(wanted, list):
        return any(matches(value, each) for each in wanted)
    if not isinstance(wanted, str) or not _COMPARISON.match(wanted):
        return bool(value == wanted)
    return all(_holds(value, part.strip()) for part in wanted.split(","))


def _holds(value: Any, comparison: str) -> bool:
    match = _COMPARISON.match(comparison)
    if match is None:
        return False
    sign, text = match.groups()
    if value is None:
        return sign == "!="
    left, right = _version(str(value)), _version(text)
    if not left or not right:
        left, right = (str(value),), (text,)
        if sign not in ("==", "!="):
            return False
    if sign in ("==", "!="):  # "==3.8" means every 3.8.x
        left = left[:len(right)]
    return _OPERATORS[sign](left, right)


def _version(text: str) -> Tuple[Any, ...]:
    """The leading numbers of ``6.1.0-50-cloud-amd64``: (6, 1, 0)."""
    match = re.match(r"^\d+(\.\d+)*", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def load_all() -> List[Row]:
    """Every row that the lab ships, by file. Raises as ``load``."""
    return [row for path in sorted(FOLDER.glob("*.toml")) for row in load(path)]


def load(path: Path) -> List[Row]:
    """The rows of one file. Raises ``Usage`` with the file, the row and the field where it is not as it must be."""
    return [_row(path.name, number, fields) for number, fields in enumerate(tables(path, "row"), 1)]


def _row(source: str, number: int, fields: Mapping[str, Any]) -> Row:
    where = "%s: row %d" % (source, number)
    checked(where, fields, _FIELDS, _OPTIONAL)
    return Row(fields["probe"], fields["backend"], fields["where"], fields["observed"], fields["why"], fields["link"],
               fields.get("unverified", False), where, fields.get("varies", False))
