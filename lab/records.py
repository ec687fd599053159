"""Records: the JSON lines that a run writes. They come from containers and strangers' machines, and last for years.

The first line describes the platform, and each further line one cell (a probe on a backend). Because records come from
outside, we check every field when we read it, and nowhere else. An error is a ``Usage`` of one line,
``FILE:LINE: FIELD: what; what to do``, with every quoted value escaped. In ``facts`` and ``detail`` we limit only size
and depth; their texts, and ``reason``, may hold any Unicode, so code that shows them must escape them (``lab.text``).
lab/harness/verifying/schema/records.schema.json holds the same rules for other programs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple, Union

import lab
from lab.backends import spelling
from lab.errors import Usage, reason
from lab.text import escaped, shown

SCHEMA = 1  # the version of the format; we reject a higher one, which we would misread
OUTCOMES = ("observed", "unsupported", "broken", "timeout", "crash", "leak")

MAX_FILE_BYTES = 64 << 20
MAX_LINE_BYTES = 1 << 20
MAX_DEPTH = 16  # of objects and lists around a value; the facts need three
MAX_TEXT = 4096  # characters of any text
MAX_NAME = 200  # of a token, a probe, a backend
QUOTED = 60  # of a value in a message
_TOO_DEEP = "is nested more than %d deep" % MAX_DEPTH
_ANEW = "make the record again"
LINE = "%s:%d: %s: %s; %s"  # file, line, field, what is wrong with it, what to do
_PASSING = frozenset(("cpus", "nofile", "max_user_watches", "evidence", "certain"))


class Platform(NamedTuple):
    """The first line: where and when. ``started`` is UTC; ``slow`` is the factor that all waits were multiplied by."""

    facts: Dict[str, Any]
    fingerprint: str
    lab: str
    started: str
    slow: float

    @classmethod
    def of(cls, facts: Dict[str, Any], slow: float, started: str) -> Platform:
        """The platform of a run by this lab. ``started`` looks like ``2026-11-24T10:00:00Z``."""
        return cls(facts, fingerprint(facts), lab.__version__, started, slow)


class Observation(NamedTuple):
    """The result of one cell.

    If the outcome is ``observed`` or ``leak`` there are a token, an expected token (None: the source promises nothing),
    trials ``k/n`` (k of n trials gave the token) and detail. For other outcomes these are None, None, "" and {}. All
    outcomes but ``observed`` have a reason."""

    probe: str
    backend: str
    outcome: str
    token: Optional[str]
    expected: Optional[str]
    trials: str
    detail: Dict[str, Any]
    reason: Optional[str]
    seconds: float

    @property
    def flaky(self) -> bool:
        """Whether some trials gave another token."""
        return len(set(self.trials.split("/"))) > 1


class Records(NamedTuple):
    """A whole file. ``source`` is its name as the user gave it, for messages."""

    source: str
    platform: Platform
    observations: List[Observation]


class _Refused(Exception):
    """A field, what is wrong with it, and what to do. ``parse`` turns it into a ``Usage``."""

    def __init__(self, field: str, what: str, cure: str = _ANEW) -> None:
        super().__init__(field, what, cure)


def fingerprint(facts: Mapping[str, Any]) -> str:
    """A hash that names the platform: two runs have the same fingerprint if their platforms are the same.

    It covers every fact that a behaviour may depend on, also those that this version does not know: kernel,
    architecture, libc, distribution, interpreter, FD_SETSIZE, somaxconn, features, and the names of the runtime and of
    the virtual machine. It leaves out what a shell or a scheduler changes from one process to the next
    (``limits.nofile``, ``cpus``), what the kernel computes from the machine's memory (``limits.max_user_watches``), and
    how sure we are and why (``certain``, ``evidence``). A fact that is None counts as missing, so that a fact which a
    later version adds changes no fingerprint where it is None.
    """
    def lasting(values: Mapping[str, Any]) -> Dict[str, Any]:
        return {name: value for name, value in values.items() if name not in _PASSING and value is not None}

    platform = {name: lasting(value) if isinstance(value, dict) else value for name, value in lasting(facts).items()}
    canonical = json.dumps(platform, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()


def dump(record: Union[Platform, Observation]) -> str:
    """Write a record as one line, without the line end. Equal records give equal lines. Raises ValueError for a record
    that ``parse`` would reject or read as another one (tuples come back as lists)."""
    values = {"kind": "platform", "schema": SCHEMA, **record._asdict()}
    try:
        if isinstance(record, Observation):
            given = {name: each for name, each in record._asdict().items() if name not in _absent(record.outcome)}
            values = {"kind": "observation", **given}
        text = json.dumps(values, sort_keys=True, allow_nan=False)
        back = _record(_decode(text.encode("ascii")))
    except _Refused as bad:
        raise ValueError("%s: %s" % bad.args[:2]) from None
    except (TypeError, RecursionError) as error:  # a set; a list that contains itself
        raise ValueError("no JSON: %s" % error) from None
    if back != record:
        wrong = [name for name in record._fields if getattr(back, name) != getattr(record, name)]
        raise ValueError("%s: would not come back as it is" % ", ".join(wrong))
    return text


def save(path: Union[str, os.PathLike[str]], found: Records) -> None:
    """Write a file of records that ``load`` reads. Raises OSError."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(dump(found.platform) + "\n")
        file.writelines(dump(each) + "\n" for each in found.observations)


