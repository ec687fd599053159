"""How a server container is confined. docker/compose.yaml says the same, and a test holds the two together.

The image brings the rest: a user that is not root, no shell, an entry point that heeds SIGTERM.
"""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional

from docker.types import Ulimit

NOFILE = 16384
"""Descriptors: the same on every engine, whatever its own default is."""
MEMORY_BYTES = 256 * 1024 ** 2
LEAST_MEMORY_BYTES = 32 * 1024 ** 2
"""CPython and the lab take 20 MB, PyPy 60 MB (Debian 13, amd64)."""
PIDS = 4096
"""Threads, too: the blocking model has one for each connection."""
TMPFS = {"/tmp": "size=16m,mode=1777,nosuid,nodev,noexec"}


class Limits(NamedTuple):
    """What a user may set. ``cpus`` None: all that the engine has."""

    nofile: int = NOFILE
    memory_bytes: int = MEMORY_BYTES
    cpus: Optional[float] = None


def confined(limits: Limits) -> Dict[str, Any]:
    """The arguments of ``client.containers.create`` for it."""
    made: Dict[str, Any] = {
        "read_only": True, "tmpfs": TMPFS, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"],
        "pids_limit": PIDS, "mem_limit": limits.memory_bytes, "memswap_limit": limits.memory_bytes,
        "ulimits": [Ulimit(name="nofile", soft=limits.nofile, hard=limits.nofile)]}
    if limits.cpus is not None:
        made["nano_cpus"] = int(limits.cpus * 1e9)
    return made
