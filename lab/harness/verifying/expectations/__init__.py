"""What platforms are known to do differently from what a probe's source promises: causes, one TOML file a platform.

    where = { "interpreter.implementation" = "PyPy" }   # for every cause of the file; a cause may add to it

    [[cause]]
    why = "epoll.poll() in PyPy does not check that the timeout in milliseconds fits an int"
    link = "https://github.com/pypy/pypy/blob/main/pypy/module/select/interp_epoll.py"
    [cause.observed]
    "timeouts/infinity" = { epoll = "IN" }
    "timeouts/three-million-seconds" = { epoll = "IN", "selectors:EpollSelector" = "READ" }

``why`` and ``link`` say what the reason is and where to read about it.

``where`` names the platforms, by facts at dotted paths (``lab doctor --json`` prints them); all of them must hold. A
value is compared as it is, or as a version where it begins with an operator. Commas join comparisons that must all
hold, as in ``">=5.5,<5.14"``; a list means any of its members. A missing fact satisfies only ``!=``. The ``where`` of a
cause is added to that of the file, and wins where both name the same fact.

``observed`` maps a probe, by its id or an alias, to the token that it reports there. Like the ``expect`` of a probe,
this is one token for all of its backends, or a mapping by backend or family (``epoll`` is also the family of
``epoll-et``, ``selectors`` that of all selectors) with ``"*"`` for the rest; the most specific name counts.
``"=epoll"`` means that backend and not its family. On a backend that no name covers, the platform does what the source
promises. ``"crash"`` stands where the platform ends the process, ``"hangs"`` where a call does not return before the
time for the cell is over.

``varies = true`` says that the platform does so at times, and as the source promises at other times.

``unverified = true`` marks what comes from a document and what no run has confirmed yet. Where a run has confirmed it
on some of the platforms, a condition like ``where`` names the others: ``unverified = { "system" = "Windows" }``. A file
may say it for all of its causes.

A cause is a claim, too. Where it applies and the probe observes what the source promises, the platform has healed or
the cause never was right: ``lab verify`` fails (``lab.harness.verifying.judge``), and the cause has to go.
"""

from __future__ import annotations

import operator
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Tuple, Union

from lab.backends import spelling
from lab.errors import Usage
from lab.facts import upstream
from lab.harness.tables import Kind, checked, toml
from lab.text import shown

FOLDER = Path(__file__).parent

_OPERATORS: Dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "==": operator.eq, "<": operator.lt, ">": operator.gt}
_COMPARISON = re.compile(r"^(<=|>=|!=|==|<|>)\s*(.+)$")
_FILE: Dict[str, Kind] = {"where": dict, "unverified": (bool, dict), "cause": list}
_CAUSE: Dict[str, Kind] = {"why": str, "link": str, "where": dict, "unverified": (bool, dict), "varies": bool,
                           "observed": dict}
_OPTIONAL = ("where", "unverified", "varies")


class Row(NamedTuple):
    """One token of a cause: what one probe reports on one backend, family or all backends (``"*"``)."""

    probe: str
    backend: str
    where: Mapping[str, Any]
    observed: str
    why: str
    link: str
    unverified: Union[bool, Mapping[str, Any]]
    source: str
    """The file and the number of the cause in it, for messages."""
    varies: bool = False
    others: Tuple[str, ...] = ()
    """The other backends that the cause names for this probe; a more specific one takes its cells from this row."""

    def covers(self, probe: str, backend: str) -> bool:
        """Whether the row is about that cell: its backend is the most specific one that the cause names."""
        names = ("=" + backend, backend, spelling.family(backend), "*")
        named = (name for name in names if name in (self.backend, *self.others))
        return self.probe == probe and next(named, None) == self.backend

    def applies(self, facts: Mapping[str, Any]) -> bool:
        """Whether the row is about that platform."""
        return _hold(self.where, facts)

    def at(self, facts: Mapping[str, Any]) -> Row:
        """The same row for that platform: ``unverified`` is a bool."""
        if isinstance(self.unverified, bool):
            return self
        return self._replace(unverified=_hold(self.unverified, facts))


def _hold(conditions: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    return all(matches(fact(facts, path), wanted) for path, wanted in conditions.items())


def fact(facts: Mapping[str, Any], path: str) -> Any:
    """The fact at a dotted path, such as ``interpreter.version``; None where there is none.

    Records of a lab that did not know ``kernel.upstream`` yet get it from the release and the version of their kernel.
    """
    value: Any = facts
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None and path == "kernel.upstream" and fact(facts, "system") == "Linux":
        return upstream(str(fact(facts, "kernel.release")), str(fact(facts, "kernel.version")))
    return value


def matches(value: Any, wanted: Any) -> bool:
    """Whether the value of a fact is what a ``where`` asks for."""
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


# Reading the files.

def load_all() -> List[Row]:
    """Every row that the lab ships, file by file. Raises as ``load``."""
    return [row for path in sorted(FOLDER.glob("*.toml")) for row in load(path)]


def load(path: Path) -> List[Row]:
    """The rows of one file. Raises ``Usage`` with the file, the cause and the field of the first mistake."""
    content = toml(path)
    checked(path.name, content, _FILE, _OPTIONAL)
    _check_conditions(path.name, content)
    return [row for number, fields in enumerate(content["cause"], 1)
            for row in _rows("%s: cause %d" % (path.name, number), fields, content)]


def _rows(source: str, fields: Any, shared: Mapping[str, Any]) -> Iterator[Row]:
    """Expand one cause; ``shared`` has what the file says for all of its causes."""
    if not isinstance(fields, dict):
        raise Usage("%s: must be a [[cause]] table" % source)
    checked(source, fields, _CAUSE, _OPTIONAL)
    _check_conditions(source, fields)
    where = {**shared.get("where", {}), **fields.get("where", {})}
    if not where:
        raise Usage("%s: where: is missing, and the file has none for all causes" % source)
    unverified = fields.get("unverified", shared.get("unverified", False))
    for probe, tokens in fields["observed"].items():
        by_backend = tokens if isinstance(tokens, dict) else {"*": tokens}
        if not by_backend or not all(isinstance(token, str) and token for token in by_backend.values()):
            raise Usage("%s: observed: %s: must be a token, or a table of tokens by backend" % (
                source, shown(probe)))
        for backend, token in by_backend.items():
            yield Row(probe, backend, where, token, fields["why"], fields["link"], unverified, source,
                      fields.get("varies", False), tuple(other for other in by_backend if other != backend))


def _check_conditions(source: str, fields: Mapping[str, Any]) -> None:
    """Raise ``Usage`` for a condition that no fact can ever satisfy: a table, an empty list."""
    for field in ("where", "unverified"):
        conditions = fields.get(field)
        for path, wanted in conditions.items() if isinstance(conditions, dict) else ():
            members = wanted if isinstance(wanted, list) else [wanted]
            if not members or not all(isinstance(each, (str, int)) for each in members):
                raise Usage("%s: %s: %s: must be a text, a number, true, false or a list of these; a dotted path "
                            "stands in quotes" % (source, field, shown(path)))
