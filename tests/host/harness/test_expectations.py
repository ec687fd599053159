"""Rows of known deviations: how a `where` is compared with facts, and what a file must look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

from lab.errors import Usage
from lab.harness.verifying import expectations
from lab.harness.verifying.expectations import Row, matches
from lab.probing.catalogue import catalogue
from lab.probing.needs import NEEDS

FACTS: Dict[str, Any] = {
    "system": "Linux", "kernel": {"release": "6.1.0-50-cloud-amd64"}, "runtime": None, "architecture": {"bits": 64},
    "interpreter": {"implementation": "CPython", "version": "3.9.18"}}

GOOD = """\
[[row]]
probe = "lifecycle/unregister-closed"
backend = "epoll"
where = { "interpreter.version" = "<3.9" }
observed = "ok"
why = "because"
link = "https://example.org/"
"""


@pytest.mark.parametrize("value, wanted, holds", [
    ("3.8.18", "<3.9", True), ("3.9.0", "<3.9", False), ("3.10.1", "<3.9", False), ("3.10.1", ">=3.9,<3.11", True),
    ("3.11.0", ">=3.9,<3.11", False), ("3.8.18", "==3.8", True), ("3.80", "==3.8", False), ("3.8", "!=3.8", False),
    ("6.1.0-50-cloud-amd64", ">=5.14", True), ("4.4.0", "<5.5", True), ("3.15.0b1", ">=3.15", True),
    ("glibc", "glibc", True), ("musl", "glibc", False), (64, 64, True), (64, 32, False), (True, True, True),
    ("CPython", ["PyPy", "CPython"], True), ("CPython", ["PyPy"], False), (None, "<3.9", False), (None, "!=3.9", True),
    ("Linux", "!=Linux", False), ("Darwin", "!=Linux", True), ("what", "<3.9", False), ("3.8", "< 3.9 , >= 3.8", True),
])
def test_a_fact_is_compared_as_a_version_or_as_it_is(value: Any, wanted: Any, holds: bool) -> None:
    assert matches(value, wanted) is holds


def test_a_row_applies_where_all_of_its_facts_hold() -> None:
    row = Row("a/b", "epoll", {"system": "Linux", "interpreter.version": "==3.9"}, "ok", "why", "link", False, "f")
    assert row.applies(FACTS)
    assert not row._replace(where={"system": "Linux", "interpreter.version": "==3.8"}).applies(FACTS)
    assert not row._replace(where={"runtime.name": "gvisor"}).applies(FACTS)
    assert not row._replace(where={"system.no.such": "Linux"}).applies(FACTS)


def test_a_row_covers_a_backend_by_name_by_family_or_all() -> None:
    row = Row("a/b", "epoll", {"system": "Linux"}, "ok", "why", "link", False, "f: row 1")
    assert row.covers("a/b", "epoll") and row.covers("a/b", "epoll-et")
    assert not row.covers("a/b", "selectors:EpollSelector") and not row.covers("a/c", "epoll")
    assert row._replace(backend="selectors").covers("a/b", "selectors:EpollSelector")
    assert row._replace(backend="epoll-et").covers("a/b", "epoll-et")
    assert not row._replace(backend="epoll-et").covers("a/b", "epoll")
    assert row._replace(backend="*").covers("a/b", "none")


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text(GOOD + "unverified = true\n")
    assert expectations.load(path) == [
        Row("lifecycle/unregister-closed", "epoll", {"interpreter.version": "<3.9"}, "ok", "because",
            "https://example.org/", True, "some.toml: row 1")]


def test_a_row_may_be_confirmed_on_some_of_its_platforms(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text(GOOD + 'unverified = { "system" = "Windows" }\n')
    row, = expectations.load(path)
    assert row.at({**FACTS, "system": "Windows"}).unverified is True
    assert row.at(FACTS).unverified is False
    assert row._replace(unverified=True).at(FACTS).unverified is True


@pytest.mark.parametrize("text, complaint", [
    (GOOD.replace('why = "because"\n', ""), "row 1: why: is missing"),
    (GOOD + 'unverified = "yes"\n', "row 1: unverified: must be a bool or a dict that is not empty"),
    (GOOD.replace('"because"', '""'), "row 1: why: must be a str that is not empty"),
    (GOOD.replace('"because"', "3"), "row 1: why: must be a str that is not empty"),
    (GOOD.replace('{ "interpreter.version" = "<3.9" }', "{}"), "row 1: where: must be a dict that is not empty"),
    (GOOD + 'wy = "typo"\n', "row 1: wy: unknown field"),
    (GOOD + "[other]\n", "must hold [[row]] tables and nothing else"),
    ("row = 3\n", "must hold [[row]] tables and nothing else"),
    ("[[row]\n", "is no TOML"),
])
def test_a_file_that_is_not_as_it_must_be_is_refused_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "some.toml"
    path.write_text(text)
    with pytest.raises(Usage) as refused:
        expectations.load(path)
    assert complaint in str(refused.value)
    assert "some.toml" in str(refused.value) and "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="cannot be read: No such file or directory"):
        expectations.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(Usage, match="is no TOML"):
        expectations.load(tmp_path / "bad.toml")


def test_a_family_can_be_left_out() -> None:
    row = Row("a/b", "=epoll", {}, "x", "why", "link", False, "f")
    assert row.covers("a/b", "epoll") and not row.covers("a/b", "epoll-et")
    assert row._replace(backend="epoll").covers("a/b", "epoll-et")


# The rows that the lab ships.


ROWS = expectations.load_all()
PROBES = {name: probe for probe in catalogue() for name in (probe.id, *probe.aliases)}


WHERE = {"system", "interpreter.implementation", "interpreter.version", "interpreter.release", "libc.name",
         "libc.version", "interpreter.free_threaded", "kernel.release", "runtime.name", "architecture.machine",
         "architecture.bits", "architecture.byte_order", "distribution.version", "container.version",
         "container.emulated", "virtualization.name"}
"""The facts that rows may ask for: a misspelled one would never hold, and the row never apply."""


def test_there_are_rows_for_the_platforms_that_differ() -> None:
    assert len(ROWS) > 10


def wrongs(row: Row) -> Iterator[str]:
    """What a row says that cannot be."""
    probe = PROBES.get(row.probe)
    if probe is None:
        yield "there is no such probe"
        return
    covered = [name for name in probe.on if row.covers(row.probe, name)]
    if not covered:
        yield "it is not asked of %s" % row.backend
    for name in covered:
        if probe.expected(name) == row.observed:  # where nothing is promised, a row tells which platforms do what
            yield "on %s that is no deviation" % name
    asked = {*row.where, *(row.unverified if not isinstance(row.unverified, bool) else ())}
    if asked - WHERE:
        yield "there are no such facts: %s" % ", ".join(asked - WHERE)


def test_every_row_speaks_of_a_probe_that_exists_and_says_otherwise_than_its_source() -> None:
    assert ["%s: %s on %s: %s" % (row.source, row.probe, row.backend, wrong) for row in ROWS
            for wrong in wrongs(row)] == []


def test_a_row_that_cannot_be_is_found() -> None:
    row = Row("hangup/half-close", "poll", {"system": "Linux"}, "IN", "why", "link", False, "f")
    assert list(wrongs(row)) == []
    for changed in (row._replace(probe="a/b"), row._replace(backend="pol"), row._replace(observed="IN+OUT+RDHUP"),
                    row._replace(where={"systm": "Linux"}), row._replace(unverified={"systm": "Linux"})):
        assert len(list(wrongs(changed))) == 1, changed


def test_no_row_is_there_twice() -> None:
    seen = [(row.probe, row.backend, row.observed, str(sorted(row.where.items()))) for row in ROWS]
    assert len(seen) == len(set(seen))


def test_every_need_that_a_probe_lists_is_known() -> None:
    assert [(probe.id, need) for probe in catalogue() for need in probe.needs if need not in NEEDS] == []
