"""What tells the I/O models apart: who sleeps, where, and who copies the data; and what they cannot do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from typing import Any, List, Tuple

from lab.capabilities import has
from lab.probing.probe import EVERY, Seen, SetUpFailed, Unsupported, probe, seen, setup
from lab.probing.rig import Rig, attempt, error_name
from lab.probing.watchers import SILENT

_os: Any = os  # typed loosely: what only POSIX has
_signal: Any = signal


def _sleeps(rig: Rig, function: Any, *arguments: Any) -> Tuple[str, Any]:
    """Call it in a thread: how that goes about it, and the thread, which is to be awaited with result()."""
    running = rig.thread(function, *arguments)
    running.until_asleep()
    return ("no sleep" if running.done() else "sleep"), running


@probe(
    claim="blocking I/O is one call: it sleeps until there is data, and comes back with it",
    source="recv(2); Stevens, UNIX Network Programming, 6.2, blocking I/O model",
    expect="sleep in recv, 1 byte",
    control=setup(late=False),
)
def blocking(rig: Rig, late: bool = True) -> Seen:
    """Have a thread call recv on a blocking socket; the peer sends one byte when it sleeps."""
    near, far = rig.tcp()
    near.setblocking(True)
    if not late:
        rig.write(far)
        rig.arrived(near)
    manner, reader = _sleeps(rig, near.recv, 10)
    if late:
        rig.write(far)
    return seen("%s in recv, %d byte" % (manner, len(reader.result())))


@probe(
    claim="nonblocking I/O never sleeps: every call before the data is EAGAIN, as many as one has time for",
    source="recv(2) EAGAIN; Stevens, UNIX Network Programming, 6.2, nonblocking I/O model",
    expect="EAGAIN again and again, 1 byte",
    control=setup(late=False),
)
def nonblocking(rig: Rig, late: bool = True) -> Seen:
    """Call recv on a nonblocking socket over and over; the peer sends one byte after the hundredth EAGAIN."""
    near, far = rig.tcp()
    if not late:
        rig.write(far)
        rig.arrived(near)
    refused: List[str] = []

    def data() -> bytes:
        try:
            return near.recv(10)
        except BlockingIOError as error:
            refused.append(error_name(error))
        if len(refused) == 100:
            rig.write(far)
        return b""
    size = len(rig.until(data))
    again = "%s again and again" % refused[0] if len(refused) >= 100 else "no EAGAIN"
    return seen("%s, %d byte" % (again, size))


@probe(
    claim="multiplexing is two calls: the wait sleeps and copies nothing, the read does not sleep and copies",
    source="POSIX, select and poll; Stevens, UNIX Network Programming, 6.2, I/O multiplexing model",
    on=EVERY,
    expect="sleep in the wait, then 1 byte",
    control=setup(late=False),
    trials=3,
)
def multiplexing(rig: Rig, late: bool = True) -> Seen:
    """Wait for a socket, to which the peer sends one byte after a while; measure the wait, and call recv."""
    near, far = rig.tcp()
    asked = rig.watcher()
    asked.watch(near.fileno())
    if late:
        rig.later(rig.quiet / 2, rig.write, far)
    else:
        rig.write(far)
        rig.arrived(near)
    with rig.timed() as taken:
        mask = rig.mask(asked, near, rig.patience)
    manner = "sleep" if taken["seconds"] >= rig.quiet / 4 else "no sleep"
    then = attempt(near.recv, 10, ok=lambda data: "%d byte" % len(data))
    return seen("%s in the wait, then %s" % (manner, then if mask != SILENT else mask), mask=mask)


@probe(
    claim="completion tells when the data is there, copied: the caller has nothing to read any more",
    source="POSIX Base Definitions, asynchronous I/O; Stevens, UNIX Network Programming, 6.2, asynchronous I/O model",
    expect="1 byte told, then EAGAIN",
    control=setup(copies=False),
)
def completion(rig: Rig, copies: bool = True) -> Seen:
    """Have a thread, in the kernel's part, receive into a buffer and tell; when it has told, call recv."""
    near, far = rig.tcp()
    buffer = bytearray(10)

    def kernel() -> int:
        rig.arrived(near)
        return near.recv_into(buffer) if copies else 0
    part = rig.thread(kernel)
    rig.write(far)
    told = part.result()
    then = attempt(near.recv, 10, ok=lambda data: "%d byte" % len(data))
    return seen("%d byte told, then %s" % (told, then))


