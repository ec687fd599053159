"""The limits of epoll: watches per user, events per call, and which arguments Python's epoll object accepts."""

from __future__ import annotations

import contextlib
import errno
import os
import select
from collections import Counter
from typing import Any, Iterator, List

from lab.probing.probe import EPOLLS, Seen, Unsupported, backend, over, probe, seen, setup
from lab.probing.rig import Rig, attempt, error_name
from lab.probing.watchers import Watcher

_os: Any = os  # typed loosely, like the next: some of its names exist only on POSIX or Linux
_select: Any = select

MANY = 1200
"""A number of descriptors above 1023, the number of events that one call asks for by default."""

SIDE = 128
"""The number of epoll objects, and of the descriptors that each of them watches."""

LIMIT_FILE = "/proc/sys/fs/epoll/max_user_watches"


@probe(
    claim="epoll registration fails with ENOSPC once all processes of the user together watch max_user_watches "
          "descriptors",
    source="epoll_ctl(2) ENOSPC; epoll(7) /proc interfaces",
    on=over("epoll"),
    expect="ENOSPC",
    control=setup(lowers=False),
    needs=("linux", "root", "max-user-watches"),
    alone=True,
)
def max_user_watches(rig: Rig, lowers: bool = True) -> Seen:
    """As a user id that no other process has, register 16,384 watches; set max_user_watches, which is one limit for the
    whole machine, to exactly that number; register one more, and restore the limit at once. No other user has so many
    watches, so no other program meets the limit."""
    limit = rig.keep(_open_limit())
    before = _os.pread(limit, 32, 0)
    if int(before) <= SIDE * SIDE:
        raise Unsupported("max_user_watches is only %d here, so lowering it could affect other programs" % int(before))
    rig.limit_descriptors(4 * SIDE)
    near, _ = rig.unix()
    fds = [rig.duplicate(near) for _ in range(SIDE)]
    with _as_a_new_user():
        asked, others = rig.watcher(), [rig.watcher("epoll") for _ in range(SIDE)]
    for other in others:
        for fd in fds:
            other.watch(fd)
    try:
        if lowers:
            _os.pwrite(limit, b"%d" % (SIDE * SIDE), 0)
        token = attempt(asked.watch, near.fileno())
    finally:
        _os.pwrite(limit, before, 0)
    return seen(token, watches=SIDE * SIDE)


def _open_limit() -> int:
    try:
        return os.open(LIMIT_FILE, os.O_RDWR)
    except OSError as error:  # EROFS, EACCES, EPERM: a container may not write to /proc/sys
        raise Unsupported("this process cannot set max_user_watches: %s" % error_name(error)) from error


@contextlib.contextmanager
def _as_a_new_user() -> Iterator[None]:
    """Charge what is opened in this block to a user id of its own. The real user id decides; the effective one stays
    root."""
    before = _os.getresuid()[0]
    try:
        _os.setresuid((1 << 30) + os.getpid(), -1, -1)
    except OSError as error:  # EPERM, EINVAL: root lacks CAP_SETUID, or has a small user namespace
        raise Unsupported("this process cannot change its user id: %s" % error_name(error)) from error
    try:
        yield
    finally:
        _os.setresuid(before, -1, -1)


@probe(
    claim="one call of epoll.poll() returns at most FD_SETSIZE - 1 = 1023 events, unless maxevents asks for more",
    source="docs.python.org epoll.poll(); selectmodule.c: maxevents = FD_SETSIZE-1",
    on=over("poll", "epoll", edge=False),
    expect={"epoll": "1023 of 1200", "*": "1200 of 1200"},
    control=backend("epoll"),
    needs=("limits",),
)
def default_maxevents(rig: Rig) -> Seen:
    """Register 1200 duplicates of a writable unix socket; ask once for those that are writable."""
    fds = _writable(rig)
    return seen("%d of %d" % (len(rig.heard(_watching(rig, fds))), len(fds)))


@probe(
    claim="descriptors that one call of epoll.poll() leaves out come first in the next call, so none starves",
    source="epoll_wait(2) NOTES: round robin",
    on=EPOLLS,
    expect="all in 2 calls",
    control=setup(anew=True),
    needs=("limits",),
)
def default_maxevents_rotates(rig: Rig, anew: bool = False) -> Seen:
    """Register 1200 duplicates of a writable unix socket; call until each has been reported, at most 3 times. Control:
    use a new epoll object for each call, so that it cannot continue where the last call stopped."""
    fds = _writable(rig)
    asked = _watching(rig, fds)
    missing = set(fds)
    counts: List[int] = []
    while missing and len(counts) < 3:
        answer = rig.heard(asked)
        counts.append(len(answer))
        missing -= {fd for fd, _ in answer}
        asked = _watching(rig, fds) if anew else asked
    return seen("%s in %d calls" % ("not all" if missing else "all", len(counts)), answered=counts)


