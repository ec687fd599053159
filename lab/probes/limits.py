"""Where select, poll, kqueue and /dev/poll end: by the number of a descriptor, by how many there are, by the process.

What epoll limits is in topic epoll-limits.
"""

from __future__ import annotations

import errno
import os
import select
from typing import Any, Callable, List

from lab.capabilities import has
from lab.probing.probe import EVERY, Seen, Unsupported, probe, seen, setup
from lab.probing.rig import Rig, attempt

FD_SETSIZE = 512 if has("winsock") else 1024
"""What CPython is built with: on POSIX the C library's, on Windows raised from 64 by CPython itself."""


@probe(
    claim="select refuses a descriptor by its number, FD_SETSIZE or more; nothing else does",
    source="select(2) BUGS; selectmodule.c _PyIsSelectable_fd",
    on=EVERY,
    expect={"select": "ValueError", "poll": "IN", "epoll": "IN", "kqueue": "READ",
            "selectors:SelectSelector": "ValueError", "selectors": "READ"},
    control=setup(at=FD_SETSIZE - 1, data=b""),
    needs=("limits",),
)
def number(rig: Rig, at: int = FD_SETSIZE, data: bytes = b"x") -> Seen:
    """Give a readable unix socket the number 1024; ask."""
    rig.limit_descriptors(FD_SETSIZE + 64)
    near, far = rig.unix()
    far.send(data)
    return seen(rig.ask(rig.duplicate(near, at=at)), number=at)


@probe(
    claim="SelectSelector registers a descriptor of any number; only select() refuses it, for all that are registered",
    source="selectors.py SelectSelector.register, which asks nobody; selectmodule.c _PyIsSelectable_fd",
    on=("selectors:SelectSelector",),
    expect="registers, then ValueError",
    control=setup(at=FD_SETSIZE - 1),
    needs=("limits",),
)
def number_registered(rig: Rig, at: int = FD_SETSIZE) -> Seen:
    """Register a readable unix socket, and another with the number 1024; ask for the first."""
    rig.limit_descriptors(FD_SETSIZE + 64)
    near, far = rig.unix()
    far.send(b"x")
    asked = rig.watcher()
    asked.watch(near.fileno())
    registered = attempt(asked.watch, rig.duplicate(near, at=at), ok=lambda _: "registers")
    return seen("%s, then %s" % (registered, rig.mask(asked, near)), number=at)


@probe(
    claim="each list of select holds FD_SETSIZE descriptors, copies counted: one more is refused",
    source="selectmodule.c seq2set; websockets #992, trio #3",
    on=("select",),
    expect="ValueError",
    control=setup(extra=0, data=b""),
)
def list_length(rig: Rig, extra: int = 1, data: bytes = b"x") -> Seen:
    """Pass one list of 1025 times the same readable socket (513 times on Windows)."""
    near, far = rig.tcp()
    if data:
        far.send(data)
        rig.arrived(near)
    many = [near] * (FD_SETSIZE + extra)
    return seen(attempt(_select_at_once, many, [], [], ok=str), passed=len(many))


@probe(
    claim="the three lists of select are counted apart: each may be full",
    source="selectmodule.c seq2set",
    on=("select",),
    expect="all ready",
    control=setup(extra=1, data=b""),
)
def list_lengths_apart(rig: Rig, extra: int = 0, data: bytes = b"x") -> Seen:
    """Pass the same readable and writable socket 1024 times each to read, to write and as exceptional (512 on Windows);
    it has nothing exceptional."""
    near, far = rig.tcp()
    if data:
        far.send(data)
        rig.arrived(near)
    many = [near] * FD_SETSIZE
    return seen(attempt(_select_at_once, many, many + [near] * extra, many, ok=str), passed=len(many))


def _select_at_once(readers: List[Any], writers: List[Any], exceptional: List[Any]) -> str:
    ready = select.select(readers, writers, exceptional, 0)
    return "all ready" if ready[:2] == (readers, writers) else "not all ready"


@probe(
    claim="select on Linux calls a closed descriptor ready whose number is above the process's table of descriptors",
    source="select(2) BUGS: such a number is ignored, where POSIX wants EBADF",
    on=("select", "selectors:SelectSelector"),
    expect={"select": "r+w", "selectors": "READ+WRITE"},
    control=setup(inside=True),
    needs=("linux", "proc"),
)
def number_above_table(rig: Rig, inside: bool = False) -> Seen:
    """Read the size of the table, FDSize; ask without waiting for a closed number that lies beyond it."""
    size = _table_size()
    return seen(rig.ask(_closed_number(size, inside), "rw", timeout=0.0), table=size)


@probe(
    claim="select waits its whole timeout before it calls such a descriptor ready",
    source="select(2) BUGS: such a number is ignored, so that its bit is left set",
    on=("select", "selectors:SelectSelector"),
    expect={"select": "sleeps, then r", "selectors": "sleeps, then READ"},
    control=setup(inside=True),
    needs=("linux", "proc"),
)
def number_above_table_waits(rig: Rig, inside: bool = False) -> Seen:
    """Read the size of the table, FDSize; ask with a timeout for a closed number that lies beyond it."""
    size = _table_size()
    with rig.timed() as taken:
        mask = rig.ask(_closed_number(size, inside))
    slept = taken["seconds"] >= 0.8 * rig.quiet
    return seen("%s, then %s" % ("sleeps" if slept else "at once", mask), table=size, **taken)


