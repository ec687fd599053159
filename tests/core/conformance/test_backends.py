"""The contract of lab/backends/_base.py, checked on every backend of this platform.

The other test_backends*.py files have the rest of it: features, lifecycle (closed, reused and duplicated descriptors),
timing, threads and signals."""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import Any, Callable, List

import pytest

from lab.backends import AlreadyRegistered, Backend, BackendType, Feature, NotRegistered, Refused
from lab.events import BOTH, ERROR, HANGUP, READ, WRITE
from tests.core.conformance.rig import (
    LINUX,
    WINDOWS,
    Pair,
    Rig,
    arrived,
    drain,
    fill,
    heard,
    is_open,
    is_silent,
    look,
    until,
)
from tests.waits import PATIENCE

pytestmark = [pytest.mark.winsock, pytest.mark.emulated]

# Readiness.


def test_data_makes_readable(backend: Backend, pair: Pair) -> None:
    near, far = pair
    backend.register(near.fileno(), READ, "near")
    assert is_silent(backend), "an idle socket is writable, but its interest is READ only"
    far.send(b"x")
    assert heard(backend) == {"near": READ}
    assert drain(near) == 1
    assert look(backend) == {}


def test_room_makes_writable(backend: Backend, pair: Pair) -> None:
    near, far = pair
    backend.register(near.fileno(), WRITE, "near")
    assert heard(backend) == {"near": WRITE}
    while True:  # TCP keeps moving data by itself, so fill until it stays full
        fill(near)
        if is_silent(backend):
            break
    deadline = time.monotonic() + PATIENCE
    while not look(backend):
        drain(far)
        assert time.monotonic() < deadline, "everything is read, and there is still no room"
    near.send(b"x")


def test_both_come_in_one_pair(backend: Backend, pair: Pair) -> None:
    near, far = pair
    far.send(b"x")
    arrived(near)
    backend.register(near.fileno(), BOTH, "near")
    assert heard(backend) == {"near": BOTH}


def test_a_connection_makes_a_listener_readable(backend: Backend, rig: Rig) -> None:
    listener = rig.listener()
    backend.register(listener.fileno(), READ, "listener")
    client = rig.connecting(listener.getsockname())
    assert heard(backend) == {"listener": READ}
    backend.register(client.fileno(), WRITE, "client")
    until(backend, {"client": WRITE})
    listener.accept()[0].close()


@pytest.mark.needs("posix-select")
def test_pipes_are_ready_at_both_ends(backend: Backend, rig: Rig) -> None:
    reader, writer = rig.pipe()
    backend.register(reader, READ, "reader")
    backend.register(writer, WRITE, "writer")
    assert heard(backend) == {"writer": WRITE}
    os.write(writer, b"x")
    until(backend, {"reader": READ})


def test_half_close_is_readable_and_the_other_half_works(backend: Backend, pair: Pair) -> None:
    near, far = pair
    backend.register(near.fileno(), READ, "near")
    far.shutdown(socket.SHUT_WR)
    event = heard(backend)["near"]
    assert event & READ
    if LINUX:  # others may add HANGUP
        assert event == READ
    assert near.recv(1) == b""
    near.send(b"x")
    arrived(far)
    assert far.recv(1) == b"x"


def test_a_refused_connect_reaches_who_waits_to_write(backend: Backend, rig: Rig) -> None:
    sock = rig.connecting(rig.dead_port())
    backend.register(sock.fileno(), WRITE, "sock")
    event = heard(backend)["sock"]
    assert event & WRITE
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (errno.ECONNREFUSED, 10061)
    assert event & ERROR or Feature.SEES_ERROR not in backend.features


def test_every_descriptor_of_many_gets_its_own_data(backend: Backend, rig: Rig) -> None:
    pairs = [rig.unix() for _ in range(20)]
    marks = [object() for _ in pairs]
    for (near, far), mark in zip(pairs, marks):
        backend.register(near.fileno(), READ, mark)
        far.send(b"x")
    assert set(until(backend, dict.fromkeys(marks, READ))) == set(marks)


# Registering.


def test_modify_changes_the_interest_and_keeps_the_data(backend: Backend, rig: Rig) -> None:
    near, far = rig.unix()
    backend.register(near.fileno(), READ, "near")
    backend.modify(near.fileno(), WRITE)
    assert heard(backend) == {"near": WRITE}
    far.send(b"x")
    backend.modify(near.fileno(), READ)
    assert heard(backend) == {"near": READ}
    backend.modify(near.fileno(), BOTH)
    assert heard(backend) == {"near": BOTH}


