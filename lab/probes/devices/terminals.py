"""Terminals: complete lines, a closed end, and the controlling terminal."""

from __future__ import annotations

import os
from typing import Any

from lab.probing.probe import EVERY, Seen, SetUpFailed, probe, seen, setup
from lab.probing.rig import Rig, attempt, error_name

_os: Any = os  # typed loosely: what only POSIX has


def _leave_canonical(slave: int) -> None:
    import termios
    terminal: Any = termios
    mode = terminal.tcgetattr(slave)
    mode[3] &= ~terminal.ICANON
    terminal.tcsetattr(slave, terminal.TCSANOW, mode)


@probe(
    claim="a terminal in canonical mode is not readable until the line is complete",
    source="termios(3), canonical mode: input is made available line by line",
    on=EVERY,
    expect={"select": "silent, then r", "poll": "silent, then IN", "epoll": "silent, then IN",
            "selectors": "silent, then READ", "kqueue": "silent, then READ"},
    control=setup(canonical=False),
    needs=("pty",),
)
def terminal_line(rig: Rig, canonical: bool = True) -> Seen:
    """Type three letters at a pseudo-terminal, wait for their echo, and ask; type the newline, and ask again."""
    master, slave = rig.pty()
    if not canonical:
        _leave_canonical(slave)
    rig.write(master, b"abc")
    rig.arrived(master)
    letters = rig.ask(slave)
    rig.write(master, b"\n")
    return seen("%s, then %s" % (letters, rig.ask(slave)))


@probe(
    claim="a pseudo-terminal whose slave is closed is a hang-up; once the data is read, read() fails with EIO",
    source="poll(2) POLLHUP; n_tty_read and pty_close in Linux drivers/tty; pty(7) says nothing of it",
    on=EVERY,
    expect={"select": "r, then EIO", "poll": "IN+HUP, then EIO", "epoll": "IN+HUP, then EIO",
            "selectors:SelectSelector": "READ, then EIO", "selectors:PollSelector": "READ, then EIO",
            "selectors:EpollSelector": "READ, then EIO"},
    control=setup(closes=False),
    needs=("pty",),
)
def terminal_closed(rig: Rig, closes: bool = True) -> Seen:
    """Write to the slave, and close it; ask for the master; read the data, and read again."""
    master, slave = rig.pty()
    rig.write(slave, b"bye")
    rig.arrived(master)
    if closes:
        rig.close(slave)
    heard = rig.ask(master)
    rig.read(master)
    return seen("%s, then %s" % (heard, attempt(rig.read, master, ok=lambda data: "%d bytes" % len(data))))


def _ask_own_terminal(rig: Rig, typed: bytes) -> str:
    """In a child: start a new session with a terminal of its own; return what is reported of /dev/tty there."""
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
    claim="one can wait for the controlling terminal under the name /dev/tty",
    source="tty(4); on macOS poll(2) BUGS: no devices, and EINVAL from kqueue (mio #1377); bpo-28087",
    on=EVERY,
    expect={"select": "w", "poll": "OUT", "epoll": "OUT", "kqueue": None, "selectors:KqueueSelector": None,
            "selectors": "WRITE"},
    control=setup(typed=b"line\n"),
    needs=("fork", "pty"),
)
def controlling_terminal(rig: Rig, typed: bytes = b"") -> Seen:
    """In a child with a terminal of its own, open /dev/tty; ask for reading and writing."""
    near, far = rig.pipe()
    rig.fork(lambda: rig.write(far, _ask_own_terminal(rig, typed).encode("ascii")))
    rig.close(far)
    rig.arrived(near)
    heard = rig.read(near).decode("ascii")
    if not heard:
        raise SetUpFailed("the child could not get a controlling terminal")
    return seen(heard)