def _writable(rig: Rig) -> List[int]:
    rig.limit_descriptors(MANY + 256)
    near, _ = rig.unix()
    return [rig.duplicate(near) for _ in range(MANY)]


def _watching(rig: Rig, fds: List[int]) -> Watcher:
    asked = rig.watcher()
    for fd in fds:
        asked.watch(fd, "w")
    return asked


@probe(
    claim="when more descriptors are ready than maxevents allows, epoll reports them in round robin order",
    source="epoll_wait(2) NOTES: round robin",
    on=("epoll",),
    expect="each of 6 told 2 times",
    control=setup(trigger="epoll-et"),
)
def small_maxevents_rotates(rig: Rig, trigger: str = "epoll") -> Seen:
    """Register 6 readable duplicates of a unix socket; call epoll.poll() 6 times for at most 2 events."""
    near, far = rig.unix()
    far.send(b"x")
    asked: Any = rig.watcher(trigger)
    fds = [rig.duplicate(near) for _ in range(6)]
    for fd in fds:
        asked.watch(fd)
    order = [fds.index(fd) for _ in range(6) for fd, _ in asked.api.poll(0, 2)]
    times = sorted(set(Counter(order).values()))
    return seen("each of %d told %s times" % (len(set(order)), "/".join(map(str, times))), order=order)


@probe(
    claim="in calls of epoll.poll() for one event, a descriptor that is always ready does not hide another one",
    source="epoll_wait(2) NOTES: round robin",
    on=("epoll",),
    expect="alternates",
    control=setup(data=b""),
)
def always_ready_starves_nobody(rig: Rig, data: bytes = b"x") -> Seen:
    """Register a unix socket that is always writable and another that stays readable; call epoll.poll() 8 times for at
    most 1 event."""
    near, far = rig.unix()
    far.send(data)
    asked: Any = rig.watcher()
    asked.watch(far.fileno(), "w")
    asked.watch(near.fileno(), "r")
    order = ["w" if fd == far.fileno() else "r" for _ in range(8) for fd, _ in asked.api.poll(0, 1)]
    return seen("alternates" if "".join(order) in ("rw" * 4, "wr" * 4) else "does not alternate", order=order)