def load(path: Union[str, os.PathLike[str]]) -> Records:
    """Read a file. Raises ``Usage`` if it cannot be read, or if any field breaks the rules of the format."""
    source = os.fspath(path)
    try:
        with open(path, "rb") as file:
            return parse(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), source)  # a line may have no end
    except (OSError, ValueError) as error:  # any: we cannot read it; ValueError: a NUL or a surrogate in the name
        why = reason(error) if isinstance(error, OSError) else "no file has such a name"
    raise Usage(LINE % (escaped(source), 1, "the file", "cannot be read: %s" % why, "name a file of records"))


def parse(lines: Iterable[bytes], source: str) -> Records:
    """Read lines as they arrive, e.g. from a pipe. ``source`` names them in messages. Raises ``Usage``."""
    platform: Optional[Platform] = None
    cells: Dict[Tuple[str, str], Observation] = {}
    number = size = 0
    try:
        for line in lines:
            number, size = number + 1, size + len(line)
            if size > MAX_FILE_BYTES:
                raise _Refused("the line", "goes beyond %d MiB" % (MAX_FILE_BYTES >> 20), "split the run")
            record = _record(_decode(line))
            if isinstance(record, Platform) != (platform is None):
                raise _Refused("kind", "a second platform" if platform else "a cell before its platform",
                               "a file is one run, its platform comes first: split it")
            if isinstance(record, Platform):
                platform = record
            elif cells.setdefault(record[:2], record) is not record:
                raise _Refused("probe", "%s on %s is there twice" % record[:2], "keep one of the two lines")
        if platform is None:
            raise _Refused("the line", "is missing, the file is empty", "run again, and look for errors")
    except _Refused as bad:
        raise Usage(LINE % (escaped(source), max(number, 1), *bad.args)) from None
    return Records(source, platform, list(cells.values()))


