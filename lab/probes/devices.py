"""Readiness of what is no socket: files, directories, devices, terminals, counters and processes.

"Everything is a file" does not mean that everything can be waited for. Whether a file has a poll method is the
choice of its driver; what has none is always ready for select and poll, and refused by epoll.
"""

from __future__ import annotations

import os
import selectors
import signal
import struct
from typing import Any, Tuple

from lab.probing.probe import EPOLLS, EVERY, Seen, SetUpFailed, Unsupported, probe, seen, setup
from lab.probing.rig import Rig, attempt, error_name

_os: Any = os  # typed loosely, as the next: what only POSIX has
_signal: Any = signal

_ALWAYS = {"select": "r+w", "poll": "IN+OUT", "epoll": "EPERM", "selectors:SelectSelector": "READ+WRITE",
           "selectors:PollSelector": "READ+WRITE", "selectors:EpollSelector": "EPERM"}
"""What is said of a file without a poll method."""


def _open(rig: Rig, path: str, flags: int = os.O_RDONLY) -> int:
    try:
        return int(rig.keep(os.open(path, flags)))
    except OSError as error:  # ENOENT, EACCES, ENXIO: whichever it is, it cannot be asked about here
        raise Unsupported("%s cannot be opened here: %s" % (path, error_name(error))) from error


# Files without a poll method.


@probe(
    claim="epoll refuses a regular file; select and poll call it always ready, also at its end",
    source="epoll_ctl(2) EPERM; POSIX select and poll: regular files are always ready",
    on=EVERY,
    expect=_ALWAYS,
    control=setup(regular=False),
)
def regular_file(rig: Rig, regular: bool = True) -> Seen:
    """Open a temporary file, read it to its end, and ask for both directions."""
    fd = rig.file(b"text") if regular else rig.listener().fileno()
    left = attempt(rig.drain, fd, ok=str)
    return seen(rig.ask(fd, "rw"), read=left)


@probe(
    claim="epoll refuses a directory; select and poll call it always ready",
    source="epoll_ctl(2) EPERM: fd refers to, for example, a regular file or a directory",
    on=EVERY,
    expect=_ALWAYS,
    control=setup(regular=False),
    needs=("posix",),
)
def directory(rig: Rig, regular: bool = True) -> Seen:
    """Open a directory, and ask for both directions."""
    return seen(rig.ask(_open(rig, rig.directory()) if regular else rig.pipe()[0], "rw"))


@probe(
    claim="a file that is only memory is a regular file to epoll",
    source="memfd_create(2): behaves like a regular file; epoll_ctl(2) EPERM",
    on=EVERY,
    expect=_ALWAYS,
    control=setup(regular=False),
    needs=("linux",),
)
def memory_file(rig: Rig, regular: bool = True) -> Seen:
    """Create a file in memory (memfd), and ask for both directions."""
    if not hasattr(os, "memfd_create"):
        raise Unsupported("this Python has no os.memfd_create")
    return seen(rig.ask(rig.keep(_os.memfd_create("lab")) if regular else rig.pipe()[0], "rw"))


@probe(
    claim="an EpollSelector forgets the file that epoll refused",
    source="Python selectors: register() of a file object that cannot be monitored raises",
    on=("selectors:EpollSelector",),
    expect="EPERM, 0 kept",
    control=setup(regular=False),
)
def refused_not_kept(rig: Rig, regular: bool = True) -> Seen:
    """Register a regular file with a selector, and count what it has in its map."""
    fd = rig.file(b"text") if regular else rig.pipe()[0]
    selector = rig.selector()
    registered = attempt(selector.register, fd, selectors.EVENT_READ)
    return seen("%s, %d kept" % (registered, len(selector.get_map())))


# /proc and /sys.


@probe(
    claim="/proc/self/mounts can be watched: it is readable, and epoll takes it",
    source="proc_pid_mounts(5): pollable since Linux 2.6.15, a change is an exceptional condition",
    on=EVERY,
    expect={"select": "r", "poll": "IN", "epoll": "IN", "selectors": "READ"},
    control=setup(name="status"),
    needs=("linux", "proc"),
    trials=3,  # a mount that happens just now would be seen as well
)
def proc_mounts(rig: Rig, name: str = "mounts") -> Seen:
    """Open /proc/self/mounts, and ask for both directions."""
    return seen(rig.ask(_open(rig, "/proc/self/" + name), "rw"))


