"""How the I/O models differ: which call sleeps, which call copies the data; and the limits of each model."""

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

_os: Any = os  # typed loosely: some of its names exist only on POSIX
_signal: Any = signal


def _sleeps(rig: Rig, function: Any, *arguments: Any) -> Tuple[str, Any]:
    """Call the function in a thread; whether that sleeps, and the thread, whose result() the caller must wait for."""
    running = rig.thread(function, *arguments)
    running.until_asleep()
    return ("no sleep" if running.done() else "sleep"), running


@probe(
    claim="blocking I/O is one call: recv() sleeps until data arrives, and returns the data",
    source="recv(2); Stevens, UNIX Network Programming, 6.2, blocking I/O model",
    expect="sleep in recv, 1 byte",
    control=setup(late=False),
)
def blocking(rig: Rig, late: bool = True) -> Seen:
    """Have a thread call recv() on a blocking socket; once the thread sleeps, the peer sends one byte."""
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
    claim="nonblocking I/O never sleeps: until data arrives, each recv() fails with EAGAIN at once, however many "
          "there are",
    source="recv(2) EAGAIN; Stevens, UNIX Network Programming, 6.2, nonblocking I/O model",
    expect="EAGAIN again and again, 1 byte",
    control=setup(late=False),
)
def nonblocking(rig: Rig, late: bool = True) -> Seen:
    """Call recv() on a nonblocking socket repeatedly; the peer sends one byte after the hundredth EAGAIN."""
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
    claim="multiplexing is two calls: the wait sleeps and copies nothing; the read copies the data and does not sleep",
    source="POSIX, select and poll; Stevens, UNIX Network Programming, 6.2, I/O multiplexing model",
    on=EVERY,
    expect="sleep in the wait, then 1 byte",
    control=setup(late=False),
    trials=3,
)
def multiplexing(rig: Rig, late: bool = True) -> Seen:
    """Wait for a socket on which the peer sends one byte after a while; measure the wait, and call recv()."""
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
    claim="in the completion model, the report arrives after the data has been copied, so there is nothing left to "
          "read",
    source="POSIX Base Definitions, asynchronous I/O; Stevens, UNIX Network Programming, 6.2, asynchronous I/O model",
    expect="1 byte told, then EAGAIN",
    control=setup(copies=False),
)
def completion(rig: Rig, copies: bool = True) -> Seen:
    """Have a thread play the kernel: it receives into a buffer and reports; after the report, call recv()."""
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
    claim="a read started by an asyncio loop gets its data only while the loop runs, unless the kernel completes "
          "reads by itself",
    source="docs.python.org asyncio, Event Loop Implementations: ProactorEventLoop uses IOCP; POSIX select",
    expect="untouched",
    control=setup(runs=True),
)
def loop_at_rest(rig: Rig, runs: bool = False) -> Seen:
    """Start sock_recv_into() in a new asyncio loop, and stop the loop; have the peer send; look into the buffer."""
    near, far = rig.tcp()
    buffer = bytearray(1)
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(loop.sock_recv_into(near, buffer))
        loop.run_until_complete(asyncio.wait([task], timeout=0.001))
        rig.write(far, b"x")
        rig.settle(near)  # where the kernel completes the read, nothing is left to read: wait only for quiet
        if runs:
            loop.run_until_complete(asyncio.wait([task], timeout=rig.patience))
        token = "filled" if buffer == b"x" else "untouched"
        task.cancel()
        loop.run_until_complete(asyncio.wait([task], timeout=rig.patience))
    finally:
        loop.close()
    return seen(token, loop=type(loop).__name__)


@probe(
    claim="SIGIO reports readiness, not completion: the data still has to be read",
    source="fcntl(2) O_ASYNC, F_SETOWN; Stevens, UNIX Network Programming, 6.2, signal-driven I/O model",
    expect="signal, then 1 byte",
    control=setup(asks=False),
    needs=("signals",),
)
def sigio(rig: Rig, asks: bool = True) -> Seen:
    """Set O_ASYNC on a socket and make this process the receiver of its signals; have the peer send one byte; once
    SIGIO has arrived, call recv()."""
    import fcntl
    files: Any = fcntl  # typed loosely: the module exists only on POSIX
    if not hasattr(os, "O_ASYNC"):
        raise Unsupported("this Python has no os.O_ASYNC")
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
    files.fcntl(near, files.F_SETFL, flags)  # or closing it would raise SIGIO again, after its handler is gone
    told = "signal" if signals else "no signal"
    return seen("%s, then %d byte" % (told, len(near.recv(10))), signals=len(signals))


