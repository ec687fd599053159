"""Descriptors that are closed too early: still registered, reused, or kept open by a duplicate.

Owners should unregister a descriptor before closing it. The contract says what they can rely on if they do not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lab.backends import Backend, Refused
from lab.events import READ, WRITE
from tests.core.conformance.rig import WINDOWS, Rig, drain, heard, is_silent, look, until
from tests.waits import PATIENCE, QUIET

pytestmark = [pytest.mark.winsock, pytest.mark.emulated]

posix = pytest.mark.skipif(WINDOWS, reason="Windows lets no program choose the number")


def returns(backend: Backend, within: float = QUIET) -> int:
    """How often a wait for nothing returns: once at its end, sometimes once or twice before, but thousands of times
    when it spins."""
    deadline = time.monotonic() + within
    count = 0
    while time.monotonic() < deadline:
        assert look(backend, within) == {}
        count += 1
    return count


def test_closed_then_unregistered_is_forgotten(backend: Backend, rig: Rig) -> None:
    near, _ = rig.unix()
    backend.register(near.fileno(), READ, "near")
    number = near.fileno()
    near.close()
    backend.unregister(number)
    assert len(backend) == 0
    assert is_silent(backend)


def test_modify_of_a_closed_one_is_refused_again_and_again_or_never(backend: Backend, rig: Rig) -> None:
    """A ``selectors`` class forgets the descriptor when modify() fails for the first time."""
    near, _ = rig.unix()
    number = near.fileno()
    backend.register(number, READ, "near")
    near.close()
    for interest in (WRITE, READ, WRITE):
        try:
            backend.modify(number, interest)
        except Refused as refusal:
            assert str(number) in str(refusal)
        assert set(look(backend)) <= {"near"}
    backend.unregister(number)
    assert len(backend) == 0
    assert is_silent(backend)


@posix
def test_a_reused_number_can_be_registered_anew(backend: Backend, rig: Rig) -> None:
    near, _ = rig.unix()
    other, peer = rig.unix()
    number = near.fileno()
    backend.register(number, READ, "old")
    near.close()
    rig.dup_to(other, number)
    peer.send(b"x")
    assert set(heard(backend, QUIET)) <= {"old"}, "select and poll watch the new file, epoll and kqueue neither"
    backend.unregister(number)
    assert look(backend) == {}
    backend.register(number, READ, "new")
    assert heard(backend) == {"new": READ}


@posix
def test_unregister_works_when_a_file_got_the_number(backend: Backend, rig: Rig, tmp_path: Path) -> None:
    """epoll fails with EPERM for a regular file, whatever the operation."""
    near, _ = rig.unix()
    number = near.fileno()
    backend.register(number, READ, "near")
    near.close()
    path = tmp_path / "file"
    path.touch()
    assert rig.file(path) == number
    look(backend)
    backend.unregister(number)
    assert len(backend) == 0
    assert is_silent(backend)


def test_a_surviving_duplicate_does_not_make_wait_spin(backend: Backend, rig: Rig) -> None:
    near, far = rig.unix()
    rig.dup(near)
    backend.register(near.fileno(), READ, "near")
    number = near.fileno()
    near.close()
    backend.unregister(number)
    far.send(b"x")
    assert returns(backend) <= 3


def test_a_surviving_duplicate_does_not_break_wait_while_registered(backend: Backend, rig: Rig) -> None:
    near, far = rig.unix()
    rig.dup(near)
    number = near.fileno()
    backend.register(number, READ, "near")
    near.close()
    far.send(b"x")
    assert set(heard(backend, QUIET)) <= {"near"}
    backend.unregister(number)
    assert returns(backend) <= 3


def test_the_others_live_on_beside_a_stale_entry(backend: Backend, rig: Rig) -> None:
    """Two stale entries, one of them not unregistered yet, next to a reader and a writer."""
    pairs = [rig.unix() for _ in range(4)]
    numbers = [near.fileno() for near, _ in pairs]
    for index, (near, _) in enumerate(pairs):
        backend.register(near.fileno(), WRITE if index == 3 else READ, index)
    backend.modify(numbers[1], WRITE)
    backend.modify(numbers[1], READ)
    for near, _ in (pairs[0], pairs[2]):
        rig.dup(near)
        near.close()
    backend.unregister(numbers[0])
    pairs[0][1].send(b"x")
    until(backend, {3: WRITE})
    backend.unregister(numbers[3])
    heard(backend, QUIET)  # the stale entry may be reported here
    pairs[1][1].send(b"x")
    until(backend, {1: READ})
    drain(pairs[1][0])
    backend.modify(numbers[1], WRITE)
    until(backend, {1: WRITE})
    backend.unregister(numbers[1])
    backend.unregister(numbers[2])
    assert len(backend) == 0
    assert returns(backend) <= 3


@posix
def test_a_stale_entry_does_not_speak_for_the_new_owner_of_its_number(backend: Backend, rig: Rig) -> None:
    """EpollSelector hides the information that this needs; see lab/backends/selectors.py."""
    near, far = rig.unix()
    other, peer = rig.unix()
    rig.dup(near)
    number = near.fileno()
    backend.register(number, READ, "old")
    near.close()
    backend.unregister(number)
    rig.dup_to(other, number)
    backend.register(number, READ, "new")
    far.send(b"x")
    is_fooled = getattr(backend, "kind", "") == "EpollSelector"
    assert is_silent(backend) != is_fooled
    if not is_fooled:
        peer.send(b"x")
        assert heard(backend, PATIENCE) == {"new": READ}
