"""Turns a wait status, as wait(2) stores it, into an exit code. POSIX only: Windows has no wait statuses."""

from __future__ import annotations

import os
from typing import Any

_os: Any = os  # typed loosely: only POSIX has these functions


def exit_code(status: int) -> int:
    """The exit code of a child that has ended; -N where signal N killed it, as ``subprocess`` reports it.

    ``status`` is what ``os.waitpid`` returned. ``os.waitstatus_to_exitcode`` does the same since Python 3.9.
    """
    return int(-_os.WTERMSIG(status) if _os.WIFSIGNALED(status) else _os.WEXITSTATUS(status))
