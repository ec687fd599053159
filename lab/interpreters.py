"""Finds every Python on this machine, so that the lab can measure each: path, version, whether it is new enough.

We list directories, match names, resolve links, and run each program that is left once, with a line of code that prints
what it is. We start no shell and run no shim: a shim of pyenv answers for whatever version is configured, or exits with
127. We skip virtual environments too, because each is only another name for the Python that made it.

The line of code imports only ``sys``, which is built in, so that no file in the current directory can replace it.
Option ``-I`` would have the same effect, but 2.7 does not know it, and then we could not report an old Python by name.

``python -m lab.interpreters`` prints the directories of the usable ones, for a PATH on which tox finds them.
"""

from __future__ import annotations

import glob
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from lab.capabilities import has

OLDEST = (3, 8)
"""The oldest version that the lab runs on."""

PATIENCE = 5.0
"""Seconds until we give up a Python that does not answer. Each takes about 0.02."""

_AT_ONCE = 16
_NAME = re.compile(r"^(?:python|pypy)\d*(?:\.\d+)?t?(?:-dbg|d)?(?:\.exe)?$", re.IGNORECASE)  # python3.13t: no GIL
_QUESTION = ("import sys; v = sys.version_info; r = v[3]; p = '__pypy__' in sys.builtin_module_names; "
             "n = p and 'PyPy' or getattr(getattr(sys, 'implementation', None), 'name', 'cpython'); "
             "sys.stdout.write('lab|%s|%d.%d.%d%s|%s' % (n, v[0], v[1], v[2], "
             "r != 'final' and {'alpha': 'a', 'beta': 'b', 'candidate': 'rc'}[r] + str(v[4]) or '', "
             "''.join(f for f in getattr(sys, 'abiflags', '') if f in 'td')))")


@dataclass(frozen=True)
class Interpreter:
    """One Python.

    path: absolute, as we found it, with links unresolved.
    implementation: ``CPython``, ``PyPy``, or what another one calls itself; empty if it did not answer.
    version: of the language, e.g. ``3.8.18`` or ``3.15.0b1``, with a ``t`` for a free-threaded build and a ``d`` for
        a debug build; empty if it did not answer.
    usable: whether the lab runs on it.
    why_not: the reason in words why it is not usable, or None.
    """

    path: str
    implementation: str
    version: str
    usable: bool
    why_not: Optional[str] = None

    @property
    def order(self) -> Tuple[str, Tuple[int, ...], str, str]:
        """A key for sorting by implementation, version and path, with those that did not answer last."""
        return (self.implementation or "~", numbers(self.version), self.version, self.path)


def numbers(version: str) -> Tuple[int, ...]:
    """``3.15.0b1`` as (3, 15, 0)."""
    return tuple(int(each) for each in re.findall(r"\d+", re.split(r"[a-z]", version)[0]))


def find(places: Optional[Sequence[str]] = None, patience: float = PATIENCE) -> List[Interpreter]:
    """Every Python in these directories (default: all the usual ones), sorted by implementation and version.

    ``patience`` is in seconds, for sixteen programs together. A Python that does not start or does not answer raises
    nothing; the list holds it with the reason.
    """
    found: Dict[Tuple[str, ...], Interpreter] = {}
    programs = list(candidates(directories() if places is None else places).items())
    for start in range(0, len(programs), _AT_ONCE):
        batch = programs[start:start + _AT_ONCE]
        for (real, _), each in zip(batch, ask([path for _, path in batch], patience)):
            # Windows has copies in place of links: python.exe and python3.exe of one directory are one Python.
            same = os.path.dirname(real) if each.version else real
            found.setdefault((same, each.implementation, each.version), each)
    return sorted(found.values(), key=lambda each: each.order)


# Where to look.

def directories(environ: Mapping[str, str] = os.environ, root: str = "/") -> List[str]:
    """Every directory that may hold a Python, each once, PATH first, without shims and virtual environments."""
    found: Dict[str, None] = {}
    for place in _all_places(environ, root):
        is_shim = os.path.basename(place) == "shims"
        is_environment = any(os.path.exists(os.path.join(place, up, "pyvenv.cfg")) for up in ("", os.pardir))
        if os.path.isabs(place) and os.path.isdir(place) and not is_shim and not is_environment:
            found.setdefault(os.path.normpath(place))
    return list(found)


def _all_places(environ: Mapping[str, str], root: str) -> Iterator[str]:
    yield from on_path(environ)
    yield sys.base_prefix if sys.platform == "win32" else os.path.join(sys.base_prefix, "bin")
    home = environ.get("USERPROFILE" if sys.platform == "win32" else "HOME") or os.path.expanduser("~")
    patterns = [(environ.get("PYENV_ROOT") or os.path.join(home, ".pyenv"), "versions/*/bin")]
    if sys.platform == "win32":
        patterns += [(home, ".pyenv/pyenv-win/versions/*"),
                     (environ.get("LOCALAPPDATA", ""), "Programs/Python/Python*"),
                     (environ.get("ProgramFiles", ""), "Python*"),
                     (environ.get("SystemDrive", "C:") + "/", "Python*"),
                     (environ.get("UV_PYTHON_INSTALL_DIR") or os.path.join(environ.get("APPDATA", ""), "uv/python"),
                      "*")]
        yield from _launcher()
    else:
        data = environ.get("XDG_DATA_HOME") or os.path.join(home, ".local/share")
        patterns += [(root, "usr/local/bin"), (root, "usr/bin"), (root, "opt/*/bin"),
                     (environ.get("UV_PYTHON_INSTALL_DIR") or os.path.join(data, "uv/python"), "*/bin"),
                     (data, "mise/installs/python/*/bin"), (home, ".asdf/installs/python/*/bin"),
                     (home, ".local/bin"),
                     (root, "opt/homebrew/opt/python@*/bin"), (root, "opt/homebrew/opt/pypy*/bin"),
                     (root, "home/linuxbrew/.linuxbrew/bin"), (root, "home/linuxbrew/.linuxbrew/opt/python@*/bin"),
                     (root, "Library/Frameworks/Python.framework/Versions/*/bin")]
    for base, pattern in patterns:
        if base:
            yield from sorted(glob.glob(os.path.join(glob.escape(base), *pattern.split("/"))))


