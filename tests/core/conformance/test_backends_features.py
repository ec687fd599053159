"""Every feature that a backend can declare, proven both ways: backends that declare it have it, and the others lack
it."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, TypeVar

import pytest

from lab.backends import LADDER, Backend, BackendType, Feature, Refused
from lab.events import BOTH, ERROR, HANGUP, READ, WRITE, Trigger
from tests.core.conformance.rig import (
    WINDOWS,
    Pair,
    Rig,
    arrived,
    drain,
    heard,
    is_silent,
    look,
    reset,
    room_for,
    until,
)
from tests.waits import PATIENCE, QUIET

pytestmark = pytest.mark.winsock

_Test = TypeVar("_Test", bound=Callable[..., None])
PROOFS: Dict[Feature, List[str]] = {}


def proves(feature: Feature) -> Callable[[_Test], _Test]:
    """Mark a test that fails both for a backend that declares the feature without having it, and for one that has it
    undeclared."""
    def mark(test: _Test) -> _Test:
        PROOFS.setdefault(feature, []).append(test.__name__)
        return test
    return mark


def has(backend: Backend, feature: Feature) -> bool:
    return feature in backend.features


def is_kqueue(backend: Backend) -> bool:
    return backend.interface == "kqueue"


def test_every_feature_has_a_proof() -> None:
    assert set(PROOFS) == set(Feature)


@pytest.mark.parametrize("feature", Feature, ids=str)
def test_every_feature_tells_backends_apart(feature: Feature) -> None:
    """A feature of all backends belongs into the contract, and one of none is useless; its proof could not fail."""
    assert {feature in kind.features for kind in LADDER} == {True, False}


def test_trigger_and_feature_agree(kind: BackendType) -> None:
    assert (kind.trigger is Trigger.EDGE) == (Feature.EDGE in kind.features)


@proves(Feature.EDGE)
def test_unread_data_is_reported_again_by_level_and_not_by_edge(backend: Backend, pair: Pair) -> None:
    near, far = pair
    backend.register(near.fileno(), READ, "near")
    far.send(b"xx")
    assert heard(backend) == {"near": READ}
    near.recv(1)  # one of two bytes: data remains
    assert is_silent(backend) == has(backend, Feature.EDGE)


@proves(Feature.EDGE)
def test_idle_writability_is_reported_again_by_level_and_not_by_edge(backend: Backend, rig: Rig) -> None:
    backend.register(rig.unix()[0].fileno(), WRITE, "near")
    assert heard(backend) == {"near": WRITE}
    assert is_silent(backend) == has(backend, Feature.EDGE)


@pytest.mark.needs("real-select")
@proves(Feature.NO_FD_LIMIT)
def test_more_descriptors_than_a_bitmap_holds(backend: Backend, rig: Rig) -> None:
    """Either every descriptor is reported, or register() rejects some of them; wait() never fails."""
    room_for(1700)
    near, far = rig.unix()
    copies = [rig.dup(near).fileno() for _ in range(1500)]
    refused = {}
    for fd in copies:
        try:
            backend.register(fd, READ, fd)
        except Refused as refusal:
            refused[fd] = refusal
    assert bool(refused) == (not has(backend, Feature.NO_FD_LIMIT))
    assert all(refusal.errno is None for refusal in refused.values()), "the limit is one of the API, not of the system"
    assert not any(fd in backend for fd in refused)
    assert len(backend) == 1500 - len(refused) >= 512
    far.send(b"x")
    seen = until(backend, {fd: READ for fd in copies if fd not in refused})
    assert set(seen).isdisjoint(refused)


@pytest.mark.needs("posix-select")
@proves(Feature.NO_FD_LIMIT)
def test_the_last_number_of_the_bitmap_and_the_first_beyond(backend: Backend, rig: Rig) -> None:
    room_for(1100)
    near, far = rig.unix()
    last, beyond = rig.dup_to(near, 1023), rig.dup_to(near, 1024)
    far.send(b"x")
    backend.register(last, READ, "last")
    try:
        backend.register(beyond, READ, "beyond")
    except Refused as refusal:
        assert "1023" in str(refusal)
        assert beyond not in backend
    assert set(until(backend, dict.fromkeys(["last"] + ["beyond"] * (beyond in backend), READ))) >= {"last"}
    assert (beyond in backend) == has(backend, Feature.NO_FD_LIMIT)


@pytest.mark.parametrize("interest", [READ, WRITE])
@pytest.mark.parametrize("what", ["file", "null"])
@proves(Feature.ANY_FD)
def test_what_has_no_readiness_is_ready_or_refused(backend: Backend, rig: Rig, tmp_path: Path, what: str,
                                                   interest: int) -> None:
    path = tmp_path / "empty"
    path.touch()
    fd = rig.file(path if what == "file" else os.devnull)
    try:
        backend.register(fd, interest, "it")
    except Refused as refusal:
        assert not has(backend, Feature.ANY_FD)
        assert refusal.errno in (errno.EPERM, errno.EINVAL, errno.ENOTSOCK, 10038)
        assert len(backend) == 0
        assert look(backend) == {}
    else:  # kqueue accepts a file, and reports nothing at its end
        assert heard(backend, QUIET) == ({"it": interest} if has(backend, Feature.ANY_FD) else {})
        assert has(backend, Feature.ANY_FD) or is_kqueue(backend)


def _reset(near: socket.socket, far: socket.socket) -> None:
    reset(far)


def _leave(near: socket.socket, far: socket.socket) -> None:
    far.close()


def _shut(near: socket.socket, far: socket.socket) -> None:
    far.shutdown(socket.SHUT_WR)
    near.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("interest", [READ, WRITE, BOTH], ids=["read", "write", "both"])
@pytest.mark.parametrize("make,fault,flag", [
    pytest.param("tcp", _reset, ERROR, id="reset", marks=pytest.mark.needs("resets")),
    pytest.param("unix", _leave, HANGUP, id="unix-peer-closed"),
    pytest.param("tcp", _shut, HANGUP, id="both-directions-shut")])
@proves(Feature.SEES_ERROR)
def test_a_fault_reaches_its_owner_whatever_the_interest(backend: Backend, rig: Rig, make: str, fault: Any, flag: int,
                                                         interest: int) -> None:
    near, far = getattr(rig, make)()
    backend.register(near.fileno(), interest, "near")
    look(backend)  # use up the report that an idle socket is writable, once under edge trigger
    fault(near, far)
    arrived(near)
    event = heard(backend)["near"]
    assert event & (interest | flag)
    assert not event & BOTH & ~interest, "an event outside the interest"
    if WINDOWS and make == "unix":
        return  # an AF_INET pair in truth, of which only one direction has ended
    if is_kqueue(backend) and interest == READ and flag == HANGUP:
        return  # EV_EOF on the read filter cannot tell a half-close from a hang-up
    assert bool(event & flag) == has(backend, Feature.SEES_ERROR)
    if fault is _reset:
        with pytest.raises(ConnectionError):
            near.recv(1)


@pytest.mark.parametrize("interest", [READ, WRITE, BOTH], ids=["read", "write", "both"])
@proves(Feature.SEES_CLOSED)
def test_closed_while_registered_neither_breaks_wait_nor_hides_others(backend: Backend, rig: Rig,
                                                                      interest: int) -> None:
    near, far = rig.unix()
    other, peer = rig.unix()
    number = near.fileno()
    backend.register(number, interest, "closed")
    backend.register(other.fileno(), READ, "other")
    near.close()
    spoken = "closed" in heard(backend, QUIET)
    assert spoken == has(backend, Feature.SEES_CLOSED)
    peer.send(b"x")
    until(backend, {"other": READ})
    backend.unregister(number)
    drain(other)
    peer.send(b"x")
    assert heard(backend) == {"other": READ}


@proves(Feature.LIVE)
def test_registered_by_another_thread_in_mid_wait(backend: Backend, rig: Rig) -> None:
    near, far = rig.unix()
    waker = rig.waker()
    backend.register(waker.fd, READ, "waker")
    far.send(b"x")
    waiting = threading.Event()

    def register() -> None:
        assert waiting.wait(PATIENCE)
        time.sleep(QUIET)  # there is no way to see that another thread has reached the system call
        backend.register(near.fileno(), READ, "newcomer")
        if not has(backend, Feature.LIVE):
            time.sleep(QUIET)
            waker.wake()

    rig.thread(register)
    waiting.set()
    first = look(backend, PATIENCE)
    assert ("newcomer" in first) == has(backend, Feature.LIVE)
    until(backend, {} if "newcomer" in first else {"newcomer": READ})  # every backend includes it in the next wait
