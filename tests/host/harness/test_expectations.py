"""Known deviations by cause: how a `where` is compared, what a file must look like, and which rows it gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from lab.errors import Usage
from lab.harness.verifying import expectations
from lab.harness.verifying.expectations import Row, matches
from lab.probing.catalogue import catalogue
from lab.probing.needs import NEEDS
from lab.probing.probe import SELECTORS

PROBES = {name: probe for probe in catalogue() for name in (probe.id, *probe.aliases)}

FACTS: Dict[str, Any] = {
    "system": "Linux", "kernel": {"release": "6.1.0-50-cloud-amd64"}, "runtime": None, "architecture": {"bits": 64},
    "interpreter": {"implementation": "CPython", "version": "3.9.18"}}

GOOD = """\
[[cause]]
why = "because"
link = "https://example.org/"
where = { "interpreter.version" = "<3.9" }
[cause.observed]
"lifecycle/unregister-closed" = { epoll = "ok" }
"""


def load(folder: Path, text: str) -> List[Row]:
    """The rows of a file of that text."""
    (folder / "some.toml").write_text(text)
    return expectations.load(folder / "some.toml")


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
    row = Row("a/b", "epoll", {"system": "Linux"}, "ok", "why", "link", False, "f: cause 1")
    assert row.covers("a/b", "epoll") and row.covers("a/b", "epoll-et")
    assert not row.covers("a/b", "selectors:EpollSelector") and not row.covers("a/c", "epoll")
    assert row._replace(backend="selectors").covers("a/b", "selectors:EpollSelector")
    assert row._replace(backend="epoll-et").covers("a/b", "epoll-et")
    assert not row._replace(backend="epoll-et").covers("a/b", "epoll")
    assert row._replace(backend="*").covers("a/b", "none")


def test_the_source_of_a_kernel_is_compared_also_for_records_that_lack_it() -> None:
    """Records of an older lab have the release and the version of their kernel only."""
    row = Row("a/b", "epoll", {"kernel.upstream": "<5.10.56"}, "ok", "why", "link", False, "f")
    debian = {"release": "5.10.0-32-cloud-amd64", "version": "#1 SMP Debian 5.10.223-1 (2024-08-10)"}
    ubuntu = {"release": "5.4.0-170-generic", "version": "#188-Ubuntu SMP"}
    assert not row.applies({"system": "Linux", "kernel": debian}) and row.applies({"system": "Linux", "kernel": ubuntu})
    assert not row.applies({"system": "Linux", "kernel": {**ubuntu, "upstream": "5.10.56"}})
    assert not row.applies({"system": "Wine", "kernel": {"release": "5.0", "version": ""}})
    assert not row.applies({"system": "Linux"})


def test_a_file_is_read(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD.replace("where", "unverified = true\nwhere")) == [
        Row("lifecycle/unregister-closed", "epoll", {"interpreter.version": "<3.9"}, "ok", "because",
            "https://example.org/", True, "some.toml: cause 1")]


def test_a_cause_gives_a_row_for_each_token(tmp_path: Path) -> None:
    rows = load(tmp_path, GOOD + '"a/b" = "IN"\n"a/c" = { select = "r", selectors = "READ" }\nx = "y"\n' + GOOD)
    assert [(row.probe, row.backend, row.observed, row.source[-7:]) for row in rows] == [
        ("lifecycle/unregister-closed", "epoll", "ok", "cause 1"), ("a/b", "*", "IN", "cause 1"),
        ("a/c", "select", "r", "cause 1"), ("a/c", "selectors", "READ", "cause 1"), ("x", "*", "y", "cause 1"),
        ("lifecycle/unregister-closed", "epoll", "ok", "cause 2")]
    assert {(row.why, row.link, str(row.where)) for row in rows} == {
        ("because", "https://example.org/", "{'interpreter.version': '<3.9'}")}


def test_the_most_specific_backend_counts_as_in_what_a_probe_expects(tmp_path: Path) -> None:
    tokens = {"*": "any", "epoll": "family", "epoll-et": "edge", "selectors": "READ", "selectors:PollSelector": "none"}
    rows = load(tmp_path, GOOD + '"a/b" = { %s }\n' % ", ".join('"%s" = "%s"' % item for item in tokens.items()))
    probe = PROBES["edge/connect"]._replace(expect=tokens)
    for backend in (*probe.on, "none"):
        assert [row.observed for row in rows if row.covers("a/b", backend)] == [probe.expected(backend)], backend


def test_a_backend_that_a_cause_does_not_name_is_not_covered(tmp_path: Path) -> None:
    rows = load(tmp_path, GOOD + '"a/b" = { "=epoll" = "level", selectors = "READ" }\n')
    assert [name for name in PROBES["edge/connect"].on if any(row.covers("a/b", name) for row in rows)] == [
        "epoll", *SELECTORS]


def test_what_a_file_says_holds_for_all_of_its_causes(tmp_path: Path) -> None:
    shared = 'where = { system = ["Windows", "Wine"], "interpreter.version" = ">=3.8" }\nunverified = true\n'
    more = GOOD.replace("where = {", 'unverified = false\nwhere = { system = "Wine",')
    first, second, third = load(tmp_path, shared + GOOD + more + GOOD.replace("where", "#"))
    assert (first.where, first.unverified) == ({"system": ["Windows", "Wine"], "interpreter.version": "<3.9"}, True)
    assert (second.where, second.unverified) == ({"system": "Wine", "interpreter.version": "<3.9"}, False)
    assert third.where == {"system": ["Windows", "Wine"], "interpreter.version": ">=3.8"}


def test_a_cause_may_be_confirmed_on_some_of_its_platforms(tmp_path: Path) -> None:
    row, = load(tmp_path, GOOD.replace("where", 'unverified = { system = "Windows" }\nwhere'))
    assert row.at({**FACTS, "system": "Windows"}).unverified is True
    assert row.at(FACTS).unverified is False
    assert row._replace(unverified=True).at(FACTS).unverified is True


@pytest.mark.parametrize("text", [
    expectations.__doc__ or "", (Path(__file__).parents[3] / "docs" / "adding-a-probe.md").read_text(encoding="utf-8")],
    ids=["docstring", "docs"])
def test_the_examples_that_explain_the_format_are_files_of_it(tmp_path: Path, text: str) -> None:
    lines = re.findall(r"^ *(?:where|\[\[?cause|why|link|\"[a-z-]+/).*$", text, re.MULTILINE)
    rows = load(tmp_path, "\n".join(lines))
    assert len(rows) > 1 and {row.probe for row in rows} <= set(PROBES)


BAD_TOKENS = "must be a token, or a table of tokens by backend"
BAD_CONDITION = "must be a text, a number, true, false or a list of these"


@pytest.mark.parametrize("text, complaint", [
    (GOOD.replace('why = "because"\n', ""), "cause 1: why: is missing"),
    (GOOD + GOOD.replace("link", "# link"), "cause 2: link: is missing"),
    (GOOD.replace("why", 'unverified = "yes"\nwhy'), "cause 1: unverified: must be a bool or a dict that is not empty"),
    (GOOD.replace("why", "varies = 1\nwhy"), "cause 1: varies: must be a bool that is not empty"),
    (GOOD.replace('"because"', '""'), "cause 1: why: must be a str that is not empty"),
    (GOOD.replace('"because"', "3"), "cause 1: why: must be a str that is not empty"),
    (GOOD.replace('{ "interpreter.version" = "<3.9" }', "{}"), "cause 1: where: must be a dict that is not empty"),
    (GOOD.replace("where", "# where"), "cause 1: where: is missing, and the file has none for all causes"),
    (GOOD.replace('"interpreter.version"', "interpreter.version"), "cause 1: where: interpreter: " + BAD_CONDITION),
    (GOOD.replace('"<3.9"', "[]"), "cause 1: where: interpreter.version: " + BAD_CONDITION),
    (GOOD.replace("why", "unverified = { system = [{}] }\nwhy"), "cause 1: unverified: system: " + BAD_CONDITION),
    (GOOD.replace("why", 'wy = "typo"\nwhy'), "cause 1: wy: unknown field"),
    (GOOD.split("[cause.observed]")[0], "cause 1: observed: is missing"),
    (GOOD.split("[cause.observed]")[0] + "observed = {}", "cause 1: observed: must be a dict that is not empty"),
    (GOOD + '"a/b" = 3\n', "cause 1: observed: a/b: " + BAD_TOKENS),
    (GOOD + '"a/b" = ""\n', "cause 1: observed: a/b: " + BAD_TOKENS),
    (GOOD + '"a/b" = {}\n', "cause 1: observed: a/b: " + BAD_TOKENS),
    (GOOD + '"a/b" = { epoll = ["ok"] }\n', "cause 1: observed: a/b: " + BAD_TOKENS),
    (GOOD + "[other]\n", "some.toml: other: unknown field"),
    ("where = 3\n" + GOOD, "some.toml: where: must be a dict that is not empty"),
    ("where = { system = {} }\n" + GOOD, "some.toml: where: system: " + BAD_CONDITION),
    ("cause = 3\n", "some.toml: cause: must be a list"),
    ("cause = [3]\n", "cause 1: must be a [[cause]] table"),
    ("", "some.toml: cause: is missing"),
    ("[[cause]\n", "is no TOML"),
])
def test_a_file_that_is_not_as_it_must_be_is_refused_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(Usage) as refused:
        load(tmp_path, text)
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

WHERE = {"system", "interpreter.implementation", "interpreter.version", "interpreter.release", "libc.name",
         "libc.version", "interpreter.free_threaded", "kernel.release", "kernel.upstream", "runtime.name",
         "architecture.machine", "architecture.bits", "architecture.byte_order", "distribution.version",
         "container.version", "container.emulated", "virtualization.name"}
"""The facts that rows may ask for: a misspelled one would never hold, and the row never apply."""


def test_there_are_rows_for_the_platforms_that_differ() -> None:
    assert len(ROWS) > 100
    assert len({row.source for row in ROWS}) > 100, "causes"


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


@pytest.mark.parametrize("release, version, known", [
    ("5.10.0-32-cloud-amd64", "#1 SMP Debian 5.10.223-1 (2024-08-10)",
     {"urgent/unix": "ENOTSUP", "nesting/chain-outwards": "5 links, then ELOOP", "nesting/chain-inwards": "8 links",
      "devices/pidfd-reaped": "IN"}),
    ("5.10.50", "#1 SMP", {"urgent/unix": "ENOTSUP", "nesting/chain-outwards": "5 links, then ELOOP",
                           "nesting/chain-inwards": "8 links", "devices/pidfd-reaped": "IN",
                           "edge/new-data-pipe": "told, silent"}),
    ("6.1.0-18-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)",
     {"nesting/chain-outwards": "6 links, then ELOOP", "nesting/chain-inwards": "8 links",
      "devices/pidfd-reaped": "IN"}),
    ("6.1.0-50-cloud-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.170-1", {"devices/pidfd-reaped": "IN"}),
    ("6.16.0", "#1 SMP", {"nesting/chain-outwards": "6 links, then ELOOP", "nesting/chain-inwards": "8 links"}),
    ("6.16.1", "#1 SMP", {}), ("6.18.44", "#1 SMP", {}),
])
def test_what_is_known_of_a_linux_goes_by_the_source_of_its_kernel(release: str, version: str,
                                                                   known: Dict[str, str]) -> None:
    facts = {**FACTS, "kernel": {"release": release, "version": version}, "libc": {"name": "glibc", "version": "2.36"}}
    rows = [row for row in ROWS if row.source.startswith("linux.toml")]
    assert {row.probe: row.observed for row in rows if row.applies(facts)} == known
    facts["runtime"] = {"name": "gvisor"}
    assert not any(row.applies(facts) for row in rows)


def test_every_need_that_a_probe_lists_is_known() -> None:
    assert [(probe.id, need) for probe in catalogue() for need in probe.needs if need not in NEEDS] == []
