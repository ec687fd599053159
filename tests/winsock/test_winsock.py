"""The fake of Windows' select module behaves like the real one; on Windows these tests run on the real one.

A test that uses a fake is worth only as much as the fake, so each behaviour that it imitates is checked here.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest

from tests.core.conformance.rig import WINDOWS
from tests.core.conformance.serving import environment
from tests.waits import PATIENCE, PROGRAM, QUIET
from tests.winsock.winsock import WINDOWS_HAS, Winsock, needs_poll

if not WINDOWS:
    pytestmark = needs_poll

ROOT = Path(__file__).parents[2]

NO_SOCKET = (10038, 10045) if WINDOWS else (10038,)
"""The second is what Wine 8.0 raises for a number that is a handle of another kind."""


@pytest.fixture(params=["the real one"] if WINDOWS else ["the fake"])
def module() -> Any:
    """The module, real or fake."""
    return select if WINDOWS else Winsock()


@pytest.fixture
def opened() -> Iterator[List[Any]]:
    """A stack that closes its content at the end."""
    things: List[Any] = []
    yield things
    for each in things:
        each.close()


def new_socket(opened: List[Any], kind: int = socket.SOCK_STREAM) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    opened.append(sock)
    sock.setblocking(False)
    return sock


def listener(opened: List[Any]) -> socket.socket:
    sock = new_socket(opened)
    sock.bind(("127.0.0.1", 0))
    sock.listen(8)
    return sock


def refused(opened: List[Any]) -> socket.socket:
    """A socket whose connect is refused, now or soon."""
    deaf = new_socket(opened)
    deaf.bind(("127.0.0.1", 0))
    sock = new_socket(opened)
    sock.connect_ex(deaf.getsockname())
    return sock


def pair(opened: List[Any]) -> Tuple[socket.socket, socket.socket]:
    ends = socket.socketpair()
    opened.extend(ends)
    for end in ends:
        end.setblocking(False)
    return ends


@pytest.mark.parametrize("timeout", [0, 1000, None])
def test_three_empty_sets_are_an_error_at_once(module: Any, timeout: Any) -> None:
    with pytest.raises(OSError) as caught:
        module.select([], [], [], timeout)
    assert caught.value.winerror == 10022  # type: ignore[attr-defined,unused-ignore]
    assert caught.value.errno in (22, 10022)


@pytest.mark.skipif(WINDOWS, reason="the real module has only the form of its version")
@pytest.mark.parametrize("is_modern, number", [(True, 22), (False, 10022)])
def test_its_number_is_that_of_the_version(is_modern: bool, number: int) -> None:
    with pytest.raises(OSError) as caught:
        Winsock(is_modern).select([], [], [], 0)
    assert caught.value.errno == number


def test_what_is_no_socket_fails_the_call_for_all(module: Any, opened: List[Any]) -> None:
    near, far = pair(opened)
    far.send(b"x")
    gone = socket.socket()
    number = gone.fileno()
    gone.close()
    reading, writing = os.pipe()
    try:
        with open(__file__, "rb") as file:
            for thing in (reading, file, number):
                with pytest.raises(OSError) as caught:
                    module.select([near, thing], [], [], 0)
                assert caught.value.errno in NO_SOCKET
    finally:
        os.close(reading)
        os.close(writing)
    assert module.select([near], [], [], 0) == ([near], [], [])


@pytest.mark.parametrize("which", [0, 1, 2])
def test_512_fit_into_each_set_and_are_counted_before_they_are_looked_at(module: Any, opened: List[Any],
                                                                         which: int) -> None:
    sock = listener(opened)
    sets: List[List[Any]] = [[sock], [sock], [sock]]
    sets[which] = [sock] * 512
    assert module.select(*sets, 0) == ([], [], [])
    sets[which] = [987654] * 513
    with pytest.raises(ValueError, match="too many file descriptors in select"):
        module.select(*sets, 0)


@pytest.mark.skipif(WINDOWS, reason="on Windows handles are not small numbers anyway")
def test_the_number_is_no_limit(opened: List[Any]) -> None:
    resource = pytest.importorskip("resource")
    if 0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 1500:
        pytest.skip("the limit on open files is too low")
    near, far = pair(opened)
    os.dup2(near.fileno(), 1500)
    try:
        assert Winsock().select([1500], [1500], [], 0) == ([], [1500], [])
    finally:
        os.close(1500)


@pytest.mark.parametrize("things, error", [(["x"], TypeError), ([-1], ValueError), (3, TypeError)])
def test_what_cannot_be_a_descriptor(module: Any, things: Any, error: Any) -> None:
    with pytest.raises(error):
        module.select(things, [], [], 0)


def test_a_negative_timeout_is_refused(module: Any, opened: List[Any]) -> None:
    with pytest.raises(ValueError):
        module.select([listener(opened)], [], [], -1)


def test_a_refused_connect_is_exceptional_and_stays_so(module: Any, opened: List[Any]) -> None:
    sock = refused(opened)
    assert module.select([], [sock], [sock], PATIENCE) == ([], [], [sock])
    assert module.select([], [sock], [sock], 0) == ([], [], [sock])
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    assert module.select([], [sock], [sock], 0) == ([], [], [sock])


def test_without_the_exceptional_set_a_refused_connect_is_never_heard_of(module: Any, opened: List[Any]) -> None:
    sock = refused(opened)
    began = time.monotonic()
    assert module.select([], [sock], [], 10 * QUIET) == ([], [], [])
    assert time.monotonic() - began > 5 * QUIET


def test_a_connect_that_succeeds_is_writable(module: Any, opened: List[Any]) -> None:
    server, sock = listener(opened), new_socket(opened)
    sock.connect_ex(server.getsockname())
    assert module.select([], [sock], [sock], PATIENCE) == ([], [sock], [])
    assert module.select([server], [], [], PATIENCE) == ([server], [], [])
    opened.append(server.accept()[0])


def test_a_socket_that_was_never_connected_is_nothing(module: Any, opened: List[Any]) -> None:
    sock = new_socket(opened)
    assert module.select([sock], [sock], [sock], QUIET) == ([], [], [])


def test_a_datagram_socket_needs_no_peer(module: Any, opened: List[Any]) -> None:
    sock = new_socket(opened, socket.SOCK_DGRAM)
    assert module.select([sock], [sock], [sock], 0) == ([], [sock], [])


def test_a_reset_is_readable_and_not_exceptional(module: Any, opened: List[Any]) -> None:
    server, sock = listener(opened), new_socket(opened)
    sock.connect_ex(server.getsockname())
    assert module.select([], [sock], [sock], PATIENCE)[1] == [sock]
    module.select([server], [], [], PATIENCE)
    peer = server.accept()[0]
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if WINDOWS else "ii", 1, 0))
    peer.close()
    assert module.select([sock], [], [sock], PATIENCE) == ([sock], [], [])


def test_the_very_things_that_were_given_come_back_each_as_often_as_it_was(module: Any, opened: List[Any]) -> None:
    near, far = pair(opened)
    far.send(b"x")
    readable, writable, _ = module.select([near, near.fileno(), near], {far}, [], PATIENCE)
    assert [readable, writable] == [[near, near.fileno(), near], [far]]


def wait_and_see(module: Any, sock: socket.socket, timeout: Any) -> float:
    began = time.monotonic()
    assert module.select([sock], [], [sock], timeout) == ([], [], [])
    return time.monotonic() - began


def test_it_waits_as_long_as_it_is_told(module: Any, opened: List[Any]) -> None:
    near, _ = pair(opened)
    assert wait_and_see(module, near, 0) < PATIENCE / 2
    assert QUIET * 0.5 < wait_and_see(module, near, QUIET) < PATIENCE


def test_it_returns_when_something_comes(module: Any, opened: List[Any]) -> None:
    near, far = pair(opened)
    far.send(b"x")
    assert module.select([near], [], [near], None) == ([near], [], [])


def test_there_is_nothing_else_in_the_module(module: Any) -> None:
    assert not [name for name in ("poll", "epoll", "kqueue", "devpoll") if hasattr(module, name)]
    assert module.error is OSError


@pytest.mark.skipif(WINDOWS, reason="on Windows the module is real")
def test_the_option_of_pytest_has_no_other_select_than_the_fake() -> None:
    """Otherwise `tox -e winsock` would pass without using it."""
    path = os.pathsep.join([environment()["PYTHONPATH"], *filter(None, sys.path)])  # where an image has pytest
    done = subprocess.run([sys.executable, "-m", "pytest", "--winsock", "-q", "-p", "no:cacheprovider",
                           "-k", "test_data_makes_readable", "tests/core/conformance/test_backends.py"],
                          cwd=str(ROOT), env=dict(environment(), PYTHONPATH=path), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PROGRAM)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said
    assert "switched off: LAB_BACKENDS=%s" % ",".join(WINDOWS_HAS) in said, said
