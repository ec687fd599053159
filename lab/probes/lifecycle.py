"""What becomes of a registration that is made twice, removed, or outlived by a duplicate of its descriptor.

One difference explains most of this topic. select, poll and selectors remember a number. epoll remembers the open file
description that the number stood for when it was registered, and keeps the number only as a label. kqueue remembers the
number too, but the kernel drops the entry when the number is closed. Topic ``forking`` asks the same questions about a
child that keeps open what its parent has closed."""

from __future__ import annotations

import select
from typing import Any

from lab.probing.probe import EPOLLS, EVERY, SELECTORS, Seen, backend, over, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import SILENT, Answer

_select: Any = select  # typed loosely: type checkers know kqueue only on its own platforms

_REMEMBERING = over("poll", "epoll", "kqueue", raw=True) + SELECTORS  # select has no registration


def _count(answer: Answer, *fds: int) -> str:
    return "%d of 2" % sum(fd in fds for fd, _ in answer)


def _registered_twice(rig: Rig, first: Any, second: Any) -> Seen:
    """Register the first for reading and the second for writing; the mask reported for the first, or the error of the
    second registration."""
    asked: Any = rig.watcher()
    asked.watch(first, "r")
    again = attempt(asked.watch, second, "w")
    mask = rig.mask(asked, first)
    return seen(mask if again == "ok" else again, mask=mask)


@probe(
    claim="a descriptor that is already registered cannot be registered again",
    source="epoll_ctl(2) EEXIST; Python docs, select.poll.register and BaseSelector.register; kqueue(2) EV_ADD",
    on=_REMEMBERING,
    expect={"poll": "OUT", "epoll": "EEXIST", "kqueue": "READ+WRITE", "selectors": "KeyError"},
    control=setup(same=False),
    promises=("selectors",),
    aliases=("selectors-contract/register-twice",),
)
def register_twice(rig: Rig, same: bool = True) -> Seen:
    """Register a socket that has data to read; register its number again, for writing; ask. Control: the second is a
    duplicate."""
    near, far = rig.unix()
    rig.write(far)
    second = near if same else rig.keep(near.dup())
    return _registered_twice(rig, near.fileno(), second.fileno())


@probe(
    claim="a socket object and its number count as one registration, not as two",
    source="PyObject_AsFileDescriptor; Python docs, selectors.SelectorKey; epoll_ctl(2) EEXIST",
    on=_REMEMBERING,
    expect={"poll": "OUT", "epoll": "EEXIST", "kqueue": "READ+WRITE", "selectors": "KeyError"},
    control=setup(same=False),
)
def register_object_and_number(rig: Rig, same: bool = True) -> Seen:
    """Register a socket object that has data to read; register its number for writing; ask. Control: the second is a
    duplicate."""
    near, far = rig.unix()
    rig.write(far)
    second = near if same else rig.keep(near.dup())
    return _registered_twice(rig, near, second.fileno())


@probe(
    claim="a duplicate of a registered descriptor is a registration of its own, and both are reported",
    source="epoll(7), questions and answers; dup(2)",
    on=EVERY,
    expect="2 of 2",
    control=setup(duplicates=False),
)
def register_duplicate(rig: Rig, duplicates: bool = True) -> Seen:
    """Register a socket and a duplicate of it; have the peer send once; count the descriptors that are reported."""
    near, far = rig.unix()
    other = rig.keep(near.dup()) if duplicates else near
    asked = rig.watcher()
    asked.watch(near.fileno())
    again = attempt(asked.watch, other.fileno())
    rig.write(far)
    found = _count(rig.heard(asked), near.fileno(), other.fileno())
    return seen(found if again == "ok" else again, found=found)


@probe(
    claim="modify() fails for a descriptor that was never registered",
    source="epoll_ctl(2) ENOENT; Python docs, select.poll.modify (ENOENT) and BaseSelector.modify (KeyError)",
    on=over("poll", "epoll", raw=True) + SELECTORS,
    expect={"poll": "ENOENT", "epoll": "ENOENT", "selectors": "KeyError"},
    control=setup(registers=True),
    promises=("selectors",),
    aliases=("selectors-contract/modify-unknown",),
)
def modify_unknown(rig: Rig, registers: bool = False) -> Seen:
    """Create a socket and a new polling object, and call modify() for the socket without registering it."""
    near, _ = rig.unix()
    asked: Any = rig.watcher()
    if registers:
        asked.watch(near.fileno(), "r")
    return seen(attempt(asked.rewatch, near.fileno(), "w"))