@probe(
    claim="a Python socket with a timeout is nonblocking in the kernel; a socket without a timeout is blocking there",
    source="docs.python.org socket, Notes on socket timeouts",
    expect="nonblocking",
    control=setup(seconds=None),
    needs=("posix",),
)
def timeout_is_nonblocking(rig: Rig, seconds: Any = 5.0) -> Seen:
    """Call settimeout() on a socket; read O_NONBLOCK of its descriptor."""
    near, _ = rig.tcp()
    near.settimeout(seconds)
    return seen("blocking" if _os.get_blocking(near.fileno()) else "nonblocking")


@probe(
    claim="a duplicated descriptor shares O_NONBLOCK but not Python's timeout, so recv() on it fails with EAGAIN at "
          "once",
    source="fcntl(2): status flags belong to the open file description; docs.python.org socket, Notes on timeouts",
    expect="no timeout, EAGAIN",
    control=setup(by_python=True),
    needs=("posix",),
)
def duplicate_of_timeout(rig: Rig, by_python: bool = False) -> Seen:
    """Set a timeout on a socket; create a second socket object from os.dup() of its descriptor; have a thread call
    recv() on that. At the end the peer sends, so that the thread can return. Control: duplicate with socket.dup()."""
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
    claim="a forked child shares O_NONBLOCK with its parent, so setting it in the child sets it in the parent",
    source="fork(2), open(2): status flags belong to the open file description",
    expect="nonblocking",
    control=setup(shared=False),
    needs=("fork",),
)
def child_sets_nonblocking(rig: Rig, shared: bool = True) -> Seen:
    """Create a blocking pipe; fork a child that makes one end nonblocking; read the flag of that end in the parent."""
    fd, other = rig.pipe()
    for end in (fd, other):
        _os.set_blocking(end, True)
    rig.reap(rig.fork(lambda: _os.set_blocking(fd if shared else other, False)))
    return seen("blocking" if _os.get_blocking(fd) else "nonblocking")


@probe(
    claim="O_NONBLOCK has no effect on a regular file: read() never fails with EAGAIN, not even at the end of the "
          "file",
    source="open(2) O_NONBLOCK; read(2) EAGAIN",
    expect="data, end",
    control=setup(file=False),
    needs=("posix",),
)
def nonblocking_file(rig: Rig, file: bool = True) -> Seen:
    """Open a regular file with O_NONBLOCK; read all of it, and read again at the end. Control: read an empty pipe."""
    fd = rig.file(b"text", os.O_RDONLY | _os.O_NONBLOCK) if file else rig.pipe()[0]

    def read() -> str:
        return attempt(os.read, fd, 10, ok=lambda data: "data" if data else "end")
    return seen("%s, %s" % (read(), read()))


@probe(
    claim="the kernel offers this process completion through io_uring",
    source="io_uring_setup(2)",
    expect=None,
    control=setup(entries=0),
    needs=("linux", "ctypes"),
)
def io_uring(rig: Rig, entries: int = 4) -> Seen:
    """Call io_uring_setup for a small ring, by its system call number, which is the same on nearly every
    architecture."""
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
    claim="the C library has POSIX asynchronous I/O, and calls that wait with a signal mask and with nanoseconds",
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
    claim="close() of a nonblocking socket blocks while SO_LINGER waits for unsent data",
    source="socket(7) SO_LINGER; POSIX close",
    expect="blocks",
    control=setup(lingers=False),
)
def linger_close(rig: Rig, lingers: bool = True) -> Seen:
    """Fill a nonblocking TCP socket and set SO_LINGER; have a thread call close(), and measure how long that takes; the
    peer reads after a short while."""
    near, far = rig.tcp()
    unsent = rig.fill(near)
    longest = 1 + int(2 * rig.quiet)  # where close() keeps the interpreter lock, as on PyPy, it takes this long
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("hh" if has("winsock") else "ii", int(lingers), longest))

    def close() -> str:
        with rig.timed() as taken:
            near.close()
        return "blocks" if taken["seconds"] >= 0.8 * rig.quiet else "returns"
    closer = rig.thread(close)
    with contextlib.suppress(SetUpFailed, OSError):  # it still blocks, or has failed; the token below says which
        closer.result(rig.quiet)
    rig.until(lambda: rig.drain(far) >= 0 and closer.done())
    return seen(attempt(closer.result, ok=str), unsent=unsent > 0)
