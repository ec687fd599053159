"""What is on this machine: platform, backends, interpreters, tools, a container engine, emulators.

Three readings take time, and each runs programs that answer at once or are given up soon: the interpreters, musl's
loader, and the container engine.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import Any, Dict, List, Mapping, Optional

import lab
from lab.architectures import emulated
from lab.backends import LADDER, why_missing
from lab.facts import facts
from lab.interpreters import find

ENGINE_PATIENCE = 1.0
"""Seconds that a container engine may take to answer; one that runs takes about 0.1. A slower one counts as down."""

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
"""The programs that the tests call, and what for. We look each up on PATH."""

_INSTALL = {"debian": "apt-get install", "ubuntu": "apt-get install", "alpine": "apk add", "fedora": "dnf install",
            "rhel": "dnf install", "centos": "dnf install", "arch": "pacman -S", "macos": "brew install"}
_PACKAGES = {("apt-get install", "docker"): "docker.io", ("apk add", "ncat"): "nmap-ncat",
             ("dnf install", "ncat"): "nmap-ncat", ("pacman -S", "ncat"): "nmap", ("brew install", "ncat"): "nmap"}
"""Packages that have another name than their tool."""


def examine() -> Dict[str, Any]:
    """What is here, in values that JSON can hold.

    lab: version. facts: as ``lab.facts`` gives them; only they are free of paths and fit to be published.
    backends: [{name, trigger, features [str], why_missing (None: it is here)}], best first.
    interpreters: [{path, implementation, version, usable, why_not}]; tools: [{name, what_for, path, install}].
    engine: {version, runtimes [str]} of the container engine that answers, or None.
    emulated: foreign architectures whose programs containers on this machine can run, by Debian's names.
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
    """One tool: its path, or None and the command that installs it."""
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
    words: List[str] = done.stdout.decode("utf-8", "replace").split()
    return {"version": words[0], "runtimes": words[1:]} if done.returncode == 0 and words else None