def _table_size() -> int:
    """FDSize: how many descriptors the kernel has room for at present. It differs by what the parent had open."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("FDSize:"))


def _closed_number(size: int, inside: bool) -> int:
    """The highest closed number in the table, or else the first beyond it."""
    if size >= FD_SETSIZE:
        raise Unsupported("the table of descriptors has %d entries already: no number for select is above it" % size)
    return next(fd for fd in range(size - 1, 0, -1) if attempt(os.fstat, fd) == "EBADF") if inside else size


@probe(
    claim="FD_SETSIZE is a limit of the C library and of Python: the kernel's select takes any number",
    source="select(2) C library/kernel differences; trio #3",
    on=("select",),
    expect="r",
    control=setup(data=b""),
    needs=("limits", "ctypes"),
)
def number_without_python(rig: Rig, data: bytes = b"x") -> Seen:
    """Give a readable unix socket the number 3000; call the C library's select by ctypes with a set of 4096 bits."""
    import ctypes
    rig.limit_descriptors(4096)
    near, far = rig.unix()
    far.send(data)
    fd = rig.duplicate(near, at=3000)
    word, bit = divmod(fd, 8 * ctypes.sizeof(ctypes.c_ulong))
    readers = (ctypes.c_ulong * 512)()
    readers[word] = 1 << bit
    no_time = (ctypes.c_long * 2)()
    count = ctypes.CDLL(None, use_errno=True).select(fd + 1, readers, None, None, no_time)
    if count < 0:
        return seen(errno.errorcode[ctypes.get_errno()])
    return seen("r" if readers[word] else "silent", count=count)


@probe(
    claim="a descriptor that is open stays usable when the limit on open files is lowered below its number",
    source="getrlimit(2) RLIMIT_NOFILE; select(2) documents an EINVAL here that Linux does not give",
    on=EVERY,
    expect={"select": "r", "poll": "IN", "epoll": "IN", "selectors": "READ"},
    control=setup(data=b""),
    needs=("limits",),
)
def limit_lowered(rig: Rig, data: bytes = b"x") -> Seen:
    """Give a readable unix socket the number 500, lower the limit to 400; ask."""
    rig.limit_descriptors(501)
    near, far = rig.unix()
    far.send(data)
    fd = rig.duplicate(near, at=500)
    rig.limit_descriptors(400)
    return seen(rig.ask(fd))


@probe(
    claim="poll refuses more entries than there may be open files, whatever their numbers; the others do not count",
    source="poll(2) EINVAL",
    on=EVERY,
    expect={"poll": "EINVAL", "selectors:PollSelector": "EINVAL", "selectors:DevpollSelector": None, "kqueue": None,
            "selectors:KqueueSelector": None, "*": "64 of 64"},
    control=setup(limit=64, data=b""),
    needs=("limits",),
)
def entries(rig: Rig, limit: int = 63, data: bytes = b"x") -> Seen:
    """Watch 64 duplicates of a readable unix socket; lower the limit on open files to 63; ask."""
    rig.limit_descriptors(512)
    near, far = rig.unix()
    far.send(data)
    asked = rig.watcher()
    for _ in range(64):
        asked.watch(rig.duplicate(near))
    rig.limit_descriptors(limit)
    return seen(attempt(rig.heard, asked, 0.0, ok=_out_of(64)))


def _out_of(total: int) -> Callable[[List[Any]], str]:
    """How many of them were answered for."""
    return lambda answer: "%d of %d" % (len(answer), total)


@probe(
    claim="kqueue with room for no event returns at once, whatever the timeout",
    source="kqueue(2): when nevents is zero, kevent() will return immediately; bpo-29255",
    on=("kqueue",),
    expect="returns at once",
    control=setup(room=1),
    trials=3,
)
def kqueue_no_room(rig: Rig, room: int = 0) -> Seen:
    """Call control() for at most 0 events, with a timeout and nothing registered."""
    asked: Any = rig.watcher()
    with rig.timed() as taken:
        asked.api.control(None, room, 0.4 * rig.quiet)
    return seen("sleeps" if taken["seconds"] >= 0.8 * 0.4 * rig.quiet else "returns at once", **taken)


@probe(
    claim="a /dev/poll object fails when the limit on open files is lowered after it was made",
    source="docs.python.org select.devpoll()",
    on=("selectors:DevpollSelector",),
    expect="fails",
    control=setup(limit=512),
    needs=("solaris", "limits"),
)
def devpoll_limit_lowered(rig: Rig, limit: int = 63) -> Seen:
    """Make a DevpollSelector under a limit of 512, watch a readable unix socket, lower the limit to 63; ask."""
    rig.limit_descriptors(512)
    near, far = rig.unix()
    far.send(b"x")
    asked = rig.watcher()
    asked.watch(near.fileno())
    rig.limit_descriptors(limit)
    mask = rig.mask(asked, near)
    return seen("answers" if mask == "READ" else "fails", mask=mask)


@probe(
    claim="a /dev/poll object tells of too few descriptors when the limit on open files is raised after it was made",
    source="docs.python.org select.devpoll()",
    on=("selectors:DevpollSelector",),
    expect="not all",
    control=setup(limit=512),
    needs=("solaris", "limits"),
)
def devpoll_limit_raised(rig: Rig, limit: int = 64) -> Seen:
    """Make a DevpollSelector under a limit of 64, raise it to 512, watch 128 duplicates of a readable unix socket; ask
    once."""
    rig.limit_descriptors(limit)
    asked = rig.watcher()
    rig.limit_descriptors(512)
    near, far = rig.unix()
    far.send(b"x")
    for _ in range(128):
        asked.watch(rig.duplicate(near))
    answer = rig.heard(asked)
    return seen("all" if len(answer) == 128 else "not all", answered=len(answer))
