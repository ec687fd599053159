"""What is on this machine, for people: aligned rows with a mark for each thing that is here or missing."""

from __future__ import annotations

import os
import textwrap
from typing import Any, List, Mapping, Optional, Tuple

from lab.architectures import foreign, of_machine
from lab.interpreters import OLDEST
from lab.terminal import BOLD, DIM, GREEN, YELLOW, Paint
from lab.text import escaped

WIDTH = 100

Row = Tuple[Optional[bool], str, str]
"""Whether the thing is here (None: the question makes no sense for it), its name, and the rest."""

_BLANK = "\0"
"""Stands for a blank in a path while lines are broken, so that a path stays whole and can be copied. No path has this
character."""


def as_text(report: Mapping[str, Any], coloured: bool = False) -> str:
    """A report of ``examine`` in at most 100 columns, unless a path is longer."""
    paint = Paint(coloured)
    sections = [_section(paint, "Platform", "", [(None, *row) for row in _platform(report["facts"])]),
                _section(paint, "Backends", "best first", [_backend_row(each) for each in report["backends"]]),
                _section(paint, "Interpreters", "the lab runs on %d.%d and newer" % OLDEST,
                         [_interpreter_row(each) for each in report["interpreters"]]),
                _section(paint, "Tools", "that the tests use", _tool_rows(report))]
    return "\n\n".join(sections + [_summary(report)])


def _section(paint: Paint, title: str, note: str, rows: List[Row]) -> str:
    width = max([len(name) for _, name, _ in rows] + [12])
    lines = [paint(BOLD, title) + (paint(DIM, "  " + note) if note else "")]
    for is_here, name, text in rows or [(False, "none", "")]:
        mark = {None: "", True: paint(GREEN, "ok") + "  ", False: paint(YELLOW, "--") + "  "}[is_here]
        indent = 2 + (0 if is_here is None else 4) + width + 2
        first, *more = textwrap.wrap(escaped(text, keep=_BLANK), WIDTH - indent, break_long_words=False,
                                     break_on_hyphens=False) or [""]
        code = DIM if is_here is False else ""
        lines.append(("  " + mark + escaped(name).ljust(width) + "  " + paint(code, first)).rstrip())
        lines += [" " * indent + paint(code, each) for each in more]
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
    machine = of_machine(report["facts"]["architecture"]["machine"])
    missing = [arch for arch in foreign(machine) if arch not in report["emulated"]]
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


def _short(path: str) -> str:
    """A path with ``~`` for the home directory."""
    home = os.path.expanduser("~")
    is_below = home not in ("", os.sep) and path.startswith(home + os.sep)
    return ("~" + path[len(home):] if is_below else path).replace(" ", _BLANK)