def test_modify_reports_a_state_that_still_holds(backend: Backend, pair: Pair) -> None:
    """Under edge trigger, modify is the only way to get a report again; the interest may stay the same."""
    near, far = pair
    backend.register(near.fileno(), READ, "near")
    far.send(b"x")
    for _ in range(3):
        assert heard(backend) == {"near": READ}
        backend.modify(near.fileno(), READ)


@pytest.mark.skipif(not LINUX, reason="measured on Linux; epoll(7) does not promise it")
def test_new_data_is_reported_on_top_of_unread(backend: Backend, pair: Pair) -> None:
    near, far = pair
    backend.register(near.fileno(), READ, "near")
    for _ in range(3):
        far.send(b"x")
        assert heard(backend) == {"near": READ}


def test_unregistered_is_silent_and_may_come_back(backend: Backend, rig: Rig) -> None:
    near, far = rig.unix()
    far.send(b"x")
    backend.register(near.fileno(), READ, "first")
    assert (near.fileno() in backend, len(backend)) == (True, 1)
    backend.unregister(near.fileno())
    assert (near.fileno() in backend, len(backend)) == (False, 0)
    assert is_silent(backend)
    backend.register(near.fileno(), READ, "second")
    assert heard(backend) == {"second": READ}


def test_registering_twice_is_refused_and_the_first_stays(backend: Backend, rig: Rig) -> None:
    near, far = rig.unix()
    backend.register(near.fileno(), READ, "first")
    with pytest.raises(AlreadyRegistered, match="modify"):
        backend.register(near.fileno(), WRITE, "second")
    assert len(backend) == 1
    assert is_silent(backend)
    far.send(b"x")
    assert heard(backend) == {"first": READ}


def test_unknown_descriptors_can_be_neither_modified_nor_unregistered(backend: Backend, rig: Rig) -> None:
    near, far = rig.unix()
    far.send(b"x")
    acts: List[Callable[[], None]] = [
        lambda: backend.modify(near.fileno(), READ), lambda: backend.unregister(near.fileno())]
    for act in acts:
        with pytest.raises(NotRegistered):
            act()
    assert len(backend) == 0
    assert is_silent(backend)


def test_a_number_below_zero_is_refused(backend: Backend) -> None:
    with pytest.raises(ValueError, match="closed before"):
        backend.register(-1, READ, "closed")
    assert len(backend) == 0
    assert look(backend) == {}


@pytest.mark.parametrize("interest", [0, 2, ERROR, HANGUP, READ | ERROR, -1])
def test_an_impossible_interest_is_refused(backend: Backend, rig: Rig, interest: int) -> None:
    near, far = rig.unix()
    with pytest.raises(ValueError, match="READ, WRITE or both"):
        backend.register(near.fileno(), interest, "near")
    assert len(backend) == 0
    backend.register(near.fileno(), READ, "near")
    with pytest.raises(ValueError, match="READ, WRITE or both"):
        backend.modify(near.fileno(), interest)
    far.send(b"x")
    assert heard(backend) == {"near": READ}


def test_a_number_that_is_not_open_is_refused_or_reported(backend: Backend, rig: Rig) -> None:
    near, far = rig.unix()
    number = near.fileno()
    near.close()
    try:
        backend.register(number, READ, "closed")
    except Refused as refusal:
        assert str(number) in str(refusal)
        assert refusal.errno in (errno.EBADF, errno.ENOTSOCK, 10038)
        assert len(backend) == 0
        assert look(backend) == {}
    else:
        assert set(heard(backend)) == {"closed"}


# Closing.


def test_after_close_every_verb_is_refused(backend: Backend, rig: Rig) -> None:
    near, far = rig.unix()
    far.send(b"x")
    backend.register(near.fileno(), READ, "near")
    backend.close()
    backend.close()
    acts: List[Callable[[], Any]] = [
        lambda: backend.wait(0), lambda: backend.register(far.fileno(), READ),
        lambda: backend.modify(near.fileno(), READ), lambda: backend.unregister(near.fileno())]
    for act in acts:
        with pytest.raises(ValueError, match="closed"):
            act()
    assert len(backend) == 0
    assert near.recv(1) == b"x", "closing a backend must not close the descriptors"


@pytest.mark.skipif(WINDOWS, reason="a backend there has no descriptor of its own")
def test_close_releases_its_own_descriptor(kind: BackendType, rig: Rig) -> None:
    free = os.dup(0)
    os.close(free)
    with kind():
        pass
    assert not is_open(free)
