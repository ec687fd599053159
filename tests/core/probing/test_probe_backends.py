"""Which backends probes ask: RAW, EVERY, OURS and the like are chosen from the ladder by what a backend is."""

from __future__ import annotations

from typing import Set

import pytest

from lab.backends import LADDER, Backend, BackendType, names, spelling
from lab.events import Trigger
from lab.probing import watchers
from lab.probing.probe import EPOLLS, EVERY, OURS, RAW, SELECTORS, Unsupported, over

KINDS = {kind.name: kind for kind in LADDER}


class Own(Backend):
    """Neither raw nor over a class, so that no watcher can be expected of it."""

    name = "own"


def kinds(chosen: object) -> Set[BackendType]:
    assert isinstance(chosen, tuple)
    return {KINDS[name] for name in chosen}


def test_everything_is_raw_or_a_class_and_in_no_two() -> None:
    assert EVERY == RAW + SELECTORS and len(set(EVERY)) == len(EVERY)
    assert kinds(RAW) == {kind for kind in LADDER if kind.is_raw}
    assert kinds(SELECTORS) == {kind for kind in LADDER if spelling.is_class(kind.name)}


def test_ours_are_all_but_second_names() -> None:
    assert OURS[:len(EVERY)] == EVERY
    assert set(names()) - set(OURS) == {kind.name for kind in LADDER if kind.is_alias} != set()


def test_the_epolls_differ_in_their_trigger() -> None:
    assert {spelling.family(name) for name in EPOLLS} == {"epoll"}
    assert sorted(KINDS[name].trigger is Trigger.EDGE for name in EPOLLS) == [False, True]


@pytest.mark.parametrize("interface", sorted({kind.interface for kind in LADDER if kind.interface}))
def test_an_interface_means_whoever_waits_with_it(interface: str) -> None:
    found = over(interface)
    assert {KINDS[name].interface for name in found} == {interface}
    assert over(interface, raw=True) + over(interface, raw=False) == found
    assert set(over(interface, edge=True)) | set(over(interface, edge=False)) == set(found)


def test_an_interface_that_nobody_waits_with_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no backend waits with epol"):
        over("select", "epol")


def test_every_raw_backend_has_a_watcher_of_its_name() -> None:
    assert set(watchers.WATCHERS) == set(RAW), "write a watcher, or leave is_raw False"
    assert all(kind.name == name for name, kind in watchers.WATCHERS.items())


def test_a_backend_without_a_watcher_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "LADDER", (Own,))
    monkeypatch.delenv("LAB_BACKENDS", raising=False)
    with pytest.raises(Unsupported, match="own has no watcher"):
        watchers.watcher("own")
