"""Find the Python in an image by asking the engine for files: this runs no program, so the image needs no shell."""

from __future__ import annotations

import posixpath
from typing import Any, Optional

from docker.errors import NotFound

from lab.harness import engine

PYTHONS = ("python3", "python", "pypy3", *("python3.%d" % minor for minor in range(20, 7, -1)))
PLACES = ("/usr/local/bin", "/usr/bin", "/bin", "/opt/venv/bin", "/opt/python/bin", "/opt/pypy/bin", "/usr/libexec")
"""Folders to search besides the image's own PATH."""
NAMED = ("/usr/libexec/platform-python",)
"""Pythons with another name: RHEL 8 keeps its own Python off PATH."""


def find(client: Any, reference: str) -> Optional[str]:
    """The path of a Python in the image, of any version; None if there is none. Raises APIError."""
    config = client.images.get(reference).attrs.get("Config") or {}
    variables = dict(each.partition("=")[::2] for each in config.get("Env") or [])
    places = dict.fromkeys((*filter(None, variables.get("PATH", "").split(":")), *PLACES))
    container = engine.create(client, reference, ["-"], entrypoint=["-"], network_mode="none",
                              labels=engine.labels("look"))
    try:
        return next((path for path in (*(posixpath.join(place, name) for name in PYTHONS for place in places), *NAMED)
                     if _is_program(container, path)), None)
    finally:
        engine.remove(container)


def _is_program(container: Any, path: str) -> bool:
    """Whether the container has a file or a symbolic link at this path. The container need not run."""
    try:
        stream, stat = container.get_archive(path)
    except NotFound:
        return False
    stream.close()
    return bool(stat["size"] or stat.get("linkTarget"))
