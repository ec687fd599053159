"""lab/backends/spelling.py: what names say, whether or not there is such a backend."""

from __future__ import annotations

import re
from typing import List, Tuple

import pytest

from lab.backends import LADDER, spelling
from lab.events import Trigger
from lab.probing.probe import over


@pytest.mark.parametrize("name,family", {
    "epoll": "epoll", "epoll-et": "epoll", "selectors": "selectors", "selectors:PollSelector": "selectors",
    "selectors:pkg.mod:Class": "selectors", "none": "none", "io-uring": "io-uring", "io-uring-et": "io-uring",
    "io-etching": "io-etching",
}.items())
def test_the_family_of_a_name(name: str, family: str) -> None:
    assert spelling.family(name) == family


@pytest.mark.parametrize("name,is_class,is_foreign", [
    ("epoll", False, False), ("selectors", False, False), ("selectors:PollSelector", True, False),
    ("selectors:pkg.mod:Class", True, True), ("selectors:a b:C", True, True), ("a:b:c", False, False),
])
def test_whose_class_a_name_means(name: str, is_class: bool, is_foreign: bool) -> None:
    assert (spelling.is_class(name), spelling.is_foreign(name)) == (is_class, is_foreign)


@pytest.mark.parametrize("name,good", [
    ("selectors:pkg.mod:Class", True), ("selectors:_m:_C1", True), ("selectors:a b:C", False),
    ("selectors:m:C\n", False), ("selectors:m:1C", False), ("selectors:m:", False), ("selectors:PollSelector", False),
    ("selectors:m\u00e9:C", False),
])
def test_what_can_be_imported(name: str, good: bool) -> None:
    assert spelling.is_well_formed(name) == good


@pytest.mark.parametrize("name,parts", [
    ("selectors:PollSelector", ("selectors", "PollSelector")), ("selectors:pkg.mod:Class", ("pkg.mod", "Class")),
])
def test_a_class_is_taken_apart_and_put_together(name: str, parts: Tuple[str, str]) -> None:
    assert spelling.class_of(name) == parts
    assert spelling.of_class(*parts) == name


def test_names_are_put_together_where_they_say_the_same() -> None:
    asked = over("select", "poll", edge=False)
    assert spelling.short(asked, asked) == ["all"]
    assert ", ".join(spelling.short(asked[1:], asked)) == "poll, selectors"
    assert spelling.short(asked[:3], asked) == [*asked[:2], "SelectSelector"]
    assert spelling.short(asked[:1], asked[:1]) == ["select"]


def test_somebody_elses_class_keeps_its_whole_name() -> None:
    theirs: List[str] = ["selectors:pkg.mod:Class"]
    assert spelling.short(theirs, [*theirs, "selectors:PollSelector"]) == theirs


def test_the_names_of_the_ladder_say_what_the_classes_say() -> None:
    for kind in LADDER:
        assert re.fullmatch(spelling.RECORDED, kind.name), "a record could not hold %s" % kind.name
        assert kind.name.endswith("-et") == (kind.trigger is Trigger.EDGE), "-et is how edge trigger is spelled"
        assert not spelling.is_foreign(kind.name)
        assert not (kind.is_raw and spelling.family(kind.name) == spelling.SELECTORS)
