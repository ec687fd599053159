"""`lab doctor`: what is here, and what would bring the rest. Looks only; changes nothing, and always exits with 0.

Three things take time, and all are started as processes that are asked at once or given up soon: the interpreters,
musl's loader, and the container engine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, TextIO, Tuple

import lab
from lab.backends import LADDER, why_missing
from lab.errors import EXIT_OK
from lab.facts import facts
from lab.interpreters import OLDEST, find

WIDTH = 100
ENGINE_PATIENCE = 1.0
"""Seconds until a container engine that says nothing is taken for stopped; a living one takes about 0.1."""

_ENGINE = "{{.ServerVersion}}{{range $name, $_ := .Runtimes}} {{$name}}{{end}}"

TOOLS: Dict[str, str] = {
    "make": "the commands of the Makefile",
    "git": "a clone of the lab",
    "curl": "HTTP from a client that is not ours",
    "socat": "bytes, half-close and unix sockets from a client that is not ours",
    "ncat": "bytes from a second such client",
    "wrk": "HTTP load",
    "docker": "images and servers in containers",
    "wine": "Pythons for Windows",
}
"""What the tests call, and what for. Each is looked up on PATH."""

EMULATORS: Dict[str, str] = {"arm64": "aarch64", "armhf": "arm", "ppc64el": "ppc64le", "riscv64": "riscv64",
                             "s390x": "s390x"}
"""Debian's name of each architecture that an image may be of, and qemu's."""

MISC = Path("/proc/sys/fs/binfmt_misc")
"""Where the kernel shows who runs which foreign programs."""

_INSTALL = {"debian": "apt-get install", "ubuntu": "apt-get install", "alpine": "apk add", "fedora": "dnf install",
            "rhel": "dnf install", "centos": "dnf install", "arch": "pacman -S", "macos": "brew install"}
_PACKAGES = {("apt-get install", "docker"): "docker.io", ("apk add", "ncat"): "nmap-ncat",
             ("dnf install", "ncat"): "nmap-ncat", ("pacman -S", "ncat"): "nmap", ("brew install", "ncat"): "nmap"}
"""Where a package has another name than its tool."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab doctor`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Look, print, return 0. Raises ``Usage`` where LAB_BACKENDS names a backend that does not exist."""
    report = examine()
    print(json.dumps(report) if options.json else as_text(report, is_coloured(sys.stdout, os.environ)))
    return EXIT_OK


def examine() -> Dict[str, Any]:
    """What is here, in values that JSON can hold.

    lab: version. facts: as ``lab.facts`` gives them; only they are free of paths and fit to be published.
    backends: [{name, trigger, features [str], why_missing (None: it is here)}], best first.
    interpreters: [{path, implementation, version, usable, why_not}]; tools: [{name, what_for, path, install}].
    engine: {version, runtimes [str]} of the container engine that answers, or None.
    emulated: architectures that containers on this machine can run besides its own.
    """
    here = facts()
    tools = [look_up(name, here["distribution"]) for name in TOOLS]
    docker = tools[list(TOOLS).index("docker")]["path"]
    return {
        "lab": lab.__version__,
        "facts": here,
        "backends": [{"name": kind.name, "trigger": str(kind.trigger), "features": sorted(map(str, kind.features)),
                      "why_missing": why_missing(kind)} for kind in LADDER],
        "interpreters": [{"path": each.path, "implementation": each.implementation, "version": each.version,
                          "usable": each.usable, "why_not": each.why_not} for each in find()],
        "tools": tools,
        "engine": engine(docker) if docker else None,
        "emulated": emulated(),
    }


def look_up(name: str, distribution: Optional[Mapping[str, Any]]) -> Dict[str, Optional[str]]:
    """One tool: its path, or None and the command that would bring it."""
    path = shutil.which(name)
    command = _INSTALL.get(distribution["id"]) if distribution is not None else None
    hint = "%s %s" % (command, _PACKAGES.get((command, name), name)) if command else "install %s" % name
    return {"name": name, "what_for": TOOLS[name], "path": path, "install": None if path else hint}


