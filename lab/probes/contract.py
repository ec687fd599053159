"""What ``lab.backends`` promises of every backend (see ``lab/backends/_base.py``), observed where a server would run.

The other topics ask the platform's interfaces as they are; this topic asks our backends, which smooth them. The
conformance tests check the same promises on developers' machines; these probes check them anywhere that lab.pyz runs,
and on foreign selector classes.
"""

from __future__ import annotations

import errno
from typing import Any

from lab.backends import AlreadyRegistered, Backend, NotRegistered, Refused, create
from lab.events import READ, WRITE
from lab.probing.probe import OURS, Seen, over, probe, seen, setup
from lab.probing.rig import Rig, error_name

_SOURCE = "lab/backends/_base.py, the contract"


def _made(rig: Rig) -> Backend:
    made: Backend = rig.keep(create(rig.backend))
    return made


def _heard(rig: Rig, backend: Backend, data: Any) -> str:
    """Whether a wait of quiet returns this data: ``reported``, ``silent``, or the exception that the wait raises."""
    try:
        return "reported" if data in [each for each, _ in backend.wait(rig.quiet)] else "silent"
    except (OSError, ValueError) as error:  # the contract is broken: in a server, this would end the loop
        return "%s from wait" % error_name(error)


def _raised(function: Any, *arguments: Any) -> str:
    try:
        function(*arguments)
    except (AlreadyRegistered, NotRegistered, Refused, ValueError) as error:
        return type(error).__name__
    return "ok"


@probe(
    claim="register refuses a descriptor that is already registered",
    source=_SOURCE,
    on=OURS,
    expect="AlreadyRegistered",
    control=setup(unregisters=True),
    promises=("backend",),
)
def duplicate(rig: Rig, unregisters: bool = False) -> Seen:
    """Register a socket twice. Control: unregister it in between."""
    backend, (near, _) = _made(rig), rig.tcp()
    backend.register(near.fileno(), READ)
    if unregisters:
        backend.unregister(near.fileno())
    return seen(_raised(backend.register, near.fileno(), READ), registered=len(backend))


@probe(
    claim="modify and unregister refuse a descriptor that is not registered",
    source=_SOURCE,
    on=OURS,
    expect="NotRegistered, NotRegistered",
    control=setup(registers=True),
    promises=("backend",),
)
def unknown(rig: Rig, registers: bool = False) -> Seen:
    """Modify a socket that was never registered, and unregister it."""
    backend, (near, _) = _made(rig), rig.tcp()
    if registers:
        backend.register(near.fileno(), READ)
    return seen(", ".join((_raised(backend.modify, near.fileno(), WRITE), _raised(backend.unregister, near.fileno()))))


@probe(
    claim="a descriptor that was closed while it was registered hides no other",
    source=_SOURCE,
    on=OURS,
    expect="reported",
    control=setup(sends=False),
    promises=("backend",),
)
def closed_hides_nobody(rig: Rig, sends: bool = True) -> Seen:
    """Register two sockets, close one by its number, send to the other, and wait."""
    backend, (near, far), (gone, _) = _made(rig), rig.tcp(), rig.tcp()
    backend.register(near.fileno(), READ, "near")
    backend.register(gone.fileno(), READ, "gone")
    gone.close()
    if sends:
        far.send(b"x")
        rig.arrived(near)
    return seen(_heard(rig, backend, "near"))


@probe(
    claim="unregister accepts a descriptor that was closed while it was registered",
    source=_SOURCE,
    on=OURS,
    expect="ok",
    control=setup(registers=False),
    promises=("backend",),
)
def unregister_closed(rig: Rig, registers: bool = True) -> Seen:
    """Register a socket; close it; unregister its number. Control: do not register it."""
    backend, (near, _) = _made(rig), rig.tcp()
    fd = near.fileno()
    if registers:
        backend.register(fd, READ)
    near.close()
    return seen(_raised(backend.unregister, fd), registered=len(backend))


