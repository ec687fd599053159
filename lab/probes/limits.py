"""The limits of select, poll, kqueue and /dev/poll: descriptor numbers, counts, and the limit on open files.

Topic ``epoll-limits`` has those of epoll."""

from __future__ import annotations

import errno
import os
import select
from typing import Any, Callable, List

from lab.capabilities import has
from lab.probing.probe import EVERY, Seen, Unsupported, over, probe, seen, setup
from lab.probing.rig import Rig, attempt

FD_SETSIZE = 512 if has("winsock") else 1024
"""The value in CPython: on POSIX that of the C library; on Windows CPython raises it from 64."""


@probe(
    claim="select rejects a descriptor whose number is FD_SETSIZE or more; no other API does",
    source="select(2) BUGS; selectmodule.c _PyIsSelectable_fd",
    on=EVERY,
    expect={"select": "ValueError", "poll": "IN", "epoll": "IN", "kqueue": "READ",
            "selectors:SelectSelector": "ValueError", "selectors": "READ"},
    control=setup(at=FD_SETSIZE - 1, data=b""),
    needs=("limits",),
)
def number(rig: Rig, at: int = FD_SETSIZE, data: bytes = b"x") -> Seen:
    """Give a readable unix socket the number 1024; ask whether it is readable. Control: use the number 1023."""
    rig.limit_descriptors(FD_SETSIZE + 64)
    near, far = rig.unix()
    far.send(data)
    return seen(rig.ask(rig.duplicate(near, at=at)), number=at)


@probe(
    claim="SelectSelector registers a descriptor of any number; its select() then fails for all registered "
          "descriptors",
    source="selectors.py SelectSelector.register, which asks nobody; selectmodule.c _PyIsSelectable_fd",
    on=("selectors:SelectSelector",),
    expect="registers, then ValueError",
    control=setup(at=FD_SETSIZE - 1),
    needs=("limits",),
)
def number_registered(rig: Rig, at: int = FD_SETSIZE) -> Seen:
    """Register a readable unix socket, and another one with the number 1024; ask for the first."""
    rig.limit_descriptors(FD_SETSIZE + 64)
    near, far = rig.unix()
    far.send(b"x")
    asked = rig.watcher()
    asked.watch(near.fileno())
    registered = attempt(asked.watch, rig.duplicate(near, at=at), ok=lambda _: "registers")
    return seen("%s, then %s" % (registered, rig.mask(asked, near)), number=at)


@probe(
    claim="each list that is passed to select may have at most FD_SETSIZE entries, repetitions included; select "
          "rejects one more",
    source="selectmodule.c seq2set; websockets #992, trio #3",
    on=("select",),
    expect="ValueError",
    control=setup(extra=0, data=b""),
)
def list_length(rig: Rig, extra: int = 1, data: bytes = b"x") -> Seen:
    """Call select with one list in which the same readable socket stands 1025 times (513 times on Windows)."""
    near, far = rig.tcp()
    if data:
        far.send(data)
        rig.arrived(near)
    many = [near] * (FD_SETSIZE + extra)
    return seen(attempt(_select_at_once, many, [], [], ok=str), passed=len(many))


@probe(
    claim="select counts its three lists separately, so each of them may be full",
    source="selectmodule.c seq2set",
    on=("select",),
    expect="all ready",
    control=setup(extra=1, data=b""),
)
def list_lengths_apart(rig: Rig, extra: int = 0, data: bytes = b"x") -> Seen:
    """Call select with the same readable and writable socket 1024 times (512 on Windows) in each of the three lists; it
    has no exceptional condition."""
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
    claim="select on Linux reports a closed descriptor as ready if its number is above the process's descriptor table",
    source="select(2) BUGS: such a number is ignored, where POSIX wants EBADF",
    on=over("select"),
    expect={"select": "r+w", "selectors": "READ+WRITE"},
    control=setup(inside=True),
    needs=("linux", "proc"),
)
def number_above_table(rig: Rig, inside: bool = False) -> Seen:
    """Read the size of the table (FDSize); ask, without waiting, for a closed number beyond it. Control: a closed
    number in the table."""
    size = _table_size()
    return seen(rig.ask(_closed_number(size, inside), "rw", timeout=0.0), table=size)


@probe(
    claim="select on Linux reports a closed descriptor above the process's descriptor table only after its whole "
          "timeout",
    source="select(2) BUGS: such a number is ignored, so that its bit is left set",
    on=over("select"),
    expect={"select": "sleeps, then r", "selectors": "sleeps, then READ"},
    control=setup(inside=True),
    needs=("linux", "proc"),
)
def number_above_table_waits(rig: Rig, inside: bool = False) -> Seen:
    """Read the size of the table (FDSize); ask, with a timeout, for a closed number beyond it. Control: a closed number
    in the table."""
    size = _table_size()
    with rig.timed() as taken:
        mask = rig.ask(_closed_number(size, inside))
    slept = taken["seconds"] >= 0.8 * rig.quiet
    return seen("%s, then %s" % ("sleeps" if slept else "at once", mask), table=size, **taken)


