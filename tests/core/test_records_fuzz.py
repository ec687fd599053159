"""Files of records, damaged in every way: each is read completely or rejected with one plain line, and nothing else
happens.

The JSON schema agrees: the lab rejects whatever the schema rejects.
"""

from __future__ import annotations

import io
import json
import re
from typing import Any, Dict, List, Optional

import pytest
from hypothesis import example, given, settings, strategies as st

from lab.errors import Usage
from lab.records import OUTCOMES, Observation, Platform, Records, dump, parse
from tests.conftest import NEEDS

complaint = pytest.importorskip("lab.harness.verifying.schema", reason=NEEDS["harness"][0]).complaint

STABLE = settings(max_examples=150, deadline=None, derandomize=True, database=None)
REFUSAL = re.compile(r"run\.jsonl:[1-9][0-9]*: (?:the line|[a-z]+|['\"][ -~]*): [ -~]+; [ -~]+")

# Valid files.

words = st.from_regex(r"[a-z0-9-]{1,12}", fullmatch=True)
tokens = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7e), min_size=1, max_size=20)
numbers = st.integers(-2 ** 63, 2 ** 64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=8)
values = st.recursive(st.none() | st.booleans() | numbers | texts,
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
                      max_leaves=6)
objects = st.dictionaries(texts, values, max_size=4)
backends = st.sampled_from(["select", "epoll-et", "none", "selectors:PollSelector", "selectors:a.b:C"])
seconds = st.floats(0, 1e9)
instants = st.datetimes().map(lambda instant: instant.isoformat()[:19] + "Z")
platforms = st.builds(Platform.of, objects, st.floats(0.01, 100), instants)


@st.composite
def cells(draw: Any) -> Observation:
    """One observation, of any outcome."""
    outcome = draw(st.sampled_from(OUTCOMES))
    made = draw(st.integers(1, 999_999))
    bare = Observation("%s/%s" % (draw(words), draw(words)), draw(backends), outcome, None, None, "", {}, None,
                       draw(seconds))
    if outcome in ("observed", "leak"):
        bare = bare._replace(token=draw(tokens), expected=draw(st.none() | tokens), detail=draw(objects),
                             trials="%d/%d" % (draw(st.integers(1, made)), made))
    return bare if outcome == "observed" else bare._replace(reason=draw(st.text(min_size=1, max_size=20)))


def lines_of(read: Records) -> List[str]:
    """The lines that a file of these records has."""
    return [dump(read.platform)] + [dump(each) for each in read.observations]


def read_or_refused(data: bytes) -> Optional[Records]:
    """Check the promise: the file is read completely, is the same after writing and reading it again, and is valid by
    the schema; or it is rejected."""
    try:
        read = parse(io.BytesIO(data), "run.jsonl")
    except Usage as refused:
        assert REFUSAL.fullmatch(str(refused)), str(refused)
        assert len(str(refused)) < 300
        return None
    again = "\n".join(lines_of(read)).encode("ascii")
    assert parse(io.BytesIO(again), "run.jsonl") == read
    for line in io.BytesIO(data):
        assert complaint(json.loads(line)) is None
    return read


@settings(STABLE, max_examples=30)
@given(platforms, st.lists(cells(), max_size=4, unique_by=lambda cell: cell[:2]))
def test_what_is_written_is_read(platform: Platform, observations: List[Observation]) -> None:
    written = lines_of(Records("run.jsonl", platform, observations))
    read = read_or_refused("\n".join(written).encode("ascii"))
    assert read == Records("run.jsonl", platform, observations)
    assert lines_of(read) == written


# Damaged files.

SOUND = lines_of(Records("run.jsonl", Platform.of(
    {"system": "Linux", "limits": {"fd_setsize": 1024}, "runtime": None}, 1.0, "2026-11-24T10:00:00Z"), [
        Observation("readiness/tty", "epoll", "observed", "IN+OUT", None, "2/3", {"a": [1, "x", None]}, None, 0.5),
        Observation("readiness/tty", "poll", "leak", "IN", "IN", "1/1", {}, "a descriptor is open", 0.5),
        Observation("accept/v6", "none", "unsupported", None, None, "", {}, "no IPv6 here", 0.0)]))
SOUND_BYTES = "".join(line + "\n" for line in SOUND).encode("ascii")

HOSTILE: List[Any] = [
    None, True, False, 0, 1, -1, 2, 1.0, 0.5, 1e10, -0.0, 2 ** 64, -2 ** 63, 10 ** 400, float("nan"), float("inf"),
    "", "x", "\n", "EPERM\n", "a/b\n", "\x1b[31m", "\u202eevil", "\0", "\ud800", "\udfff", "\u2028", "\x85", "x" * 5000,
    "\U0001f600" * 201, "epoll", "observed", "leak", "crash", "platform", "observation", "1/1", "0/0", "9/1", "1/1\n",
    "a/b", "2026-11-24T10:00:00Z", "2026-13-24T10:00:00Z", "\u0661/\u0661", "sha256:" + "0" * 64, "0.1.0", [], {}, [1],
    {"a": 1}, {"\x1b": "\x1b"}, {"\ud800": 1}, {"x" * 5000: 1}]