def engine(docker: str) -> Optional[Dict[str, Any]]:
    """Version and runtimes of the engine that this client reaches; None where none answers in time."""
    try:
        done = subprocess.run([docker, "info", "--format", _ENGINE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=ENGINE_PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError):  # it cannot be started, or hangs
        return None
    words = done.stdout.decode("utf-8", "replace").split()
    return {"version": words[0], "runtimes": words[1:]} if done.returncode == 0 and words else None


def emulated(misc: Path = MISC) -> List[str]:
    """Foreign architectures whose programs this kernel runs, in containers too (flag F: qemu is opened already)."""
    found = []
    for arch, name in EMULATORS.items():
        try:
            lines = (misc / ("qemu-" + name)).read_text(encoding="ascii").splitlines()
        except OSError:  # ENOENT: not registered, or binfmt_misc is not mounted, or no Linux
            continue
        if lines[0] == "enabled" and any(line.startswith("flags:") and "F" in line for line in lines):
            found.append(arch)
    return found


# For people.

def is_coloured(stream: Optional[TextIO], environ: Mapping[str, str]) -> bool:
    """Whether to write colours there: to a terminal that knows them, unless NO_COLOR is set (no-color.org)."""
    if stream is None or not stream.isatty():  # None: `lab doctor >&-`
        return False
    knows = "WT_SESSION" in environ or "ANSICON" in environ if sys.platform == "win32" else True
    return knows and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def as_text(report: Mapping[str, Any], coloured: bool = False) -> str:
    """For people: aligned, at most 100 columns unless a path is longer."""
    paint = _Paint(coloured)
    sections = [_section(paint, "Platform", "", [(None, *row) for row in _platform(report["facts"])]),
                _section(paint, "Backends", "best first", [_backend_row(each) for each in report["backends"]]),
                _section(paint, "Interpreters", "the lab runs on %d.%d and newer" % OLDEST,
                         [_interpreter_row(each) for each in report["interpreters"]]),
                _section(paint, "Tools", "that the tests use", _tool_rows(report))]
    return "\n\n".join(sections + [_summary(report)])


Row = Tuple[Optional[bool], str, str]
"""Whether it is here (None: no matter of here or not), its name, and the rest."""


class _Paint:
    """Bold, green, yellow and dim, or nothing of it."""

    def __init__(self, coloured: bool) -> None:
        self.coloured = coloured

    def __call__(self, code: str, text: str) -> str:
        return "\x1b[%sm%s\x1b[0m" % (code, text) if self.coloured else text


def _section(paint: _Paint, title: str, note: str, rows: List[Row]) -> str:
    width = max([len(name) for _, name, _ in rows] + [12])
    lines = [paint("1", title) + (paint("2", "  " + note) if note else "")]
    for is_here, name, text in rows or [(False, "none", "")]:
        mark = {None: "", True: paint("32", "ok") + "  ", False: paint("33", "--") + "  "}[is_here]
        indent = 2 + (0 if is_here is None else 4) + width + 2
        first, *more = textwrap.wrap(text, WIDTH - indent, break_long_words=False, break_on_hyphens=False) or [""]
        lines.append(("  " + mark + name.ljust(width) + "  " + (paint("2", first) if is_here is False else first)
                      ).rstrip())
        lines += [" " * indent + (paint("2", each) if is_here is False else each) for each in more]
    return "\n".join(lines).replace(_BLANK, " ")


def _platform(here: Mapping[str, Any]) -> List[Tuple[str, str]]:
    kernel, machine, python, limits = here["kernel"], here["architecture"], here["interpreter"], here["limits"]
    builds = [word for word, is_so in (("debug", python["debug"]), ("free-threaded", python["free_threaded"]),
                                       ("GIL on", python["free_threaded"] and python["gil"])) if is_so]
    release = " %s" % python["release"] if python["release"] else ""
    return [
        ("system", "%s %s" % (here["system"], kernel["release"])),
        ("kernel build", kernel["version"]),
        ("distribution", _named(here["distribution"], "id")),
        ("libc", _named(here["libc"], "name")),
        ("architecture", "%s, %d-bit Python, %s-endian, %s" % (machine["machine"], machine["bits"],
                                                              machine["byte_order"], _count(here["cpus"], "CPU"))),
        ("interpreter", ", ".join(["%s%s (Python %s)" % (python["implementation"], release, python["version"])
                                   if release else "%s %s" % (python["implementation"], python["version"]),
                                   python["compiler"]] + builds)),
        ("container", _finding(here["runtime"])),
        ("virtualized", _finding(here["virtualization"])),
        ("open files", _nofile(limits["nofile"])),
        ("select", "%s (FD_SETSIZE)" % _count(limits["fd_setsize"], "socket" if here["system"] in ("Windows", "Wine")
                                              else "descriptor")),
        ("backlog", _count(limits["somaxconn"], "connection") + " (somaxconn)"),
        ("epoll", _count(limits["max_user_watches"], "watch", " a user") + " (max_user_watches)"),
        ("Python has", ", ".join(name for name, is_there in here["features"].items() if is_there)),
        ("it lacks", ", ".join(name for name, is_there in here["features"].items() if not is_there) or "nothing"),
    ]


def _named(value: Optional[Mapping[str, Any]], key: str) -> str:
    return "unknown" if value is None else " ".join(filter(None, (value[key], value["version"])))


def _finding(value: Optional[Mapping[str, Any]]) -> str:
    if value is None:
        return "none that shows"
    return "%s%s: %s" % ("" if value["certain"] else "perhaps ", value["name"], "; ".join(value["evidence"]))


def _nofile(value: Optional[Mapping[str, Any]]) -> str:
    if value is None:
        return "unknown"
    soft, hard = ["{:,}".format(each) if isinstance(each, int) else each for each in (value["soft"], value["hard"])]
    return soft if soft == hard else "%s, may be raised to %s" % (soft, hard)


def _count(number: Optional[int], what: str, each: str = "") -> str:
    if number is None:
        return "unknown"
    return "{:,} {}{}".format(number, what if number == 1 else what + ("es" if what.endswith("ch") else "s"), each)


def _backend_row(backend: Mapping[str, Any]) -> Row:
    if backend["why_missing"] is not None:
        return False, backend["name"], backend["why_missing"]
    return True, backend["name"], ("%-7s" % backend["trigger"]) + ", ".join(backend["features"])


def _interpreter_row(each: Mapping[str, Any]) -> Row:
    name = "%s %s" % (each["implementation"], each["version"]) if each["version"] else "unknown"
    path = _short(each["path"])
    return each["usable"], name, path if each["usable"] else "%s  %s" % (path, each["why_not"])


def _tool_rows(report: Mapping[str, Any]) -> List[Row]:
    rows: List[Row] = []
    for tool in report["tools"]:
        rows.append((True, tool["name"], _short(tool["path"])) if tool["path"] else
                    (False, tool["name"], "%s  (%s)" % (tool["install"], tool["what_for"])))
    found = report["engine"]
    if found is not None:
        rows.append((True, "engine", "%s, with %s" % (found["version"], ", ".join(found["runtimes"]) or "no runtime")))
    elif any(tool["name"] == "docker" and tool["path"] for tool in report["tools"]):
        rows.append((False, "engine", "none answers; `make engine` starts one (root, Debian), or set DOCKER_HOST"))
    missing = [arch for arch in EMULATORS if arch not in report["emulated"]]
    if report["emulated"]:
        rows.append((True, "emulated", ", ".join(report["emulated"])))
    if missing and found is not None:
        rows.append((False, "not emulated", "%s  (as root: apt-get install qemu-user-static, and `python -m "
                     "tools.daemon emulate`)" % ", ".join(missing)))
    return rows


def _summary(report: Mapping[str, Any]) -> str:
    counts = [("backends", [each["why_missing"] is None for each in report["backends"]]),
              ("interpreters", [each["usable"] for each in report["interpreters"]]),
              ("tools", [each["path"] is not None for each in report["tools"]])]
    text = ", ".join("%d of %d %s" % (sum(each), len(each), name) for name, each in counts)
    return "Here: %s, %s." % (text, "a container engine" if report["engine"] else "no container engine")


_BLANK = "\0"
"""A blank in a path: no line is broken there, so that the path can be copied. No path has this character."""


def _short(path: str) -> str:
    """A path with ``~`` for the home directory."""
    home = os.path.expanduser("~")
    is_below = home not in ("", os.sep) and path.startswith(home + os.sep)
    return ("~" + path[len(home):] if is_below else path).replace(" ", _BLANK)