@probe(
    claim="a reset is reported, whatever the interest was",
    source=_SOURCE,
    on=OURS,
    expect="READ reported, WRITE reported",
    control=setup(resets=False),
    promises=("backend",),
)
def reset_is_told(rig: Rig, resets: bool = True) -> Seen:
    """Register a full socket for READ, and another for WRITE; have both peers reset; wait."""
    told = []
    for name, interest in (("READ", READ), ("WRITE", WRITE)):
        backend, (near, far) = _made(rig), rig.tcp()
        rig.fill(near)
        backend.register(near.fileno(), interest, name)
        if resets:
            rig.reset(far)
            rig.settle(near, "")
        told.append("%s %s" % (name, _heard(rig, backend, name)))
    return seen(", ".join(told))


@probe(
    claim="a descriptor that was unregistered is not reported",
    source=_SOURCE,
    on=OURS,
    expect="silent",
    control=setup(unregisters=False),
    promises=("backend",),
)
def unregistered_is_silent(rig: Rig, unregisters: bool = True) -> Seen:
    """Register a readable socket; unregister it, and wait."""
    backend, (near, far) = _made(rig), rig.tcp()
    far.send(b"x")
    rig.arrived(near)
    backend.register(near.fileno(), READ, "near")
    if unregisters:
        backend.unregister(near.fileno())
    return seen(_heard(rig, backend, "near"))


@probe(
    claim="wait returns one pair for a descriptor that is readable and writable, not two",
    source="lab/backends/_base.py, the contract; gh-110038",
    on=OURS,
    expect="pairs: 1",
    control=setup(duplicates=True),
    promises=("backend",),
)
def one_pair(rig: Rig, duplicates: bool = False) -> Seen:
    """Register a socket that is readable and writable for READ and WRITE; wait once."""
    backend, (near, far) = _made(rig), rig.tcp()
    far.send(b"x")
    rig.arrived(near)
    backend.register(near.fileno(), READ | WRITE)
    if duplicates:
        backend.register(rig.duplicate(near), READ | WRITE)
    return seen("pairs: %d" % len(backend.wait(rig.quiet)))


@probe(
    claim="after modify, a state that still holds is reported once more, on edge-triggered backends too",
    source="lab/backends/_base.py, the contract; epoll(7), question 9",
    on=OURS,
    expect="reported",
    control=setup(reads=True),
    promises=("backend",),
)
def modify_repeats(rig: Rig, reads: bool = False) -> Seen:
    """Wait for a readable socket; leave the data unread; modify to the same interest, and wait again."""
    backend, (near, far) = _made(rig), rig.tcp()
    far.send(b"x")
    rig.arrived(near)
    backend.register(near.fileno(), READ, "near")
    first = _heard(rig, backend, "near")
    if reads:
        near.recv(1)
    backend.modify(near.fileno(), READ)
    return seen(_heard(rig, backend, "near"), first=first)


@probe(
    claim="a timeout shorter than the unit of the interface is rounded up, so that nobody spins",
    source="lab/backends/_base.py, the contract; bpo-20311",
    on=OURS,
    expect="waited",
    control=setup(timeout=0.0),
    trials=3,
    promises=("backend",),
)
def short_timeout(rig: Rig, timeout: float = 0.0004) -> Seen:
    """Wait 0.4 ms for a socket that stays silent, ten times; look whether the shortest wait was long enough."""
    backend, (near, _) = _made(rig), rig.tcp()
    backend.register(near.fileno(), READ)
    taken = []
    for _ in range(10):
        with rig.timed() as span:
            backend.wait(timeout)
        taken.append(span["seconds"])
    return seen("waited" if min(taken) >= 0.00035 else "returned early", shortest_seconds=min(taken))


