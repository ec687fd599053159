"""The C library: each source that knows it, in the order in which they are asked."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any, Dict, Optional

import pytest

from lab import facts
from tests.core.facts.folder import tree


def elf(loader: Optional[str], bits: int = 64, order: str = "<") -> bytes:
    """The smallest ELF file with one program header, of type PT_INTERP if a loader is given."""
    text = (loader or "").encode("ascii") + b"\0"
    kind = 3 if loader else 1
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    if bits == 64:
        head = struct.pack(order + "HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        table = struct.pack(order + "IIQQQQQQ", kind, 4, 120, 0, 0, len(text), len(text), 1)
    else:
        head = struct.pack(order + "HHIIIIIHHHHHH", 2, 3, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        table = struct.pack(order + "IIIIIIII", kind, 84, 0, 0, len(text), len(text), 4, 1)
    return ident + head + table + text


def libc_of(tmp_path: Path, program: bytes, maps: str = "", soabi: str = "") -> Optional[Dict[str, Any]]:
    (tmp_path / "python").write_bytes(program)
    return facts.libc(tree(tmp_path / "root", {"proc/self/maps": maps}), str(tmp_path / "python"), soabi)


class TestLibc:
    @pytest.mark.parametrize("loader, name", [
        ("/lib/ld-musl-aarch64.so.1", "musl"), ("/lib64/ld-linux-x86-64.so.2", "glibc"),
        ("/lib/ld64.so.1", "glibc"), ("/lib64/ld64.so.2", "glibc"), ("/lib/ld-uClibc.so.0", "uclibc"),
        ("/system/bin/linker64", "bionic")])
    @pytest.mark.parametrize("bits, order", [(64, "<"), (64, ">"), (32, "<"), (32, ">")])
    def test_the_loader_decides(self, tmp_path: Path, loader: str, name: str, bits: int, order: str) -> None:
        """Even against SOABI, which said -gnu on musl before 3.11."""
        found = libc_of(tmp_path, elf(loader, bits, order), soabi="cpython-38-x86_64-linux-gnu")
        assert found is not None
        assert (found["name"], found["evidence"]) == (name, ["the interpreter's ELF loader"])

    def test_maps_decide_where_the_program_is_a_script(self, tmp_path: Path) -> None:
        found = libc_of(tmp_path, b"#!/bin/sh\n", maps="7f00 r-xp 0 0:0 1 /lib/ld-musl-x86_64.so.1\n")
        assert found == {"name": "musl", "version": None, "evidence": ["/proc/self/maps"]}

    def test_soabi_decides_for_a_static_one(self, tmp_path: Path) -> None:
        found = libc_of(tmp_path, elf(None), soabi="cpython-313-x86_64-linux-musl")
        assert found == {"name": "musl", "version": None, "evidence": ["sysconfig SOABI or MULTIARCH"]}

    def test_without_evidence_there_is_no_libc(self, tmp_path: Path) -> None:
        assert libc_of(tmp_path, b"\x7fELF" + bytes(3), soabi="None None") is None

    @pytest.mark.needs("sh")
    @pytest.mark.skipif(sys.platform == "win32", reason="the loader is a shell script")
    @pytest.mark.parametrize("text, version", [("Version 1.2.3", "1.2.3"), ("no such option", None)])
    def test_musl_tells_its_version_when_its_loader_is_run(self, tmp_path: Path, text: str,
                                                           version: Optional[str]) -> None:
        loader = tmp_path / "ld-musl-x86_64.so.1"
        loader.write_text("#!/bin/sh\nprintf 'musl libc (x86_64)\\n%s\\nDynamic' >&2\nexit 1\n" % text)
        loader.chmod(0o755)
        found = libc_of(tmp_path, elf(str(loader)))
        assert found is not None
        assert (found["name"], found["version"]) == ("musl", version)
