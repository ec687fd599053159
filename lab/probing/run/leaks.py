"""What a probe left behind in its process: descriptors, threads, children, files, and settings of the process.

Call ``look`` before the probe and ``left`` after it. If something seems to be left, ``left`` collects garbage (PyPy
closes a forgotten socket only then) and grants a short grace to what may end by itself; a clean probe costs two looks
of 0.2 ms each.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import stat
import sys
import tempfile
import threading
import time
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, NamedTuple, Tuple

from lab.capabilities import has

GRACE = 0.5
"""Seconds, before the factor ``slow``, that a thread or child may take to end after the probe has returned."""

_MOST = 4096
"""How many numbers to try one by one if no directory lists the descriptors."""

_os: Any = os  # typed loosely, as the next: what only POSIX has
_signal: Any = signal


class Look(NamedTuple):
    """What the process has at one moment."""

    descriptors: FrozenSet[Tuple[int, Any]]
    threads: FrozenSet[threading.Thread]
    settings: Dict[str, Any]


def look() -> Look:
    """What the process has now."""
    return Look(_descriptors(), frozenset(threading.enumerate()), {name: ask() for name, ask in _SETTINGS.items()})


def left(before: Look, directory: str, slow: float = 1.0) -> List[str]:
    """What is there now and was not there before, in words: ``descriptors: 2 left open``. Empty if nothing is left.

    ``directory`` is the one for temporary files, which was empty before; ``slow`` stretches the grace.
    """
    now = look()
    changed = ["%s: left changed" % name for name, value in now.settings.items() if value != before.settings[name]]
    found = _compare(before, now, directory)
    if found:
        gc.collect()
        deadline = time.monotonic() + GRACE * slow
        while found and time.monotonic() < deadline:
            time.sleep(0.002)  # between two looks
            found = _compare(before, look(), directory)
    return found + changed


def warm_up() -> None:
    """Use once what opens something at its first use and keeps it, so that it does not count as a probe's leak."""
    import encodings.idna
    import random
    random.random()
    encodings.idna.nameprep("a")
    os.urandom(1)
    os.rmdir(tempfile.mkdtemp())
    socket.socket().close()
    try:
        socket.getaddrinfo("127.0.0.1", 0)
    except OSError:  # whatever the error, the libraries for look-ups are loaded now
        pass
    look()


def _compare(before: Look, now: Look, directory: str) -> List[str]:
    threads = len(now.threads - before.threads)
    children = _children()
    files = len(os.listdir(directory)) if os.path.isdir(directory) else 0
    told = [
        ("descriptors: %d left open", len(now.descriptors - before.descriptors)),
        ("descriptors: %d closed that were not its own", len({fd for fd, _ in before.descriptors}
                                                             - {fd for fd, _ in now.descriptors})),
        ("threads: %d left running", threads),
        ("children: %s", children),
        ("temporary files: %d left", files),
    ]
    return [text % value for text, value in told if value]


def _descriptors() -> FrozenSet[Tuple[int, Any]]:
    """The number and identity of each, so that we notice a descriptor that was closed and reused for another file."""
    found = set()
    for fd in _numbers():
        try:
            status = os.fstat(fd)
        except OSError:  # EBADF: it is not open, or it was the one that listed the directory
            continue
        found.add((fd, (status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode))))
    return frozenset(found)


def _numbers() -> Iterable[int]:
    if has("winsock"):  # sockets are no descriptors there, and nothing lists them
        return ()
    directory = "/dev/fd" if sys.platform == "darwin" else "/proc/self/fd"  # the BSDs' /dev/fd may show 0 to 2 only
    try:
        return [int(name) for name in os.listdir(directory)]
    except OSError:  # ENOENT, or EMFILE if a probe has left the limit lowered
        return range(_MOST)


def _children() -> str:
    """The state of our children, in words; empty if there is none."""
    if not has("fork"):
        return ""
    try:
        pid, _ = _os.waitpid(-1, _os.WNOHANG)
    except ChildProcessError:
        return ""
    return "one ended and was not waited for" if pid else "left running"


def _handlers() -> Any:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _blocked() -> Any:
    return _signal.pthread_sigmask(_signal.SIG_BLOCK, ()) if has("posix_signals") else None


def _timer() -> bool:
    return has("posix_signals") and _signal.getitimer(_signal.ITIMER_REAL) != (0.0, 0.0)


def _limits() -> Any:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limits: Any = resource
    return {name: limits.getrlimit(getattr(limits, name)) for name in dir(limits) if name.startswith("RLIMIT_")}


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # ENOENT: it was removed
        return ""


_SETTINGS: Dict[str, Callable[[], Any]] = {
    "signal handlers": _handlers,
    "blocked signals": _blocked,
    "interval timer": _timer,
    "wakeup descriptor": lambda: signal.set_wakeup_fd(-1),  # it can only be read by setting it; normally it is -1
    "resource limits": _limits,
    "default timeout of sockets": socket.getdefaulttimeout,
    "working directory": _directory,
}
"""Settings of the whole process: a probe that leaves one changed would change what later probes observe."""
