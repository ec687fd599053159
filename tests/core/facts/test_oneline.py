"""The platform in one line, of good facts and of any that a stranger's record may hold."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from lab.facts import facts, platform_line

FACTS: Dict[str, Any] = {
    "system": "Linux", "kernel": {"release": "6.1.0"}, "architecture": {"machine": "x86_64"},
    "libc": {"name": "musl", "version": "1.2.5"}, "runtime": {"name": "docker", "certain": False},
    "interpreter": {"implementation": "PyPy", "version": "3.9.16", "release": "7.3.11"}}


@pytest.mark.parametrize("changes, line", [
    ({}, "PyPy 7.3.11, Linux 6.1.0, x86_64, musl 1.2.5, perhaps docker"),
    ({"runtime": {"name": "gvisor", "certain": True}}, "PyPy 7.3.11, Linux 6.1.0, x86_64, musl 1.2.5, gvisor"),
    ({"runtime": None, "libc": None}, "PyPy 7.3.11, Linux 6.1.0, x86_64"),
    ({"libc": {"name": "uclibc", "version": None}, "runtime": None}, "PyPy 7.3.11, Linux 6.1.0, x86_64, uclibc"),
    ({"interpreter": {"implementation": "CPython", "version": "3.8.18", "release": None}, "libc": None,
      "runtime": None}, "CPython 3.8.18, Linux 6.1.0, x86_64")])
def test_it_names_what_a_behaviour_may_hang_on(changes: Dict[str, Any], line: str) -> None:
    assert platform_line({**FACTS, **changes}) == line


@pytest.mark.parametrize("odd", [None, [], "text", 5, {}, {"name": []}])
@pytest.mark.parametrize("key", FACTS)
def test_a_part_that_is_missing_or_odd_is_no_error(key: str, odd: Any) -> None:
    assert platform_line({**FACTS, key: odd}).isprintable()
    assert platform_line({name: value for name, value in FACTS.items() if name != key}).isprintable()


def test_hostile_values_are_escaped() -> None:
    line = platform_line({**FACTS, "system": "\x1b[31m\u202e\n"})
    assert line.isprintable() and r"\x1b[31m\u202e\n 6.1.0" in line


def test_of_nothing_there_is_nothing_to_say_and_here_there_is() -> None:
    assert platform_line({}) == ""
    assert platform_line(facts()).count(", ") >= 2
