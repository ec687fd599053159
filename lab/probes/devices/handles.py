"""Descriptors that stand for no file: for a counter (eventfd), for a process (pidfd)."""

from __future__ import annotations

import os
import signal
import struct
from typing import Any

from lab.probing.probe import EPOLLS, EVERY, Seen, probe, seen, setup
from lab.probing.rig import Rig

_os: Any = os  # typed loosely, as the next: what only POSIX has
_signal: Any = signal


@probe(
    claim="an eventfd is readable unless its count is 0, and writable unless its count is the largest",
    source="eventfd(2): the maximum is 2^64-2, POLLIN and POLLOUT",
    on=EVERY,
    expect={"select": "w, r+w, r", "poll": "OUT, IN+OUT, IN", "epoll": "OUT, IN+OUT, IN",
            "selectors": "WRITE, READ+WRITE, READ"},
    control=setup(most=2),
    needs=("eventfd",),
)
def eventfd(rig: Rig, most: int = 2 ** 64 - 2) -> Seen:
    """Ask for reading and writing with a count of 0, of 1, and of the largest number."""
    fd = rig.eventfd()
    heard = [rig.ask(fd, "rw")]
    for count in (1, most - 1):
        rig.write(fd, struct.pack("=Q", count))
        heard.append(rig.ask(fd, "rw"))
    return seen(", ".join(heard))


def _end(rig: Rig, pid: int) -> None:
    """Kill a child, and wait until it has ended, without reaping it."""
    os.kill(pid, _signal.SIGKILL)
    rig.until(lambda: _os.waitid(_os.P_PID, pid, _os.WEXITED | _os.WNOWAIT | _os.WNOHANG))


@probe(
    claim="a pidfd is readable when the process has ended",
    source="pidfd_open(2): poll, select and epoll indicate it as readable when the process terminates",
    on=EVERY,
    expect={"select": "silent, then r", "poll": "silent, then IN", "epoll": "silent, then IN",
            "selectors": "silent, then READ"},
    control=setup(ends=False),
    needs=("pidfd", "fork"),
)
def pidfd_end(rig: Rig, ends: bool = True) -> Seen:
    """Open a pidfd of a child, and ask; kill the child, and ask again."""
    pid = rig.fork(_signal.pause)
    fd = rig.keep(_os.pidfd_open(pid))
    running = rig.ask(fd, timeout=0.0)
    if ends:
        _end(rig, pid)
    return seen("%s, then %s" % (running, rig.ask(fd)))


@probe(
    claim="the pidfd of a process that was reaped is reported as a hang-up",
    source="pidfd_poll in Linux fs/pidfs.c: EPOLLHUP once reaped; pidfd_open(2) names only readable",
    on=("poll", *EPOLLS),
    expect="IN+HUP",
    control=setup(reaps=False),
    needs=("pidfd", "fork"),
)
def pidfd_reaped(rig: Rig, reaps: bool = True) -> Seen:
    """Kill a child, and reap it; ask for its pidfd."""
    pid = rig.fork(_signal.pause)
    fd = rig.keep(_os.pidfd_open(pid))
    _end(rig, pid)
    if reaps:
        rig.reap(pid)
    return seen(rig.ask(fd))
