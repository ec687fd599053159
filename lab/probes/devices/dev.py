"""Devices without hardware, such as /dev/null."""

from __future__ import annotations

import os
from typing import Tuple

from lab.probes.devices import ALWAYS, opened
from lab.probing.probe import EVERY, Seen, probe, seen, setup
from lab.probing.rig import Rig


@probe(
    claim="select and poll report /dev/null as always ready; epoll refuses it, and so perhaps the stdin of a daemon",
    source="epoll_ctl(2) EPERM; null(4); libuv joyent#622: EINVAL from kqueue on macOS",
    on=EVERY,
    expect=ALWAYS,
    control=setup(device=False),
    needs=("posix",),
)
def null(rig: Rig, device: bool = True) -> Seen:
    """Open /dev/null for reading and writing; ask for reading and writing. Control: a listener."""
    return seen(rig.ask(opened(rig, "/dev/null", os.O_RDWR) if device else rig.listener(), "rw"))


@probe(
    claim="/dev/zero, /dev/full and /dev/urandom are like /dev/null: always ready, and refused by epoll",
    source="epoll_ctl(2) EPERM; full(4); urandom_fops in Linux drivers/char/random.c has no poll",
    on=EVERY,
    expect=ALWAYS,
    control=setup(names=("random",)),
    needs=("linux",),
)
def memory_devices(rig: Rig, names: Tuple[str, ...] = ("zero", "full", "urandom")) -> Seen:
    """Open each of them that exists for reading and writing; ask for reading and writing."""
    here = [name for name in names if os.path.exists("/dev/" + name)]
    heard = {name: rig.ask(opened(rig, "/dev/" + name, os.O_RDWR), "rw") for name in here}
    answers = sorted(set(heard.values()))
    return seen(answers[0] if len(answers) == 1 else "not all alike", **heard)


@probe(
    claim="/dev/random is unlike other memory devices: epoll accepts it, and it is readable, but not writable",
    source="random(4): can be polled for reading and for writing; random_poll in Linux drivers/char/random.c",
    on=EVERY,
    expect={"select": "r", "poll": "IN", "epoll": "IN", "selectors:SelectSelector": "READ",
            "selectors:PollSelector": "READ", "selectors:EpollSelector": "READ"},
    control=setup(name="urandom"),
    needs=("linux",),
)
def random(rig: Rig, name: str = "random") -> Seen:
    """Open /dev/random for reading and writing; ask for reading and writing."""
    return seen(rig.ask(opened(rig, "/dev/" + name, os.O_RDWR), "rw"))