RAW = [
    b"NaN", b"-Infinity", b"1e999", b"1e-999", b"-0", b"01", b"1" * 5000, b"0." + b"1" * 5000, b"True", b"0x10", b"1_0",
    b"+1", b"1\xd9\xa3", b"1.\xd9\xa3", b'"\\ud800"', b'"\\u0000"', b'"\\ud83d\\ude00"', b'"\xed\xa0\x80"', b'"\xff"',
    b'"\n"', b'"\t"', b'"\xe2\x80\xae"', b'"\\x41"', b"'x'", b"[" * 15 + b"]" * 15, b"[" * 400 + b"]" * 400,
    b"[" * 5000, b'{"a":' * 3000, b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b"\xef\xbb\xbf1", b"//1", b"1 2", b""]
NAMES = sorted({name for line in SOUND for name in json.loads(line)})
ODD_NAMES = [*NAMES, "host", "__class__", "\x1b[2J", "\u202e", "\ud800", "x" * 300, "", "'", '"', "a: b; c\n"]


@STABLE
@given(st.integers(0, len(SOUND_BYTES)))
def test_truncated(length: int) -> None:
    read = read_or_refused(SOUND_BYTES[:length])
    whole = SOUND_BYTES[:length].strip().count(b"\n")
    at_an_end = length > 0 and b"\n" in SOUND_BYTES[length - 1:length + 1]
    assert (read is not None) == at_an_end
    assert read is None or len(read.observations) == whole


def test_truncated_within_a_line_says_so() -> None:
    with pytest.raises(Usage, match=r"^run\.jsonl:4: the line: is not JSON; it has no line end, so the run"):
        parse(io.BytesIO(SOUND_BYTES[:-3]), "run.jsonl")


@STABLE
@given(st.lists(st.tuples(st.integers(0, len(SOUND_BYTES) - 1), st.integers(1, 255)), min_size=1, max_size=3))
def test_flipped_bits(flips: Any) -> None:
    data = bytearray(SOUND_BYTES)
    for where, mask in flips:
        data[where] ^= mask
    read_or_refused(bytes(data))


@STABLE
@given(st.binary(max_size=60), st.integers(0, len(SOUND_BYTES)))
@example(b"", 0)
def test_random_bytes(noise: bytes, where: int) -> None:
    assert read_or_refused(noise) is None
    read_or_refused(SOUND_BYTES[:where] + noise + SOUND_BYTES[where:])


@settings(STABLE, max_examples=250)
@given(st.integers(0, 3), st.sampled_from(ODD_NAMES), st.sampled_from(HOSTILE) | values, st.booleans())
def test_another_value(number: int, name: str, value: Any, plain: bool) -> None:
    """Another value in place of one, or in a field more."""
    changed: Dict[str, Any] = {**json.loads(SOUND[number]), name: value}
    lines = [line.encode("ascii") for line in SOUND]
    lines[number] = json.dumps(changed, ensure_ascii=plain).encode("utf-8", "surrogatepass")
    read_or_refused(b"\n".join(lines))


def test_every_hostile_value_in_every_field() -> None:
    for number, line in enumerate(SOUND):
        sound = json.loads(line)
        for name in sound:
            for value in HOSTILE:
                damaged = [*SOUND[:number], json.dumps({**sound, name: value}), *SOUND[number + 1:]]
                read_or_refused("\n".join(damaged).encode("ascii"))


@pytest.mark.parametrize("number", range(len(SOUND)))
def test_json_that_is_none_or_nearly_none(number: int) -> None:
    sound = json.loads(SOUND[number])
    for name in sound:
        for raw in RAW:
            for inside in ("@", {"a": "@"}):
                line = json.dumps({**sound, name: inside}).encode("ascii").replace(b'"@"', raw)
                read_or_refused(b"\n".join([*(each.encode("ascii") for each in SOUND[:number]), line]))


@STABLE
@given(st.sampled_from(range(len(SOUND))), st.sampled_from(NAMES))
def test_a_field_less(number: int, name: str) -> None:
    values_left = json.loads(SOUND[number])
    if values_left.pop(name, ...) is not ...:
        assert read_or_refused("\n".join([*SOUND[:number], json.dumps(values_left)]).encode("ascii")) is None


@STABLE
@given(st.lists(st.sampled_from(range(len(SOUND))), max_size=6))
def test_other_lines(order: List[int]) -> None:
    """Lines repeated, missing or in another order: only a platform followed by different cells can be read."""
    read = read_or_refused("".join(SOUND[number] + "\n" for number in order).encode("ascii"))
    assert (read is not None) == (order[:1] == [0] and len(set(order)) == len(order))
