"""What else ends a wait besides readiness and its timeout: signals, where they arrive, and what their handlers do."""

from __future__ import annotations

import _thread
import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any, Dict, Iterator, List, Optional

from lab.probing.probe import EVERY, RAW, SELECTORS, Seen, SetUpFailed, Unsupported, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import SILENT

_signal: Any = signal  # typed loosely: some of its names exist only on POSIX or only on Windows

_LASTS = 5
"""The length, in quiet spans, of a wait during which a signal or another thread must act. If a busy machine delivered
the signal after the wait, it would look like one that does not end a wait."""

_BREAK = """
import select, signal, socket
near, far = socket.socketpair()
near.setblocking(False)
far.setblocking(False)
if %r:
    signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)
signal.signal(signal.SIGBREAK, lambda number, frame: far.send(b"x"))
print("ready", flush=True)
print("woken" if select.select([near], [], [], %r)[0] else "slept", flush=True)
"""
"""The other process of windows_ctrl_break: its handler ends the wait, if it runs in time."""


def _span(taken: Dict[str, float], timeout: float) -> str:
    """How long a call took, compared with its timeout: ``whole``, or ``early``."""
    return "whole" if taken["seconds"] >= 0.8 * timeout else "early"


def _waited(rig: Rig, near: socket.socket) -> str:
    """The outcome of a wait in whose time a signal must arrive: ``whole``, ``early``, or the mask that was reported."""
    lasts = _LASTS * rig.quiet
    with rig.timed() as taken:
        mask = rig.ask(near, timeout=lasts)
    return _span(taken, lasts) if mask == SILENT else mask


def _interrupted(rig: Rig, error: Optional[Exception]) -> Seen:
    """Wait for a socket on which nothing arrives. A SIGALRM arrives meanwhile, whose handler raises that error, or
    nothing. Measure the wait."""
    near, _ = rig.unix()

    def handler(number: int, frame: Any) -> None:
        if error is not None:
            raise error
    asked = rig.watcher()
    asked.watch(near.fileno())
    lasts = _LASTS * rig.quiet
    with rig.timed() as taken:
        rig.alarm(rig.quiet / 4, handler)
        mask = rig.mask(asked, near, lasts)
    return seen("%s, %s" % (_span(taken, lasts), mask))


def _came_after(began: float, runs: List[float]) -> None:
    """Raise if the first signal arrived before the wait began, because the machine paused just then: nothing was
    observed."""
    if runs[0] < began:
        raise SetUpFailed("the signal arrived before the wait")


@contextlib.contextmanager
def _wakeup(sock: socket.socket) -> Iterator[None]:
    """Have Python write the numbers of signals to that socket."""
    before = signal.set_wakeup_fd(sock.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)


@probe(
    claim="a signal whose handler returns does not end a wait, which goes on for the rest of its timeout",
    source="PEP 475; docs.python.org select.select, poll.poll, epoll.poll, kqueue.control, changed in 3.5",
    on=EVERY,
    expect="whole",
    control=setup(writes=True),
    needs=("signals",),
)
def handler_returns(rig: Rig, writes: bool = False) -> Seen:
    """Wait for a socket on which nothing arrives, while SIGALRM arrives repeatedly and its handler only counts; measure
    the wait."""
    near, far = rig.unix()
    runs: List[int] = []

    def handler(number: int, frame: Any) -> None:
        runs.append(rig.write(far) if writes else 0)
    rig.alarm(rig.quiet / 4, handler, rig.quiet / 4)
    how = _waited(rig, near)
    if not runs:
        raise SetUpFailed("no signal arrived")
    return seen(how, runs=len(runs))


@probe(
    claim="an ignored signal does not end a wait",
    source="PEP 475; signal(7): an ignored signal interrupts nothing",
    on=RAW,
    expect="whole",
    control=setup(ignored=False),
    needs=("signals",),
)
def ignored_signal(rig: Rig, ignored: bool = True) -> Seen:
    """Ignore SIGALRM; wait for a socket on which nothing arrives, while SIGALRM arrives repeatedly; measure the
    wait."""
    near, far = rig.unix()

    def handler(number: int, frame: Any) -> None:
        rig.write(far)
    rig.alarm(rig.quiet / 4, _signal.SIG_IGN if ignored else handler, rig.quiet / 4)
    return seen(_waited(rig, near))


