"""What "here" is: the platform as data that travels with every record.

A result is worth nothing without its platform, and records leave the machine. So each value describes a kind of
platform and never its owner: no host name, user name, path, environment value or container id gets in. ``evidence``
names the file that was looked at, never its content. tests/core/facts/test_facts.py checks this.

Nothing in this package raises. A reading that fails, with whatever error, is None: this platform does not say. Every
file is read below ``root``, so that tests can make a platform out of a folder.

    kernel      the kernel and the distribution       clibrary   the C library
    python      the interpreter                       runtimes   containers, virtual machines, impersonators
    bounds      limits on descriptors and queues      oneline    a platform in one line

Other modules import from ``lab.facts``, not from these files.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import Any, Dict

from lab.capabilities import CAPABILITIES, has
from lab.facts.bounds import fd_setsize, limits, limits_file, nofile
from lab.facts.clibrary import elf_loader, libc
from lab.facts.kernel import Kernel, distribution, uname, upstream
from lab.facts.oneline import platform_line
from lab.facts.python import cpus, interpreter
from lab.facts.runtimes import Finding, runtime, virtualization

__all__ = ["Finding", "Kernel", "cpus", "distribution", "elf_loader", "facts", "fd_setsize", "features", "interpreter",
           "libc", "limits", "limits_file", "nofile", "platform_line", "runtime", "uname", "upstream",
           "virtualization"]


def facts(root: str = "/") -> Dict[str, Any]:
    """This platform, in values that JSON can hold. None stands for what the platform does not say. Never raises.

    system: ``Linux``, ``Windows``, ``Darwin``, ``Wine``, ...
    kernel: release, version, upstream (of Linux, see ``upstream``; None elsewhere).
    architecture: machine (the kernel's: x86_64 also for a 32-bit interpreter), bits (of a pointer), byte_order
        (little, big).
    libc: name (glibc, musl, bionic, uclibc), version (or None), evidence [str]. None off Linux.
    distribution: id, version (or None for a rolling one), as in os-release(5); macos, windows or wine elsewhere.
    interpreter: implementation (CPython, PyPy), version (of the language: 3.9.16), release (its own, where that is
        another: 7.3.11 for PyPy), compiler, debug (bool), free_threaded (bool: built so), gil (bool: is on now).
    limits: nofile ({soft, hard}: descriptors, or the word ``unlimited``), fd_setsize (descriptors; on Windows
        sockets in one call), somaxconn (connections), max_user_watches (of epoll, over all processes of a user).
    cpus: that this process may use.
    runtime: what stands between us and the kernel, as a ``Finding``: gvisor, wsl1, wine, kubernetes, podman, docker,
        lxc, wsl2, or container for one without a name. Evidence lists all signs, also of the others.
    virtualization: firecracker, qemu, kvm, ... or hypervisor, as a ``Finding``; qemu-user where a foreign
        processor is emulated above a kernel that is not its own.
    features: bool each, of what Python offers here, by the names of ``lab.capabilities``. Whether the kernel keeps
        the promise is for a probe to find out. A record of an older lab has fewer.
    """
    kernel = uname()
    source = upstream(kernel.release, kernel.version) if kernel.system == "Linux" else None
    return {
        "system": kernel.system,
        "kernel": {"release": kernel.release, "version": kernel.version, "upstream": source},
        "architecture": {"machine": kernel.machine, "bits": struct.calcsize("P") * 8, "byte_order": sys.byteorder},
        "libc": libc(root) if kernel.system == "Linux" else None,
        "distribution": distribution(root, kernel),
        "interpreter": interpreter(),
        "limits": limits(root),
        "cpus": cpus(),
        "runtime": runtime(root, kernel, os.environ),
        "virtualization": virtualization(root, kernel),
        "features": features(),
    }


def features() -> Dict[str, bool]:
    """What Python offers here, by name."""
    return {name: has(name) for name in CAPABILITIES}
