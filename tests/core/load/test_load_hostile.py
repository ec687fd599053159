"""Servers that misbehave, on every backend: each is detected, and reported in one line with the place and the next
command."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import sys
import threading
from typing import Callable, Iterator, List

import pytest

import lab.backends
from lab.address import UNIX, Address
from lab.errors import Broken, Deviation
from lab.load.plan import Plan
from lab.load.run import drive
from tests.core.load.peer import Peer, echo
from tests.waits import PATIENCE

pytestmark = pytest.mark.winsock

Serve = Callable[..., Peer]
MODES = ["ping-pong", "pipelined", "stream"]


def plan(peer: Peer, backend: str, mode: str = "ping-pong", connections: int = 3, patience: float = PATIENCE
         ) -> Plan:
    """A plan with enough bytes on each connection for any misbehaviour below."""
    return Plan(peer.address, backend, connections, mode, size_bytes=1000, total_bytes=connections * 20_000,
                count=None if mode == "stream" else connections * 20, patience=patience)


def one_line(error: object) -> str:
    text = str(error)
    assert "\n" not in text
    assert ";" in text, "the line must say what to do next"
    return text


def mangled(change: Callable[[bytearray], None]) -> Callable[[socket.socket, int], None]:
    """An echo handler whose second connection changes the piece that contains the byte at offset 2500."""

    def behave(sock: socket.socket, number: int) -> None:
        passed = 0
        while True:
            data = bytearray(sock.recv(2501 - passed if passed < 2501 else 65536))
            if not data:
                return
            passed += len(data)
            if number == 1 and passed == 2501:
                change(data)
            sock.sendall(data)

    return behave


def flip(data: bytearray) -> None:
    data[-1] ^= 1


def drop(data: bytearray) -> None:
    del data[-1:]


def repeat(data: bytearray) -> None:
    data += data[-1:]


def hold_back_the_last(sock: socket.socket, number: int) -> None:
    """An echo handler that drops the last byte when its client half-closes."""
    held = b""
    while True:
        data = sock.recv(65536)
        if not data:
            return
        data = held + data
        sock.sendall(data[:-1])
        held = data[-1:]


def silent(sock: socket.socket, number: int) -> None:
    while sock.recv(65536):
        pass


def hangs(sock: socket.socket, number: int) -> None:
    """Echo exactly 1500 bytes, then nothing."""
    left = 1500
    while left:
        data = sock.recv(left)
        sock.sendall(data)
        left -= len(data)
    silent(sock, number)


def closes(sock: socket.socket, number: int) -> None:
    sock.sendall(sock.recv(500))


def closes_in_order(sock: socket.socket, number: int) -> None:
    """Read the whole message, send half of it back, and close without a reset."""
    data = b""
    while len(data) < 1000:
        data += sock.recv(1000 - len(data))
    sock.sendall(data[:500])


def resets(sock: socket.socket, number: int) -> None:
    sock.recv(10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0))


def greets(sock: socket.socket, number: int) -> None:
    sock.sendall(b"220 welcome\r\n")
    echo(sock, number)


@pytest.mark.parametrize("mode", MODES)
def test_a_wrong_byte_is_named_by_connection_and_offset(serve: Serve, backend: str, mode: str) -> None:
    with pytest.raises(Deviation) as caught:
        drive(plan(serve(mangled(flip)), backend, mode))
    text = one_line(caught.value)
    # the server's second connection need not be the client's second
    assert re.match(r"connection \d of 3 to 127.0.0.1:\d+: the byte at offset 2500 came back as 0x.., but was sent as ",
                    text)


@pytest.mark.parametrize("change", [drop, repeat])
def test_a_lost_or_repeated_byte_is_found(serve: Serve, backend: str, change: Callable[[bytearray], None]) -> None:
    with pytest.raises(Deviation) as caught:
        drive(plan(serve(mangled(change)), backend, "stream"))
    text = one_line(caught.value)
    offset = int(re.findall(r"at offset (\d+) came back", text)[0])
    assert 2500 <= offset < 2510  # neighbouring bytes may be equal
    assert "the received bytes are its own from offset" in text or "were never sent" in text


def test_bytes_of_another_connection_are_found_and_named(serve: Serve, backend: str) -> None:
    both = threading.Barrier(2)
    socks: List[socket.socket] = []

    def crosses(sock: socket.socket, number: int) -> None:
        socks.append(sock)
        both.wait(PATIENCE)
        other = socks[1 - socks.index(sock)]
        while True:
            data = sock.recv(65536)
            if not data:
                return
            other.sendall(data)

    with pytest.raises(Deviation) as caught:
        drive(plan(serve(crosses), backend, connections=2))
    text = one_line(caught.value)
    numbers = re.match(r"connection (\d) .*at offset 0 .*bytes are those of connection (\d) from offset 0$", text)
    assert numbers is not None, text
    assert sorted(numbers.groups()) == ["1", "2"]


@pytest.mark.parametrize("mode", MODES)
def test_bytes_that_nobody_sent_are_found(serve: Serve, backend: str, mode: str) -> None:
    with pytest.raises(Deviation) as caught:
        drive(plan(serve(greets), backend, mode))
    one_line(caught.value)


def test_a_repeated_last_reply_is_found(serve: Serve, backend: str) -> None:
    def twice(sock: socket.socket, number: int) -> None:
        data = sock.recv(1000)
        sock.sendall(data + data)
        silent(sock, number)

    with pytest.raises(Deviation, match="1000 more bytes came back"):
        drive(Plan(serve(twice).address, backend, connections=1, size_bytes=1000, count=1))


def test_a_stream_without_its_last_byte_is_found(serve: Serve, backend: str) -> None:
    with pytest.raises(Deviation) as caught:
        drive(plan(serve(hold_back_the_last), backend, "stream"))
    assert "20000 bytes were sent, and the stream ended after 19999" in one_line(caught.value)


@pytest.mark.parametrize("mode", ["ping-pong", "stream"])
def test_a_server_that_never_answers_is_given_up(serve: Serve, backend: str, mode: str) -> None:
    released = threading.Event()

    def sulks(sock: socket.socket, number: int) -> None:
        silent(sock, number)
        released.wait(PATIENCE)  # keep the stream open after the client's half-close

    with pytest.raises(Broken) as caught:
        drive(plan(serve(sulks), backend, mode, patience=0.05))
    released.set()
    assert "no byte ever came back" in one_line(caught.value)


@pytest.mark.parametrize("mode", ["ping-pong", "pipelined"])
def test_a_server_that_hangs_is_given_up(serve: Serve, mode: str) -> None:
    for patience in (0.15, 1.0, 5.0):  # a server that the machine pauses seems to hang at another place, so try again
        with pytest.raises((Broken, Deviation)) as caught:
            drive(plan(serve(hangs), lab.backends.preferred().name, mode, patience=patience))
        text = one_line(caught.value)
        if "at offset 1500" in text:
            break
    assert isinstance(caught.value, Deviation)
    assert "3 of 3 connections" in text
    assert "at offset 1500" in text


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("behave", [closes, resets])
def test_a_server_that_leaves_is_broken(serve: Serve, backend: str, mode: str, behave: object) -> None:
    with pytest.raises((Broken, Deviation)) as caught:
        drive(plan(serve(behave), backend, mode))
    one_line(caught.value)
    assert mode == "stream" or isinstance(caught.value, Broken)


def test_a_server_that_closes_in_order_is_noticed_at_once(serve: Serve, backend: str) -> None:
    with pytest.raises(Broken) as caught:
        drive(plan(serve(closes_in_order), backend))
    assert "was closed by the peer, at offset 500 with 500 bytes owed" in one_line(caught.value)


@pytest.fixture
def deaf() -> Iterator[Address]:
    """A listener that never accepts."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(100)
        yield Address(sock.family, sock.getsockname())


