"""Several server processes on one port, by SO_REUSEPORT: the kernel distributes new connections among them.

Each worker is a fork with its own listener, so the workers share nothing, and a new connection wakes only one of them.
Linux chooses a listener by a hash of the addresses. macOS accepts the option and gives every connection to the last
listener. Windows does not have the option. When a worker ends, the kernel resets the connections in its backlog
(ip-sysctl, tcp_migrate_req). So stopping loses no connection that was accepted, but may lose some that were not.

The parent does not serve. It binds first, so that port 0 becomes one port for all workers, and so that a port in use is
an error before anything is forked. It reports when all workers listen, and ends when they have ended. Only the parent
handles SIGINT and SIGTERM: a terminal's Ctrl-C and a service manager's stop reach every process of the group at once.
A worker that handled them would get two signals, one from the system and one from the parent, and would end without
flushing. So workers ignore both, and stop on the signal STOP from the parent. If the parent is killed, it cannot send
STOP. So each worker holds the read end of a pipe to which the parent never writes, and stops when that pipe closes.
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

_os: Any = os  # Any, because type checkers know fork and wait on POSIX only; ``check`` makes sure at run time
_signal: Any = signal  # Any, for pthread_sigmask, as above

STOP = "SIGUSR1"
"""The name of the signal by which the parent stops a worker."""

_OURS = (signal.SIGINT, signal.SIGTERM)
_CHILD: int = getattr(signal, "SIGCHLD", 0)
_STOP: int = getattr(signal, STOP, 0)  # Windows has none, and no workers


def check(addresses: List[Address]) -> None:
    """Raise if several workers cannot share these addresses: ``NotHere`` if the platform lacks what workers need,
    ``Usage`` for a unix path."""
    for name, words in (("so_reuseport", "SO_REUSEPORT"), ("fork", "fork"), ("posix_signals", "POSIX signals")):
        if not has(name):
            raise NotHere("--workers: %s has no %s; run one worker" % (sys.platform, words))
    for address in addresses:
        if address.family == UNIX:
            raise Usage("--workers: %s cannot be shared (SO_REUSEPORT is for ports); run one worker" % (address,))


def supervise(count: int, serve: Callable[[Callable[[], None]], int], on_ready: Callable[[List[int]], None]) -> int:
    """Run ``serve(ready)`` in ``count`` forks. Returns the exit code of the whole.

    ``serve`` calls ``ready`` once it listens, handles the signal STOP, and returns its exit code. When all workers are
    ready, the parent calls ``on_ready`` with their process ids. If a worker ends before it was stopped, the parent
    stops the others and raises ``Broken``.
    """
    reader, writer = os.pipe()
    lifeline = os.pipe()
    pids: List[int] = []
    received: List[int] = []

    def stop(number: int, frame: object = None) -> None:
        received.append(number)
        # SIGKILL the second time: a worker that has not handled the first STOP yet would lose a second one.
        _pass_on(pids, _STOP if len(received) == 1 else _signal.SIGKILL)

    previous: Dict[int, Any] = {number: signal.signal(number, stop) for number in _OURS}
    previous[_CHILD] = signal.signal(_CHILD, lambda number, frame: None)  # an ignored signal may never become pending
    try:
        while len(pids) < count and not received:
            _signal.pthread_sigmask(_signal.SIG_BLOCK, _OURS)  # so that stop() never misses the newest worker
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
        raise Broken("a worker ended by itself (exit codes %s); the parent stopped the others; see the worker's own "
                     "error line" % ", ".join(str(code) for code in codes.values()))
    return max([EXIT_OK, *(abs(code) for code in codes.values() if code != -_STOP)])  # -_STOP: stopped while starting


def _pass_on(pids: List[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:  # it has ended, and waitpid has returned it
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
            except OSError:  # EPIPE: nobody reads the stream any more
                pass
        os._exit(code)  # not sys.exit: the exit handlers and open files belong to the parent


def _stop_without_parent(lifeline: int) -> None:
    os.read(lifeline, 1)  # returns when the parent ends, because it holds the only write end
    os.kill(os.getpid(), _STOP)


def _say_ready(writer: int) -> None:
    os.write(writer, b"+")
    os.close(writer)


def _all_ready(reader: int, count: int) -> bool:
    """Wait until every worker listens. Returns False if one ended before that."""
    ready = 0
    while ready < count:
        chunk = os.read(reader, count)
        if not chunk:
            return False
        ready += len(chunk)
    return True


def _reap(pids: List[int], received: List[int], stop: Callable[[int], None]) -> Dict[int, int]:
    """Wait for every worker, and handle signals meanwhile. Returns the exit codes by process id; a negative one is the
    number of the signal that killed the worker. If a worker ends before it was stopped, stop the others.

    sigwait(3) receives the signals, not a handler. A signal that arrives after the interpreter's last check for signals
    and before waitpid sleeps in the kernel would not interrupt the sleep. Its handler would run only when the next
    worker ends.
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
                if not received and len(codes) == 1:  # only once: after a second STOP they would not flush
                    _pass_on(pids, _STOP)
    finally:
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, signals)
    return codes