@probe(
    claim="unregister() fails for a descriptor that was never registered; poll raises KeyError here, but ENOENT in "
          "modify()",
    source="epoll_ctl(2) ENOENT; Python docs, select.poll.unregister (KeyError); kqueue(2) ENOENT",
    on=_REMEMBERING,
    expect={"poll": "KeyError", "epoll": "ENOENT", "kqueue": "ENOENT", "selectors": "KeyError"},
    control=setup(registers=True),
    promises=("selectors",),
    aliases=("selectors-contract/unregister-unknown",),
)
def unregister_unknown(rig: Rig, registers: bool = False) -> Seen:
    """Create a socket and a new polling object, and call unregister() for the socket without registering it."""
    near, _ = rig.unix()
    asked: Any = rig.watcher()
    if registers:
        asked.watch(near.fileno())
    if rig.backend == "kqueue":  # the watcher would look into its own table instead of asking the kernel
        change = _select.kevent(near.fileno(), _select.KQ_FILTER_READ, _select.KQ_EV_DELETE)
        return seen(attempt(asked.api.control, [change], 0, 0))
    return seen(attempt(asked.unwatch, near.fileno()))


@probe(
    claim="a descriptor that is closed while it is registered is reported as an error",
    source="select(2) EBADF; poll(2) POLLNVAL; epoll(7), questions and answers; kqueue(2), close()",
    on=EVERY,
    expect={"select": "EBADF", "poll": "NVAL", "epoll": "silent", "kqueue": "silent",
            "selectors:SelectSelector": "EBADF", "selectors:PollSelector": "READ+WRITE",
            "selectors:EpollSelector": "silent", "selectors:KqueueSelector": "silent"},
    control=setup(closes=False),
    promises=("selectors",),
    aliases=("selectors/closed-is-registered",),
)
def closed_descriptor(rig: Rig, closes: bool = True) -> Seen:
    """Register a socket for reading and writing; close it, and ask three times."""
    near, _ = rig.unix()
    fd = near.fileno()
    asked = rig.watcher()
    asked.watch(fd, "rw")
    if closes:
        near.close()
    masks = [rig.mask(asked, fd), rig.mask(asked, fd, 0.0), rig.mask(asked, fd, 0.0)]
    return seen(masks[0] if len(set(masks)) == 1 else ", then ".join(masks))


@probe(
    claim="one closed descriptor does not prevent the others from being reported",
    source="select(2) EBADF; poll(2) POLLNVAL; epoll(7), questions and answers; kqueue(2), close()",
    on=EVERY,
    expect={"select": "EBADF", "poll": "IN, closed one NVAL", "epoll": "IN, closed one silent",
            "kqueue": "READ, closed one silent", "selectors:SelectSelector": "EBADF",
            "selectors:PollSelector": "READ, closed one READ+WRITE",
            "selectors:EpollSelector": "READ, closed one silent",
            "selectors:KqueueSelector": "READ, closed one silent"},
    control=setup(closes=False),
)
def closed_among_others(rig: Rig, closes: bool = True) -> Seen:
    """Register a readable socket, and a second one for reading and writing; close the second; ask once."""
    live, far = rig.unix()
    near, _ = rig.unix()
    rig.write(far)
    fd = near.fileno()
    asked = rig.watcher()
    asked.watch(live.fileno(), "r")
    asked.watch(fd, "rw")
    if closes:
        near.close()

    def both(answer: Answer) -> str:
        masks = dict(answer)
        return "%s, closed one %s" % (masks.get(live.fileno(), SILENT), masks.get(fd, SILENT))
    return seen(attempt(rig.heard, asked, ok=both))


@probe(
    claim="closing a descriptor removes it from epoll",
    source="epoll(7), questions and answers; kqueue(2), close()",
    on=over(raw=True, edge=False),
    expect={"select": "EBADF", "poll": "NVAL", "epoll": "IN", "kqueue": "silent"},
    control=backend("epoll"),
    needs=("posix",),
)
def duplicate_keeps(rig: Rig) -> Seen:
    """Register a socket; duplicate it; close the registered number; have the peer send; ask for the closed number."""
    near, far = rig.unix()
    fd = near.fileno()
    asked = rig.watcher()
    asked.watch(fd)
    rig.keep(near.dup())
    near.close()
    rig.write(far)
    return seen(rig.mask(asked, fd))


