"""What one write does: accept all, accept part, wait, fail, or kill the writer. (For readiness, see ``writable``.)"""

from __future__ import annotations

import mmap
import os
import select
import signal
from typing import Any

from lab.probing.probe import Seen, probe, seen, setup
from lab.probing.rig import Rig, attempt

_select: Any = select  # typed loosely, like the next: some of its names exist only on POSIX
_signal: Any = signal

PAGE = mmap.PAGESIZE


@probe(
    claim="on TCP, the first send() after the peer's close() succeeds; it provokes the reset that makes the next one "
          "fail",
    source="RFC 9293 3.5.2; send(2) EPIPE; Linux net/ipv4/tcp_input.c tcp_reset",
    expect="ok, EPIPE",
    control=setup(closes=False),
)
def after_close(rig: Rig, closes: bool = True) -> Seen:
    """Close the TCP peer; call send(), wait for the peer's answer, and call send() again."""
    near, far = rig.tcp()
    if closes:
        far.close()
        rig.arrived(near)
    first = attempt(rig.write, near)
    rig.settle(near, "")
    return seen("%s, %s" % (first, attempt(rig.write, near)))


@probe(
    claim="after a reset, the first send() fails with ECONNRESET, and every later one with EPIPE",
    source="send(2) ECONNRESET, EPIPE; Linux net/core/stream.c sk_stream_error",
    expect="ECONNRESET, EPIPE, EPIPE",
    control=setup(resets=False),
)
def after_reset(rig: Rig, resets: bool = True) -> Seen:
    """Have the TCP peer reset the connection; call send() three times. Control: the peer closes."""
    near, far = rig.tcp()
    if resets:
        rig.reset(far)
    else:
        far.close()
    rig.arrived(near)
    return seen(", ".join(attempt(rig.write, near) for _ in range(3)))


@probe(
    claim="a reset is reported once: after a recv() has reported it, send() fails with EPIPE only",
    source="recv(2) ECONNRESET; send(2) EPIPE; PEP 3151",
    expect="ECONNRESET, end, EPIPE",
    control=setup(resets=False),
)
def after_reset_and_read(rig: Rig, resets: bool = True) -> Seen:
    """Have the TCP peer reset the connection; call recv() twice, then send(). Control: the peer closes."""
    near, far = rig.tcp()
    if resets:
        rig.reset(far)
    else:
        far.close()
    rig.arrived(near)
    reads = [rig.found(near) for _ in range(2)]
    return seen(", ".join(reads + [attempt(rig.write, near)]))


@probe(
    claim="on a unix stream, the first send() after the peer's close() fails with EPIPE at once",
    source="unix(7) ERRORS EPIPE",
    expect="EPIPE",
    control=setup(closes=False),
    needs=("unix",),
)
def after_close_unix(rig: Rig, closes: bool = True) -> Seen:
    """Close one end of a unix stream pair; call send() on the other end."""
    near, far = rig.unix()
    if closes:
        far.close()
    return seen(attempt(rig.write, near))


@probe(
    claim="a write to a pipe without a reader fails with EPIPE at once",
    source="write(2) EPIPE; pipe(7)",
    expect="EPIPE",
    control=setup(closes=False),
    needs=("pipes",),
)
def after_close_pipe(rig: Rig, closes: bool = True) -> Seen:
    """Close the reading end of a pipe; write to the other end."""
    reader, writer = rig.pipe()
    if closes:
        rig.close(reader)
    return seen(attempt(rig.write, writer))


@probe(
    claim="Python ignores SIGPIPE from its start, so a write to a broken pipe raises instead of killing the process",
    source="docs.python.org signal, Note on SIGPIPE; CPython Python/pylifecycle.c",
    expect="raised",
    control=setup(default=True),
    needs=("fork", "signals"),
)
def sigpipe_ignored(rig: Rig, default: bool = False) -> Seen:
    """Close the reading end of a pipe; write to the other end in a child that leaves SIGPIPE as Python has set it."""
    reader, writer = rig.pipe()
    rig.close(reader)
    return _child_writes(rig, writer, default)


@probe(
    claim="with SIGPIPE at its default, a write to a broken pipe kills the writer",
    source="pipe(7); signal(7) SIGPIPE",
    expect="killed",
    control=setup(default=False),
    needs=("fork", "signals"),
)
def sigpipe_pipe(rig: Rig, default: bool = True) -> Seen:
    """Close the reading end of a pipe; write to the other end in a child that sets SIGPIPE to its default."""
    reader, writer = rig.pipe()
    rig.close(reader)
    return _child_writes(rig, writer, default)


@probe(
    claim="with SIGPIPE at its default, a send() to a unix stream whose peer is closed kills the sender",
    source="send(2) MSG_NOSIGNAL; signal(7) SIGPIPE",
    expect="killed",
    control=setup(default=False),
    needs=("fork", "signals", "unix"),
)
def sigpipe_unix(rig: Rig, default: bool = True) -> Seen:
    """Close one end of a unix stream pair; send on the other end in a child that sets SIGPIPE to its default."""
    near, far = rig.unix()
    far.close()
    return _child_writes(rig, near, default)


