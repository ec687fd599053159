"""Files without a poll method: regular files, directories, files in memory."""

from __future__ import annotations

import os
import selectors
from typing import Any

from lab.probes.devices import ALWAYS, opened
from lab.probing.probe import EVERY, Seen, Unsupported, probe, seen, setup
from lab.probing.rig import Rig, attempt

_os: Any = os  # typed loosely: what only POSIX has


@probe(
    claim="epoll refuses a regular file; select and poll report it as always ready, even at its end",
    source="epoll_ctl(2) EPERM; POSIX select and poll: regular files are always ready",
    on=EVERY,
    expect=ALWAYS,
    control=setup(regular=False),
)
def regular_file(rig: Rig, regular: bool = True) -> Seen:
    """Open a temporary file; read it to its end; ask for reading and writing. Control: an idle listener."""
    fd = rig.file(b"text") if regular else rig.listener().fileno()
    left = attempt(rig.drain, fd, ok=str)
    return seen(rig.ask(fd, "rw"), read=left)


@probe(
    claim="epoll refuses a directory; select and poll report it as always ready",
    source="epoll_ctl(2) EPERM: fd refers to, for example, a regular file or a directory",
    on=EVERY,
    expect=ALWAYS,
    control=setup(regular=False),
    needs=("posix",),
)
def directory(rig: Rig, regular: bool = True) -> Seen:
    """Open a directory; ask for reading and writing. Control: a pipe."""
    return seen(rig.ask(opened(rig, rig.directory()) if regular else rig.pipe()[0], "rw"))


@probe(
    claim="epoll refuses a file in memory (memfd), as it refuses a regular file",
    source="memfd_create(2): behaves like a regular file; epoll_ctl(2) EPERM",
    on=EVERY,
    expect=ALWAYS,
    control=setup(regular=False),
    needs=("linux",),
)
def memory_file(rig: Rig, regular: bool = True) -> Seen:
    """Create a file in memory; ask for reading and writing. Control: a pipe."""
    if not hasattr(os, "memfd_create"):
        raise Unsupported("this Python has no os.memfd_create")
    return seen(rig.ask(rig.keep(_os.memfd_create("lab")) if regular else rig.pipe()[0], "rw"))


@probe(
    claim="EpollSelector does not keep an entry for a file that epoll refused",
    source="Python selectors: register() of a file object that cannot be monitored raises",
    on=("selectors:EpollSelector",),
    expect="EPERM, 0 kept",
    control=setup(regular=False),
)
def refused_not_kept(rig: Rig, regular: bool = True) -> Seen:
    """Register a regular file with a selector; count the entries of its map. Control: a pipe."""
    fd = rig.file(b"text") if regular else rig.pipe()[0]
    selector = rig.selector()
    registered = attempt(selector.register, fd, selectors.EVENT_READ)
    return seen("%s, %d kept" % (registered, len(selector.get_map())))