@probe(
    claim="epoll_wait accepts maxevents up to INT_MAX / sizeof(struct epoll_event), where an event has 12 bytes on "
          "x86 and 16 elsewhere",
    source="epoll_wait(2) EINVAL; fs/eventpoll.c EP_MAX_EVENTS and EPOLL_PACKED",
    on=("epoll",),
    expect="12-byte events: EINVAL",
    control=setup(extra=0),
    needs=("linux", "ctypes"),
)
def largest_maxevents(rig: Rig, extra: int = 1) -> Seen:
    """Call epoll_wait through ctypes for one event, and count the bytes that it writes; then, with nothing ready, call
    it for one event more than fit in INT_MAX bytes. Python would allocate 2 GB for these; the kernel does not look at
    the buffer."""
    import ctypes
    near, far = rig.unix()
    far.send(b"x")
    asked: Any = rig.watcher()
    asked.watch(near.fileno())
    epoll_wait = ctypes.CDLL(None, use_errno=True).epoll_wait
    untouched = b"\xa5"
    events = ctypes.create_string_buffer(untouched * 64, 64)
    epoll_wait(asked.api.fileno(), events, 1, 0)
    size = len(events.raw.rstrip(untouched))
    rig.drain(near)
    result = epoll_wait(asked.api.fileno(), events, 0x7fffffff // size + extra, 0)
    return seen("%d-byte events: %s" % (size, "ok" if result == 0 else errno.errorcode[ctypes.get_errno()]))


@probe(
    claim="epoll.poll() allocates memory for all of maxevents before it calls the kernel",
    source="selectmodule.c select_epoll_poll: PyMem_New",
    on=("epoll",),
    expect="MemoryError",
    control=setup(maxevents=1 << 10),
    needs=("linux", "limits", "proc"),
)
def maxevents_allocated(rig: Rig, maxevents: int = 1 << 28) -> Seen:
    """Limit the process to 1 GB of further address space; call epoll.poll() for 268,435,456 events, which take 3 GB or
    more. Because the allocation fails, no memory is used even in debug builds, which fill what they allocate."""
    import resource
    limits: Any = resource
    with open("/proc/self/statm", encoding="ascii") as file:
        taken = int(file.read().split()[0]) * limits.getpagesize()
    soft, hard = limits.getrlimit(limits.RLIMIT_AS)
    if soft != limits.RLIM_INFINITY and soft < taken + (1 << 30):
        raise Unsupported("the limit on address space is already below what this needs")
    asked: Any = rig.watcher()
    limits.setrlimit(limits.RLIMIT_AS, (taken + (1 << 30), hard))
    try:
        return seen(attempt(asked.api.poll, 0, maxevents))
    finally:
        limits.setrlimit(limits.RLIMIT_AS, (soft, hard))


@probe(
    claim="epoll.poll() rejects a maxevents of 0",
    source="epoll_wait(2): maxevents must be greater than zero; selectmodule.c",
    on=("epoll",),
    expect="ValueError",
    control=setup(maxevents=1),
)
def maxevents_zero(rig: Rig, maxevents: int = 0) -> Seen:
    """Call epoll.poll() for at most 0 events, without waiting."""
    asked: Any = rig.watcher()
    return seen(attempt(asked.api.poll, 0, maxevents))


@probe(
    claim="epoll.poll() rejects a negative maxevents, except -1, which means the default",
    source="epoll_wait(2): maxevents must be greater than zero; docs.python.org epoll.poll()",
    on=("epoll",),
    expect="ValueError",
    control=setup(maxevents=-1),
)
def maxevents_negative(rig: Rig, maxevents: int = -2) -> Seen:
    """Call epoll.poll() for at most -2 events, without waiting."""
    asked: Any = rig.watcher()
    return seen(attempt(asked.api.poll, 0, maxevents))


@probe(
    claim="select.epoll() rejects a size hint that is not positive",
    source="docs.python.org select.epoll(); epoll_create(2)",
    on=("epoll",),
    expect="ValueError",
    control=setup(sizehint=10 ** 6),
)
def sizehint_zero(rig: Rig, sizehint: int = 0) -> Seen:
    """Create an epoll object with a size hint of 0."""
    return seen(attempt(lambda: rig.keep(_select.epoll(sizehint))))


@probe(
    claim="the size hint of select.epoll() does not limit how many descriptors it watches",
    source="docs.python.org select.epoll(); epoll_create(2) NOTES: since Linux 2.6.8 the size is ignored",
    on=("epoll",),
    expect="8 of 8",
    control=setup(data=b""),
)
def sizehint_ignored(rig: Rig, data: bytes = b"x") -> Seen:
    """Create an epoll object with a size hint of 1; register 8 readable duplicates of a unix socket; ask once."""
    near, far = rig.unix()
    far.send(data)
    epoll = rig.keep(_select.epoll(1))
    for _ in range(8):
        epoll.register(rig.duplicate(near), _select.EPOLLIN)
    return seen("%d of 8" % len(epoll.poll(0)))


@probe(
    claim="select.epoll() accepts no flag except EPOLL_CLOEXEC",
    source="docs.python.org select.epoll(); selectmodule.c: OSError without a number",
    on=("epoll",),
    expect="OSError",
    control=setup(given=0),
)
def flags(rig: Rig, given: int = 1) -> Seen:
    """Create an epoll object with an unknown flag."""
    return seen(attempt(lambda: rig.keep(_select.epoll(-1, given))))


@probe(
    claim="the descriptor of an epoll, kqueue or /dev/poll object is close-on-exec",
    source="PEP 446; docs.python.org select.epoll(), select.devpoll()",
    on=over("epoll", "kqueue", "devpoll"),
    expect="close-on-exec",
    control=setup(inheritable=True),
)
def close_on_exec(rig: Rig, inheritable: bool = False) -> Seen:
    """Create the object; read the close-on-exec flag of its descriptor."""
    asked: Any = rig.watcher()
    if inheritable:
        os.set_inheritable(asked.api.fileno(), True)
    return seen("inherited" if os.get_inheritable(asked.api.fileno()) else "close-on-exec")
