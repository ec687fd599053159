"""What Python offers on this platform and not on every other, by name. The portable part of the lab asks only here.

Windows has no fork and no POSIX signals, macOS has no epoll, a small image has no ``resource``, and the next platform
will lack something else. So we conclude nothing from a platform's name. Code that needs a thing looks for that thing,
always in the same way: ``has("fork")``. Every record carries the same answers as ``facts["features"]``.

Two differences between platforms need no question, because one way is right on all of them. We make every accepted
socket non-blocking, whether or not it has inherited that (on Linux it has not; on BSD, macOS and Windows it has). And
we always set IPV6_V6ONLY, whatever its default is. For what type checkers must understand
(``subprocess.CREATE_NEW_PROCESS_GROUP``) we look at ``sys.platform``, the only condition that they evaluate.

Nothing is cached: tests, and sometimes probes, remove a thing while Python runs.
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
    """Look for the modules without importing them: once imported, ctypes keeps a file open (libffi 3.5)."""
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
"""Each name is that of the thing in lower case, except for these:

dual_stack      an IPv6 socket that accepts IPv4; we try to make one, and only look for everything else
winsock         sockets are not descriptors: select accepts nothing but sockets, counts them, and rejects three empty
                sets
fork            fork and waiting for the child
sessions        starting and killing a process group
posix_signals   timers, masks and waits; without them the only signal is Ctrl-C
set_blocking    of a descriptor; on Windows since 3.12, and of pipes only
proc            a /proc with the processes; never on Windows, where Wine shows that of the Linux under it
"""


def has(name: str) -> bool:
    """Whether Python offers this thing here. Raises KeyError for a name that is not in CAPABILITIES."""
    return CAPABILITIES[name]()
