"""A platform made of a folder, for the readers of lab.facts."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from lab.facts import Kernel

LINUX = Kernel("Linux", "6.1.0-50-cloud-amd64", "#1 SMP Debian 6.1.170-1", "x86_64")
ID = "0123456789abcdef" * 4


def tree(root: Path, files: Dict[str, str]) -> str:
    """A platform made of these files below ``root``, with a kernel that hides nothing."""
    for name, text in {"proc/version": "Linux", "proc/sys/kernel/osrelease": "6.1", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return str(root)


def mount(source: str, target: str, kind: str = "ext4") -> str:
    return "36 35 98:0 %s %s rw,noatime master:1 - %s /dev/root rw\n" % (source, target, kind)
