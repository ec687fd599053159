"""The base of the conformance tests: two named waits, pairs of descriptors, and every backend as a parameter.

A test opens its descriptors through ``Rig``, which closes them whatever happens. It waits through ``look`` or one of
the functions beside it, which check for every wait that no descriptor is reported twice."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import socket
import struct
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from lab.backends import LADDER, Backend, BackendType, Waker, here, spelling, why_missing
from lab.events import spell
from tests.waits import PATIENCE, QUIET

try:
    import resource
except ImportError:  # Windows
    _resource: Any = None
else:
    _resource = resource

GRAIN = time.get_clock_info("monotonic").resolution + 1e-5
"""By how much a wait may seem to end early: one tick of the clock (15.6 ms on Windows), and float arithmetic."""

WINDOWS = sys.platform == "win32"
LINUX = sys.platform.startswith("linux")

Pair = Tuple[socket.socket, socket.socket]


def look(backend: Backend, timeout: float = 0.0) -> Dict[Any, int]:
    """One wait, as {data: event}. Fails if a descriptor is reported twice, or with an event of 0."""
    pairs = backend.wait(timeout)
    events = dict(pairs)
    assert len(events) == len(pairs), "a descriptor came twice in one wait: %r" % (pairs,)
    assert all(events.values()), "an event of nothing: %r" % (pairs,)
    return events


def heard(backend: Backend, within: float = PATIENCE) -> Dict[Any, int]:
    """The first wait that reports something, or {}. An early return without events is a spurious wakeup, and
    retried."""
    deadline = time.monotonic() + within
    while True:
        left = deadline - time.monotonic()
        events = look(backend, max(left, 0.0))
        if events or left <= 0.0:
            return events


def until(backend: Backend, wanted: Dict[Any, int]) -> Dict[Any, int]:
    """Wait, as often as necessary, until every event of {data: event} has been reported; all that were. Fails after
    PATIENCE."""
    seen: Dict[Any, int] = {}
    deadline = time.monotonic() + PATIENCE
    while any(event & ~seen.get(data, 0) for data, event in wanted.items()):
        left = deadline - time.monotonic()
        assert left > 0.0, "%d of %d came: %s" % (len(seen), len(wanted), {k: spell(seen[k]) for k in list(seen)[:9]})
        for data, event in look(backend, left).items():
            seen[data] = seen.get(data, 0) | event
    return seen


def is_silent(backend: Backend) -> bool:
    return not heard(backend, QUIET)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:  # EBADF, the only error for a plain number
        return False
    return True


def room_for(descriptors: int) -> None:
    """Raise the soft limit on open files to this number, or skip the test where the administrator's hard limit is
    lower."""
    if _resource is None:
        return
    soft, hard = _resource.getrlimit(_resource.RLIMIT_NOFILE)
    infinity = _resource.RLIM_INFINITY
    if soft != infinity and soft < descriptors:
        if hard != infinity and hard < descriptors:
            pytest.skip("the hard limit on open files is %d, this takes %d" % (hard, descriptors))
        _resource.setrlimit(_resource.RLIMIT_NOFILE, (descriptors, hard))


class Rig:
    """Opens pairs, files and threads; ``close`` closes and ends them all."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._failures: List[BaseException] = []

    def unix(self) -> Pair:
        """Two connected stream sockets: AF_UNIX, or on Windows the AF_INET pair that socketpair() creates there."""
        near, far = socket.socketpair()
        return self._own(near), self._own(far)

    def tcp(self) -> Pair:
        """Two connected TCP sockets on the loopback."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            far = self._own(socket.create_connection(listener.getsockname(), PATIENCE))
            listener.settimeout(PATIENCE)
            near = self._own(listener.accept()[0])
        for sock in (near, far):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return near, far

    def listener(self) -> socket.socket:
        listener = self._own(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        return listener

    def connecting(self, address: Any) -> socket.socket:
        """A socket whose connect is under way."""
        sock = self._own(socket.socket())
        sock.connect_ex(address)
        return sock

    def dead_port(self) -> Any:
        """An address that refuses connections: bound, so that nobody else gets it, but not listening."""
        return self._bound().getsockname()

    def _bound(self) -> socket.socket:
        sock = self._own(socket.socket())
        sock.bind(("127.0.0.1", 0))
        return sock

    def pipe(self) -> Tuple[int, int]:
        reader, writer = os.pipe()
        return self.fd(reader), self.fd(writer)

    def dup(self, sock: socket.socket) -> socket.socket:
        return self._own(sock.dup())

    def dup_to(self, sock: socket.socket, number: int) -> int:
        """A duplicate under exactly that number, which must be free."""
        assert not is_open(number), "descriptor %d is in use" % number
        os.dup2(sock.fileno(), number)
        return self.fd(number)

    def file(self, path: Any, flags: int = os.O_RDWR) -> int:
        return self.fd(os.open(str(path), flags))

    def fd(self, fd: int) -> int:
        """Close this number at the end, unless the test did."""
        self._stack.callback(lambda: os.close(fd) if is_open(fd) else None)
        return fd

    def waker(self) -> Waker:
        waker = Waker()
        self._stack.callback(waker.close)
        return waker

    def later(self, action: Callable[[], Any], delay: float = QUIET) -> None:
        """Call ``action`` in another thread after ``delay``; what it raises fails the test."""
        def run() -> None:
            try:
                action()
            except BaseException as error:  # any: close() raises it again, in the thread of the test
                self._failures.append(error)

        timer = threading.Timer(delay, run)
        timer.daemon = True
        timer.start()
        self._stack.callback(timer.join, PATIENCE)
        self._stack.callback(timer.cancel)

    def thread(self, action: Callable[[], Any]) -> None:
        """Call ``action`` in another thread now."""
        self.later(action, 0.0)

    def watchdog(self, backend: Backend) -> object:
        """End, after PATIENCE, a wait that should have returned at once; its event then has the data returned here."""
        waker = self.waker()
        data = object()
        backend.register(waker.fd, 1, data)
        self.later(waker.wake, PATIENCE)
        return data

    def close(self) -> None:
        self._stack.close()
        if self._failures:
            raise self._failures[0]

    def _own(self, sock: socket.socket) -> socket.socket:
        self._stack.callback(sock.close)
        sock.setblocking(False)
        return sock


def reset(sock: socket.socket) -> None:
    """Close with RST instead of FIN (socket(7), SO_LINGER of zero seconds)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if WINDOWS else "ii", 1, 0))
    sock.close()


