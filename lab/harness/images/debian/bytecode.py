"""Compile the standard library: a second layer, with the .pyc files that Debian's maintainer scripts would make.

Without .pyc files every start would compile all modules that it imports, because a container keeps no files. Importing
asyncio, json and ssl took 0.3 s instead of 0.05 (CPython 3.13, runc), and for arm64 under qemu 7.2 2.1 s instead of
0.3. A Python of the same version compiles the very sources that are in the image. The .pyc files contain no time
(``unchecked-hash``), so the same sources give the same bytes. For a foreign architecture, a native image with the same
Python compiles them. That is safe: a Python ignores a .pyc file of another version.
"""

from __future__ import annotations

import io
import re
import tarfile
from typing import Any

from lab.errors import Broken
from lab.harness import engine
from lab.harness.images import Row, layer
from lab.harness.images.debian import recipe
from lab.text import one_line

_SOURCES = re.compile(r"^usr/(local/)?lib/(python|pypy)3[^/]*/.*\.py$")
_WHERE = "lab-sources"
_SCRIPT = """
import compileall, py_compile
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
compileall.compile_dir("/%s", quiet=2, invalidation_mode=mode, stripdir="/%s")
""" % (_WHERE, _WHERE)
"""The program that compiles. It skips files that do not compile: some files of the standard library are broken on
purpose."""


def compiled(client: Any, root: bytes, row: Row, compiler: str, program: str, say: recipe.Say) -> bytes:
    """A layer with the .pyc files of the sources in ``root``, a root file system as a tar.

    compiler: the image that compiles. program: its Python. Raises ``Broken``.
    """
    say("compiling the standard library")
    with engine.errors_as_broken(row.id):
        container = engine.create(
            client, compiler, [program, "-c", _SCRIPT], network_mode="none", labels=engine.labels("build"),
            environment={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"})
        try:
            container.put_archive("/", _sources(root))
            container.start()
            code = container.wait()["StatusCode"]
            if code != 0:
                said = container.logs(tail=1).decode("utf-8", "replace")
                raise Broken("%s: compiling the standard library ended with exit code %d: %s" % (
                    row.id, code, one_line(said)))
            return _pyc_layer(b"".join(container.get_archive("/" + _WHERE)[0]))
        finally:
            engine.remove(container)


def _sources(root: bytes) -> bytes:
    made = layer.Layer()
    with tarfile.open(fileobj=io.BytesIO(root)) as opened:
        for member in opened:
            if member.isreg() and _SOURCES.match(member.name):
                made.file("%s/%s" % (_WHERE, member.name), opened.extractfile(member).read())  # type: ignore[union-attr]
    return made.finish()


def _pyc_layer(found: bytes) -> bytes:
    """A layer with the .pyc files of a tar, sorted by name, owned by root, without dates."""
    made = layer.Layer()
    with tarfile.open(fileobj=io.BytesIO(found)) as opened:
        for member in sorted(opened, key=lambda each: each.name):
            if member.isreg() and member.name.endswith(".pyc"):
                content = opened.extractfile(member)
                made.file(member.name.partition("/")[2], content.read())  # type: ignore[union-attr]
    return made.finish()