def on_path(environ: Mapping[str, str] = os.environ) -> List[str]:
    """The directories on PATH, in its order."""
    return [each.strip('"') for each in environ.get("PATH", "").split(os.pathsep) if each]


def _launcher() -> Iterator[str]:
    """The directories that the launcher of Windows reads from the registry: ``py -0p`` (PEP 397, PEP 514)."""
    try:
        done = subprocess.run(["py", "-0p"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError):  # there is no launcher, or it hangs; we still have the other places
        return
    for path in launched(done.stdout.decode("utf-8", "replace")):
        yield path.rpartition("\\")[0]


def launched(text: str) -> List[str]:
    """The paths that ``py -0p`` prints: the last thing on each line, perhaps in quotes and with blanks."""
    return re.findall(r"([A-Za-z]:\\[^\"\n]*?\.exe)\"?\s*$", text, re.MULTILINE | re.IGNORECASE)


def candidates(places: Sequence[str]) -> Dict[str, str]:
    """{real path: path as found} of every program that is named like a Python. If one directory has several names for
    it we keep the longest (python3.8, not python), which tox looks for."""
    found: Dict[str, str] = {}
    for place in places:
        try:
            names = sorted(filter(_NAME.match, os.listdir(place)), key=lambda name: (-len(name), name))
        except OSError:  # EACCES, or deleted meanwhile: we could run nothing in it
            continue
        for name in names:
            path = os.path.join(place, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                found.setdefault(os.path.realpath(path), path)
    return found


# What each one is.

def ask(paths: Sequence[str], patience: float = PATIENCE) -> List[Interpreter]:
    """Run all these programs at the same time, and report what each is. ``patience``: seconds for all together."""
    deadline = time.monotonic() + patience
    asked = [(path, _start(path)) for path in paths]
    return [_hear(path, process, deadline) for path, process in asked]


def _start(path: str) -> Optional[subprocess.Popen[bytes]]:
    try:
        return subprocess.Popen([path, "-E", "-s", "-S", "-c", _QUESTION], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:  # ENOEXEC, EACCES, ENOENT of its loader (another architecture): it does not run on this machine
        return None


def _hear(path: str, process: Optional[subprocess.Popen[bytes]], deadline: float) -> Interpreter:
    if process is None:
        return Interpreter(path, "", "", False, "does not start")
    with process:  # closes the pipe, and waits for the end
        try:
            code = process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            process.kill()
            return Interpreter(path, "", "", False, "does not answer")
        except BaseException:  # Ctrl-C: leave no process behind
            process.kill()
            raise
        return _judge(path, code, _what_is_there(process))


def _what_is_there(process: subprocess.Popen[bytes]) -> str:
    """What it has written so far. We do not wait for the end of the pipe, which a grandchild may hold open."""
    assert process.stdout is not None
    fd = process.stdout.fileno()
    if has("set_blocking"):
        getattr(os, "set_blocking")(fd, False)  # noqa: B009  # type checkers know it on POSIX only
    try:
        return os.read(fd, 1024).decode("ascii", "replace")
    except BlockingIOError:
        return ""


def _judge(path: str, code: int, answer: str) -> Interpreter:
    match = re.match(r"^lab\|([\w-]+)\|(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)\|(t?d?)$", answer)
    if match is None:
        return Interpreter(path, "", "", False, "is no Python, or a broken one (exit code %d)" % code)
    name = {"cpython": "CPython"}.get(match.group(1), match.group(1))
    version = match.group(2) + match.group(3)
    is_usable = numbers(version)[:2] >= OLDEST
    return Interpreter(path, name, version, is_usable,
                       None if is_usable else "too old: the lab needs %d.%d" % OLDEST)


# For a PATH.

def path_entries(found: Sequence[Interpreter], known: Sequence[str]) -> List[str]:
    """The directories of the usable ones, in an order that is safe in front of a PATH that holds the ``known`` ones.

    Directories that are not on PATH come first: final releases before others, then CPython before others, then newer
    before older, so that ``python3`` becomes the newest release. Directories on PATH follow in their order there,
    because /usr/bin must not come before /usr/local/bin.
    """
    best = sorted((each for each in found if each.usable),
                  key=lambda each: (not re.search(r"[a-z]", each.version), each.implementation == "CPython",
                                    numbers(each.version)), reverse=True)
    places = list(dict.fromkeys(os.path.dirname(each.path) for each in best))
    norm = [os.path.normpath(each) for each in known]
    return [each for each in places if each not in norm] + [each for each in dict.fromkeys(norm) if each in places]


def main() -> int:
    """Print one line: the directories, joined as on PATH; an empty line if there are none."""
    print(os.pathsep.join(path_entries(find(), on_path())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