def test_nobody_listens(backend: str) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound, so that nobody else gets the port, but not listening
        address = Address(sock.family, sock.getsockname())
        with pytest.raises(Broken) as caught:
            drive(Plan(address, backend))
    text = one_line(caught.value)
    assert text.startswith("cannot connect to %s: " % (address,))
    assert "lab serve --host 127.0.0.1 --port %d" % address.where[1] in text


@pytest.mark.skipif(UNIX is None, reason="there are no unix sockets here")
def test_a_unix_backlog_that_stays_full_is_given_up(tmp_path: object) -> None:
    with socket.socket(UNIX) as sock:
        sock.bind("%s/s" % tmp_path)
        sock.listen(2)
        with pytest.raises(Broken) as caught:
            drive(Plan(Address(UNIX, sock.getsockname()), patience=0.05))
    if sys.platform == "linux":
        assert re.match(r"\d of 10 connections to unix:.* are established", one_line(caught.value))


def test_descriptors_run_out(deaf: Address, backend: str) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 20, hard))
    try:
        with pytest.raises(Broken) as caught:
            drive(Plan(deaf, backend, connections=50))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "ulimit -n" in one_line(caught.value)


@pytest.mark.needs("posix-select")
def test_a_limit_of_the_backend_is_one_line(deaf: Address) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 1200:
        pytest.skip("the hard limit on open files is only %d" % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    dups: List[int] = []
    try:
        while not dups or dups[-1] < 1010:
            dups.append(os.dup(0))
        with pytest.raises(Broken, match=r"select cannot watch descriptor 1024: .*fewer --connections"):
            drive(Plan(deaf, "select", connections=50))
    finally:
        for fd in dups:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(UNIX is None, reason="there are no unix sockets here")
def test_the_errno_of_a_refusal_is_named(backend: str) -> None:
    with pytest.raises(Broken, match=errno.errorcode[errno.ENOENT]):
        drive(Plan(Address(UNIX, "/nonexistent/socket"), backend))
