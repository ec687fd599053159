"""Several server processes on one port: SO_REUSEPORT, where the kernel deals new connections out among them.

Each worker is a fork with a listener of its own, so nothing is shared and nobody is woken in vain. Linux spreads by
a hash of the addresses; macOS accepts the option and gives everything to the last listener; Windows has none. A
worker that ends resets what is queued on its listener (ip-sysctl, tcp_migrate_req), so stopping loses nothing that
was accepted, but may lose what was not.

The parent serves nobody. It binds first, so that port 0 becomes one port for all and a busy one is refused before
anything is forked, tells when all workers listen, and ends when they have ended. SIGINT and SIGTERM are its alone: a
terminal's Ctrl-C and a service manager's stop reach every process of the group at once, so workers that heeded them
would be told twice, by the system and by the parent, and end without flushing. They listen to STOP, from the parent.
Should the parent be killed, nobody could stop them any more; so each holds one end of a pipe that the parent never
writes to, and stops when it ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any, Callable, Dict, List, Tuple

from lab.address import UNIX, Address
from lab.capabilities import has
from lab.errors import EXIT_BROKEN, EXIT_OK, Broken, NotHere, Usage
from lab.wait_status import exit_code

_os: Any = os  # typed loosely: type checkers know fork and wait on POSIX only; see ``check``
_signal: Any = signal  # and so pthread_sigmask

STOP = "SIGUSR1"
"""The name of the signal that a worker is to handle."""

_OURS = (signal.SIGINT, signal.SIGTERM)
_CHILD: int = getattr(signal, "SIGCHLD", 0)
_STOP: int = getattr(signal, STOP, 0)  # Windows has none, and no workers


def check(addresses: List[Address]) -> None:
    """Raise where several workers cannot share these addresses: ``NotHere`` for a platform that cannot at all,
    ``Usage`` for a unix path."""
    for name, words in (("so_reuseport", "SO_REUSEPORT"), ("fork", "fork"), ("posix_signals", "POSIX signals")):
        if not has(name):
            raise NotHere("--workers: %s has no %s; run one worker" % (sys.platform, words))
    for address in addresses:
        if address.family == UNIX:
            raise Usage("--workers: %s cannot be shared (SO_REUSEPORT is for ports); run one worker" % (address,))


def supervise(count: int, serve: Callable[[Callable[[], None]], int], on_ready: Callable[[List[int]], None]) -> int:
    """Run ``serve(ready)`` in ``count`` forks and return the exit code of the whole.

    ``serve`` calls ``ready`` once it listens, handles the signal STOP itself, and returns its exit code.
    ``on_ready`` is called in the parent with the process ids when all are. A worker that ends unasked ends
    the others, and raises ``Broken``.
    """
    reader, writer = os.pipe()
    lifeline = os.pipe()
    pids: List[int] = []
    received: List[int] = []

    def stop(number: int, frame: object = None) -> None:
        received.append(number)
        # Once more is certain: a second STOP would be lost in a worker that has not come to handle the first yet.
        _pass_on(pids, _STOP if len(received) == 1 else _signal.SIGKILL)

    previous: Dict[int, Any] = {number: signal.signal(number, stop) for number in _OURS}
    previous[_CHILD] = signal.signal(_CHILD, lambda number, frame: None)  # ignored, it might never become pending
    try:
        while len(pids) < count and not received:
            _signal.pthread_sigmask(_signal.SIG_BLOCK, _OURS)  # or stop() might not know of the newest yet
            try:
                pids.append(_fork(serve, reader, writer, lifeline))
            finally:
                _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _OURS)
        os.close(writer)
        if _all_ready(reader, count):
            on_ready(list(pids))
        codes = _reap(pids, received, stop)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for fd in (reader, *lifeline):
            os.close(fd)
    if len(received) > 1:
        return 128 + received[1]
    if not received:
        raise Broken("a worker ended by itself (exit codes %s); the others were stopped; its own line says why"
                     % ", ".join(str(code) for code in codes.values()))
    return max([EXIT_OK, *(abs(code) for code in codes.values() if code != -_STOP)])  # -_STOP: it was still starting


def _pass_on(pids: List[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:  # ended, and waited for, already
            pass


def _fork(serve: Callable[[Callable[[], None]], int], reader: int, writer: int, lifeline: Tuple[int, int]) -> int:
    sys.stdout.flush()
    pid: int = _os.fork()
    if pid:
        return pid
    code = EXIT_BROKEN
    try:
        for number in _OURS:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(_CHILD, signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _OURS)
        for fd in (reader, lifeline[1]):
            os.close(fd)
        threading.Thread(target=_stop_without_parent, args=(lifeline[0],), daemon=True).start()
        code = serve(lambda: _say_ready(writer))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else EXIT_BROKEN
    except BaseException as error:
        sys.stderr.write("lab serve: worker %d: %s\n" % (os.getpid(), str(error) or type(error).__name__))
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:  # EPIPE: nobody reads it any more
                pass
        os._exit(code)  # not the parent's way out: its files and handlers are not ours


def _stop_without_parent(lifeline: int) -> None:
    os.read(lifeline, 1)  # returns when the last other end is closed: the parent's
    os.kill(os.getpid(), _STOP)


def _say_ready(writer: int) -> None:
    os.write(writer, b"+")
    os.close(writer)


def _all_ready(reader: int, count: int) -> bool:
    """Whether every worker came to listen; False when one has ended before."""
    ready = 0
    while ready < count:
        chunk = os.read(reader, count)
        if not chunk:
            return False
        ready += len(chunk)
    return True


def _reap(pids: List[int], received: List[int], stop: Callable[[int], None]) -> Dict[int, int]:
    """Wait for every worker, and for signals meanwhile; their exit codes (negative: a signal's number). The first
    that ends unasked ends the others.

    Signals are taken synchronously, by sigwait(3). A handler would not do: one that comes between the interpreter's
    last look for signals and the wait inside the kernel does not interrupt that wait, and would be heeded only when
    the next worker ends.
    """
    codes: Dict[int, int] = {}
    signals = (*_OURS, _CHILD)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, signals)
    try:
        while pids:
            pid, status = _os.waitpid(-1, _os.WNOHANG)
            if pid == 0:
                number = _signal.sigwait(signals)
                if number != _CHILD:
                    stop(number)
            elif pid in pids:
                pids.remove(pid)
                codes[pid] = exit_code(status)
                if not received and len(codes) == 1:  # once: told twice, they would not flush
                    _pass_on(pids, _STOP)
    finally:
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, signals)
    return codes
