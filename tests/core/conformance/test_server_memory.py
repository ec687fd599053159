"""A peer that sends and does not read costs the server what waits for it, on every interpreter and in every model."""

from __future__ import annotations

import signal

import pytest

from lab.errors import EXIT_OK
from tests.core.conformance.peers import ping, stuff
from tests.core.conformance.serving import KINDS, Process, Service, each, linux_only

MOST = 16 * 1024 ** 2
"""Bytes that may wait, by --max-buffer."""
BESIDE = 64 * 10 ** 6
"""Bytes that an interpreter may need besides twice those."""


def memory(pid: int, name: str) -> int:
    """Bytes: VmRSS, that a process has in memory, or VmHWM, the most that it ever had (proc(5))."""
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name + ":"))


@linux_only
@each(KINDS)
def test_what_waits_for_one_peer_bounds_the_memory(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPY_GC_NURSERY", "4M")  # else half of the processor's last cache, which is no server's doing
    with Process("--max-buffer", str(MOST), *service.options) as process:
        first = process.connect()
        ping(first)
        first.close()
        before = memory(process.pid, "VmRSS")
        with process.connect() as sock:
            sent = stuff(sock, bytes(3 * MOST))
            peak = memory(process.pid, "VmHWM") - before
        code, _ = process.stop(signal.SIGTERM)
    assert code == EXIT_OK
    assert sent > MOST or service.model == "blocking"
    assert peak <= 2 * MOST + BESIDE, "%.1f MB more than at first" % (peak / 1e6)