@probe(
    claim="a read that an asyncio loop has begun gets its data only while the loop runs, unless the kernel completes",
    source="docs.python.org asyncio, Event Loop Implementations: ProactorEventLoop uses IOCP; POSIX select",
    expect="untouched",
    control=setup(runs=True),
)
def loop_at_rest(rig: Rig, runs: bool = False) -> Seen:
    """Begin sock_recv_into in a new asyncio loop, and stop that; the peer sends; look into the buffer."""
    near, far = rig.tcp()
    buffer = bytearray(1)
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(loop.sock_recv_into(near, buffer))
        loop.run_until_complete(asyncio.wait([task], timeout=0.001))
        rig.write(far, b"x")
        rig.settle(near)  # on a completing kernel nothing is left to be readable: this is quiet then
        if runs:
            loop.run_until_complete(asyncio.wait([task], timeout=rig.patience))
        token = "filled" if buffer == b"x" else "untouched"
        task.cancel()
        loop.run_until_complete(asyncio.wait([task], timeout=rig.patience))
    finally:
        loop.close()
    return seen(token, loop=type(loop).__name__)


@probe(
    claim="SIGIO tells of readiness, not of completion: the data is still to be read",
    source="fcntl(2) O_ASYNC, F_SETOWN; Stevens, UNIX Network Programming, 6.2, signal-driven I/O model",
    expect="signal, then 1 byte",
    control=setup(asks=False),
    needs=("signals",),
)
def sigio(rig: Rig, asks: bool = True) -> Seen:
    """Set O_ASYNC on a socket and own its signals; the peer sends one byte; when SIGIO has come, call recv."""
    import fcntl
    files: Any = fcntl  # typed loosely: POSIX only
    if not hasattr(os, "O_ASYNC"):
        raise Unsupported("Python knows no O_ASYNC here")
    near, far = rig.tcp()
    signals: List[int] = []
    rig.handle(_signal.SIGIO, lambda number, frame: signals.append(number))
    files.fcntl(near, files.F_SETOWN, os.getpid())
    flags = files.fcntl(near, files.F_GETFL)
    files.fcntl(near, files.F_SETFL, flags | _os.O_ASYNC if asks else flags)
    rig.write(far)
    rig.arrived(near)
    if asks:
        rig.until(lambda: signals)
    files.fcntl(near, files.F_SETFL, flags)  # or closing it would signal as well, with no handler any more
    told = "signal" if signals else "no signal"
    return seen("%s, then %d byte" % (told, len(near.recv(10))), signals=len(signals))


@probe(
    claim="a Python socket with a timeout is a nonblocking one for the kernel; without one it blocks there too",
    source="docs.python.org socket, Notes on socket timeouts",
    expect="nonblocking",
    control=setup(seconds=None),
    needs=("posix",),
)
def timeout_is_nonblocking(rig: Rig, seconds: Any = 5.0) -> Seen:
    """Call settimeout; look at the descriptor's O_NONBLOCK."""
    near, _ = rig.tcp()
    near.settimeout(seconds)
    return seen("blocking" if _os.get_blocking(near.fileno()) else "nonblocking")


@probe(
    claim="a duplicated descriptor shares O_NONBLOCK, but not Python's timeout: recv on it fails at once",
    source="fcntl(2): status flags belong to the open file description; docs.python.org socket, Notes on timeouts",
    expect="no timeout, EAGAIN",
    control=setup(by_python=True),
    needs=("posix",),
)
def duplicate_of_timeout(rig: Rig, by_python: bool = False) -> Seen:
    """Set a timeout; make a socket of a duplicate of the descriptor, not by socket.dup; have a thread recv on it. The
    peer sends in the end, for the thread's sake."""
    near, far = rig.tcp()
    near.settimeout(rig.quiet)
    twin = rig.keep(near.dup() if by_python else socket.socket(fileno=os.dup(near.fileno())))
    has = "no timeout" if twin.gettimeout() is None else "a timeout"
    manner, reader = _sleeps(rig, attempt, twin.recv, 1)
    if manner == "no sleep":
        return seen("%s, %s" % (has, reader.result()))
    rig.write(far)
    reader.result()
    return seen("%s, %s" % (has, manner))


