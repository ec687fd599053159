"""The kernel that answers, and the distribution around it."""

from __future__ import annotations

import os
import platform
import re
import sys
from typing import Any, Dict, NamedTuple, Optional

from lab.facts.files import read


class Kernel(NamedTuple):
    """What uname(2) says; on Windows the build, under Wine its version. ``version`` names the kernel's build, e.g. ``#1
    SMP ...``."""

    system: str
    release: str
    version: str
    machine: str


def uname() -> Kernel:
    """The kernel under us, by system call: ``platform.uname`` starts a process before 3.9, and asks WMI since 3.12."""
    if sys.platform == "win32":
        build = sys.getwindowsversion()
        machine = os.environ.get("PROCESSOR_ARCHITEW6432") or os.environ.get("PROCESSOR_ARCHITECTURE", "")
        wine = wine_version()
        if wine is not None:  # it reports Windows 7, or whichever version its user has set
            return Kernel("Wine", wine, "as Windows %d.%d.%d" % build[:3], machine)
        return Kernel("Windows", "%d.%d" % build[:2], "%d.%d.%d" % build[:3], machine)
    name = os.uname()
    return Kernel(name.sysname, name.release, name.version, name.machine)


def upstream(release: str, version: str) -> Optional[str]:
    """The version of kernel.org's source that a Linux kernel is built from: ``5.10.223``; None where nothing tells.

    Fixes of the kernel are known by that version. A distribution's release often keeps to the first one of its series:
    Debian's ``5.10.0-32-cloud-amd64`` has every fix up to 5.10.223.

    Debian and its derivatives write it into uname's version: ``#1 SMP Debian 5.10.223-1 (2024-08-10)``, on Raspberry Pi
    OS with an epoch, ``Debian 1:6.6.31-1+rpt1``. Elsewhere it is the number that the release begins with, which is too
    low on Ubuntu: its ``5.15.0-91-generic`` is 5.15.0 here, for uname(2) says nothing about the fixes in it.
    """
    match = re.search(r"\bDebian (?:\d+:)?(\d+(?:\.\d+)+)", version) or re.match(r"(\d+(?:\.\d+)*)", release)
    return match.group(1) if match is not None else None


def distribution(root: str, kernel: Kernel) -> Optional[Dict[str, Any]]:
    """ID and VERSION_ID of os-release(5); ``macos``, ``windows`` and ``wine`` with their versions."""
    if kernel.system == "Windows":
        return {"id": "windows", "version": kernel.version}
    if kernel.system == "Wine":
        return {"id": "wine", "version": kernel.release}
    if kernel.system == "Darwin":
        return {"id": "macos", "version": platform.mac_ver()[0] or None}
    text = read(root, "etc/os-release") or read(root, "usr/lib/os-release")
    if text is None:
        return None
    values = dict(re.findall(r"""^(ID|VERSION_ID)=["']?([^"'\n]*?)["']?\s*$""", text, re.MULTILINE))
    return {"id": values.get("ID", "linux"), "version": values.get("VERSION_ID")}


def wine_version() -> Optional[str]:
    """Wine's version; None on Windows proper and elsewhere."""
    if sys.platform != "win32":
        return None
    try:
        import ctypes
        tell: Any = ctypes.WinDLL("ntdll").wine_get_version
        tell.restype = ctypes.c_char_p
        return bytes(tell()).decode("ascii", "replace")
    except (ImportError, OSError, AttributeError):  # AttributeError: the real ntdll
        return None
