"""The clients of the server tests: what they send, read and wait for."""

from __future__ import annotations

import functools
import importlib
import os
import select
import socket
import struct
import threading
import time
from typing import Any, Callable, Iterator, List, Optional

import pytest

from lab import address
from tests.core.conformance.rig import WINDOWS
from tests.waits import PATIENCE, QUIET

_fcntl: Any = None  # typed loosely, as below: type checkers know both only on POSIX
_termios: Any = None
if not WINDOWS:
    _fcntl = importlib.import_module("fcntl")
    _termios = importlib.import_module("termios")


@functools.lru_cache(maxsize=32)
def pattern(count: int, seed: int = 1) -> bytes:
    """Bytes that reveal a lost, doubled or swapped piece: for 16 MB, no two stretches are alike."""
    words = (b"%07x" % (number * 2654435761 + seed & 0xFFFFFFF) for number in range(count // 7 + 1))
    return b"".join(words)[:count]


def exchange(sock: socket.socket, data: bytes, half_close: bool = True, stop_after: Optional[int] = None) -> bytes:
    """Send all and read all at the same time, to the end of the stream, or to ``stop_after`` bytes. Raises what the
    socket raises, for example at a reset."""
    sock.setblocking(False)
    rest, got, size = memoryview(data), [], 0
    if not data and half_close:
        sock.shutdown(socket.SHUT_WR)
    while stop_after is None or size < stop_after:
        readable, writable, _ = select.select([sock], [sock] if rest else [], [], PATIENCE)
        assert readable or writable, "nothing moved; %d bytes arrived, %d are unsent" % (size, len(rest))
        if writable:
            rest = rest[sock.send(rest[:256 * 1024]):]
            if not rest and half_close:
                sock.shutdown(socket.SHUT_WR)
        if readable:
            piece = sock.recv(256 * 1024)
            if not piece:
                break
            got.append(piece)
            size += len(piece)
    sock.settimeout(PATIENCE)
    return b"".join(got)


def receive(sock: socket.socket, count: int) -> bytes:
    """Exactly this many bytes. Fails if the stream ends earlier."""
    got = bytearray()
    while len(got) < count:
        piece = sock.recv(count - len(got))
        assert piece, "the stream ended after %d of %d bytes" % (len(got), count)
        got += piece
    return bytes(got)


def rest_of(sock: socket.socket) -> bytes:
    """All bytes to the end of the stream. Raises what recv() raises, for example at a reset."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def ping(sock: socket.socket, text: bytes = b"ping") -> None:
    """One echo. Fails if it does not come back."""
    sock.sendall(text)
    assert receive(sock, len(text)) == text


def stuff(sock: socket.socket, data: bytes, least: int = 0) -> int:
    """Send from ``data`` until no more is accepted for three QUIET spans; how many bytes were sent. The first ``least``
    bytes must be accepted, within PATIENCE: a kernel that drops a segment for lack of buffers sends it again after 0.2
    s."""
    sock.setblocking(False)
    sent = 0
    while sent < len(data) and select.select([], [sock], [], 3 * QUIET if sent >= least else PATIENCE)[1]:
        sent += sock.send(data[sent:sent + 65536])
    sock.settimeout(PATIENCE)
    return sent


def settled(sock: socket.socket) -> socket.socket:
    """The same socket, once no more bytes arrive for three QUIET spans although nobody reads, so that the sender is
    stuck."""
    count = -1
    while True:
        before, count = count, unread(sock)
        if 0 < before == count:
            return sock
        time.sleep(3 * QUIET)  # the span in which nothing may arrive


def unread(sock: socket.socket) -> int:
    """How many bytes have arrived unread, from FIONREAD, which Python's ``ioctl`` does not support on Windows."""
    if not WINDOWS:
        return int(struct.unpack("i", _fcntl.ioctl(sock, _termios.FIONREAD, bytes(4)))[0])
    import ctypes  # not at the top: a small build of Python lacks it
    count = ctypes.c_ulong()
    winsock: Any = getattr(ctypes, "WinDLL")("ws2_32")  # noqa: B009  # known to type checkers on Windows only
    assert winsock.ioctlsocket(ctypes.c_size_t(sock.fileno()), ctypes.c_long(0x4004667F), ctypes.byref(count)) == 0
    return int(count.value)


def is_quiet(sock: socket.socket) -> bool:
    """Whether nothing arrives, not even the end of the stream."""
    return not select.select([sock], [], [], QUIET)[0]


def nothing_listens(where: address.Address) -> bool:
    with socket.socket(where.family, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        return sock.connect_ex(where.where) != 0


def children_of(pid: int) -> List[int]:
    """The processes that it has forked and not yet reaped. Works on Linux with and without CONFIG_PROC_CHILDREN."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, encoding="latin-1") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:  # ENOENT, ESRCH: it has ended
                continue
            if parent == pid:
                found.append(int(name))
    return found


# Fixtures, imported by the test modules that use them.


@pytest.fixture(name="run_threads")
def threads_of_clients() -> Iterator[Callable[[Callable[[], Any]], threading.Thread]]:
    """Start clients in threads. At the end they are joined, and an error that one of them raised fails the test."""
    threads: List[threading.Thread] = []
    failures: List[BaseException] = []

    def start(action: Callable[[], Any]) -> threading.Thread:
        def run() -> None:
            try:
                action()
            except BaseException as error:  # any: raised again below
                failures.append(error)
        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a client hangs"
    if failures:
        raise failures[0]
