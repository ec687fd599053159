"""Install gVisor's runsc, from Debian's packages, as the engine's second runtime. For `python -m tools.daemon start`.

We always use the runsc of Debian 13: it is a static program that runs on every distribution, and it is two years newer
than that of Debian 12. We install it into a folder of our own, and configure it only in an engine that we start.
"""

from __future__ import annotations

import io
import os
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Callable

from lab.architectures import of_machine
from lab.errors import Broken, NotHere, reason
from lab.harness import images
from lab.harness.images import layer
from lab.harness.images.debian import mirror

FOLDER = Path("/usr/local/lib/muxlab")
SUITE = "trixie"

_ARCHITECTURES = ("amd64", "arm64")
"""What gVisor runs on, by Debian's names."""


def install(say: Callable[[str], None], folder: Path = FOLDER) -> Path:
    """Install runsc into ``folder``, unless it is there. Returns the path of the program for the engine's runtime
    runsc. Raises ``NotHere`` on an architecture on which gVisor does not run, ``Broken`` if it cannot be fetched or
    written."""
    program = folder / "runsc.bin"
    wrapper = folder / "runsc"
    try:
        if not program.is_file():
            content = _fetch(say)
            folder.mkdir(parents=True, exist_ok=True)
            _write(program, content)
        if not needs_wrapper():
            return program
        _write(wrapper, (images.FOLDER / "runsc").read_bytes())
    except OSError as error:
        raise Broken("cannot install gVisor into %s: %s" % (folder, reason(error))) from error
    return wrapper


def needs_wrapper() -> bool:
    """Whether runsc takes a new network namespace for the machine's own on this kernel; docker/runsc explains it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    done = subprocess.run([unshare, "--net", "test", "-e", "/proc/sys/net/core/rmem_default"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def _fetch(say: Callable[[str], None]) -> bytes:
    here = of_machine(platform.machine())
    if here is None or here.debian not in _ARCHITECTURES:
        raise NotHere("gVisor does not run on %s" % platform.machine())
    say("fetching gVisor's runsc of Debian's %s" % SUITE)
    index = mirror.Index(mirror.Suite(SUITE), here.debian)
    package = next(each for each in index.closure(["runsc"]) if each["Package"] == "runsc")
    unpacked = layer.Layer()
    unpacked.package(index.fetch([package], lambda done, total: None)[0])
    with tarfile.open(fileobj=io.BytesIO(unpacked.finish())) as tar:
        found = tar.extractfile("usr/bin/runsc")
        if found is None:
            raise Broken("Debian's package runsc has no usr/bin/runsc any more")
        return found.read()


def _write(path: Path, content: bytes) -> None:
    """Write the program in one step, because a running engine may start it at this moment."""
    unfinished = path.with_name("%s.%d" % (path.name, os.getpid()))
    unfinished.write_bytes(content)
    unfinished.chmod(0o755)
    unfinished.replace(path)