def _quoted(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return "'%s'" % shown(value, QUOTED) if isinstance(value, str) else shown(json.dumps(value), QUOTED)


def _decode(line: bytes) -> Dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise _Refused("the line", "is longer than %d MiB" % (MAX_LINE_BYTES >> 20), "keep details short")
    if line.startswith(b"\xef\xbb\xbf"):
        raise _Refused("the line", "starts with a byte order mark", "save the file as plain UTF-8")
    try:
        values = json.loads(line.decode("utf-8"), object_pairs_hook=_unique, parse_int=_integer, parse_float=_finite,
                            parse_constant=_finite)
    except RecursionError:
        raise _Refused("the line", _TOO_DEEP) from None
    except ValueError as error:
        what = "is not %s" % ("UTF-8" if isinstance(error, UnicodeDecodeError) else "JSON")
        cure = _ANEW if line.endswith(b"\n") else "it has no line end, so the run was cut off: run it again"
        raise _Refused("the line", what, cure) from None
    if not isinstance(values, dict):
        raise _Refused("the line", "is %s, not an object" % _quoted(values))
    return values


def _unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise _Refused(_quoted(Counter(name for name, _ in pairs).most_common(1)[0][0]), "is there twice in one object")
    return values


def _integer(text: str) -> int:
    # Length first: before 3.11, int() of a million digits takes seconds. ASCII: PyPy 3.9 also parses Arabic digits.
    if len(text) > 20 or not -2 ** 63 <= int(text.encode("ascii")) < 2 ** 64:
        raise _Refused("the line", "holds a whole number of more than 64 bits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text.encode("ascii"))
    if number - number != 0:  # NaN, an infinity, or 1e999
        raise _Refused("the line", "holds a number that is not finite")
    return number


def _measure(value: Any, field: str, depth: int = 1) -> None:
    """Raise for anything in the value of a field that is nested too deep, too long, or not valid Unicode."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise _Refused(field, "has a text of %d characters, and %d are allowed" % (len(value), MAX_TEXT))
        if not value.isascii() and re.search("[\ud800-\udfff]", value):
            raise _Refused(field, "has half of a surrogate pair, which is no Unicode")
    elif isinstance(value, (dict, list)):
        if depth >= MAX_DEPTH:
            raise _Refused(field, _TOO_DEEP)
        for each in [*value, *value.values()] if isinstance(value, dict) else value:
            _measure(each, field, depth + 1)


def _text(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and bool(0 <= value <= 1e9)  # type() and not isinstance(): True is an int, too


def _is_trials(value: Any) -> bool:
    return _text("[1-9][0-9]{0,5}/[1-9][0-9]{0,5}")(value) and int(value.split("/")[0]) <= int(value.split("/")[1])


def _is_instant(value: Any) -> bool:
    try:
        instant = datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except (TypeError, ValueError):  # not a text; month 13
        return False
    return bool(instant.isoformat() == value[:-1] + "+00:00")  # strptime also parses 9:5:00


_is_token = _text("[ -~]{1,%d}" % MAX_NAME)
_PLATFORM: Dict[str, Tuple[Callable[[Any], bool], str]] = {
    "schema": (lambda value: type(value) is int and value == SCHEMA, "%d" % SCHEMA),
    "lab": (_text(r"[0-9][0-9A-Za-z.+!-]{0,39}"), "a version such as 0.1.0"),
    "facts": (lambda value: isinstance(value, dict), "an object"),
    "fingerprint": (_text(r"sha256:[0-9a-f]{64}"), "sha256: and 64 hexadecimal digits"),
    "started": (_is_instant, "an instant such as 2026-11-24T10:00:00Z"),
    "slow": (lambda value: _is_number(value) and value > 0, "a number above 0"),
}
_CELL: Dict[str, Tuple[Callable[[Any], bool], str]] = {
    "outcome": (lambda value: value in OUTCOMES, "one of %s" % ", ".join(OUTCOMES)),
    "probe": (_text(r"(?=.{3,200}$)[a-z0-9-]+/[a-z0-9-]+"), "an id such as readiness/regular-file"),
    "backend": (_text(r"(?=.{1,200}$)(%s)" % spelling.RECORDED),
                "a name such as epoll or selectors:PollSelector"),
    "token": (_is_token, "1 to %d printable ASCII characters" % MAX_NAME),
    "expected": (lambda value: value is None or _is_token(value), "null or a token"),
    "trials": (_is_trials, "k/n, for k of n trials"),
    "detail": (lambda value: isinstance(value, dict), "an object"),
    "reason": (lambda value: isinstance(value, str) and value != "", "a text that says why"),
    "seconds": (_is_number, "a number from 0"),
}


def _absent(outcome: Any) -> Tuple[str, ...]:
    seen = ("token", "expected", "trials", "detail")
    return ("reason",) if outcome == "observed" else () if outcome == "leak" else seen


def _record(values: Dict[str, Any]) -> Union[Platform, Observation]:
    schema, kind = values.get("schema"), values.pop("kind", None)
    if type(schema) is int and schema > SCHEMA:
        raise _Refused("schema", "%d is written by a newer lab than %s" % (schema, lab.__version__), "update the lab")
    if kind == "platform":
        _check(values, _PLATFORM)
        if values["fingerprint"] != fingerprint(values["facts"]):
            raise _Refused("fingerprint", "is not that of these facts, one of the two was changed")
        return Platform(values["facts"], values["fingerprint"], values["lab"], values["started"], float(values["slow"]))
    if kind != "observation":
        raise _Refused("kind", "is %s, not platform or observation" % _quoted(kind))
    absent = _absent(values.get("outcome"))
    _check(values, {name: field for name, field in _CELL.items() if name not in absent})
    given = {"token": None, "expected": None, "trials": "", "detail": {}, "reason": None, **values}
    return Observation(**{**given, "seconds": float(values["seconds"])})


def _check(values: Dict[str, Any], fields: Mapping[str, Tuple[Callable[[Any], bool], str]]) -> None:
    for name, (is_right, must) in fields.items():
        if name not in values:
            raise _Refused(name, "is missing")
        _measure(values[name], name)
        if not is_right(values[name]):
            raise _Refused(name, "is %s, not %s" % (_quoted(values[name]), must))
    for name in sorted(set(values) - set(fields)):
        raise _Refused(_quoted(name), "is no field of such a line", "remove it, or update the lab")
