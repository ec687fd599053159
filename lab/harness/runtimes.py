"""What the lab knows of the programs that stand between a Python and the kernel: which of them are a kernel themselves.

Most OCI runtimes only separate processes; a container's system calls then go to the kernel of the machine. Some answer
system calls themselves, so what we observe there is theirs. Such a runtime is slower, may run fewer architectures, and
its targets are never compared with the machine's own kernel. A runtime that has no entry here only separates processes.
"""

from __future__ import annotations

from typing import Dict, NamedTuple


class Runtime(NamedTuple):
    """An OCI runtime that answers system calls itself.

    name: what container engines call it. fact: what the fact ``runtime.name`` calls it.
    slower: the factor on all waits. install: how to get it, for messages.
    native_only: whether it runs only programs of the machine's own architecture.
    """

    name: str
    fact: str
    slower: float
    native_only: bool
    install: str


# gVisor has no 32-bit mode, and qemu-user's binfmt handlers do not reach into it ("exec format error").
GVISOR = Runtime("runsc", "gvisor", slower=2.0, native_only=True,
                 install="on Debian: apt-get install runsc, and dockerd --add-runtime runsc=/usr/bin/runsc")

KNOWN: Dict[str, Runtime] = {each.name: each for each in (GVISOR,)}
"""By name."""

ANSWERS_SYSTEM_CALLS = (*(each.fact for each in KNOWN.values()), "wine", "wsl1")
"""The values of the fact ``runtime.name`` of everything that answers system calls itself; ``lab.facts`` finds out
which one we run on. The last two are no OCI runtimes."""


def slower(name: str) -> float:
    """The factor on all waits under the OCI runtime of that name."""
    return KNOWN[name].slower if name in KNOWN else 1.0


def is_native_only(name: str) -> bool:
    """Whether the OCI runtime of that name runs only programs of the machine's own architecture."""
    return name in KNOWN and KNOWN[name].native_only
