"""Files below a root. None of these readers raises: what cannot be read, this platform does not say."""

from __future__ import annotations

import os
import re
import sys
from typing import Optional


def _path(root: str, path: str) -> str:
    """Where that file is. On Windows nowhere: "/proc" would be on the current drive, which under Wine is the Linux
    below."""
    return os.path.join(root, path) if sys.platform != "win32" or root != "/" else ""


def read(root: str, path: str) -> Optional[str]:
    """The text of a file, up to 1 MiB; None where it cannot be read."""
    try:
        with open(_path(root, path), "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")
    except OSError:  # ENOENT, EACCES, EIO of a sysctl: with any of them this platform does not say
        return None


def number(root: str, path: str) -> Optional[int]:
    """The whole number that a file holds; None where it holds anything else, or cannot be read."""
    text = (read(root, path) or "").strip()
    return int(text) if re.match(r"^\d+$", text) else None


def exists(root: str, path: str) -> bool:
    """Whether there is such a file or folder."""
    return os.path.exists(_path(root, path))