@probe(
    claim="a forked child shares O_NONBLOCK: what it sets is set in the parent",
    source="fork(2), open(2): status flags belong to the open file description",
    expect="nonblocking",
    control=setup(shared=False),
    needs=("fork",),
)
def child_sets_nonblocking(rig: Rig, shared: bool = True) -> Seen:
    """Fork; the child makes an inherited blocking pipe nonblocking; look at it in the parent."""
    fd, other = rig.pipe()
    for end in (fd, other):
        _os.set_blocking(end, True)
    rig.reap(rig.fork(lambda: _os.set_blocking(fd if shared else other, False)))
    return seen("blocking" if _os.get_blocking(fd) else "nonblocking")


@probe(
    claim="O_NONBLOCK means nothing for a regular file: a read is never EAGAIN, not even at the end",
    source="open(2) O_NONBLOCK; read(2) EAGAIN",
    expect="data, end",
    control=setup(file=False),
    needs=("posix",),
)
def nonblocking_file(rig: Rig, file: bool = True) -> Seen:
    """Open a regular file with O_NONBLOCK; read it, and read again at its end."""
    fd = rig.file(b"text", os.O_RDONLY | _os.O_NONBLOCK) if file else rig.pipe()[0]

    def read() -> str:
        return attempt(os.read, fd, 10, ok=lambda data: "data" if data else "end")
    return seen("%s, %s" % (read(), read()))


@probe(
    claim="the kernel offers completion by io_uring to this process",
    source="io_uring_setup(2)",
    expect=None,
    control=setup(entries=0),
    needs=("linux", "ctypes"),
)
def io_uring(rig: Rig, entries: int = 4) -> Seen:
    """Call io_uring_setup by its number, the same on nearly every architecture, for a small ring."""
    import ctypes
    call = ctypes.CDLL(None, use_errno=True).syscall
    parameters = ctypes.create_string_buffer(120)  # struct io_uring_params, all zero
    fd = call(ctypes.c_long(425), ctypes.c_uint(entries), parameters)
    if fd < 0:
        code = ctypes.get_errno()
        return seen(error_name(OSError(code, os.strerror(code))))
    rig.keep(int(fd))
    return seen("a ring")


@probe(
    claim="the C library has POSIX asynchronous I/O, and waits with a signal mask and with nanoseconds",
    source="aio(7); poll(2) ppoll; epoll_wait(2) epoll_pwait2, Linux 5.11",
    expect=None,
    control=setup(names=("lab_has_no_such_function",)),
    needs=("posix", "ctypes"),
)
def c_library(rig: Rig, names: Tuple[str, ...] = ("aio_read", "ppoll", "epoll_pwait2")) -> Seen:
    """Look up aio_read, ppoll and epoll_pwait2 in the C library, without calling them."""
    import ctypes
    library = ctypes.CDLL(None)
    return seen("+".join(name for name in names if hasattr(library, name)) or "none")


@probe(
    claim="close() of a nonblocking socket blocks all the same while SO_LINGER waits for unsent data",
    source="socket(7) SO_LINGER; POSIX close",
    expect="blocks",
    control=setup(lingers=False),
)
def linger_close(rig: Rig, lingers: bool = True) -> Seen:
    """Fill a nonblocking TCP socket, set SO_LINGER, and have a thread close it and measure that; the peer reads after
    quiet."""
    near, far = rig.tcp()
    unsent = rig.fill(near)
    longest = 1 + int(2 * rig.quiet)  # where close() holds the interpreter, as on PyPy, nobody reads and it takes this
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("hh" if has("winsock") else "ii", int(lingers), longest))

    def close() -> str:
        with rig.timed() as taken:
            near.close()
        return "blocks" if taken["seconds"] >= 0.8 * rig.quiet else "returns"
    closer = rig.thread(close)
    with contextlib.suppress(SetUpFailed, OSError):  # it lasts, or has failed, which is told below
        closer.result(rig.quiet)
    rig.until(lambda: rig.drain(far) >= 0 and closer.done())
    return seen(attempt(closer.result, ok=str), unsent=unsent > 0)
