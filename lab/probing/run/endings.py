"""How a child ended, what it answered before, and how we end a child together with everything that it started."""

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

STUBBORN = 5.0
"""Seconds, before the factor ``slow``, for a killed process to be gone. One that sleeps in the kernel may take longer:
we do not wait for it."""


class Ending(NamedTuple):
    """What became of a task: the outcome, as the fields of a record."""

    task: Task
    fields: Dict[str, Any]


def answered(line: bytes, survivors: bool = False, slow_end: str = "") -> Dict[str, Any]:
    """The outcome that a child has sent. ``survivors``: processes that it started were still running when it ended,
    which is a leak. ``slow_end`` says how it was late to exit, which is not a leak: the detail of an observation notes
    it under this name."""
    try:
        fields = json.loads(line.decode("ascii"))
        outcome = fields["outcome"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {"outcome": "crash", "reason": "it sent something else than an answer: %r" % line[:60]}
    if survivors and outcome == "observed":
        fields.update(outcome="leak", reason="children: left running")
    if slow_end and outcome == "observed" and isinstance(fields.get("detail"), dict):
        fields["detail"]["slow_end"] = slow_end
    return dict(fields)


def death(code: int) -> str:
    """An exit code in words; a negative one is a signal's number. Windows documents its large codes in hexadecimal."""
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
    """Send SIGKILL to the process group of that leader; return whether the group had any process."""
    try:
        _os.killpg(leader, _signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # ESRCH; EPERM where all are zombies, on macOS
        return False
    return True


def kill_survivors(leader: int, slow: float) -> bool:
    """Kill what is left of the process group of a leader that has ended and was reaped; return whether anything was.
    While a process of the group lives, the system gives the group's number to no other process."""
    _reap_orphans(leader, 0.0)
    found = kill_group(leader)
    _reap_orphans(leader, STUBBORN * slow if found else 0.0)
    return found


def kill(pid: int, slow: float) -> int:
    """Kill a child of ours, reap it, and return its exit code, negative for a signal's number. Only the child: call
    ``kill_survivors`` for what it started, which tells whether anything was still running."""
    os.kill(pid, _signal.SIGKILL)
    deadline = time.monotonic() + STUBBORN * slow
    while time.monotonic() < deadline:
        ended, status = _os.waitpid(pid, _os.WNOHANG)
        if ended:
            return exit_code(status)
        time.sleep(0.0005)  # between two looks
    return -int(_signal.SIGKILL)


def _reap_orphans(group: int, within: float) -> None:
    """Wait for the processes of a group that are children of ours: in a container we are process 1, which adopts
    orphans."""
    deadline = time.monotonic() + within
    try:
        while _os.waitpid(-group, _os.WNOHANG)[0] or time.monotonic() < deadline:
            time.sleep(0.0005)  # between two looks
    except ChildProcessError:  # ECHILD: no more of them, or, as usual, none at all
        pass
