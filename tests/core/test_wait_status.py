"""Wait statuses of real children, as exit codes."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

from lab.wait_status import exit_code
from tests.core.conformance.serving import posix_only

_os: Any = os  # typed loosely: only POSIX has these functions

pytestmark = posix_only


def status_of(program: str) -> int:
    pid = _os.spawnv(_os.P_NOWAIT, sys.executable, [sys.executable, "-c", program])
    return int(_os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("code", [0, 3, 255])
def test_a_child_that_exits_has_its_own_code(code: int) -> None:
    assert exit_code(status_of("import os; os._exit(%d)" % code)) == code


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_child_that_a_signal_kills_has_the_negative_number_of_the_signal(name: str) -> None:
    number = int(getattr(signal, name))
    assert exit_code(status_of("import os; os.kill(os.getpid(), %d)" % number)) == -number


@pytest.mark.skipif(not hasattr(os, "waitstatus_to_exitcode"), reason="new in Python 3.9")
def test_it_agrees_with_python() -> None:
    for status in (0, 1 << 8, 255 << 8, 9, 15, 11 | 0x80):
        assert exit_code(status) == _os.waitstatus_to_exitcode(status)
