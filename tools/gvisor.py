"""gVisor as a second runtime: runsc out of Debian's packages, made to run on this kernel.

Always the one of Debian 13: a static program that runs on any distribution, two years younger than that of Debian 12.
It is put into a folder of our own, and told to the engine only when the engine is started by us.
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

from lab.errors import Broken, NotHere, reason
from lab.harness import images
from lab.harness.images import layer
from lab.harness.images.debian import mirror

FOLDER = Path("/usr/local/lib/muxlab")
SUITE = "trixie"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What gVisor runs on: the machine's name, and Debian's."""


def install(say: Callable[[str], None], folder: Path = FOLDER) -> Path:
    """The program to tell the engine as its runtime runsc. Fetched where it is not there yet. Raises ``NotHere`` on an
    architecture that gVisor does not run on, ``Broken`` where it cannot be fetched or written."""
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
        raise Broken("%s: gVisor cannot be put there: %s" % (folder, reason(error))) from error
    return wrapper


def needs_wrapper() -> bool:
    """Whether a fresh network namespace looks like the machine's own to runsc; docker/runsc tells the story."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    done = subprocess.run([unshare, "--net", "test", "-e", "/proc/sys/net/core/rmem_default"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def _fetch(say: Callable[[str], None]) -> bytes:
    arch = _ARCHITECTURES.get(platform.machine())
    if arch is None:
        raise NotHere("gVisor does not run on %s" % platform.machine())
    say("fetching gVisor's runsc of Debian's %s" % SUITE)
    index = mirror.Index(mirror.Suite(SUITE), arch)
    package = next(each for each in index.closure(["runsc"]) if each["Package"] == "runsc")
    unpacked = layer.Layer()
    unpacked.package(index.fetch([package], lambda done, total: None)[0])
    with tarfile.open(fileobj=io.BytesIO(unpacked.finish())) as tar:
        found = tar.extractfile("usr/bin/runsc")
        if found is None:
            raise Broken("Debian's package runsc has no usr/bin/runsc any more")
        return found.read()


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing: an engine that runs may be starting it just now."""
    unfinished = path.with_name("%s.%d" % (path.name, os.getpid()))
    unfinished.write_bytes(content)
    unfinished.chmod(0o755)
    unfinished.replace(path)
