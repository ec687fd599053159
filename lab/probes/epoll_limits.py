"""Where epoll ends: watches of a user, events in a call, and what the arguments of Python's object accept."""

from __future__ import annotations

import contextlib
import errno
import os
import select
from collections import Counter
from typing import Any, Iterator, List

from lab.probing.probe import EPOLLS, Seen, Unsupported, backend, probe, seen, setup
from lab.probing.rig import Rig, attempt, error_name
from lab.probing.watchers import Watcher

_os: Any = os  # typed loosely, as the next: what only POSIX, or only Linux, has
_select: Any = select

MANY = 1200
"""Descriptors that are more than the 1023 events that one call asks for by default."""

SIDE = 128
"""So many epoll objects watch so many descriptors each."""

LIMIT_FILE = "/proc/sys/fs/epoll/max_user_watches"


@probe(
    claim="register fails with ENOSPC once all processes of the user together watch max_user_watches descriptors",
    source="epoll_ctl(2) ENOSPC; epoll(7) /proc interfaces",
    on=(*EPOLLS, "selectors:EpollSelector"),
    expect="ENOSPC",
    control=setup(lowers=False),
    needs=("linux", "root", "max-user-watches"),
    alone=True,
)
def max_user_watches(rig: Rig, lowers: bool = True) -> Seen:
    """As a user whom nobody else is, watch 16,384 times; set the limit, which is one for the machine, to just that;
    watch once more, and restore it at once. No other user has so many watches, so no other program runs into it."""
    limit = rig.keep(_open_limit())
    before = _os.pread(limit, 32, 0)
    if int(before) <= SIDE * SIDE:
        raise Unsupported("max_user_watches is only %d here: lowering it could hit others" % int(before))
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
    except OSError as error:  # EROFS, EACCES, EPERM: in a container /proc/sys is not ours
        raise Unsupported("max_user_watches cannot be set here: %s" % error_name(error)) from error


@contextlib.contextmanager
def _as_a_new_user() -> Iterator[None]:
    """What is opened meanwhile counts for a user of its own. The real user id decides; the effective stays root."""
    before = _os.getresuid()[0]
    try:
        _os.setresuid((1 << 30) + os.getpid(), -1, -1)
    except OSError as error:  # EPERM, EINVAL: root without CAP_SETUID, or of a small user namespace
        raise Unsupported("the user cannot be changed here: %s" % error_name(error)) from error
    try:
        yield
    finally:
        _os.setresuid(before, -1, -1)


@probe(
    claim="epoll.poll() tells of at most FD_SETSIZE - 1 = 1023 descriptors at once, unless asked for more",
    source="docs.python.org epoll.poll(); selectmodule.c: maxevents = FD_SETSIZE-1",
    on=("poll", "epoll", "selectors:PollSelector", "selectors:EpollSelector"),
    expect={"epoll": "1023 of 1200", "*": "1200 of 1200"},
    control=backend("epoll"),
    needs=("limits",),
)
def default_maxevents(rig: Rig) -> Seen:
    """Watch 1200 duplicates of a writable unix socket; ask once."""
    fds = _writable(rig)
    return seen("%d of %d" % (len(rig.heard(_watching(rig, fds))), len(fds)))


@probe(
    claim="what one call of epoll.poll() leaves out comes first in the next: no descriptor starves",
    source="epoll_wait(2) NOTES: round robin",
    on=EPOLLS,
    expect="all in 2 calls",
    control=setup(anew=True),
    needs=("limits",),
)
def default_maxevents_rotates(rig: Rig, anew: bool = False) -> Seen:
    """Watch 1200 duplicates of a writable unix socket; ask until each has been told of, at most 3 times. (The control
    watches and asks through a new epoll object each time, which cannot know what was told before.)"""
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
    claim="with room for fewer events than are ready, epoll goes round robin",
    source="epoll_wait(2) NOTES: round robin",
    on=("epoll",),
    expect="each of 6 told 2 times",
    control=setup(trigger="epoll-et"),
)
def small_maxevents_rotates(rig: Rig, trigger: str = "epoll") -> Seen:
    """Watch 6 readable duplicates of a unix socket; ask 6 times for at most 2 events."""
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
    claim="a descriptor that is always ready does not hide another from an epoll.poll() for one event",
    source="epoll_wait(2) NOTES: round robin",
    on=("epoll",),
    expect="alternates",
    control=setup(data=b""),
)
def always_ready_starves_nobody(rig: Rig, data: bytes = b"x") -> Seen:
    """Watch a writable unix socket, and another that stays readable; ask 8 times for at most 1 event."""
    near, far = rig.unix()
    far.send(data)
    asked: Any = rig.watcher()
    asked.watch(far.fileno(), "w")
    asked.watch(near.fileno(), "r")
    order = ["w" if fd == far.fileno() else "r" for _ in range(8) for fd, _ in asked.api.poll(0, 1)]
    return seen("alternates" if "".join(order) in ("rw" * 4, "wr" * 4) else "does not alternate", order=order)