@probe(
    claim="an exception that a signal handler raises ends the wait at once",
    source="PEP 475: if the signal handler raises an exception, the call fails with it",
    on=EVERY,
    expect="early, KeyError",
    control=setup(raises=False),
    needs=("signals",),
    trials=3,
)
def handler_raises(rig: Rig, raises: bool = True) -> Seen:
    """Wait for a socket on which nothing arrives; meanwhile a SIGALRM arrives, whose handler raises KeyError; measure
    the wait."""
    return _interrupted(rig, KeyError() if raises else None)


@probe(
    claim="selectors treat an InterruptedError from a signal handler as the end of the wait; select, poll, epoll and "
          "kqueue raise it",
    source="gh-120001; PEP 475",
    on=EVERY,
    expect={**dict.fromkeys(RAW, "early, InterruptedError"), **dict.fromkeys(SELECTORS, "early, silent")},
    control=setup(raises=False),
    needs=("signals",),
    trials=3,
)
def handler_raises_interrupted(rig: Rig, raises: bool = True) -> Seen:
    """Wait for a socket on which nothing arrives; meanwhile a SIGALRM arrives, whose handler raises
    InterruptedError."""
    return _interrupted(rig, InterruptedError() if raises else None)


@probe(
    claim="a wait whose deadline passes inside a signal handler reports nothing, even if a descriptor is ready by "
          "then",
    source="bpo-35310 (gh-79491); PEP 475",
    on=EVERY,
    expect=dict.fromkeys(EVERY, SILENT),
    control=setup(outlives=False),
    needs=("signals",),
)
def handler_past_deadline(rig: Rig, outlives: bool = True) -> Seen:
    """Wait for a socket; meanwhile a SIGALRM arrives, whose handler makes the socket readable and returns after the
    deadline of the wait. Control: the handler returns long before it."""
    near, far = rig.unix()
    runs, lasts = [], _LASTS * rig.quiet

    def handler(number: int, frame: Any) -> None:
        runs.append(time.perf_counter())
        rig.write(far)
        if outlives:
            time.sleep(0.8 * lasts)  # the deadline, half of ``lasts`` away, passes
    asked = rig.watcher()
    asked.watch(near.fileno())
    rig.alarm(lasts / 2, handler)
    began = time.perf_counter()
    mask = rig.mask(asked, near, lasts if outlives else rig.patience)
    rig.arrived(near)
    _came_after(began, runs)
    return seen(mask)


@probe(
    claim="Python writes the number of a signal as a byte to the descriptor of set_wakeup_fd(), which ends a wait for "
          "the other end",
    source="docs.python.org signal.set_wakeup_fd; select(2) on the self-pipe trick",
    on=EVERY,
    expect="woken, SIGALRM",
    control=setup(wakes=False),
    needs=("signals",),
)
def wakeup_fd(rig: Rig, wakes: bool = True) -> Seen:
    """Call set_wakeup_fd() with one end of a socket pair, and wait for the other end; a SIGALRM arrives; read what was
    written."""
    near, far = rig.unix()
    other = rig.unix()[1]
    with _wakeup(far if wakes else other):
        rig.alarm(rig.quiet / 4, lambda number, frame: None)
        mask = rig.ask(near, timeout=rig.patience if wakes else rig.quiet)
    if mask == SILENT:
        return seen(SILENT)
    data = rig.read(near)
    what = "SIGALRM" if data == bytes([_signal.SIGALRM]) else "%d bytes" % len(data)
    return seen("woken, %s" % what, mask=mask)


@probe(
    claim="set_wakeup_fd() rejects a blocking descriptor",
    source="docs.python.org signal.set_wakeup_fd: the fd must be non-blocking",
    expect="ValueError",
    control=setup(blocking=False),
    needs=("posix",),  # on Windows Python cannot find out
)
def wakeup_fd_blocking(rig: Rig, blocking: bool = True) -> Seen:
    """Make a socket blocking; call set_wakeup_fd() with it."""
    near, _ = rig.unix()
    near.setblocking(blocking)

    def set_and_restore() -> None:
        with _wakeup(near):
            pass
    return seen(attempt(set_and_restore))


