"""Programs of foreign architectures, run by qemu-user: the kernel is told once, for every container (binfmt_misc).

What the kernel needs to know of each architecture is in Debian's package: a line a file in /usr/lib/binfmt.d, which
systemd would write into the kernel. Here it is written by us: a machine that is a container, or continuous integration,
has no systemd. Flag F in these lines has the kernel open qemu once, now, so that a container runs it without having it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Callable, List, Sequence

from lab.doctor import EMULATORS, MISC, emulated
from lab.errors import Broken, NotHere, reason
from lab.harness.engine import one_line

PACKAGE = "qemu-user-static"
"""Debian's, and Ubuntu's, with statically linked programs: nothing of this machine is seen in a container."""

LINES = Path("/usr/lib/binfmt.d")


def wanted() -> List[str]:
    """The architectures that can be emulated and are not yet."""
    here = emulated()
    return [arch for arch in EMULATORS if arch not in here]


def register(archs: Sequence[str], say: Callable[[str], None], lines: Path = LINES, misc: Path = MISC) -> None:
    """Tell the kernel who runs programs of these architectures. Needs root, and lasts until the machine's end. Raises
    ``NotHere`` where the package is not installed, ``Broken`` where the kernel refuses."""
    found = {arch: sorted(lines.glob("qemu-%s*.conf" % EMULATORS[arch])) for arch in archs}
    missing = [arch for arch in archs if not found[arch]]
    if missing:
        raise NotHere("no emulator for %s; on Debian: apt-get install %s" % (", ".join(missing), PACKAGE))
    if archs and not (misc / "register").exists():
        _mount(misc)
    for arch in archs:
        try:
            (misc / "register").write_bytes(found[arch][0].read_bytes().strip())
        except FileExistsError:  # another process was faster
            continue
        except OSError as error:
            raise Broken("the kernel takes no emulator for %s: %s" % (arch, reason(error))) from error
        say("%s runs here, emulated, until the machine is started anew" % arch)


def _mount(misc: Path) -> None:
    done = subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(misc)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Broken("foreign architectures need binfmt_misc, and this kernel does not mount it: %s"
                     % one_line(done.stderr.decode("utf-8", "replace")))