def _table_size() -> int:
    """FDSize: how many descriptors the kernel has room for at present. It depends on what the parent process had
    open."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("FDSize:"))


def _closed_number(size: int, inside: bool) -> int:
    """The highest closed number in the table, or else the first number beyond the table."""
    if size >= FD_SETSIZE:
        raise Unsupported("the descriptor table already has %d entries: no number for select is above that" % size)
    return next(fd for fd in range(size - 1, 0, -1) if attempt(os.fstat, fd) == "EBADF") if inside else size


@probe(
    claim="FD_SETSIZE is a limit of the C library and of Python; the kernel's select accepts any number",
    source="select(2) C library/kernel differences; trio #3",
    on=("select",),
    expect="r",
    control=setup(data=b""),
    needs=("limits", "ctypes"),
)
def number_without_python(rig: Rig, data: bytes = b"x") -> Seen:
    """Give a readable unix socket the number 3000; call the C library's select through ctypes with a set of 4096
    bits."""
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
    claim="an open descriptor stays usable after the limit on open files is lowered below its number",
    source="getrlimit(2) RLIMIT_NOFILE; select(2) documents an EINVAL here that Linux does not give",
    on=EVERY,
    expect={"select": "r", "poll": "IN", "epoll": "IN", "selectors": "READ"},
    control=setup(data=b""),
    needs=("limits",),
)
def limit_lowered(rig: Rig, data: bytes = b"x") -> Seen:
    """Give a readable unix socket the number 500; lower the limit on open files to 400; ask whether it is readable."""
    rig.limit_descriptors(501)
    near, far = rig.unix()
    far.send(data)
    fd = rig.duplicate(near, at=500)
    rig.limit_descriptors(400)
    return seen(rig.ask(fd))


@probe(
    claim="poll fails when it has more entries than the limit on open files, whatever their numbers; other APIs have "
          "no such limit",
    source="poll(2) EINVAL",
    on=EVERY,
    expect={"poll": "EINVAL", "selectors:PollSelector": "EINVAL", "selectors:DevpollSelector": None, "kqueue": None,
            "selectors:KqueueSelector": None, "*": "64 of 64"},
    control=setup(limit=64, data=b""),
    needs=("limits",),
)
def entries(rig: Rig, limit: int = 63, data: bytes = b"x") -> Seen:
    """Register 64 duplicates of a readable unix socket; lower the limit on open files to 63; ask."""
    rig.limit_descriptors(512)
    near, far = rig.unix()
    far.send(data)
    asked = rig.watcher()
    for _ in range(64):
        asked.watch(rig.duplicate(near))
    rig.limit_descriptors(limit)
    return seen(attempt(rig.heard, asked, 0.0, ok=_out_of(64)))


def _out_of(total: int) -> Callable[[List[Any]], str]:
    """A function that spells how many of ``total`` an answer contains."""
    return lambda answer: "%d of %d" % (len(answer), total)


@probe(
    claim="kqueue.control() with room for 0 events returns at once, whatever the timeout",
    source="kqueue(2): when nevents is zero, kevent() will return immediately; bpo-29255",
    on=("kqueue",),
    expect="returns at once",
    control=setup(room=1),
    trials=3,
)
def kqueue_no_room(rig: Rig, room: int = 0) -> Seen:
    """Call control() for at most 0 events, with a timeout and nothing registered; measure the call."""
    asked: Any = rig.watcher()
    with rig.timed() as taken:
        asked.api.control(None, room, 0.4 * rig.quiet)
    return seen("sleeps" if taken["seconds"] >= 0.8 * 0.4 * rig.quiet else "returns at once", **taken)


@probe(
    claim="a /dev/poll object fails when the limit on open files is lowered after its creation",
    source="docs.python.org select.devpoll()",
    on=("selectors:DevpollSelector",),
    expect="fails",
    control=setup(limit=512),
    needs=("solaris", "limits"),
)
def devpoll_limit_lowered(rig: Rig, limit: int = 63) -> Seen:
    """Create a DevpollSelector under a limit of 512; register a readable unix socket; lower the limit to 63; ask."""
    rig.limit_descriptors(512)
    near, far = rig.unix()
    far.send(b"x")
    asked = rig.watcher()
    asked.watch(near.fileno())
    rig.limit_descriptors(limit)
    mask = rig.mask(asked, near)
    return seen("answers" if mask == "READ" else "fails", mask=mask)


@probe(
    claim="a /dev/poll object reports too few descriptors when the limit on open files is raised after its creation",
    source="docs.python.org select.devpoll()",
    on=("selectors:DevpollSelector",),
    expect="not all",
    control=setup(limit=512),
    needs=("solaris", "limits"),
)
def devpoll_limit_raised(rig: Rig, limit: int = 64) -> Seen:
    """Create a DevpollSelector under a limit of 64; raise the limit to 512; register 128 duplicates of a readable unix
    socket; ask once."""
    rig.limit_descriptors(limit)
    asked = rig.watcher()
    rig.limit_descriptors(512)
    near, far = rig.unix()
    far.send(b"x")
    for _ in range(128):
        asked.watch(rig.duplicate(near))
    answer = rig.heard(asked)
    return seen("all" if len(answer) == 128 else "not all", answered=len(answer))
