"""``python:3.8``, ``python:/path/to/python``, ``python:all``: interpreters of this machine.

The interpreter runs the lab from one file, lab.pyz, and writes records to its standard output. So nothing needs to be
installed in it, and `--selector` can test a class that is installed in it.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from typing import IO, List, Optional, Sequence

from lab import interpreters, records
from lab.errors import EXIT_NOT_HERE, Broken, NotHere, Usage, reason
from lab.harness.targets._base import Progress, Request, Target, parse_output
from lab.text import last_line, shown


class Interpreter(Target):
    """One Python program."""

    kind = "python"
    spelling = "python:VERSION|PATH|all"
    noun = "interpreter"

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._command = list(command)
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._stopped = False

    @property
    def place(self) -> str:
        """The path, or the whole command where a subclass starts Python with more words than one."""
        return self._command[0] if len(self._command) == 1 else " ".join(shlex.quote(word) for word in self._command)

    @classmethod
    def parse(cls, text: str) -> List[Target]:
        """By version (``3.8``, ``3.8.18``, ``pypy3.9``), by path, or all of this machine.

        Raises ``Usage`` for a path that is no file, ``NotHere`` for a version that this machine lacks.
        """
        if os.sep in text or (os.altsep and os.altsep in text):
            return [cls("python:%s" % os.path.basename(text), [_program(text)])]
        found = [each for each in interpreters.find() if each.usable]
        if text == "all":
            return [cls(_name(each), [each.path]) for each in found]
        for each in reversed(found):  # the newest of 3.8 first
            if text and _is(each, text):
                return [cls(_name(each), [each.path])]
        raise NotHere('python:%s is not on this machine; here: %s' % (
            shown(text), ", ".join(dict.fromkeys(_name(each) for each in found)) or "none"))

    def collect(self, request: Request, progress: Progress) -> records.Records:
        """Run `lab probe` there. Raises ``Broken`` where it writes no records, ``NotHere`` where it lacks something."""
        command = [*self._command, str(request.pyz), "probe", "--jsonl", *request.options()]
        lines: List[bytes] = []
        with tempfile.TemporaryFile() as errors:  # a pipe would fill up while we read the records
            with self._start(command, errors) as process:
                self._process = process
                assert process.stdout is not None
                for line in process.stdout:
                    lines.append(line)
                    progress(len(lines) - 1)
            errors.seek(0)
            complaint = last_line(errors.read().decode("utf-8", "replace"))
        if process.returncode == EXIT_NOT_HERE and complaint:
            raise NotHere(complaint.partition(": ")[2])
        return parse_output(self.name, process.returncode, lines, complaint, self._stopped)

    def _start(self, command: Sequence[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                                    creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0))
        except OSError as error:
            raise Broken("%s: cannot be started: %s; is it a Python?" % (self.name, reason(error))) from error

    def stop(self) -> None:
        """End the process, which ends its own children."""
        self._stopped = True
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))


def _program(path: str) -> str:
    if not os.path.isfile(path):
        raise Usage("python:%s: there is no such file" % shown(path))
    return path


def _is(each: interpreters.Interpreter, text: str) -> bool:
    """Whether a user who writes ``3.8``, ``3.13t`` or ``pypy3.9`` may mean this interpreter."""
    name = text.lower()
    is_pypy = name.startswith("pypy")
    wanted = name[4:] if is_pypy else name
    flags = wanted.lstrip("0123456789.")
    numbers = wanted[:len(wanted) - len(flags)].rstrip(".")
    if is_pypy != (each.implementation == "PyPy"):
        return False
    has_flags = each.version.lstrip("0123456789.") == flags
    return not wanted or each.version == wanted or (each.version.startswith(numbers + ".") and has_flags)


def _name(each: interpreters.Interpreter) -> str:
    return "python:%s%s" % ("" if each.implementation == "CPython" else each.implementation.lower(), each.version)


TARGET = Interpreter
