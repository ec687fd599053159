"""lab/backends/kqueue.py on a scripted kernel, so that the tests run where there is no kqueue.

``Kernel`` models what kqueue(2) says of filters: EV_ADD for an existing filter modifies it, EV_DELETE for a missing one
fails with ENOENT, a closed descriptor fails with EBADF and loses its filters, and changes are made in order until one
fails.
"""

from __future__ import annotations

import errno
import os
import select
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

import pytest

from lab.backends import Refused
from lab.backends.kqueue import Kqueue
from lab.errors import NotHere
from lab.events import BOTH, ERROR, HANGUP, READ, WRITE
from lab.waits import LONGEST_WAIT

pytestmark = pytest.mark.emulated

_READ, _WRITE = -1, -2
_ADD, _DELETE, _EOF = 0x1, 0x2, 0x8000
_NUMBERS = {"KQ_FILTER_READ": _READ, "KQ_FILTER_WRITE": _WRITE, "KQ_EV_ADD": _ADD, "KQ_EV_DELETE": _DELETE,
            "KQ_EV_EOF": _EOF}


class Kevent(NamedTuple):
    ident: int
    filter: int
    flags: int = _ADD
    fflags: int = 0


class Kernel:
    """What kqueue() and kevent() do, for descriptors that are mere numbers."""

    def __init__(self) -> None:
        self.open: Set[int] = {3, 4, 5}
        self.filters: List[Tuple[int, int]] = []
        self.state: Dict[Tuple[int, int], Tuple[int, int]] = {}  # by filter that is ready: its flags and fflags
        self.refuses: Dict[Tuple[int, int], int] = {}  # by filter: the errno that EV_ADD fails with
        self.changes: List[List[Tuple[int, int, int]]] = []
        self.timeouts: List[Optional[float]] = []
        self.room = 0
        self.closed = 0

    def close_fd(self, fd: int) -> None:
        self.open.discard(fd)
        self.filters = [each for each in self.filters if each[0] != fd]

    def ready(self, fd: int, kind: int, flags: int = 0, fflags: int = 0) -> None:
        self.state[fd, kind] = (flags, fflags)

    def control(self, changes: Any, room: int, timeout: Optional[float] = None) -> List[Kevent]:
        if self.closed:
            raise ValueError("I/O operation on closed kqueue object")
        if changes is not None:
            self.changes.append([(each.ident, each.filter, each.flags) for each in changes])
        for ident, kind, flags, _ in changes or ():
            self._change((ident, kind), flags)
        if room:
            self.room = room
            self.timeouts.append(timeout)
        found = [Kevent(*each, *self.state[each]) for each in self.filters if each in self.state]
        return found[:room]

    def _change(self, entry: Tuple[int, int], flags: int) -> None:
        if entry[0] not in self.open:
            number = errno.EBADF
        elif flags == _ADD:
            number = self.refuses.get(entry, 0)
        else:
            number = 0 if entry in self.filters else errno.ENOENT
        if number:
            raise OSError(number, os.strerror(number))
        self.filters = [each for each in self.filters if each != entry] + [entry] * (flags == _ADD)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(select, "kqueue", lambda: kernel, raising=False)
    monkeypatch.setattr(select, "kevent", Kevent, raising=False)
    for name, number in _NUMBERS.items():
        monkeypatch.setattr(select, name, number, raising=False)
    return kernel


@pytest.fixture
def backend(kernel: Kernel) -> Kqueue:
    return Kqueue()


def test_without_kqueue_it_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "kqueue", raising=False)
    with pytest.raises(NotHere, match="macOS and the BSDs"):
        Kqueue()


def test_each_direction_is_a_filter_of_its_own(backend: Kqueue, kernel: Kernel) -> None:
    backend.register(3, READ)
    backend.register(4, WRITE)
    backend.register(5, BOTH)
    assert kernel.filters == [(3, _READ), (4, _WRITE), (5, _READ), (5, _WRITE)]


@pytest.mark.parametrize("before,after,changes", [
    (READ, READ, []),
    (READ, WRITE, [(3, _WRITE, _ADD), (3, _READ, _DELETE)]),
    (READ, BOTH, [(3, _WRITE, _ADD)]),
    (BOTH, WRITE, [(3, _READ, _DELETE)]),
])
def test_modify_submits_the_difference(backend: Kqueue, kernel: Kernel, before: int, after: int,
                                       changes: List[Tuple[int, int, int]]) -> None:
    backend.register(3, before)
    backend.modify(3, after)
    assert kernel.changes[-1] == changes
    backend.unregister(3)
    assert kernel.filters == []


