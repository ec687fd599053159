"""Register qemu-user in the kernel (binfmt_misc), so that containers of foreign architectures run. For `tools.daemon`.

Run it as `python -m tools.daemon emulate`. Debian's package has one file for each architecture in /usr/lib/binfmt.d,
with one line for the kernel. systemd would write these lines into the kernel; we write them ourselves, because a
container or a CI job has no systemd. The flag F in these lines makes the kernel open qemu once, at registration. So a
container needs no copy of qemu.
"""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Callable, List, Sequence

from lab.architectures import ARCHITECTURES, BINFMT, emulated, foreign, of_machine
from lab.errors import Broken, NotHere, reason
from lab.text import one_line

PACKAGE = "qemu-user-static"
"""The package of Debian and Ubuntu with statically linked emulators, which need no library inside a container."""

LINES = Path("/usr/lib/binfmt.d")


def wanted() -> List[str]:
    """Debian's names of the foreign architectures for which no emulator is registered yet."""
    here = emulated()
    return [arch for arch in foreign(of_machine(platform.machine())) if arch not in here]


def register(archs: Sequence[str], say: Callable[[str], None], lines: Path = LINES, misc: Path = BINFMT) -> None:
    """Register the emulators of these architectures in the kernel, until the next boot. Needs root. Raises ``NotHere``
    if the package is not installed, ``Broken`` if the kernel refuses."""
    found = {arch: sorted(lines.glob("qemu-%s*.conf" % ARCHITECTURES[arch].qemu)) for arch in archs}
    missing = [arch for arch in archs if not found[arch]]
    if missing:
        raise NotHere("no emulator for %s; on Debian: apt-get install %s" % (", ".join(missing), PACKAGE))
    if archs and not (misc / "register").exists():
        _mount(misc)
    for arch in archs:
        try:
            (misc / "register").write_bytes(found[arch][0].read_bytes().strip())
        except FileExistsError:  # another process has registered it in the meantime
            continue
        except OSError as error:
            raise Broken("the kernel accepts no emulator for %s: %s" % (arch, reason(error))) from error
        say("this machine now emulates %s, until the next boot" % arch)


def _mount(misc: Path) -> None:
    done = subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(misc)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Broken("foreign architectures need binfmt_misc, and it cannot be mounted here: %s"
                     % one_line(done.stderr.decode("utf-8", "replace")))
