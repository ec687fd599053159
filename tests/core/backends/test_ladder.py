"""lab/backends/__init__.py: the names of the backends, their order, and LAB_BACKENDS."""

from __future__ import annotations

import sys
from typing import Callable, Optional

import pytest

from lab import backends
from lab.backends import LADDER, Backend, Feature, spelling
from lab.errors import EXIT_NOT_HERE, EXIT_USAGE, LabError, NotHere, Usage
from lab.events import Trigger
from lab.probing.probe import over

pytestmark = pytest.mark.emulated


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove LAB_BACKENDS, which these tests set themselves, and which the whole suite may be run with."""
    monkeypatch.delenv("LAB_BACKENDS", raising=False)


def failure(act: Callable[[], object]) -> LabError:
    """The LabError that this call raises; its message must be one line."""
    with pytest.raises(LabError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return caught.value


class Absent(Backend):
    """A backend that is missing on every platform."""

    name = "absent"

    @classmethod
    def missing(cls) -> Optional[str]:
        return "this platform was never built"


def test_names_are_unique() -> None:
    assert len(set(backends.names())) == len(LADDER)


RAW = [kind for kind in LADDER if kind.is_raw]


def test_forgiving_kernels_first() -> None:
    best = [kind for kind in RAW if Feature.LIVE in kind.features and kind.trigger is not Trigger.EDGE]
    assert list(LADDER[:len(best)]) == best, "the kernel remembers, and repeats what was left unread"
    ranks = [2 if Feature.NO_FD_LIMIT not in kind.features else Feature.LIVE not in kind.features for kind in RAW]
    assert ranks == sorted(ranks), "whoever remembers, then whoever takes any number, then select"


def test_comparisons_last() -> None:
    ranks = [spelling.is_class(kind.name) for kind in LADDER]
    assert ranks == sorted(ranks)


def test_select_is_everywhere() -> None:
    assert {"selectors", *over("select")} <= {kind.name for kind in backends.here()}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names what Linux has")
def test_the_best_on_linux() -> None:
    assert backends.preferred().name == "epoll"


def test_every_missing_one_says_why() -> None:
    for kind in LADDER:
        why = backends.why_missing(kind)
        assert (why is None) == (kind in backends.here())
        if why is not None:
            assert failure(kind).exit_code == EXIT_NOT_HERE


@pytest.mark.parametrize("value,text", [
    ("select", "select"),
    ("selectors,select", "selectors select"),
    ("select, selectors ,", "selectors select"),  # in the ladder's order
])
def test_the_switch_leaves_what_it_lists(monkeypatch: pytest.MonkeyPatch, value: str, text: str) -> None:
    names = text.split()
    monkeypatch.setenv("LAB_BACKENDS", value)
    assert [kind.name for kind in backends.here()] == names
    assert backends.preferred().name == names[0]
    with backends.create() as backend:
        assert backend.name == names[0]
    assert backends.why_missing(LADDER[0]) == "switched off: LAB_BACKENDS=%s" % value


@pytest.mark.parametrize("value", ["", " ", ","])
def test_an_empty_switch_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    everything = backends.here()
    monkeypatch.setenv("LAB_BACKENDS", value)
    assert backends.here() == everything


def test_an_unknown_name_in_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_BACKENDS", "select,epol")
    for act in (backends.here, backends.preferred, backends.create, lambda: backends.find("select")):
        error = failure(act)
        assert isinstance(error, Usage)
        assert error.exit_code == EXIT_USAGE
        assert '"epol"; it may list: epoll, kqueue' in str(error)


def test_a_switch_that_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "LADDER", (Absent,))
    monkeypatch.setenv("LAB_BACKENDS", "absent")
    for act in (backends.preferred, backends.create):
        error = failure(act)
        assert isinstance(error, NotHere)
        assert error.exit_code == EXIT_NOT_HERE
        assert "LAB_BACKENDS=absent leaves none of: absent" in str(error)


def test_find_an_unknown_name() -> None:
    error = failure(lambda: backends.find("epol"))
    assert isinstance(error, Usage)
    assert str(error).startswith('no backend "epol"; here: ')
    assert "select" in str(error)


def test_find_one_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "LADDER", (Absent,))
    error = failure(lambda: backends.find("absent"))
    assert isinstance(error, NotHere)
    assert str(error) == "backend absent is not here: this platform was never built; here: none"


def test_find_one_that_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_BACKENDS", "select")
    error = failure(lambda: backends.create("selectors"))
    assert isinstance(error, NotHere)
    assert "switched off: LAB_BACKENDS=select; here: select" in str(error)


def test_creating_one_that_is_missing_names_the_next_command() -> None:
    assert "lab doctor" in str(failure(Absent))


def test_create_makes_a_new_one_each_time() -> None:
    with backends.create("select") as one, backends.create("select") as other:
        assert one is not other
        assert type(one) is type(other) is backends.find("select")


def test_features_print_as_words() -> None:
    assert str(backends.Feature.NO_FD_LIMIT) == "no-fd-limit"