@probe(
    claim="epoll_wait takes at most INT_MAX / sizeof(struct epoll_event): 12 bytes on x86, elsewhere 16",
    source="epoll_wait(2) EINVAL; fs/eventpoll.c EP_MAX_EVENTS and EPOLL_PACKED",
    on=("epoll",),
    expect="12-byte events: EINVAL",
    control=setup(extra=0),
    needs=("linux", "ctypes"),
)
def largest_maxevents(rig: Rig, extra: int = 1) -> Seen:
    """Call epoll_wait by ctypes for one event, and see how many bytes it writes; then, with nothing ready, for one more
    than fit in INT_MAX bytes. Python would allocate 2 GB for these; the kernel does not look at the buffer."""
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
    claim="epoll.poll() allocates room for all of maxevents before it asks",
    source="selectmodule.c select_epoll_poll: PyMem_New",
    on=("epoll",),
    expect="MemoryError",
    control=setup(maxevents=1 << 10),
    needs=("linux", "limits", "proc"),
)
def maxevents_allocated(rig: Rig, maxevents: int = 1 << 28) -> Seen:
    """Leave the process 1 GB of address space; ask for 268,435,456 events, 3 GB or more. With so little space the
    allocation fails, so that no memory is spent wherever allocated memory is filled (debug builds)."""
    import resource
    limits: Any = resource
    with open("/proc/self/statm", encoding="ascii") as file:
        taken = int(file.read().split()[0]) * limits.getpagesize()
    soft, hard = limits.getrlimit(limits.RLIMIT_AS)
    if soft != limits.RLIM_INFINITY and soft < taken + (1 << 30):
        raise Unsupported("the limit on address space is lower already")
    asked: Any = rig.watcher()
    limits.setrlimit(limits.RLIMIT_AS, (taken + (1 << 30), hard))
    try:
        return seen(attempt(asked.api.poll, 0, maxevents))
    finally:
        limits.setrlimit(limits.RLIMIT_AS, (soft, hard))


@probe(
    claim="epoll.poll() refuses maxevents of 0",
    source="epoll_wait(2): maxevents must be greater than zero; selectmodule.c",
    on=("epoll",),
    expect="ValueError",
    control=setup(maxevents=1),
)
def maxevents_zero(rig: Rig, maxevents: int = 0) -> Seen:
    """Ask for at most 0 events, without waiting."""
    asked: Any = rig.watcher()
    return seen(attempt(asked.api.poll, 0, maxevents))


@probe(
    claim="epoll.poll() refuses a negative maxevents, but -1, which stands for the default",
    source="epoll_wait(2): maxevents must be greater than zero; docs.python.org epoll.poll()",
    on=("epoll",),
    expect="ValueError",
    control=setup(maxevents=-1),
)
def maxevents_negative(rig: Rig, maxevents: int = -2) -> Seen:
    """Ask for at most -2 events, without waiting."""
    asked: Any = rig.watcher()
    return seen(attempt(asked.api.poll, 0, maxevents))


@probe(
    claim="the size hint of epoll must be positive",
    source="docs.python.org select.epoll(); epoll_create(2)",
    on=("epoll",),
    expect="ValueError",
    control=setup(sizehint=10 ** 6),
)
def sizehint_zero(rig: Rig, sizehint: int = 0) -> Seen:
    """Make an epoll object with a size hint of 0."""
    return seen(attempt(lambda: rig.keep(_select.epoll(sizehint))))


@probe(
    claim="the size hint of epoll is no limit",
    source="docs.python.org select.epoll(); epoll_create(2) NOTES: since Linux 2.6.8 the size is ignored",
    on=("epoll",),
    expect="8 of 8",
    control=setup(data=b""),
)
def sizehint_ignored(rig: Rig, data: bytes = b"x") -> Seen:
    """Make an epoll object with a size hint of 1, watch 8 readable duplicates of a unix socket with it; ask."""
    near, far = rig.unix()
    far.send(data)
    epoll = rig.keep(_select.epoll(1))
    for _ in range(8):
        epoll.register(rig.duplicate(near), _select.EPOLLIN)
    return seen("%d of 8" % len(epoll.poll(0)))


@probe(
    claim="Python's epoll takes no flags but EPOLL_CLOEXEC",
    source="docs.python.org select.epoll(); selectmodule.c: OSError without a number",
    on=("epoll",),
    expect="OSError",
    control=setup(given=0),
)
def flags(rig: Rig, given: int = 1) -> Seen:
    """Make an epoll object with an unknown flag."""
    return seen(attempt(lambda: rig.keep(_select.epoll(-1, given))))


@probe(
    claim="the descriptor of a readiness object is close-on-exec",
    source="PEP 446; docs.python.org select.epoll(), select.devpoll()",
    on=(*EPOLLS, "kqueue", "selectors:EpollSelector", "selectors:KqueueSelector", "selectors:DevpollSelector"),
    expect="close-on-exec",
    control=setup(inheritable=True),
)
def close_on_exec(rig: Rig, inheritable: bool = False) -> Seen:
    """Make one; read the flag of its descriptor."""
    asked: Any = rig.watcher()
    if inheritable:
        os.set_inheritable(asked.api.fileno(), True)
    return seen("inherited" if os.get_inheritable(asked.api.fileno()) else "close-on-exec")
