"""How a child ended, what it said before, and how it is made to end with all that it started."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any, Dict, NamedTuple

from lab.probing.run.child import Task
from lab.wait_status import exit_code

_os: Any = os  # typed loosely, as the next: what only POSIX has
_signal: Any = signal

MOST = 4 << 20
"""Bytes of an answer that are read; a record may have a quarter of it."""

TOO_LONG = "its answer is longer than %d MiB" % (MOST >> 20)

_STUBBORN = 5.0
"""Seconds for a killed process to be gone; one that sleeps in the kernel for longer is not waited for."""


class Ending(NamedTuple):
    """What became of a task: the outcome, as the fields of a record."""

    task: Task
    fields: Dict[str, Any]


def answered(line: bytes, survivors: bool = False) -> Dict[str, Any]:
    """The outcome that a child has sent. ``survivors``: it had left processes running, which are killed now."""
    try:
        fields = json.loads(line.decode("ascii"))
        outcome = fields["outcome"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {"outcome": "crash", "reason": "it sent something else than an answer: %s" % ascii(line[:60])}
    if survivors and outcome == "observed":
        fields.update(outcome="leak", reason="children: left running")
    return dict(fields)


def death(code: int) -> str:
    """An exit code in words; negative is a signal's number. Windows' large ones are known by their hexadecimals."""
    if code >= 0:
        return "ended without an answer: exit code %d%s" % (code, " (0x%08X)" % code if code > 255 else "")
    try:
        return "killed by %s" % signal.Signals(-code).name
    except ValueError:  # a real-time signal
        return "killed by signal %d" % -code


def late(patience: float) -> str:
    """The reason of a timeout."""
    return "no answer within %g s" % patience


def kill_group(leader: int) -> bool:
    """SIGKILL for all in the group of that process; whether there was any."""
    try:
        _os.killpg(leader, _signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # ESRCH; EPERM where all are zombies, on macOS
        return False
    return True


def kill_survivors(leader: int) -> bool:
    """The same for a leader that has ended and was reaped. While one of its group lives the system gives that number
    to nobody else, so no stranger is met."""
    _reap_orphans(leader, 0.0)
    found = kill_group(leader)
    _reap_orphans(leader, _STUBBORN if found else 0.0)
    return found


def kill(pid: int) -> int:
    """Kill a child of ours and its group; its exit code, negative for a signal's number, once it is reaped."""
    kill_group(pid)
    os.kill(pid, _signal.SIGKILL)  # it may not lead a group yet
    deadline = time.monotonic() + _STUBBORN
    while time.monotonic() < deadline:
        ended, status = _os.waitpid(pid, _os.WNOHANG)
        if ended:
            return exit_code(status)
        time.sleep(0.0005)  # between two looks
    return -int(_signal.SIGKILL)


def _reap_orphans(group: int, within: float) -> None:
    """Wait for those in the group that are children of ours: orphans come to process 1, as we are in a container."""
    deadline = time.monotonic() + within
    try:
        while _os.waitpid(-group, _os.WNOHANG)[0] or time.monotonic() < deadline:
            time.sleep(0.0005)  # between two looks
    except ChildProcessError:  # ECHILD: no more of them, or, as usual, none at all
        pass
