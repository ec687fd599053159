"""Find out whether the engine can run programs of an architecture, natively or emulated by qemu-user.

The kernel has one list of emulators, binfmt_misc, for itself and for all containers. We cannot read that list if the
engine is on another machine or in a virtual one. Then we start a container of an image of that architecture instead.
"""

from __future__ import annotations

import platform
from typing import Any, Dict, Optional, Tuple

from docker.errors import APIError

from lab import architectures
from lab.harness import engine
from lab.harness.images import Row

REGISTERED = architectures.BINFMT

_tried: Dict[Tuple[str, str], bool] = {}  # by engine and image


def native(client: Any) -> Tuple[str, ...]:
    """Debian's names of the architectures that the engine's machine runs without an emulator, its own first. Raises
    ``Broken``."""
    with engine.errors_as_broken("the engine's version"):
        return architectures.native(architectures.of_engine(client.version().get("Arch", "")))


def missing(client: Any, row: Row) -> Optional[str]:
    """None if the engine can run the row's image; else the reason why not, and the command that helps. If we can read
    neither the kernel's list nor try the image, we assume that it runs. Raises ``Broken``."""
    if row.arch in native(client):
        return None
    runs = _registered(client, row.arch)
    if runs is None:
        runs = _try(client, row)
    if runs is not False:
        return None
    return ("%s: this machine cannot run programs of %s; as root on Debian and Ubuntu: apt-get install "
            "qemu-user-static binfmt-support" % (row.id, row.arch))


def _registered(client: Any, arch: str) -> Optional[bool]:
    """Whether the kernel has an emulator that containers can use, too (flag F); None if we cannot read its list."""
    with engine.errors_as_broken("the engine's kernel"):
        is_ours = client.info().get("KernelVersion") == platform.release()
    if not is_ours or not (REGISTERED / "status").is_file():
        return None
    return arch in architectures.emulated(REGISTERED)


def _try(client: Any, row: Row) -> Optional[bool]:
    """Whether a container of the row's image starts; None if the engine does not have the image. Cached."""
    key = (client.api.base_url, row.tag)
    if key not in _tried:
        with engine.errors_as_broken(row.id):
            if not client.images.list(name=row.tag):
                return None
            container = engine.create(client, row.tag, [row.program, "-c", "pass"], network_mode="none",
                                      labels=engine.labels("try"))
            try:
                container.start()
                _tried[key] = container.wait()["StatusCode"] == 0
            except APIError:  # some runtimes report a program that they cannot run as a failed start
                _tried[key] = False
            finally:
                engine.remove(container)
    return _tried[key]
