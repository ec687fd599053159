"""The contract tests of backends, servers and load, run on Windows' select as the fake plays it.

They are the same tests, in a process of their own in which the fake is installed before any of them is collected; so
what Windows has is all that is here. Left out is what is about POSIX: pipes, numbers from 1024 up, and asyncio, which
has its Proactor on Windows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from tests.cli.program import environment
from tests.conformance.serving import directory
from tests.unit.backends.winsock import needs_poll

pytestmark = [needs_poll, pytest.mark.slow]

ROOT = Path(__file__).parents[3]

PROGRAM = """
import sys
import pytest
from tests.unit.backends.winsock import Winsock, installed
with installed(Winsock()):
    sys.exit(pytest.main(sys.argv[1:]))
"""

POSIX = ("pipes_are_ready", "bitmap", "asynchronous", "a_limit_of_the_backend", "keeps_the_others")
OTHERWISE = "winsock"  # those install the fake themselves


@pytest.mark.timeout(400)
@pytest.mark.parametrize("where", [
    ["conformance/test_backends.py", "conformance/test_backends_features.py",
     "conformance/test_backends_lifecycle.py", "conformance/test_backends_time.py"],
    ["conformance/test_server_bytes.py", "conformance/test_server_endings.py", "conformance/test_server_limits.py",
     "conformance/test_server_stop.py", "unit/load"]], ids=["backends", "servers"])
def test_the_contract_is_kept_there(where: List[str]) -> None:
    files = [str(ROOT / "tests" / each) for each in where]
    path = os.pathsep.join([environment()["PYTHONPATH"], str(ROOT), *filter(None, sys.path)])  # pytest's place, too
    with directory() as temporary:  # not tmp_path: unix sockets are made below it, and its name is too long for them
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", "--basetemp",
                   os.path.join(temporary, "t"), "-k", "not (%s)" % " or ".join((*POSIX, OTHERWISE))]
        done = subprocess.run([sys.executable, "-c", PROGRAM, *options, *files], cwd=str(ROOT),
                              env=dict(environment(), PYTHONPATH=path), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=380)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-6000:]
    assert "switched off: LAB_BACKENDS=select,selectors,selectors:SelectSelector" in said or "load" in str(where), said