@probe(
    claim="with SIGPIPE at its default, the second send() to a closed TCP peer kills the sender",
    source="send(2) MSG_NOSIGNAL; signal(7) SIGPIPE",
    expect="killed",
    control=setup(default=False),
    needs=("fork", "signals"),
)
def sigpipe_tcp(rig: Rig, default: bool = True) -> Seen:
    """Close the TCP peer; send once, which provokes a reset; send again in a child that sets SIGPIPE to its default."""
    near, far = rig.tcp()
    far.close()
    rig.arrived(near)
    rig.write(near)
    rig.settle(near, "")
    return _child_writes(rig, near, default)


def _child_writes(rig: Rig, thing: Any, default: bool) -> Seen:
    """How a child ends that writes one byte to it."""
    def child() -> None:
        if default:
            signal.signal(_signal.SIGPIPE, signal.SIG_DFL)
        os._exit({"ok": 0, "EPIPE": 2}.get(attempt(rig.write, thing), 1))
    ended = rig.reap(rig.fork(child))
    return seen({-int(_signal.SIGPIPE): "killed", 0: "written", 2: "raised"}.get(ended, "other"), ended=ended)


@probe(
    claim="a non-blocking send() of more data than the buffers hold sends a part of it and returns how much",
    source="send(2); POSIX send, O_NONBLOCK",
    expect="part",
    control=setup(size=1000),
)
def partial(rig: Rig, size: int = 10 << 20) -> Seen:
    """Send 10 MiB over TCP in one call, without blocking, while nobody reads."""
    near, _ = rig.tcp()
    taken = rig.write(near, bytes(size))
    return seen("all" if taken == size else "part", taken=taken)


@probe(
    claim="Winsock accepts all data of a non-blocking send(), however much it is, and rejects the next send()",
    source="Microsoft KB 823764; twisted #5094",
    expect="all, then WSAEWOULDBLOCK",
    control=setup(fills=True),
    needs=("windows",),
)
def whole_on_windows(rig: Rig, fills: bool = False) -> Seen:
    """Send 50 MiB over TCP in one call, without blocking, then one byte, while nobody reads. Control: fill the socket
    first."""
    near, _ = rig.tcp()
    if fills:
        rig.fill(near)
    size = 50 << 20
    first = attempt(rig.write, near, bytes(size), ok=lambda taken: "all" if taken == size else "part")
    return seen("%s, then %s" % (first, attempt(rig.write, near)))


@probe(
    claim="an empty pipe holds 65536 bytes",
    source="pipe(7) Pipe capacity: 16 pages, 65536 bytes where a page has 4096",
    expect="65536",
    control=setup(held=4096),
    needs=("pipes",),
)
def pipe_capacity(rig: Rig, held: int = 0) -> Seen:
    """Write to a pipe without blocking until no more is accepted, and count the bytes. Control: write 4096 bytes to the
    pipe first."""
    _, writer = rig.pipe()
    rig.write(writer, b"x" * held)
    return seen(str(rig.fill(writer)), page=PAGE)


@probe(
    claim="a non-blocking pipe write of up to PIPE_BUF bytes writes all or nothing, even where a part would fit",
    source="pipe(7) PIPE_BUF; POSIX write",
    expect="EAGAIN, then 50",
    control=setup(free=PAGE),
    needs=("pipes",),
)
def pipe_atomic(rig: Rig, free: int = 100) -> Seen:
    """Fill a pipe except for 100 bytes; write PIPE_BUF bytes, then 50. Control: leave a whole page free."""
    reader, writer = rig.pipe()
    rig.fill(writer)
    rig.read(reader, PAGE)
    rig.write(writer, b"x" * (PAGE - free))
    found = [attempt(rig.write, writer, b"x" * size, ok=str) for size in (_select.PIPE_BUF, 50)]
    return seen(", then ".join(found), pipe_buf=_select.PIPE_BUF)


@probe(
    claim="a non-blocking pipe write of more than PIPE_BUF bytes writes only as much as fits",
    source="pipe(7) PIPE_BUF; POSIX write",
    expect="what fits",
    control=setup(full=False),
    needs=("pipes",),
)
def pipe_partial(rig: Rig, full: bool = True) -> Seen:
    """Fill a pipe except for one page; write one page and 904 bytes. Control: the pipe is empty."""
    reader, writer = rig.pipe()
    if full:
        rig.fill(writer)
        rig.read(reader, PAGE)
    words = {PAGE: "what fits", PAGE + 904: "all"}
    return seen(attempt(rig.write, writer, b"x" * (PAGE + 904), ok=lambda taken: words.get(taken, "other")))
