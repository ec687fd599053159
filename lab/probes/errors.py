"""How an API answers what it cannot watch: a closed socket object, a mask out of range, a pipe instead of a socket."""

from __future__ import annotations

import errno
import os
import select
from typing import Any

from lab.probing.probe import EVERY, Seen, over, probe, seen, setup
from lab.probing.rig import Rig, attempt, error_name

_MASKS = over("poll", "epoll", raw=True, edge=False)


@probe(
    claim="Python itself rejects a closed socket object, with the same error in every API",
    source="PyObject_AsFileDescriptor in CPython; selectors.py, _fileobj_to_fd",
    on=EVERY,
    expect="ValueError",
    control=setup(by_object=False),
    promises=("selectors",),
    aliases=("selectors-contract/register-closed",),
)
def closed_socket_object(rig: Rig, by_object: bool = True) -> Seen:
    """Close a socket; register the socket object for reading and writing, and ask. Control: register the number that it
    had."""
    near, _ = rig.unix()
    fd = near.fileno()
    asked: Any = rig.watcher()  # created before the close, or its own descriptor might get the freed number
    near.close()
    registered = attempt(asked.watch, near if by_object else fd, "rw")
    return seen(rig.mask(asked, fd) if registered == "ok" else registered, registered=registered)


@probe(
    claim="Python itself rejects the descriptor -1, with the same error in every API",
    source="PyObject_AsFileDescriptor in CPython; selectors.py, _fileobj_to_fd",
    on=EVERY,
    expect={"*": "ValueError", "kqueue": None},
    control=setup(negative=False),
)
def negative_number(rig: Rig, negative: bool = True) -> Seen:
    """Register -1 for reading and writing, and ask. Control: register the number of a closed descriptor."""
    asked = rig.watcher()
    fd = -1 if negative else rig.closed_number()
    registered = attempt(asked.watch, fd, "rw")
    return seen(rig.mask(asked, fd) if registered == "ok" else registered, registered=registered)


def _registered_with(rig: Rig, mask: int) -> Seen:
    """The mask that is reported for a readable socket registered with that native mask, or the error of registering
    it."""
    near, far = rig.unix()
    rig.write(far)
    asked: Any = rig.watcher()
    registered = attempt(asked.api.register, near, mask)
    return seen(rig.mask(asked, near) if registered == "ok" else registered)


@probe(
    claim="register() rejects a mask that does not fit into the 16 bits of struct pollfd",
    source="poll(2), struct pollfd; CPython selectmodule.c: poll takes an unsigned short, epoll an unsigned int",
    on=_MASKS,
    expect={"poll": "OverflowError", "epoll": "silent"},
    control=setup(mask=1),
)
def mask_of_17_bits(rig: Rig, mask: int = 1 << 16) -> Seen:
    """Register a readable socket with mask 65536, and ask."""
    return _registered_with(rig, mask)


@probe(
    claim="register() rejects a mask that does not fit into the 32 bits of struct epoll_event",
    source="epoll_event(3type); CPython selectmodule.c: an unsigned int that is not checked",
    on=_MASKS,
    expect={"poll": "OverflowError", "epoll": "silent"},
    control=setup(mask=1),
)
def mask_of_33_bits(rig: Rig, mask: int = 1 << 32) -> Seen:
    """Register a readable socket with mask 2**32, and ask."""
    return _registered_with(rig, mask)


@probe(
    claim="Python itself rejects a negative mask",
    source="CPython selectmodule.c; epoll_ctl(2) EINVAL, for EPOLLEXCLUSIVE with other flags",
    on=_MASKS,
    expect={"poll": "ValueError", "epoll": "EINVAL"},
    control=setup(mask=1),
)
def mask_negative(rig: Rig, mask: int = -1) -> Seen:
    """Register a readable socket with mask -1, and ask."""
    return _registered_with(rig, mask)


@probe(
    claim="an API can watch a pipe as well as a socket",
    source="Python docs, select.select: on Windows only sockets, from winsock (WSAENOTSOCK)",
    on=EVERY,
    expect={"select": "r", "poll": "IN", "epoll": "IN", "kqueue": "READ", "selectors": "READ"},
    control=setup(pipe=False),
)
def pipe_for_socket(rig: Rig, pipe: bool = True) -> Seen:
    """Write to a pipe; ask whether its reading end is readable or writable. Control: use a socket pair instead of the
    pipe."""
    if not pipe:
        near, far = rig.unix()
        rig.write(far)
        return seen(rig.ask(near, "rw"))
    reading, writing = os.pipe()  # not rig.pipe(): that makes it non-blocking, which Windows cannot
    rig.keep(reading)
    rig.keep(writing)
    rig.write(writing)
    return seen(rig.ask(reading, "rw"))


@probe(
    claim="for a winsock error, OSError.errno is the POSIX number and OSError.winerror the winsock number",
    source="bpo-46775, since Python 3.9.13 and 3.10.5; gh-107537",
    on=("select",),
    expect="errno EINVAL, winerror WSAEINVAL",
    control=setup(empty=False),
    needs=("windows",),
)
def winsock_error_number(rig: Rig, empty: bool = True) -> Seen:
    """Call select with three empty sets, which winsock rejects; read both numbers of the error. Control: call it with a
    pipe."""
    reading, writing = os.pipe()
    rig.keep(reading)
    rig.keep(writing)
    try:
        select.select([] if empty else [reading], [], [], 0)
    except OSError as error:  # any errno: its numbers are the observation
        code = errno.errorcode.get(error.errno or 0, "none")
        return seen("errno %s, winerror %s" % (code, error_name(error)), errno=error.errno)
    return seen("ok")
