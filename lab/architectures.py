"""The names of each processor architecture: Debian, container engines, uname(2) and qemu each have their own.

The lab calls an architecture by Debian's name, because docker/images.toml does. This table is the only place that
translates; a new architecture is one more row. ``emulated`` reports which foreign ones this kernel runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

BINFMT = Path("/proc/sys/fs/binfmt_misc")
"""Where the kernel lists the programs that run foreign executables (binfmt_misc)."""


class Architecture(NamedTuple):
    """One row.

    debian: Debian's name, such as ppc64el.
    oci: what an engine and the configuration of an image call it (GOARCH).
    machines: what uname(2) reports, in lower case, the usual name first. Windows says AMD64, macOS arm64.
    qemu: the last part of the name of qemu's program and of its entry in binfmt_misc, such as qemu-aarch64.
    variant: what the configuration of an image adds; None where it adds nothing.
    also: Debian's names of other architectures whose programs its processors run without help.
    """

    debian: str
    oci: str
    machines: Tuple[str, ...]
    qemu: str
    variant: Optional[str] = None
    also: Tuple[str, ...] = ()


_ROWS = (
    Architecture("amd64", "amd64", ("x86_64", "amd64"), "x86_64", also=("i386",)),
    Architecture("i386", "386", ("i686", "i586", "i486", "i386", "x86"), "i386"),
    Architecture("arm64", "arm64", ("aarch64", "arm64"), "aarch64", variant="v8"),
    Architecture("armhf", "arm", ("armv7l", "armv8l"), "arm", variant="v7"),
    Architecture("ppc64el", "ppc64le", ("ppc64le",), "ppc64le"),
    Architecture("riscv64", "riscv64", ("riscv64",), "riscv64"),
    Architecture("s390x", "s390x", ("s390x",), "s390x"),
)

ARCHITECTURES: Dict[str, Architecture] = {each.debian: each for each in _ROWS}
"""All that an image of the lab may be of, by Debian's name."""


def of_engine(name: str) -> Optional[Architecture]:
    """The architecture that an engine calls ``name`` (``386``, ``ppc64le``); None for one that is not in the table."""
    return next((each for each in _ROWS if each.oci == name), None)


def of_machine(name: str) -> Optional[Architecture]:
    """The architecture of a machine as uname(2) or Windows names it, in any case; None for one not in the table."""
    return next((each for each in _ROWS if name.lower() in each.machines), None)


def native(here: Optional[Architecture]) -> Tuple[str, ...]:
    """Debian's names of all whose programs run on such a machine without an emulator, its own first."""
    return () if here is None else (here.debian, *here.also)


def foreign(here: Optional[Architecture]) -> List[str]:
    """Debian's names of all whose programs need an emulator on such a machine, in the order of the table."""
    return [name for name in ARCHITECTURES if name not in native(here)]


def is_x86(machine: str) -> bool:
    """Whether uname's name of a machine is that of an Intel or AMD processor."""
    found = of_machine(machine)
    return found is not None and found.debian in ("amd64", "i386")


def emulated(binfmt: Path = BINFMT) -> List[str]:
    """Debian's names of the foreign architectures whose programs this kernel runs, in containers too.

    An entry of binfmt_misc counts if it is enabled and has flag F: with that flag the kernel opened qemu when the
    entry was made, and a container needs no qemu of its own. Empty where nothing is registered or this is no Linux.
    """
    found = []
    for arch, row in ARCHITECTURES.items():
        try:
            lines = (binfmt / ("qemu-" + row.qemu)).read_text(encoding="ascii").splitlines()
        except OSError:  # ENOENT: not registered, or binfmt_misc is not mounted, or no Linux
            continue
        if lines[0] == "enabled" and any(line.startswith("flags:") and "F" in line for line in lines):
            found.append(arch)
    return found