@probe(
    claim="a registration can still be removed after its number is closed, while a duplicate keeps the file open",
    source="epoll(7), questions and answers; epoll_ctl(2) EBADF, ENOENT",
    on=EPOLLS,
    expect="stays",
    control=setup(closes=False),
)
def duplicate_stays(rig: Rig, closes: bool = True) -> Seen:
    """Register a socket; duplicate it; close the registered number; unregister both the old number and the duplicate;
    have the peer send, and ask for the old number."""
    near, far = rig.unix()
    fd, other = near.fileno(), rig.duplicate(near)
    asked = rig.watcher()
    asked.watch(fd)
    if closes:
        near.close()
    removed = {"old": attempt(asked.unwatch, fd), "duplicate": attempt(asked.unwatch, other)}
    rig.write(far)
    mask = rig.mask(asked, fd)
    return seen("removed" if mask == SILENT else "stays", mask=mask, **removed)


@probe(
    claim="one epoll object has at most one registration for a number",
    source="epoll(7), questions and answers: the key is the number with the open file description",
    on=EPOLLS,
    expect="2 of 2",
    control=setup(duplicates=False),
)
def duplicate_two_entries(rig: Rig, duplicates: bool = True) -> Seen:
    """Register a socket; duplicate it; give its number to another socket, and register the number again; have both
    peers send, and count the events for that number."""
    near, far = rig.unix()
    other, beyond = rig.unix()
    asked = rig.watcher()
    fd = near.detach()
    asked.watch(fd)
    if duplicates:
        rig.duplicate(fd)
    rig.duplicate(other, at=fd)
    asked.watch(fd)
    rig.write(beyond)
    if duplicates:
        rig.write(far)
    return seen(_count(rig.heard(asked), fd))


@probe(
    claim="when a registered number is closed and reused for a new file, the new file is watched",
    source="select(2), multithreaded applications; epoll(7), questions and answers; kqueue(2), close()",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT", "epoll": "silent", "kqueue": "silent",
            "selectors:SelectSelector": "READ+WRITE", "selectors:PollSelector": "READ+WRITE",
            "selectors:EpollSelector": "silent", "selectors:KqueueSelector": "silent"},
    control=setup(reuses=False),
    needs=("posix",),
)
def number_reused(rig: Rig, reuses: bool = True) -> Seen:
    """Register a socket for reading and writing; give its number to another socket, which has data to read; ask for the
    number."""
    near, _ = rig.unix()
    other, far = rig.unix()
    rig.write(far)
    fd = int(rig.keep(near.detach()))
    asked = rig.watcher()
    asked.watch(fd, "rw")
    if reuses:
        rig.duplicate(other, at=fd)
    return seen(rig.mask(asked, fd))


@probe(
    claim="unregister() fails for a descriptor that has been closed, and so reveals the close",
    source="epoll_ctl(2) EBADF; Python docs, select.epoll.unregister, changed in 3.9 (bpo-39239); kqueue(2) EBADF",
    on=over("epoll", "kqueue", raw=True),
    expect="EBADF",
    control=setup(reuses=True),
)
def unregister_closed(rig: Rig, reuses: bool = False) -> Seen:
    """Register a socket; close it, and unregister its number. Control: give the number to another socket before
    unregistering it."""
    near, _ = rig.unix()
    other, _ = rig.unix()
    fd = near.fileno()
    asked = rig.watcher()
    asked.watch(fd)
    near.close()
    if reuses:
        rig.duplicate(other, at=fd)
    return seen(attempt(asked.unwatch, fd))


@probe(
    claim="poll and selectors accept unregister() of a closed descriptor, as long as they know its number",
    source="Python docs, select.poll.unregister; selectors.py, _PollLikeSelector, EpollSelector and KqueueSelector",
    on=("poll",) + SELECTORS,
    expect={"poll": "ok", "selectors": "ok", "selectors:DevpollSelector": None},
    control=setup(registers=False),
)
def unregister_closed_known(rig: Rig, registers: bool = True) -> Seen:
    """Register a socket; close it, and unregister its number. Control: do not register it."""
    near, _ = rig.unix()
    fd = near.fileno()
    asked = rig.watcher()
    if registers:
        asked.watch(fd)
    near.close()
    return seen(attempt(asked.unwatch, fd))
