"""Ctrl-C and Ctrl-Break as they arrive on Windows: in a thread of their own, so that no wait is interrupted, and, for
Ctrl-Break, by a signal that exists only there.

Both can be imitated on POSIX. A signal that the main thread blocks is delivered to another thread, so only the byte
that ``signal.set_wakeup_fd`` writes can end the main thread's wait; and SIGBREAK becomes another name for SIGUSR2. The
asynchronous model is left out, because on Windows it runs on asyncio's Proactor, which sets that descriptor itself.
"""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from lab.errors import EXIT_OK
from tests.core.conformance.peers import ping, rest_of
from tests.core.conformance.serving import (
    SERVICES,
    Process,
    Service,
    check_that_it_flushes,
    each,
    linux_only,
    posix_only,
)
from tests.waits import PATIENCE, QUIET

pytestmark = posix_only

PROGRAM = """
import signal, sys, threading
signal.SIGBREAK = signal.SIGUSR2
taker = threading.Thread(target=threading.Event().wait, daemon=True)
taker.start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGUSR2])
from lab.cli import main
%s
sys.exit(main(["serve", "--port", "0", "--log", "json", *sys.argv[1:]]))
"""

DEAF = """
from lab.server.models.multiplexing import Multiplexing
Multiplexing.wakeup_fd = lambda self: -1
"""

_signal: Any = signal  # typed loosely: type checkers know SIGUSR2 only on POSIX

ON_SELECT = [service for service in SERVICES if service.backend == "select"]
WAITING = ON_SELECT + [service for service in SERVICES if service.model == "blocking"]


@each(WAITING)
@pytest.mark.parametrize("name", ["SIGINT", "SIGUSR2"], ids=["ctrl-c", "ctrl-break"])
def test_it_drains_and_exits_with_zero(service: Service, name: str) -> None:
    with Process(*service.options, "--max-buffer", "5000", program=PROGRAM % "") as process:
        check_that_it_flushes(process, getattr(signal, name))


def until_asleep(pid: int) -> None:
    """Return when the main thread of that process waits: when it sleeps in several looks in a row (proc(5), stat)."""
    deadline = time.monotonic() + PATIENCE
    asleep = 0
    while asleep < 20:
        assert time.monotonic() < deadline, "it does not come to rest"
        with open("/proc/%d/task/%d/stat" % (pid, pid), encoding="latin-1") as file:
            asleep = asleep + 1 if file.read().rpartition(")")[2].split()[0] == "S" else 0
        time.sleep(0.001)  # between two looks


@linux_only
@each(ON_SELECT)
def test_without_the_wakeup_descriptor_nothing_would_happen(service: Service) -> None:
    """The control of the test above: without it the signal takes effect only when something else ends the wait."""
    with Process(*service.options, program=PROGRAM % DEAF) as process:
        sock = process.connect()
        ping(sock)
        until_asleep(process.pid)
        process.signal(signal.SIGINT)
        sock.settimeout(10 * QUIET)
        with pytest.raises(OSError, match="timed out"):
            sock.recv(1)
        sock.sendall(b"wake")
        sock.settimeout(PATIENCE)
        assert rest_of(sock) == b"wake"
        sock.close()
        assert process.finish()[0] == EXIT_OK


@each(ON_SELECT)
def test_a_second_one_ends_it_at_once(service: Service) -> None:
    with Process(*service.options, "--handler", "chargen", "--drain", "60", program=PROGRAM % "") as process:
        reader = process.connect()
        process.until_stuck(process.connect(buffers=16_384))
        process.signal(signal.SIGINT)
        assert rest_of(reader)  # the stream has ended, so the first signal has arrived, and the server drains
        process.signal(_signal.SIGUSR2)
        code, _, err = process.result()
    assert (code, err) == (128 + _signal.SIGUSR2, "")
