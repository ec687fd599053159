"""What one end of a pipe or FIFO reports when no process has the other end open."""

from __future__ import annotations

import os
from typing import Any, Tuple

from lab.probing.probe import EPOLLS, EVERY, Seen, probe, seen, setup
from lab.probing.rig import Rig, attempt

_os: Any = os  # typed loosely: some of its names exist only on POSIX


# Pipes.


@probe(
    claim="a pipe at its end is reported as HUP without IN, and as IN+HUP while there is still data to read",
    source="poll(2) POLLHUP; pipe(7) I/O on pipes and FIFOs; kqueue(2) EVFILT_READ on pipes",
    on=EVERY,
    expect={"select": "r, then r", "poll": "IN+HUP, then HUP", "epoll": "IN+HUP, then HUP",
            "kqueue": "READ-EOF, then READ-EOF", "selectors": "READ, then READ"},
    control=setup(closes=False),
    needs=("pipes",),
)
def end(rig: Rig, closes: bool = True) -> Seen:
    """Write to a pipe, and close the writing end; ask whether the reading end is readable; read everything, and ask
    again."""
    near, far = rig.pipe()
    rig.write(far)
    if closes:
        rig.close(far)
    unread = rig.ask(near)
    rig.read(near)
    return seen("%s, then %s" % (unread, rig.ask(near)))


@probe(
    claim="the end of a pipe is reported even with an empty interest mask",
    source="poll(2): events may be zero, POLLHUP is ignored in events; epoll_ctl(2) EPOLLHUP",
    on=("poll", *EPOLLS),
    expect="HUP",
    control=setup(closes=False),
    needs=("pipes",),
)
def end_unasked(rig: Rig, closes: bool = True) -> Seen:
    """Close the writing end of a pipe; register the reading end with an empty interest mask, and ask."""
    near, far = rig.pipe()
    if closes:
        rig.close(far)
    return seen(rig.ask(near, ""))


@probe(
    claim="the writing end of a pipe is reported as writable and in error once no reader is left",
    source="poll(2) POLLERR: also set for the write end of a pipe when the read end has been closed",
    on=EVERY,
    expect={"select": "r+w", "poll": "OUT+ERR", "epoll": "OUT+ERR", "selectors": "READ+WRITE",
            "selectors:KqueueSelector": None},
    control=setup(closes=False),
    needs=("pipes",),
)
def reader_gone(rig: Rig, closes: bool = True) -> Seen:
    """Close the reading end of a pipe; ask whether the writing end is readable or writable, and write to it."""
    far, near = rig.pipe()
    if closes:
        rig.close(far)
    return seen(rig.ask(near, "rw"), write=attempt(rig.write, near))


@probe(
    claim="the error of a pipe without a reader is reported even if its writing end is registered for reading only",
    source="poll(2) POLLERR is ignored in events; epoll_ctl(2) EPOLLERR: not necessary to set it",
    on=EVERY,
    expect={"select": "r", "poll": "ERR", "epoll": "ERR", "selectors": "READ", "selectors:KqueueSelector": None},
    control=setup(closes=False),
    needs=("pipes",),
    promises=("selectors",),
    aliases=("selectors/pipe-error-for-read",),
)
def reader_gone_unasked(rig: Rig, closes: bool = True) -> Seen:
    """Register the writing end of a pipe for reading; close the reading end, and ask."""
    far, near = rig.pipe()
    asked = rig.watcher()
    asked.watch(near, "r")
    if closes:
        rig.close(far)
    return seen(rig.mask(asked, near))


# FIFOs.


def _fifo(rig: Rig) -> Tuple[str, int]:
    path = os.path.join(rig.directory(), "fifo")
    _os.mkfifo(path)
    return path, int(rig.keep(os.open(path, os.O_RDONLY | _os.O_NONBLOCK)))


@probe(
    claim="a FIFO that no writer has opened yet is not readable, although read() returns at once",
    source="fifo(7); POSIX read: 0 where no process has the FIFO open for writing; pipe_poll in Linux fs/pipe.c",
    on=EVERY,
    expect={"kqueue": None, "selectors:KqueueSelector": None, "*": "silent, then 0 bytes"},
    control=setup(comes=True),
    needs=("fifo",),
)
def fifo_before_writer(rig: Rig, comes: bool = False) -> Seen:
    """Open a FIFO for reading, while no writer has it open; ask whether it is readable, and call read(). Control: a
    writer opens and closes it first."""
    path, near = _fifo(rig)
    if comes:
        rig.close(os.open(path, os.O_WRONLY))
    return seen("%s, then %d bytes" % (rig.ask(near, timeout=0.0), len(rig.read(near))))


@probe(
    claim="a FIFO whose writer has closed it is reported at its end until the next writer opens it",
    source="poll(2) POLLHUP; fifo(7); pipe_poll in Linux fs/pipe.c",
    on=EVERY,
    expect={"select": "r, then silent", "poll": "HUP, then silent", "epoll": "HUP, then silent",
            "selectors:SelectSelector": "READ, then silent", "selectors:PollSelector": "READ, then silent",
            "selectors:EpollSelector": "READ, then silent"},
    control=setup(returns=False),
    needs=("fifo",),
)
def fifo_after_writer(rig: Rig, returns: bool = True) -> Seen:
    """Open a FIFO for writing and close it; ask whether the reader is readable; open it for writing again, and ask
    again."""
    path, near = _fifo(rig)
    rig.close(os.open(path, os.O_WRONLY))
    left = rig.ask(near)
    if returns:
        rig.keep(os.open(path, os.O_WRONLY))
    return seen("%s, then %s" % (left, rig.ask(near, timeout=0.0)))


@probe(
    claim="a large write to a FIFO is reported just as a small one is",
    source="fifo(7); gh-95600: not by kqueue on macOS 12.5, above 8192 bytes",
    on=EVERY,
    expect={"select": "r", "poll": "IN", "epoll": "IN", "kqueue": "READ", "selectors": "READ"},
    control=setup(size=0),
    needs=("fifo",),
)
def fifo_large_write(rig: Rig, size: int = 10000) -> Seen:
    """Register a FIFO for reading; write 10,000 bytes to it in one call, and ask."""
    path, near = _fifo(rig)
    far = rig.keep(os.open(path, os.O_WRONLY | _os.O_NONBLOCK))
    asked = rig.watcher()
    asked.watch(near)
    written = rig.write(far, b"x" * size)
    return seen(rig.mask(asked, near), written=written)
