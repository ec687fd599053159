"""What lab/backends/selectors.py adds to the classes of the standard library, tested with scripted classes."""

from __future__ import annotations

import errno
import selectors
from typing import Any, ClassVar, Dict, List, Tuple, Type

import pytest

from lab.backends import Refused, selectors as wrapped
from lab.backends.selectors import SIBLINGS, Selectors
from lab.errors import NotHere
from lab.events import BOTH, INVALID, READ, WRITE

pytestmark = pytest.mark.emulated

_R, _W = selectors.EVENT_READ, selectors.EVENT_WRITE


class Stub(selectors._BaseSelectorImpl):
    """A selector that returns the steps of its script, as [(fd, mask)], or raises them."""

    made: ClassVar[List[Stub]] = []
    script: ClassVar[List[Any]] = []

    def __init__(self) -> None:
        super().__init__()
        Stub.made.append(self)

    def select(self, timeout: Any = None) -> List[Tuple[Any, int]]:
        step = Stub.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        return [(self.get_key(fd), mask) for fd, mask in step if fd in self.get_map()]


def kind_of(name: str) -> Type[Selectors]:
    return next(kind for kind in SIBLINGS if kind.kind == name)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Type[Stub]:
    monkeypatch.setattr(Stub, "made", [])
    monkeypatch.setattr(Stub, "script", [])
    monkeypatch.setattr(wrapped, "admit", lambda fd, members: None)  # the descriptors of a script are not sockets
    for kind in SIBLINGS:
        monkeypatch.setattr(selectors, kind.kind, Stub, raising=False)
    monkeypatch.setattr(wrapped, "admit", lambda fd, members: None)  # 3 and 4 are not sockets on Windows
    return Stub


def test_there_is_a_sibling_for_every_class_of_the_module() -> None:
    public = {name for name in dir(selectors) if name.endswith("Selector") and name[0] != "_"}
    assert {kind.kind for kind in SIBLINGS} >= public - {"BaseSelector", "DefaultSelector"}
    assert [kind.name for kind in SIBLINGS] == ["selectors:" + kind.kind for kind in SIBLINGS]


def test_the_default_has_the_features_of_the_class_it_is() -> None:
    assert Selectors.kind == selectors.DefaultSelector.__name__
    assert Selectors.features == kind_of(Selectors.kind).features


def test_a_class_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(selectors, "DevpollSelector", raising=False)
    with pytest.raises(NotHere, match="no DevpollSelector"):
        kind_of("DevpollSelector")()


def test_two_filters_of_one_descriptor_are_one_pair(stub: Type[Stub]) -> None:
    """KqueueSelector returns the key once for each filter (gh-110038)."""
    backend = kind_of("KqueueSelector")()
    backend.register(3, BOTH, "three")
    backend.register(4, BOTH, "four")
    stub.script = [[(3, _R), (4, _W), (3, _W)]]
    assert sorted(backend.wait(1)) == [("four", WRITE), ("three", BOTH)]


def test_returning_nothing_too_early_makes_a_new_selector(stub: Type[Stub]) -> None:
    """This is how EpollSelector shows a stale entry: it gets an event, finds no key for it, and returns nothing."""
    backend = kind_of("EpollSelector")()
    backend.register(3, READ, "three")
    backend.register(4, WRITE, "four")
    stub.script = [[], [], [(3, _R)]]
    assert backend.wait(60) == []
    assert len(stub.made) == 2
    assert stub.made[0].get_map() is None, "the old one is closed"
    assert {key.fd: key.events for key in stub.made[1].get_map().values()} == {3: _R, 4: _W}
    assert backend.wait(None) == []
    assert len(stub.made) == 3
    assert backend.wait(60) == [("three", READ)]
    assert len(stub.made) == 3


@pytest.mark.parametrize("timeout", [0, -1])
def test_returning_nothing_in_time_does_not(stub: Type[Stub], timeout: float) -> None:
    backend = kind_of("EpollSelector")()
    stub.script = [[]]
    assert backend.wait(timeout) == []
    assert len(stub.made) == 1


def test_what_is_closed_is_left_behind_by_the_new_selector(stub: Type[Stub], monkeypatch: pytest.MonkeyPatch) -> None:
    backend = kind_of("EpollSelector")()
    backend.register(3, READ)
    backend.register(4, READ, "four")
    real = Stub.register
    refusals: Dict[int, int] = {3: errno.EBADF}

    def register(self: Stub, fd: int, events: int, data: Any = None) -> Any:
        if fd in refusals:
            raise OSError(refusals[fd], "refused")
        return real(self, fd, events, data)

    monkeypatch.setattr(Stub, "register", register)
    stub.script = [[], [(4, _R)], []]
    assert backend.wait(60) == []
    assert backend.wait(60) == [("four", READ)]
    with pytest.raises(Refused, match="EpollSelector cannot watch descriptor 3"):
        backend.modify(3, WRITE)
    backend.unregister(3)
    refusals[4] = errno.ENOMEM
    with pytest.raises(OSError, match="refused"):
        backend.wait(60)


def test_windows_sleeps_without_registrations(stub: Type[Stub], monkeypatch: pytest.MonkeyPatch) -> None:
    """SelectSelector raises there (gh-80907)."""
    slept: List[Any] = []
    monkeypatch.setattr(wrapped, "WINDOWS", True)
    monkeypatch.setattr(wrapped, "sleep_without_sets", slept.append)
    assert kind_of("SelectSelector")().wait(0.5) == []
    assert slept == [0.5]


def test_a_closed_descriptor_of_select_is_looked_for(stub: Type[Stub], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: List[Any] = []

    def ask_around(interest: Dict[int, int]) -> Dict[int, int]:
        asked.append(interest)
        return {3: INVALID}

    monkeypatch.setattr(wrapped, "ask_around", ask_around)
    backend = kind_of("SelectSelector")()
    backend.register(3, READ, "three")
    backend.register(4, BOTH, "four")
    stub.script = [OSError(errno.EBADF, "closed"), OSError(errno.ENOMEM, "no memory")]
    assert backend.wait(1) == [("three", INVALID)]
    assert asked == [{3: READ, 4: BOTH}]
    with pytest.raises(OSError, match="no memory"):
        backend.wait(1)