def test_two_events_of_one_descriptor_are_one_pair(backend: Kqueue, kernel: Kernel) -> None:
    backend.register(3, BOTH, "three")
    backend.register(4, READ, "four")
    for entry in ((3, _READ), (4, _READ), (3, _WRITE)):
        kernel.ready(*entry)
    assert sorted(backend.wait(0)) == [("four", READ), ("three", BOTH)]


@pytest.mark.parametrize("kind,fflags,event", [
    (_READ, 0, READ),  # the end of the peer's stream: a half-close is not a hang-up
    (_READ, errno.ECONNRESET, READ | ERROR),
    (_WRITE, 0, WRITE | HANGUP),
    (_WRITE, errno.ECONNREFUSED, WRITE | HANGUP | ERROR),
])
def test_end_of_file_by_filter_and_errno(backend: Kqueue, kernel: Kernel, kind: int, fflags: int, event: int) -> None:
    backend.register(3, BOTH, "three")
    kernel.ready(3, kind, _EOF, fflags)
    assert backend.wait(0) == [("three", event)]


def test_fflags_without_end_of_file_are_no_error(backend: Kqueue, kernel: Kernel) -> None:
    """On macOS they contain NOTE_LOWAT and the like."""
    backend.register(3, READ, "three")
    kernel.ready(3, _READ, 0, 1)
    assert backend.wait(0) == [("three", READ)]


def test_a_closed_descriptor_is_refused(backend: Kqueue, kernel: Kernel) -> None:
    with pytest.raises(Refused, match="descriptor 9: it is not an open descriptor") as caught:
        backend.register(9, READ)
    assert caught.value.errno == errno.EBADF
    assert len(backend) == 0


def test_a_device_is_refused_with_the_systems_words(backend: Kqueue, kernel: Kernel) -> None:
    kernel.refuses[3, _READ] = errno.EINVAL
    with pytest.raises(Refused, match="EINVAL") as caught:
        backend.register(3, READ)
    assert caught.value.errno == errno.EINVAL


def test_a_half_refused_registration_leaves_no_filter_behind(backend: Kqueue, kernel: Kernel) -> None:
    """A pipe's reading end accepts the read filter and rejects the write filter. A read filter left behind would be
    ready for nobody."""
    kernel.refuses[3, _WRITE] = errno.EPIPE
    with pytest.raises(Refused):
        backend.register(3, BOTH)
    assert kernel.filters == []
    assert len(backend) == 0


@pytest.mark.parametrize("interest", [WRITE, BOTH])
def test_a_refused_modification_keeps_what_was_there(backend: Kqueue, kernel: Kernel, interest: int) -> None:
    kernel.refuses[3, _WRITE] = errno.EPIPE
    backend.register(3, READ, "three")
    with pytest.raises(Refused):
        backend.modify(3, interest)
    assert kernel.filters == [(3, _READ)]
    kernel.ready(3, _READ)
    assert backend.wait(0) == [("three", READ)]


def test_closed_while_registered_is_forgotten(backend: Kqueue, kernel: Kernel) -> None:
    backend.register(3, BOTH)
    kernel.ready(3, _READ)
    kernel.close_fd(3)
    assert backend.wait(0) == []
    backend.unregister(3)
    assert len(backend) == 0


def test_unregister_deletes_each_filter_though_one_is_gone(backend: Kqueue, kernel: Kernel) -> None:
    """The number was closed, reused, and then modified: one filter belongs to the new file, the other disappeared with
    the old one."""
    backend.register(3, READ)
    kernel.close_fd(3)
    kernel.open.add(3)
    backend.modify(3, BOTH)
    backend.unregister(3)
    assert kernel.filters == []


def test_another_errno_is_not_swallowed(backend: Kqueue, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    backend.register(3, READ)

    def fails(*_: Any) -> Any:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(kernel, "control", fails)
    with pytest.raises(OSError, match="no memory"):
        backend.unregister(3)


def test_room_is_always_asked_for(backend: Kqueue, kernel: Kernel) -> None:
    """kevent() without room returns at once, whatever its timeout (bpo-29255)."""
    assert backend.wait(0) == []
    assert kernel.room > 0


def test_timeouts_are_cut_to_what_macos_takes(backend: Kqueue, kernel: Kernel) -> None:
    for timeout in (None, 0.5, -1, 1e12):
        backend.wait(timeout)
    assert kernel.timeouts == [None, 0.5, 0.0, LONGEST_WAIT]


def test_close_closes_the_queue(backend: Kqueue, kernel: Kernel) -> None:
    backend.register(3, READ)
    backend.close()
    assert kernel.closed == 1
    with pytest.raises(ValueError, match="closed"):
        backend.wait(0)
