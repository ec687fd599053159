"""How much this process may open, queue and watch."""

from __future__ import annotations

import re
import select
import sys
from typing import Any, Dict, Optional, Union

from lab.facts.files import number, read


def limits(root: str = "/") -> Dict[str, Any]:
    """What this process may open, queue and watch; see ``facts``."""
    return {"nofile": nofile(root), "fd_setsize": fd_setsize(),
            "somaxconn": number(root, "proc/sys/net/core/somaxconn"),
            "max_user_watches": number(root, "proc/sys/fs/epoll/max_user_watches")}


def nofile(root: str = "/") -> Optional[Dict[str, Union[int, str]]]:
    """Soft and hard limit on open descriptors: getrlimit(2), or /proc where Python lacks the module (Debian's
    python3-minimal)."""
    if sys.platform == "win32":
        return None
    try:
        import resource
    except ImportError:
        return limits_file(read(root, "proc/self/limits") or "")
    pair = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = ["unlimited" if each == resource.RLIM_INFINITY else each for each in pair]
    return {"soft": soft, "hard": hard}


def limits_file(text: str) -> Optional[Dict[str, Union[int, str]]]:
    """The line on open files in /proc/self/limits (proc(5))."""
    match = re.search(r"^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)", text, re.MULTILINE)
    if match is None:
        return None
    soft, hard = [each if each == "unlimited" else int(each) for each in match.groups()]
    return {"soft": soft, "hard": hard}


def fd_setsize() -> Optional[int]:
    """FD_SETSIZE as Python enforces it: select refuses this number with ValueError, and takes the one below.

    No descriptor has to be open for this: a number in range that is not open is EBADF. On Windows, select counts the
    members of a set before it looks at them, so we repeat one number. None where a million is still in range.
    """
    for size in [1 << power for power in range(6, 21)]:
        try:
            select.select([0] * (size + 1) if sys.platform == "win32" else [size], [], [], 0)
        except ValueError:
            return size
        except OSError:  # EBADF or WSAENOTSOCK: the call reached the kernel, so the number is in range
            continue
    return None
