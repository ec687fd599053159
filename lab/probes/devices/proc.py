"""Files of /proc and /sys, of which some have a poll method."""

from __future__ import annotations

from lab.probes.devices import ALWAYS, opened
from lab.probing.probe import EVERY, Seen, over, probe, seen, setup
from lab.probing.rig import Rig


@probe(
    claim="/proc/self/mounts can be watched: it is readable, and epoll accepts it",
    source="proc_pid_mounts(5): pollable since Linux 2.6.15, a change is an exceptional condition",
    on=EVERY,
    expect={"select": "r", "poll": "IN", "epoll": "IN", "selectors": "READ"},
    control=setup(name="status"),
    needs=("linux", "proc"),
    trials=3,  # a mount that happens just now would be seen as well
)
def proc_mounts(rig: Rig, name: str = "mounts") -> Seen:
    """Open /proc/self/mounts; ask for reading and writing."""
    return seen(rig.ask(opened(rig, "/proc/self/" + name), "rw"))


@probe(
    claim="most files in /proc cannot be watched: epoll refuses /proc/self/status",
    source="epoll_ctl(2) EPERM; proc_single_file_operations in Linux fs/proc/base.c has no poll",
    on=EVERY,
    expect=ALWAYS,
    control=setup(name="mounts"),
    needs=("linux", "proc"),
)
def proc_status(rig: Rig, name: str = "status") -> Seen:
    """Open /proc/self/status; ask for reading and writing."""
    return seen(rig.ask(opened(rig, "/proc/self/" + name), "rw"))


@probe(
    claim="epoll accepts /proc/stat, which is always ready, so that watching it is no error, and useless",
    source="proc_reg_poll in Linux fs/proc/inode.c stands in where the file has no poll method",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT", "epoll": "IN+OUT", "selectors": "READ+WRITE"},
    control=setup(name="self/mounts"),
    needs=("linux", "proc"),
    trials=3,
)
def proc_stat(rig: Rig, name: str = "stat") -> Seen:
    """Open /proc/stat; ask for reading and writing."""
    return seen(rig.ask(opened(rig, "/proc/" + name), "rw"))


@probe(
    claim="epoll accepts a /sys attribute, which is ready, exceptional and in error until it is read",
    source="sysfs_notify and kernfs_generic_poll in Linux fs/kernfs/file.c",
    on=over("select", "poll", "epoll", raw=True),
    expect={"select": "r+w+x, then r+w", "*": "IN+PRI+OUT+ERR, then IN+OUT"},
    control=setup(path="/proc/self/status"),
    needs=("linux",),
)
def sys_attribute(rig: Rig, path: str = "/sys/devices/system/cpu/online") -> Seen:
    """Open an attribute in /sys; ask for every event; read it, and ask again."""
    fd = opened(rig, path)
    unread = rig.ask(fd, "rwx")
    rig.read(fd)
    return seen("%s, then %s" % (unread, rig.ask(fd, "rwx")))