@probe(
    claim="most files in /proc cannot be watched: epoll refuses /proc/self/status",
    source="epoll_ctl(2) EPERM; proc_single_file_operations in Linux fs/proc/base.c has no poll",
    on=EVERY,
    expect=_ALWAYS,
    control=setup(name="mounts"),
    needs=("linux", "proc"),
)
def proc_status(rig: Rig, name: str = "status") -> Seen:
    """Open /proc/self/status, and ask for both directions."""
    return seen(rig.ask(_open(rig, "/proc/self/" + name), "rw"))


@probe(
    claim="epoll takes /proc/stat, which is always ready for everything: no use, and no error",
    source="proc_reg_poll in Linux fs/proc/inode.c stands in where the file has no poll method",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT", "epoll": "IN+OUT", "selectors": "READ+WRITE"},
    control=setup(name="self/mounts"),
    needs=("linux", "proc"),
    trials=3,
)
def proc_stat(rig: Rig, name: str = "stat") -> Seen:
    """Open /proc/stat, and ask for both directions."""
    return seen(rig.ask(_open(rig, "/proc/" + name), "rw"))


@probe(
    claim="a /sys attribute is ready, exceptional and in error until it is read, and epoll takes it",
    source="sysfs_notify and kernfs_generic_poll in Linux fs/kernfs/file.c",
    on=("select", "poll", *EPOLLS),
    expect={"select": "r+w+x, then r+w", "*": "IN+PRI+OUT+ERR, then IN+OUT"},
    control=setup(path="/proc/self/status"),
    needs=("linux",),
)
def sys_attribute(rig: Rig, path: str = "/sys/devices/system/cpu/online") -> Seen:
    """Open an attribute in /sys; ask for everything, read it, and ask again."""
    fd = _open(rig, path)
    unread = rig.ask(fd, "rwx")
    rig.read(fd)
    return seen("%s, then %s" % (unread, rig.ask(fd, "rwx")))


# Devices.


@probe(
    claim="/dev/null is always ready for select and poll, and refused by epoll, so a daemon's stdin may be unwatchable",
    source="epoll_ctl(2) EPERM; null(4); libuv joyent#622: EINVAL from kqueue on macOS",
    on=EVERY,
    expect=_ALWAYS,
    control=setup(device=False),
    needs=("posix",),
)
def null(rig: Rig, device: bool = True) -> Seen:
    """Open /dev/null for reading and writing, and ask for both directions."""
    return seen(rig.ask(_open(rig, "/dev/null", os.O_RDWR) if device else rig.listener(), "rw"))


@probe(
    claim="/dev/zero, /dev/full and /dev/urandom are to be waited for as /dev/null is: not at all",
    source="epoll_ctl(2) EPERM; full(4); urandom_fops in Linux drivers/char/random.c has no poll",
    on=EVERY,
    expect=_ALWAYS,
    control=setup(names=("random",)),
    needs=("linux",),
)
def memory_devices(rig: Rig, names: Tuple[str, ...] = ("zero", "full", "urandom")) -> Seen:
    """Open each that is here for reading and writing, and ask for both directions."""
    here = [name for name in names if os.path.exists("/dev/" + name)]
    heard = {name: rig.ask(_open(rig, "/dev/" + name, os.O_RDWR), "rw") for name in here}
    answers = sorted(set(heard.values()))
    return seen(answers[0] if len(answers) == 1 else "not all alike", **heard)


@probe(
    claim="/dev/random is the odd one: epoll takes it, and it is readable, but not writable",
    source="random(4): can be polled for reading and for writing; random_poll in Linux drivers/char/random.c",
    on=EVERY,
    expect={"select": "r", "poll": "IN", "epoll": "IN", "selectors:SelectSelector": "READ",
            "selectors:PollSelector": "READ", "selectors:EpollSelector": "READ"},
    control=setup(name="urandom"),
    needs=("linux",),
)
def random(rig: Rig, name: str = "random") -> Seen:
    """Open /dev/random for reading and writing, and ask for both directions."""
    return seen(rig.ask(_open(rig, "/dev/" + name, os.O_RDWR), "rw"))


# Terminals.


def _leave_canonical(slave: int) -> None:
    import termios
    terminal: Any = termios
    mode = terminal.tcgetattr(slave)
    mode[3] &= ~terminal.ICANON
    terminal.tcsetattr(slave, terminal.TCSANOW, mode)


@probe(
    claim="a terminal in canonical mode has nothing to read until the line is complete",
    source="termios(3), canonical mode: input is made available line by line",
    on=EVERY,
    expect={"select": "silent, then r", "poll": "silent, then IN", "epoll": "silent, then IN",
            "selectors": "silent, then READ", "kqueue": "silent, then READ"},
    control=setup(canonical=False),
    needs=("pty",),
)
def terminal_line(rig: Rig, canonical: bool = True) -> Seen:
    """Type three letters at a pseudo-terminal and wait for their echo; ask; type the newline, and ask again."""
    master, slave = rig.pty()
    if not canonical:
        _leave_canonical(slave)
    rig.write(master, b"abc")
    rig.arrived(master)
    letters = rig.ask(slave)
    rig.write(master, b"\n")
    return seen("%s, then %s" % (letters, rig.ask(slave)))


