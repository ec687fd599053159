"""The server image on any base: docker/server/Dockerfile, lab.pyz, and the base's own Python.

Built by the engine's classic builder, which every engine has. Nothing runs while it is built, so a base of a foreign
architecture needs no emulation for it. What was built once is found again by the hash of all that went in.
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

DOCKERFILE = images.FOLDER / "server" / "Dockerfile"
PROGRAM = "python3"
"""What the Dockerfile calls Python; an image may have it elsewhere, or by another name."""
REPOSITORY = "muxlab/server"
_BUILT_FOR = engine.LABEL + ".built-for"
"""Label of an image: the scope, and the base. Containers inherit labels, so it must not be that of ``engine``."""


def base(client: Any, name: str, say: recipe.Say) -> str:
    """The reference that a name stands for: a row of images.toml, made if needed, or any image that the engine has.
    Raises ``NotHere``."""
    if name in images.names():
        return make.ensure(client, images.find(name), say)
    with engine.errors_as_broken(engine.one_line(name)):
        try:
            client.images.get(name)
        except ImageNotFound:
            raise NotHere('the engine has no image "%s": pull it first, or take one of: %s' % (
                engine.one_line(name), ", ".join(images.names()))) from None
        except APIError as error:
            if error.status_code == 400:
                raise Usage("--image %s: %s" % (ascii(name), engine.one_line(engine.explanation(error)))) from None
            raise
    return name


def ensure(client: Any, reference: str, say: recipe.Say) -> str:
    """The tag of the server image on this base. Raises ``NotHere`` where the base has no Python that we could use,
    ``Broken`` where the engine refuses."""
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
    say("looking for its Python")
    program = python(client, reference)
    say("building the server image")
    text = text.replace(json.dumps(PROGRAM), json.dumps(program))
    _build(client, reference, tag, [("Dockerfile", text.encode("utf-8")), ("lab.pyz", archive)])
    return tag


def python(client: Any, reference: str) -> str:
    """The path of a Python from 3.8 in an image. Raises ``NotHere``."""
    with engine.errors_as_broken(reference):
        program = interpreter.find(client, reference)
    if program is None:
        raise NotHere("%s: there is no Python in this image; the lab needs one from 3.8" % reference)
    said = _try(client, reference, [program, "-c", "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"])
    major, dot, minor = said.partition(".")
    if dot and major.isdigit() and minor.isdigit():
        if (int(major), int(minor)) >= (3, 8):
            return program
        raise NotHere("%s: its Python is %s; the lab needs 3.8 or newer" % (reference, said))
    if "exec format error" in said:
        raise NotHere("%s: it is for another architecture, which nothing here can run; on Debian: apt-get install "
                      "qemu-user-static" % reference)
    raise NotHere("%s: its Python (%s) does not start: %s" % (reference, program, engine.one_line(said)))


def _try(client: Any, reference: str, command: List[str]) -> str:
    """What it says, or why it cannot be started."""
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
            raise Broken("%s: the server image cannot be built: %s" % (
                reference, engine.one_line(str(error.msg)))) from None
        for older in client.images.list(filters={"label": "%s=%s" % (_BUILT_FOR, built_for)}):
            if tag not in older.tags:
                _forget(client, older)


def _forget(client: Any, image: Any) -> None:
    """Remove an image that a newer one has replaced, unless a container still needs it."""
    for tag in image.tags:
        try:
            client.images.remove(tag)
        except APIError as error:
            if error.status_code not in (404, 409):
                raise


def _context(files: List[Tuple[str, bytes]]) -> io.BytesIO:
    """A tar that is always the same for the same files, so that the engine's cache knows it again."""
    made = layer.Layer()
    for name, content in files:
        made.file(name, content)
    return io.BytesIO(made.finish())
