"""Run Windows programs on Linux under Wine, each run in a prefix of its own, which is removed afterwards.

A prefix is a folder with what Windows keeps on its disk and in its registry (695 MB, made in 8 to 11 s, Wine 8). All
programs in a prefix talk to one server process. So a prefix of our own also lets us find every process that a run
started, directly or not: ``wineserver -k`` ends the processes of one prefix and no others.

A run executes Windows' code on Wine's system calls. It shows whether the lab works with Python's Windows modules, and
how Wine behaves. It shows nothing about Windows itself, so the facts of such a run name Wine (``lab.facts``).

We found out by running (Wine 8.0, Linux 6.18, CPython 3.8 to 3.13):

* If a standard stream is a file, Python dies in ``init_sys_streams`` with WinError 6. Pipes and /dev/null work.
* Since CPython 3.12 ``platform.system()`` queries WMI, which calls a function that Wine 8 lacks; that ends the process.
* When it starts, Wine offers to download Mono and Gecko, and adds entries to the user's menus. We switch off both.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tempfile
from types import TracebackType
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Type

from lab.errors import Broken, NotHere, Usage, reason
from lab.text import last_line, shown

BOOT = 180.0
"""Seconds that making a prefix may take. It takes ten, and three times that on a busy machine."""

END = 20.0
"""Seconds within which the processes of a prefix must be gone after we have killed them."""

GET = ("a Windows Python: python.org's \"Windows embeddable package (64-bit)\", unpacked, or the folder tools/ of "
       "NuGet's package `python`")
"""Where to get a Windows Python, for error messages."""

_MACHINES = {0x8664: None, 0x014C: "32-bit", 0xAA64: "for arm64"}


class Programs(NamedTuple):
    """The paths of Wine's two programs, and Wine's version."""

    wine: str
    server: str
    version: str


def find() -> Programs:
    """Find Wine on PATH. Raises ``NotHere`` if it is not there or does not report its version."""
    wine = shutil.which("wine") or shutil.which("wine64")
    server = shutil.which("wineserver")
    if wine is None or server is None:
        raise NotHere("there is no %s on PATH; install Wine (Debian: apt-get install wine)"
                      % ("wine" if wine is None else "wineserver"))
    try:
        done = subprocess.run([wine, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=END, env={**os.environ, "WINEDEBUG": "-all"},
                              check=False)
    except subprocess.TimeoutExpired:
        raise NotHere("%s --version does not answer within %g s; is that Wine?" % (wine, END)) from None
    except OSError as error:
        raise NotHere("cannot start %s: %s" % (wine, reason(error))) from None
    match = re.match(rb"wine-(\d[\w.-]*)", done.stdout)
    if match is None:
        raise NotHere("%s --version prints no version; is that Wine?" % wine)
    return Programs(wine, server, match.group(1).decode("ascii"))


def check(path: str) -> None:
    """Raise ``Usage`` unless the file is a 64-bit Windows program by its MZ header and the machine in its PE header."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise Usage("wine:%s: %s; give the python.exe of %s" % (shown(path), reason(error), GET)) from None
    at, = struct.unpack_from("<I", head, 60) if len(head) >= 64 and head[:2] == b"MZ" else (len(head),)
    if head[at:at + 4] != b"PE\0\0" or len(head) < at + 6:
        raise Usage("wine:%s: this is not a Windows program; give the python.exe of %s" % (shown(path), GET))
    machine, = struct.unpack_from("<H", head, at + 4)
    other = _MACHINES.get(machine, "for machine 0x%04x" % machine)
    if other is not None:
        raise Usage("wine:%s: this program is %s; give a 64-bit one for x86 processors" % (shown(path), other))


def windows(path: str) -> str:
    """The path as programs under Wine see it: in every new prefix, drive Z is the root of our file system."""
    return "Z:" + os.path.abspath(path).replace("/", "\\")


class Prefix:
    """A prefix for one run. Use it as a context manager: at the end it kills all processes in the prefix, and removes
    the prefix.

    ``path`` is a temporary folder that contains the prefix. Callers may put their own files beside it.
    """

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self.path = ""
        self._started: List[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Prefix:
        self.path = tempfile.mkdtemp(prefix="lab")
        try:
            self._boot()
        except BaseException:
            self._remove()
            raise
        return self

    def _boot(self) -> None:
        """Make the prefix now, so that the ten seconds it takes do not count in a program's time limit."""
        process = self.start([self.programs.wine, "wineboot", "--init"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
        try:
            said = process.communicate(timeout=BOOT)[1]
        except subprocess.TimeoutExpired:
            raise Broken("wine: Wine has made no prefix within %g s; try `wineboot` by hand" % BOOT) from None
        if process.returncode != 0 or not os.path.isdir(self.drive_c):
            raise Broken("wine: Wine has made no prefix in %s: %s" % (
                tempfile.gettempdir(), last_line(said.decode("utf-8", "replace")) or "it printed no reason"))

    @property
    def drive_c(self) -> str:
        """The folder that programs in the prefix see as drive C."""
        return os.path.join(self.path, "prefix", "drive_c")

    @property
    def environment(self) -> Dict[str, str]:
        """The environment variables for Wine: the prefix, and not the user's display and home."""
        return {**{name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")},
                "WINEPREFIX": os.path.join(self.path, "prefix"), "WINEDEBUG": "-all", "HOME": self.path,
                "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe=", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, program: str, arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a Windows program, given by its path on Linux. Its streams must be pipes or /dev/null. Raises
        ``Broken``."""
        return self.start([self.programs.wine, windows(program), *arguments], **options)

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program of Wine's own. Raises ``Broken`` if it cannot be started."""
        options.setdefault("stdin", subprocess.DEVNULL)
        options["env"] = {**self.environment, **options.get("env", {})}
        try:
            process = subprocess.Popen(command, start_new_session=True, **options)
        except OSError as error:
            raise Broken("cannot start %s: %s" % (command[0], reason(error))) from error
        self._started.append(process)
        return process

    def kill(self) -> None:
        """Kill all processes in the prefix. May be called from another thread, and more than once."""
        try:
            subprocess.run([self.programs.server, "-k"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, env=self.environment, timeout=END, check=False)
        except (OSError, subprocess.TimeoutExpired):  # wineserver is gone or hangs; the loop below kills the rest
            pass
        for process in self._started:
            process.kill()  # does nothing to a process that has been waited for

    def _remove(self) -> None:
        self.kill()
        for process in self._started:
            try:
                process.wait(END)
            except subprocess.TimeoutExpired:
                raise Broken("wine: process %d does not end, although it was killed; its files stay in %s"
                             % (process.pid, self.path)) from None
            for stream in (process.stdout, process.stderr, process.stdin):
                if stream is not None:
                    stream.close()
        shutil.rmtree(self.path, ignore_errors=True)  # a process of Wine that is ending may still write a file

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self._remove()
