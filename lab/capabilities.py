"""What Python offers here and elsewhere does not, by name: the one place that the portable part asks.

Windows has no fork and no POSIX signals, macOS no epoll, a small image no ``resource``, and the next platform lacks
something else. So nothing is concluded from a platform's name where the thing itself can be asked for, and everybody
asks in one way, ``has("fork")``. The same answers travel with every record as ``facts["features"]``.

Two things need no question, because they are done in the one way that is right everywhere: an accepted socket is made
non-blocking whether or not it has inherited that (Linux: it has not; BSD, macOS, Windows: it has), and IPV6_V6ONLY is
set whatever its default is. What type checkers must understand (``subprocess.CREATE_NEW_PROCESS_GROUP``) is asked of
``sys.platform``, since they know no other question.

Asked anew each time: a test takes a thing away, and a probe may.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import select
import signal
import socket
import sys
from typing import Any, Callable, Dict


def _names(owner: Any, *names: str) -> Callable[[], bool]:
    return lambda: all(hasattr(owner, name) for name in names)


def _modules(*names: str) -> Callable[[], bool]:
    """Found, not imported: ctypes keeps a file open from then on (libffi 3.5)."""
    return lambda: all(importlib.util.find_spec(name) for name in names)


CAPABILITIES: Dict[str, Callable[[], bool]] = {
    "epoll": _names(select, "epoll"),
    "poll": _names(select, "poll"),
    "kqueue": _names(select, "kqueue"),
    "devpoll": _names(select, "devpoll"),
    "eventfd": _names(os, "eventfd"),
    "pidfd_open": _names(os, "pidfd_open"),
    "so_reuseport": _names(socket, "SO_REUSEPORT"),
    "so_exclusiveaddruse": _names(socket, "SO_EXCLUSIVEADDRUSE"),
    "af_unix": _names(socket, "AF_UNIX"),
    "dual_stack": socket.has_dualstack_ipv6,
    "msg_oob": _names(socket, "MSG_OOB"),
    "winsock": _names(errno, "WSAENOTSOCK"),
    "fork": _names(os, "fork", "waitpid", "WNOHANG"),
    "sessions": _names(os, "setsid", "killpg"),
    "posix_signals": _names(signal, "setitimer", "pthread_sigmask", "sigwait"),
    "sigbreak": _names(signal, "SIGBREAK"),
    "set_blocking": _names(os, "set_blocking"),
    "openpty": _names(os, "openpty"),
    "mkfifo": _names(os, "mkfifo"),
    "geteuid": _names(os, "geteuid"),
    "resource": _modules("resource"),
    "fcntl": _modules("fcntl"),
    "ctypes": _modules("ctypes", "_ctypes"),
    "proc": lambda: sys.platform != "win32" and os.path.exists("/proc/self/status"),
}
"""Each by the name of what is asked for, in lower case, but for:

dual_stack      an IPv6 socket that takes IPv4; the only one that is tried
winsock         sockets are no descriptors: select takes nothing else, counts them, and refuses three empty sets
fork            and waiting for the child
sessions        process groups, led and killed
posix_signals   timers, masks and waits; without them a signal is at most Ctrl-C
set_blocking    of a descriptor; on Windows since 3.12, and of pipes only
proc            a /proc that tells of processes; never on Windows, where Wine shows that of the Linux under it
"""


def has(name: str) -> bool:
    """Whether Python offers it here. Raises KeyError for a name that is not in CAPABILITIES."""
    return CAPABILITIES[name]()
