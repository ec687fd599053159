"""Programs from elsewhere that drive our servers: found or skipped with the way to get them, and run with a limit."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import List, Tuple

import pytest

from tests.waits import PROGRAM


def run(tool: str, *arguments: str, stdin: bytes = b"", expect: int = 0) -> bytes:
    """What the program writes to standard output. Skips where it is not here, fails where it does not end with
    the exit code ``expect``."""
    out, err, code = outcome(tool, *arguments, stdin=stdin)
    assert code == expect, "%s ended with %d: %s" % (tool, code, err.decode(errors="replace"))
    return out


def outcome(tool: str, *arguments: str, stdin: bytes = b"") -> Tuple[bytes, bytes, int]:
    """Output, error output and exit code of the program, which is skipped where it is not here."""
    path = shutil.which(tool)
    if path is None:
        pytest.skip("%s is not here: `make clients`, or as root `apt-get install %s`" % (tool, tool))
    # No proxy may come between, nor a configuration of the user's, nor another language.
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment.update(LC_ALL="C", HOME=os.devnull)
    done = subprocess.run([path, *arguments], input=stdin, capture_output=True, timeout=PROGRAM, env=environment)
    return done.stdout, done.stderr, done.returncode


def lines(text: bytes) -> List[str]:
    """Output as lines of text."""
    return text.decode("latin-1").splitlines()