@probe(
    claim="a signal that is delivered to another thread does not end the main thread's wait; its handler runs after "
          "the wait",
    source="docs.python.org signal, Signals and threads: handlers run in the main thread",
    on=RAW,
    expect=SILENT,
    control=setup(elsewhere=False),
    needs=("signals",),
)
def signal_to_another_thread(rig: Rig, elsewhere: bool = True) -> Seen:
    """Wait for a socket while another thread sends SIGUSR1 to itself; the handler makes the socket readable."""
    near, far = rig.unix()
    main, runs = threading.get_ident(), []

    def strike() -> None:
        _signal.pthread_kill(threading.get_ident() if elsewhere else main, _signal.SIGUSR1)

    def handler(number: int, frame: Any) -> None:
        runs.append(time.perf_counter())
        rig.write(far)
    rig.handle(_signal.SIGUSR1, handler)
    asked = rig.watcher()
    asked.watch(near.fileno())
    rig.later(rig.quiet / 2, strike)
    began = time.perf_counter()
    mask = rig.mask(asked, near, _LASTS * rig.quiet if elsewhere else rig.patience)
    rig.until(lambda: rig.settle(near))  # the handler has run by now, at the latest between two of these waits
    _came_after(began, runs)
    return seen(mask)


@probe(
    claim="an interrupt that Python only records, like Ctrl-C on Windows, does not end a wait; a byte from another "
          "thread does",
    source="docs.python.org _thread.interrupt_main; gh-77373, gh-101166",
    on=EVERY,
    expect=SILENT,
    control=setup(writes=True),
)
def interrupt_main(rig: Rig, writes: bool = False) -> Seen:
    """Wait for a socket on which nothing arrives while another thread calls interrupt_main(); the handler runs at the
    end. Control: that thread also sends a byte."""
    near, far = rig.unix()
    runs: List[int] = []
    rig.handle(signal.SIGINT, lambda number, frame: runs.append(number))

    def interrupt() -> None:
        _thread.interrupt_main()
        if writes:
            rig.write(far)
    rig.later(rig.quiet / 4, interrupt)
    mask = rig.ask(near, timeout=rig.patience if writes else _LASTS * rig.quiet)
    rig.until(lambda: runs)
    return seen(mask)


@probe(
    claim="with set_wakeup_fd(), an interrupt that Python only records ends a wait for the other end of that socket "
          "pair",
    source="docs.python.org signal.set_wakeup_fd and _thread.interrupt_main: the effect of a signal",
    on=RAW,
    expect="woken",
    control=setup(wakes=False),
)
def interrupt_main_wakeup_fd(rig: Rig, wakes: bool = True) -> Seen:
    """Call set_wakeup_fd() with one end of a socket pair; wait for the other end while another thread calls
    interrupt_main()."""
    near, far = rig.unix()
    other = rig.unix()[1]
    rig.handle(signal.SIGINT, lambda number, frame: None)
    with _wakeup(far if wakes else other):
        rig.later(rig.quiet / 4, _thread.interrupt_main)
        mask = rig.ask(near, timeout=_LASTS * rig.quiet if wakes else rig.quiet)
    return seen(mask if mask == SILENT else "woken", mask=mask)


@probe(
    claim="Ctrl-C and Ctrl-Break on Windows do not interrupt select; the handler runs when the wait is over",
    source="gh-101166; gh-77373; docs.python.org signal.set_wakeup_fd, changed in 3.5: sockets on Windows",
    on=("select",),
    expect="slept",
    control=setup(wakes=True),
    needs=("windows",),
    trials=3,
)
def windows_ctrl_break(rig: Rig, wakes: bool = False) -> Seen:
    """Start another process, in a process group of its own, that waits in select; send it CTRL_BREAK_EVENT, whose
    handler makes the awaited socket readable."""
    script = _BREAK % (wakes, 3 * rig.quiet)
    child = subprocess.Popen([sys.executable, "-I", "-c", script], stdout=subprocess.PIPE,
                             creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0))
    with child:
        giving_up = threading.Timer(rig.patience, child.kill)
        giving_up.start()
        try:
            assert child.stdout is not None  # a PIPE
            child.stdout.readline()
            try:
                child.send_signal(_signal.CTRL_BREAK_EVENT)
            except (OSError, SystemError):  # there is no console; 3.8 turns that error into a SystemError
                raise Unsupported("there is no console to send Ctrl-Break through") from None
            word = child.stdout.readline().decode().strip()
        finally:
            giving_up.cancel()
            child.kill()
    if not word:
        raise SetUpFailed("the other process printed nothing")
    return seen(word)
