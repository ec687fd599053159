"""Install the packages of a container engine by apt, on Debian and Ubuntu. For `python -m tools.daemon start`.

The packages' services do not start by themselves: `tools.daemon` starts dockerd.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Callable, Iterator, Sequence

from lab.errors import Broken, NotHere, reason
from lab.facts import facts
from lab.text import one_line
from tools import emulators

NEEDED = ("docker.io", "iptables")
WELCOME = ("docker-cli", "tini", emulators.PACKAGE)
"""Optional packages. docker-cli is a part of docker.io before Debian 13; containers with `init` need tini."""

POLICY = Path("/usr/sbin/policy-rc.d")
"""The program by which maintainer scripts check whether they may start a service; exit code 101 means no (Debian's
invoke-rc.d)."""


def check(missing: NotHere) -> None:
    """Raise ``NotHere`` unless we can start an engine here, and install dockerd if it is missing. ``missing``: the
    error about the engine that does not answer; our error begins with its text."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise NotHere("%s; you are not root: try `sudo make engine`" % str(missing).partition(";")[0])
    if shutil.which("dockerd") is None and not _is_debian():
        raise NotHere("%s; this is not Debian or Ubuntu: install and start docker, then try again"
                      % str(missing).partition(";")[0])


def _is_debian() -> bool:
    found = facts()["distribution"]
    return found is not None and found["id"] in ("debian", "ubuntu") and shutil.which("apt-get") is not None


def dockerd(say: Callable[[str], None]) -> str:
    """Install dockerd unless it is on PATH. Returns its path. Raises ``Broken``."""
    found = shutil.which("dockerd")
    if found is None:
        say("there is none: installing %s and, if available, %s (apt-get, as root; ENGINE=require forbids it)"
            % (" ".join(NEEDED), " ".join(WELCOME)))
        with _nothing_starts():
            _apt(["update", "-qq"])
            _apt(["install", "-y", "-qq", "--no-install-recommends", *NEEDED])
            for name in WELCOME:  # one by one: a package that this release lacks must not cost the others
                try:
                    _apt(["install", "-y", "-qq", "--no-install-recommends", name])
                except Broken as error:
                    say("going on without %s: %s" % (name, error))
        found = shutil.which("dockerd")
        if found is None:
            raise Broken("%s is installed, but dockerd is not on PATH" % NEEDED[0])
    return found


def _apt(arguments: Sequence[str]) -> None:
    done = subprocess.run(["apt-get", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise Broken("apt-get %s failed: %s" % (" ".join(arguments), one_line(said[-1])))


@contextlib.contextmanager
def _nothing_starts() -> Iterator[None]:
    """Keep services from starting while this context lasts. A policy that exists already stays as it is."""
    if POLICY.exists():
        yield
        return
    try:
        POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        POLICY.chmod(0o755)
    except OSError as error:
        raise Broken("cannot write %s: %s" % (POLICY, reason(error))) from error
    try:
        yield
    finally:
        POLICY.unlink()