@probe(
    claim="a pseudo-terminal whose slave is closed is a hang-up; after what is left to read comes EIO, not the end",
    source="poll(2) POLLHUP; n_tty_read and pty_close in Linux drivers/tty; pty(7) says nothing of it",
    on=EVERY,
    expect={"select": "r, then EIO", "poll": "IN+HUP, then EIO", "epoll": "IN+HUP, then EIO",
            "selectors:SelectSelector": "READ, then EIO", "selectors:PollSelector": "READ, then EIO",
            "selectors:EpollSelector": "READ, then EIO"},
    control=setup(closes=False),
    needs=("pty",),
)
def terminal_closed(rig: Rig, closes: bool = True) -> Seen:
    """Write to the slave and close it; ask the master, read what is there, and read again."""
    master, slave = rig.pty()
    rig.write(slave, b"bye")
    rig.arrived(master)
    if closes:
        rig.close(slave)
    heard = rig.ask(master)
    rig.read(master)
    return seen("%s, then %s" % (heard, attempt(rig.read, master, ok=lambda data: "%d bytes" % len(data))))


def _ask_own_terminal(rig: Rig, typed: bytes) -> str:
    """To be called in a child: a new session with a terminal of its own, and what is said of /dev/tty there."""
    import fcntl
    import termios
    control: Any = fcntl
    terminal: Any = termios
    master, slave = rig.pty()
    _os.setsid()
    control.ioctl(slave, terminal.TIOCSCTTY, 0)
    try:
        tty = os.open("/dev/tty", os.O_RDWR)
    except OSError as error:  # any: that it cannot be opened is the answer
        return error_name(error)
    if typed:
        rig.write(master, typed)
        rig.settle(slave)
    return rig.ask(tty, "rw")


@probe(
    claim="the controlling terminal can be waited for under the name /dev/tty",
    source="tty(4); on macOS poll(2) BUGS: no devices, and EINVAL from kqueue (mio #1377); bpo-28087",
    on=EVERY,
    expect={"select": "w", "poll": "OUT", "epoll": "OUT", "kqueue": None, "selectors:KqueueSelector": None,
            "selectors": "WRITE"},
    control=setup(typed=b"line\n"),
    needs=("fork", "pty"),
)
def controlling_terminal(rig: Rig, typed: bytes = b"") -> Seen:
    """In a child with a terminal of its own, open /dev/tty, and ask for both directions."""
    near, far = rig.pipe()
    rig.fork(lambda: rig.write(far, _ask_own_terminal(rig, typed).encode("ascii")))
    rig.close(far)
    rig.arrived(near)
    heard = rig.read(near).decode("ascii")
    if not heard:
        raise SetUpFailed("the child could not get a controlling terminal")
    return seen(heard)


# Counters and processes.


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
    """Ask for both directions with a count of 0, of 1, and of the largest number."""
    fd = rig.eventfd()
    heard = [rig.ask(fd, "rw")]
    for count in (1, most - 1):
        rig.write(fd, struct.pack("=Q", count))
        heard.append(rig.ask(fd, "rw"))
    return seen(", ".join(heard))


def _end(rig: Rig, pid: int) -> None:
    """End that child and wait until it has, without reaping it."""
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
    """Open a pidfd of a child and ask; kill the child, and ask again."""
    pid = rig.fork(_signal.pause)
    fd = rig.keep(_os.pidfd_open(pid))
    running = rig.ask(fd, timeout=0.0)
    if ends:
        _end(rig, pid)
    return seen("%s, then %s" % (running, rig.ask(fd)))


@probe(
    claim="the pidfd of a process that has been reaped is a hang-up",
    source="pidfd_poll in Linux fs/pidfs.c: EPOLLHUP once reaped; pidfd_open(2) names only readable",
    on=("poll", *EPOLLS),
    expect="IN+HUP",
    control=setup(reaps=False),
    needs=("pidfd", "fork"),
)
def pidfd_reaped(rig: Rig, reaps: bool = True) -> Seen:
    """Kill a child and reap it; ask its pidfd."""
    pid = rig.fork(_signal.pause)
    fd = rig.keep(_os.pidfd_open(pid))
    _end(rig, pid)
    if reaps:
        rig.reap(pid)
    return seen(rig.ask(fd))