@functools.lru_cache(maxsize=None)
def tells_resets() -> bool:
    """Whether recv() raises at a reset. On Wine 8 it returns the end of the stream, because its server has cleared the
    error."""
    near, far = Rig().tcp()
    with near, far:
        reset(far)
        near.setblocking(True)
        near.settimeout(PATIENCE)
        try:
            return near.recv(1) != b""
        except ConnectionError:
            return True


def arrived(sock: socket.socket) -> None:
    """Return when the peer's end, reset or data has arrived; this asks the kernel through another API than the one in
    test."""
    assert select.select([sock], [], [], PATIENCE)[0], "nothing arrived"


def fill(sock: socket.socket) -> None:
    """Write until a write would block."""
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(b"x" * 65536)


def drain(sock: socket.socket) -> int:
    """Read until a read would block; how many bytes there were."""
    total = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            data = sock.recv(65536)
            if not data:
                break
            total += len(data)
    return total


# Fixtures, imported by the test modules that use them.


def slow_by_name(name: str) -> List[pytest.MarkDecorator]:
    """The marks of a test on that backend. A single class of ``selectors`` does what another backend does, with one
    more layer, so its tests are slow tests unless hardly any other backend is available."""
    return [pytest.mark.slow] if spelling.is_class(name) and len(here()) > 2 else []


@pytest.fixture(name="kind", params=[
    pytest.param(kind, id=kind.name, marks=slow_by_name(kind.name)) for kind in LADDER])
def each_kind(request: Any) -> BackendType:
    kind: BackendType = request.param
    why = why_missing(kind)
    if why is not None:
        pytest.skip("%s: %s" % (kind.name, why))
    return kind


@pytest.fixture(name="backend")
def each_backend(kind: BackendType) -> Iterator[Backend]:
    with kind() as backend:
        yield backend


@pytest.fixture(name="rig")
def one_rig() -> Iterator[Rig]:
    rig = Rig()
    try:
        yield rig
    finally:
        rig.close()


@pytest.fixture(name="pair", params=["tcp", "unix"])
def each_pair(request: Any, rig: Rig) -> Pair:
    pair: Pair = getattr(rig, request.param)()
    return pair
