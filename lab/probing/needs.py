"""What a probe may need, by name: each need has a function that returns why it is not met here, or None.

A probe lists names (``needs=("fork", "root")``); the runner checks them first, so that a cell on a platform without
them is ``unsupported``, with a reason, and never empty. We check for the thing itself wherever that is possible, and do
not conclude from the platform's name. ``lab.capabilities`` knows what Python offers; this module checks the rest, such
as a privilege or a file of the kernel.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
from typing import Any, Callable, Dict, Optional

from lab.capabilities import has
from lab.facts import uname

SYSTEM = uname().system
"""Not from ``platform.system``, which queries WMI on Windows since 3.12: that is slow, and kills Python on Wine 8."""

_os: Any = os  # typed loosely: geteuid and others are POSIX only

Reason = Optional[str]


def _capability(name: str, why: str) -> Callable[[], Reason]:
    return lambda: None if has(name) else why


def _system(name: str, words: str) -> Callable[[], Reason]:
    return lambda: None if name == SYSTEM else "it is about %s; this is %s" % (words, SYSTEM)


def _linux_file(path: str) -> Callable[[], Reason]:
    return lambda: None if has("proc") and os.path.exists(path) else "there is no %s here" % path


def _root() -> Reason:
    if not has("geteuid"):
        return "it needs root, and this platform has none"
    return None if _os.geteuid() == 0 else "it needs root; run it with sudo"


def _raw_sockets() -> Reason:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP).close()
    except OSError:  # EPERM, EACCES: no CAP_NET_RAW; EPROTONOSUPPORT: no such thing
        return "it needs raw sockets: root or CAP_NET_RAW"
    return None


def _ipv6() -> Reason:
    if not socket.has_ipv6:
        return "Python was built without IPv6"
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:  # EAFNOSUPPORT, EADDRNOTAVAIL: either way there is no loopback for IPv6
        return "there is no ::1 to bind to"
    return None


def _ctypes() -> Reason:
    try:
        import ctypes
    except ImportError:
        return "Python's ctypes module is not here"
    return None if hasattr(ctypes, "CDLL") else "ctypes cannot load libraries"


def _python(major: int, minor: int) -> Callable[[], Reason]:
    return lambda: None if sys.version_info >= (major, minor) else "it needs Python %d.%d" % (major, minor)


def _pypy() -> Reason:
    found = platform.python_implementation()
    return None if found == "PyPy" else "it is about PyPy; this is %s" % found


def _pidfd() -> Reason:
    if not has("pidfd_open"):
        return "os.pidfd_open came with Python 3.9 on Linux"
    try:
        os.close(_os.pidfd_open(os.getpid()))
    except OSError:  # ENOSYS, EPERM by seccomp: there is no such thing for us
        return "the kernel has no pidfd_open"
    return None


NEEDS: Dict[str, Callable[[], Reason]] = {
    "linux": _system("Linux", "Linux"),
    "macos": _system("Darwin", "macOS"),
    "windows": lambda: None if has("winsock") else "it is about Windows; this is %s" % SYSTEM,  # Wine has it too
    "solaris": _capability("devpoll", "/dev/poll is an interface of Solaris and illumos"),
    "posix": lambda: None if os.name == "posix" else "it is about POSIX; this is %s" % SYSTEM,
    "fork": _capability("fork", "this platform has no fork()"),
    "root": _root,
    "raw-sockets": _raw_sockets,
    "signals": _capability("posix_signals", "this platform has no POSIX signals"),
    "unix": _capability("af_unix", "Python has no unix sockets here"),
    "unix-datagrams": lambda: None if has("af_unix") and not has("winsock") else (
        "this platform has no unix datagram sockets"),
    "ipv6": _ipv6,
    "limits": _capability("resource", "Python's resource module is not here: no limit can be lowered"),
    "pipes": lambda: "select takes only sockets here, no pipes" if has("winsock") else None,
    "pty": _capability("openpty", "this platform has no pseudo-terminals"),
    "fifo": _capability("mkfifo", "this platform has no named pipes in the file system"),
    "eventfd": _capability("eventfd", "os.eventfd came with Python 3.10 on Linux"),
    "pidfd": _pidfd,
    "reuseport": _capability("so_reuseport", "this platform has no SO_REUSEPORT"),
    "urgent": _capability("msg_oob", "Python has no MSG_OOB here"),
    "ctypes": _ctypes,
    "pypy": _pypy,
    "python3.10": _python(3, 10),
    "python3.15": _python(3, 15),
    "epoll": _capability("epoll", "Python's select module has no epoll()"),
    "poll": _capability("poll", "Python's select module has no poll()"),
    "kqueue": _capability("kqueue", "Python's select module has no kqueue()"),
    "max-user-watches": _linux_file("/proc/sys/fs/epoll/max_user_watches"),
    "somaxconn": _linux_file("/proc/sys/net/core/somaxconn"),
    "max-dgram-qlen": _linux_file("/proc/sys/net/unix/max_dgram_qlen"),
    "notsent-lowat": lambda: None if SYSTEM == "Linux" or hasattr(socket, "TCP_NOTSENT_LOWAT")
                     else "Python has no TCP_NOTSENT_LOWAT here",
    "proc": _capability("proc", "there is no /proc/self/status here"),
}
"""Every need by the name that probes use."""


def missing(needs: Any) -> Reason:
    """Why the first unmet need among these is not met here; None if all are met."""
    for name in needs:
        why = NEEDS[name]()
        if why is not None:
            return why
    return None
