"""The limits and restrictions of a server container. docker/compose.yaml has the same, and a test compares the two.

The server image contributes the rest: a user that is not root, no shell, and an entry point that handles SIGTERM.
"""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional

from docker.types import Ulimit

NOFILE = 16384
"""The limit of descriptors: the same on every engine, because their defaults differ."""
MEMORY_BYTES = 256 * 1024 ** 2
LEAST_MEMORY_BYTES = 32 * 1024 ** 2
"""The least memory that `lab up` accepts. CPython with the lab takes 20 MB, PyPy 60 MB (Debian 13, amd64)."""
PIDS = 4096
"""The limit of processes and threads. The blocking model has one thread for each connection."""
TMPFS = {"/tmp": "size=16m,mode=1777,nosuid,nodev,noexec"}


class Limits(NamedTuple):
    """The limits that the user may set. ``cpus``: a number of processors; None: all of the engine's."""

    nofile: int = NOFILE
    memory_bytes: int = MEMORY_BYTES
    cpus: Optional[float] = None


def confined(limits: Limits) -> Dict[str, Any]:
    """The arguments for ``client.containers.create`` that confine a container."""
    made: Dict[str, Any] = {
        "read_only": True, "tmpfs": TMPFS, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"],
        "pids_limit": PIDS, "mem_limit": limits.memory_bytes, "memswap_limit": limits.memory_bytes,
        "ulimits": [Ulimit(name="nofile", soft=limits.nofile, hard=limits.nofile)]}
    if limits.cpus is not None:
        made["nano_cpus"] = int(limits.cpus * 1e9)
    return made