@probe(
    claim="a wait with a negative timeout does not block",
    source=_SOURCE,
    on=OURS,
    expect="returned at once",
    control=setup(timeout=0.2),
    trials=3,
    promises=("backend",),
)
def negative_timeout(rig: Rig, timeout: float = -1.0) -> Seen:
    """Wait -1 s for a socket that stays silent."""
    backend, (near, _) = _made(rig), rig.tcp()
    backend.register(near.fileno(), READ)
    with rig.timed() as span:
        backend.wait(timeout)
    return seen("returned at once" if span["seconds"] < 0.1 * rig.slow else "waited", **span)


@probe(
    claim="a signal whose handler returns does not end the wait",
    source="PEP 475",
    on=OURS,
    needs=("signals",),
    expect="waited",
    control=setup(raises=True),
    trials=3,
    promises=("backend",),
)
def handler_does_not_end_it(rig: Rig, raises: bool = False) -> Seen:
    """Wait 0.3 s for a socket that stays silent, while an alarm is handled after a tenth of it. Control: the handler
    raises."""
    backend, (near, _) = _made(rig), rig.tcp()
    backend.register(near.fileno(), READ)
    runs = []

    def handler(number: int, frame: Any) -> None:
        runs.append(number)
        if raises:
            raise KeyError

    span = 0.3 * rig.slow
    rig.alarm(span / 10, handler)
    with rig.timed() as taken:
        try:
            backend.wait(span)
        except KeyError:
            return seen("raised", runs=len(runs))
    return seen("waited" if taken["seconds"] > 0.9 * span else "returned early", runs=len(runs))


@probe(
    claim="after close every verb but close raises ValueError",
    source=_SOURCE,
    on=OURS,
    expect="ValueError, ValueError, ok",
    control=setup(closes=False),
    promises=("backend",),
)
def closed_backend(rig: Rig, closes: bool = True) -> Seen:
    """Close the backend; register, wait, and close again."""
    backend, (near, _) = _made(rig), rig.tcp()
    if closes:
        backend.close()
    return seen(", ".join((_raised(backend.register, near.fileno(), READ), _raised(backend.wait, 0.0),
                           _raised(backend.close))))


@probe(
    claim="register refuses a descriptor above the limit; the wait does not raise, which would end a server's loop",
    source="lab/backends/_base.py, the contract; select(2) BUGS",
    on=over("select"),
    needs=("limits",),
    expect="Refused, reported",
    control=setup(at=None),
    promises=("backend",),
)
def limit_at_register(rig: Rig, at: Any = 1500) -> Seen:
    """Register a readable socket under a number that is too high for select; wait for another, readable one."""
    backend, (near, far) = _made(rig), rig.tcp()
    rig.limit_descriptors(2048)
    far.send(b"x")
    rig.arrived(near)
    high = rig.duplicate(near, at)
    registered = _raised(backend.register, high, READ)
    backend.register(near.fileno(), READ, "near")
    return seen("%s, %s" % (registered, _heard(rig, backend, "near")))


@probe(
    claim="register refuses a file that the interface cannot watch",
    source="lab/backends/_base.py, the contract; epoll_ctl(2) EPERM, EBADF",
    on=OURS,
    needs=("pipes",),
    expect={"kqueue": None, "epoll": "EPERM", "selectors:EpollSelector": "EPERM", "selectors:SelectSelector": "ok",
            "selectors:PollSelector": "ok", "selectors": None, "*": "ok"},
    control=setup(of_regular_file=False),
    promises=("backend",),
)
def regular_file(rig: Rig, of_regular_file: bool = True) -> Seen:
    """Register a regular file; if register accepts it, wait for it. Control: a pipe."""
    backend = _made(rig)
    fd = rig.file(b"text") if of_regular_file else rig.pipe()[0]
    try:
        backend.register(fd, READ, "file")
    except Refused as error:
        return seen(errno.errorcode.get(error.errno or 0, "Refused"))
    heard = _heard(rig, backend, "file")
    return seen("ok" if heard == "reported" else heard)
