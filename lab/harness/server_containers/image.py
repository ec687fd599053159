"""Build the server image on any base image, from docker/server/Dockerfile, lab.pyz and the base's own Python.

The engine's classic builder builds it, because every engine has that one. The build runs no program, so a base of a
foreign architecture needs no emulator for it. The image's tag is a hash of everything that goes into the image. So an
image that was built once is found again.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, List, Tuple

from docker.errors import APIError, BuildError, ImageNotFound

import lab
from lab.errors import Broken, NotHere, Usage
from lab.harness import engine, images, pyz
from lab.harness.images import interpreter, layer, make
from lab.harness.images.debian import recipe
from lab.text import one_line, shown

DOCKERFILE = images.FOLDER / "server" / "Dockerfile"
PROGRAM = "python3"
"""The Dockerfile's name of Python. We replace it by the path of the Python that the base image has."""
REPOSITORY = "muxlab/server"
_BUILT_FOR = engine.LABEL + ".built-for"
"""The label with an image's scope and base. Containers inherit it, so it must differ from the labels of ``engine``."""


def base(client: Any, name: str, say: recipe.Say) -> str:
    """The reference of a base image. ``name`` is a row of images.toml, whose image is made if needed, or an image that
    the engine has. Raises ``NotHere`` or ``Usage``."""
    if name in images.names():
        return make.ensure(client, images.find(name), say)
    with engine.errors_as_broken(one_line(name)):
        try:
            client.images.get(name)
        except ImageNotFound:
            raise NotHere('the engine has no image "%s": pull it first, or use one of: %s' % (
                one_line(name), ", ".join(images.names()))) from None
        except APIError as error:
            if error.status_code == 400:
                raise Usage('--image "%s": %s' % (shown(name), one_line(engine.explanation(error)))) from None
            raise
    return name


def ensure(client: Any, reference: str, say: recipe.Say) -> str:
    """Build the server image on this base, unless the engine has it. Returns its tag. Raises ``NotHere`` if the base
    has no Python that can run the lab, ``Broken`` if the engine fails."""
    archive = pyz.pack(pyz.sources(Path(lab.__file__).parent))
    text = DOCKERFILE.read_text(encoding="utf-8")
    with engine.errors_as_broken(reference):
        identity = str(client.images.get(reference).id)
    made = hashlib.sha256("\0".join((identity, text)).encode("utf-8") + archive)
    tag = "%s:%s" % (REPOSITORY, made.hexdigest()[:12])
    with engine.errors_as_broken(reference):
        try:
            client.images.get(tag)
            return tag
        except ImageNotFound:
            pass
    say("looking for the image's Python")
    program = python(client, reference)
    say("building the server image")
    text = text.replace(json.dumps(PROGRAM), json.dumps(program))
    _build(client, reference, tag, [("Dockerfile", text.encode("utf-8")), ("lab.pyz", archive)])
    return tag


def python(client: Any, reference: str) -> str:
    """The path of a Python in an image, 3.8 or newer. Raises ``NotHere``."""
    with engine.errors_as_broken(reference):
        program = interpreter.find(client, reference)
    if program is None:
        raise NotHere("%s: there is no Python in this image; the lab needs 3.8 or newer" % reference)
    said = _try(client, reference, [program, "-c", "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"])
    major, dot, minor = said.partition(".")
    if dot and major.isdigit() and minor.isdigit():
        if (int(major), int(minor)) >= (3, 8):
            return program
        raise NotHere("%s: its Python is %s; the lab needs 3.8 or newer" % (reference, said))
    if "exec format error" in said:
        raise NotHere("%s: the image is for another architecture, which this machine cannot run; on Debian: apt-get "
                      "install qemu-user-static" % reference)
    raise NotHere("%s: its Python (%s) does not start: %s" % (reference, program, one_line(said)))


def _try(client: Any, reference: str, command: List[str]) -> str:
    """Run a command in a container. Returns its output, or the reason why the engine cannot start it."""
    with engine.errors_as_broken(reference):
        container = engine.create(client, reference, entrypoint=command, command=[], network_mode="none",
                                  labels=engine.labels("build"))
        try:
            try:
                container.start()
            except APIError as error:
                return engine.explanation(error)
            container.wait()
            return str(container.logs().decode("utf-8", "replace").strip())
        finally:
            engine.remove(container)


def _build(client: Any, reference: str, tag: str, files: List[Tuple[str, bytes]]) -> None:
    built_for = "%s %s" % (engine.scope(), reference.partition(":")[0])
    with engine.errors_as_broken(reference):
        try:
            client.images.build(fileobj=_context(files), custom_context=True, tag=tag, buildargs={"BASE": reference},
                                labels={_BUILT_FOR: built_for, engine.LABEL + ".source": "built"}, rm=True,
                                forcerm=True)
        except BuildError as error:
            raise Broken("%s: cannot build the server image: %s" % (
                reference, one_line(str(error.msg)))) from None
        for older in client.images.list(filters={"label": "%s=%s" % (_BUILT_FOR, built_for)}):
            if tag not in older.tags:
                _forget(client, older)


def _forget(client: Any, image: Any) -> None:
    """Remove an image that a newer one has replaced, unless a container uses it."""
    for tag in image.tags:
        try:
            client.images.remove(tag)
        except APIError as error:
            if error.status_code not in (404, 409):
                raise


def _context(files: List[Tuple[str, bytes]]) -> io.BytesIO:
    """The files as a tar. The same files give the same bytes, so that the engine's build cache works."""
    made = layer.Layer()
    for name, content in files:
        made.file(name, content)
    return io.BytesIO(made.finish())
