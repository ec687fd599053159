"""The C library of a Linux interpreter.

The loader that the interpreter's ELF header names decides. ``platform.libc_ver()`` says ('libc', '') on musl, and SOABI
says "gnu" there on CPython before 3.11 unless the distribution patched it (bpo-43112).
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import sysconfig
from typing import Any, Dict, Optional

from lab.facts.files import read


def libc(root: str = "/", executable: str = sys.executable, soabi: Optional[str] = None) -> Optional[Dict[str, Any]]:
    """The C library of a Linux interpreter, by the first source that knows: its loader, what is mapped, its build."""
    if soabi is None:
        soabi = "%s %s" % (sysconfig.get_config_var("SOABI"), sysconfig.get_config_var("MULTIARCH"))
    loader = elf_loader(executable)
    for text, source in ((loader, "the interpreter's ELF loader"), (read(root, "proc/self/maps"), "/proc/self/maps"),
                         (soabi, "sysconfig SOABI or MULTIARCH")):
        name = _libc_name(text or "")
        if name is not None:
            version = _glibc_version() if name == "glibc" else _musl_version(loader) if name == "musl" else None
            return {"name": name, "version": version, "evidence": [source]}
    return None


def _libc_name(text: str) -> Optional[str]:
    for name, pattern in (("musl", r"ld-musl-|libc\.musl-|-linux-musl"), ("uclibc", r"ld(?:64)?-uClibc"),
                          ("bionic", r"/system/bin/linker|-linux-android"),
                          ("glibc", r"/ld-linux|/ld64\.so\.|/ld\.so\.1|/libc\.so\.6|/libc-2\.|-linux-gnu")):
        if re.search(pattern, text):
            return name
    return None


def elf_loader(path: str) -> Optional[str]:
    """The program loader that an ELF file names in PT_INTERP (elf(5)); None for a static program, or another file."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            is_64, order = head[4:5] == b"\x02", ">" if head[5:6] == b"\x02" else "<"
            if head[:4] != b"\x7fELF":
                return None
            offset, = struct.unpack_from(order + ("Q" if is_64 else "I"), head, 32 if is_64 else 28)
            size, count = struct.unpack_from(order + "HH", head, 54 if is_64 else 42)
            file.seek(offset)
            table = file.read(size * count)
            for entry in range(0, size * count, size):
                if struct.unpack_from(order + "I", table, entry)[0] == 3:  # PT_INTERP
                    at, = struct.unpack_from(order + ("Q" if is_64 else "I"), table, entry + (8 if is_64 else 4))
                    length, = struct.unpack_from(order + ("Q" if is_64 else "I"), table, entry + (32 if is_64 else 16))
                    file.seek(at)
                    return file.read(min(length, 4096)).rstrip(b"\0").decode("ascii", "replace")
    except (OSError, struct.error, ValueError):  # unreadable, cut short, or a header that makes no sense
        pass
    return None


def _glibc_version() -> Optional[str]:
    confstr = getattr(os, "confstr", None)
    try:
        return str(confstr("CS_GNU_LIBC_VERSION")).partition(" ")[2] or None if confstr is not None else None
    except (OSError, ValueError):  # ValueError: this libc has no such name
        return None


def _musl_version(loader: Optional[str]) -> Optional[str]:
    """musl has no call for its version. Its loader, run without a program, prints the version and fails."""
    if loader is None:
        return None
    try:
        done = subprocess.run([loader], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):  # ENOENT for a file of another root; or it hangs
        return None
    match = re.search(rb"^Version (\d[\w.]*)", done.stderr, re.MULTILINE)
    return match.group(1).decode("ascii") if match else None
