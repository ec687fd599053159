"""Make an image on musl without a registry: compile Debian's source of CPython against Debian's musl.

This takes about three minutes on two cores, in a container with a compiler, whose image is made from Debian's packages,
too. The result has the loader and the names (``x86_64-linux-musl``) of Alpine's Python. The rest is as in the other
images, so that a difference in behaviour comes from the libc and not from a distribution.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any, List

from lab.errors import Broken, Usage
from lab.harness import engine
from lab.harness.images import Row, layer
from lab.harness.images.debian import mirror, recipe
from lab.text import one_line

SCRIPT = Path(__file__).with_name("musl.sh")

TOOLS = ("bash", "binutils", "coreutils", "dash", "diffutils", "findutils", "gcc", "grep", "libc6-dev",
         "linux-libc-dev", "make", "mawk", "musl-tools", "sed")


def build(client: Any, row: Row, say: recipe.Say) -> bytes:
    """The root file system of a row, as a tar. Raises ``Broken``."""
    if row.debian is None or row.arch != "amd64":
        raise Usage("%s: the lab builds musl for amd64 only" % row.id)
    suite = mirror.Suite(row.debian[0])
    say("fetching the sources")
    sources = {"src/" + name: mirror.source(suite, package)
               for name, package in (("python", "python" + row.python), ("zlib", "zlib"))}
    tag = _tools(client, row, say)
    try:
        made = layer.Layer()
        made.skeleton()
        with tarfile.open(fileobj=io.BytesIO(_compile(client, row, tag, sources, say))) as out:
            for member in out:
                member.name, member.mtime = member.name.partition("/")[2] or ".", 0  # no dates: same input, same bytes
            made.tree(out)
    finally:
        client.images.remove(tag, force=True)
    made.link("usr/bin/python", "../local/bin/python3")
    return made.finish()


def _tools(client: Any, row: Row, say: recipe.Say) -> str:
    """Make an image with a compiler. Returns its tag."""
    assert row.debian is not None
    made = recipe.root(row.debian[0], row.arch, TOOLS, say)
    made.link("usr/bin/awk", "mawk")
    made.link("usr/bin/sh", "dash")
    tag = "muxlab/%s-tools:%s" % (row.id, row.digest())
    with engine.errors_as_broken(row.id):
        client.images.load(layer.archive(tag, [made.finish()], row.arch, {
            "Env": ["PATH=" + recipe.PATH], "Labels": recipe.labels(row, "tools")}))
    return tag


def _compile(client: Any, row: Row, tag: str, sources: Any, say: recipe.Say) -> bytes:
    """Run musl.sh in a container. Returns the folder /out as a tar."""
    said: List[str] = []
    with engine.errors_as_broken(row.id):
        container = engine.create(client, tag, ["sh", "/src/musl.sh"], network_mode="none",
                                  environment={"SOURCE_DATE_EPOCH": "0"}, labels=engine.labels("build"))
        try:
            for name, content in sources.items():
                container.put_archive("/", _moved(content, name))
            made = layer.Layer()
            made.file("src/musl.sh", SCRIPT.read_bytes())
            container.put_archive("/", made.finish())
            container.start()
            for line in container.logs(stream=True, follow=True):
                said.append(one_line(line.decode("utf-8", "replace")))
                say(said[-1])
            if container.wait()["StatusCode"] != 0:
                raise Broken("%s: the build failed: %s" % (row.id, ": ".join(said[-2:])))
            return b"".join(container.get_archive("/out")[0])
        finally:
            engine.remove(container)


def _moved(content: bytes, where: str) -> bytes:
    """An uncompressed copy of a tarball in which the topmost folder is named ``where``."""
    made = layer.Layer()
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:*") as opened:
        members = opened.getmembers()
        for member in members:
            member.name = where + member.name[len(member.name.split("/")[0]):]
            if member.islnk():
                member.linkname = where + member.linkname[len(member.linkname.split("/")[0]):]
        made.tree(opened)
    return made.finish()
