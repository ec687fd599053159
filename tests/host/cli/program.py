"""`lab` as a user runs it: what it wrote and how it ended, in a process of its own or, much faster, in this one."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from typing import Any, Dict, List, NamedTuple, Sequence

import lab
from lab.cli import main
from tests.waits import PROGRAM

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(lab.__file__)))


class Result(NamedTuple):
    """How a command ended: exit code, output, error output."""

    code: int
    out: str
    err: str

    def plain(self) -> Result:
        """The same with its lines ended as everywhere but on Windows."""
        return Result(self.code, self.out.replace(os.linesep, "\n"), self.err.replace(os.linesep, "\n"))

    def complaint(self) -> str:
        """The one line that a foreseen error is. Fails where there is more, or less, or a trace."""
        lines = self.err.splitlines()
        assert len(lines) == 1 and self.err.endswith("\n"), self
        assert lines[0].startswith("lab"), self
        assert self.out == "", self
        return lines[0]


def environment(**more: str) -> Dict[str, str]:
    """Ours, with the package that the tests import, tree or wheel, in reach."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    kept.update(more, PYTHONPATH=ROOT)
    return kept


def command(*arguments: str) -> List[str]:
    """What to start for `lab` with these arguments."""
    return [sys.executable, "-W", "error", "-m", "lab", *arguments]


def run(*arguments: str, **more: str) -> Result:
    """Run `lab` to its end. ``more`` is environment."""
    return finish(command(*arguments), env=environment(**more)).plain()


def call(*arguments: str) -> Result:
    """The same in this process, for the many cases that end before they do anything."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main(arguments)
        except SystemExit as end:
            assert isinstance(end.code, int)
            code = end.code
    return Result(code, out.getvalue(), err.getvalue())


def finish(what: Sequence[str], **popen: Any) -> Result:
    """Run a command to its end, which comes within PROGRAM."""
    popen.setdefault("env", environment())
    popen.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run(what, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=PROGRAM, **popen)
    return Result(done.returncode, (done.stdout or b"").decode(), done.stderr.decode())
