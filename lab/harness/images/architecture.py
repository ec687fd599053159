"""Whether the engine runs programs of an architecture: its own, or a foreign one, by qemu-user, which the kernel calls.

The kernel has one list of such interpreters, binfmt_misc, for itself and all containers. Where that cannot be read (the
engine is on another machine, or in a virtual one) an image that is here is tried.
"""

from __future__ import annotations

import platform
from typing import Any, Dict, Optional, Tuple

from docker.errors import APIError

from lab.doctor import MISC, emulated
from lab.harness import engine
from lab.harness.images import Row

REGISTERED = MISC

_NATIVE = {"amd64": ("amd64", "i386"), "arm64": ("arm64",), "386": ("i386",), "arm": ("armhf",),
           "ppc64le": ("ppc64el",), "riscv64": ("riscv64",), "s390x": ("s390x",)}
"""What an engine calls its architecture, and what runs there without help, in Debian's words."""

_tried: Dict[Tuple[str, str], bool] = {}  # by engine and image


def native(client: Any) -> Tuple[str, ...]:
    """What the engine's machine runs itself. Raises ``Broken``."""
    with engine.errors_as_broken("the engine's version"):
        return _NATIVE.get(client.version().get("Arch", ""), ())


def missing(client: Any, row: Row) -> Optional[str]:
    """None where the image of a row can be run; else why not, and the command that helps. Where nothing tells, because
    neither the list nor the image is here, it is taken to run. Raises ``Broken``."""
    if row.arch in native(client):
        return None
    runs = _registered(client, row.arch)
    if runs is None:
        runs = _try(client, row)
    if runs is not False:
        return None
    return ("%s: nothing here runs programs of %s; as root on Debian and Ubuntu: apt-get install qemu-user-static "
            "binfmt-support" % (row.id, row.arch))


def _registered(client: Any, arch: str) -> Optional[bool]:
    """Whether the kernel has an interpreter that containers find too (flag F); None where its list is not to be seen.
    """
    with engine.errors_as_broken("the engine's kernel"):
        is_ours = client.info().get("KernelVersion") == platform.release()
    if not is_ours or not (REGISTERED / "status").is_file():
        return None
    return arch in emulated(REGISTERED)


def _try(client: Any, row: Row) -> Optional[bool]:
    """Whether the row's image starts; None where it is not here. Asked once."""
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
            except APIError:  # some runtimes refuse what they cannot run before it is started
                _tried[key] = False
            finally:
                engine.remove(container)
    return _tried[key]
