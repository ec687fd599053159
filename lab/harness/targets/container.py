"""``docker:IMAGE[@RUNTIME]``: any image that contains a Python, under any OCI runtime of the engine.

IMAGE is an id of docker/images.toml, which we make first if necessary, or the name of an image in the engine. We copy
lab.pyz into a container without a network and with a fixed limit of descriptors, so that two images differ in nothing
that the lab can keep the same. The container writes records to its standard output. We remove it also after a crash or
Ctrl-C; what a SIGKILL leaves behind, the next run removes.

We add to the facts what the lab cannot see from inside: the image's digest, the runtime and the engine.
"""

from __future__ import annotations

import functools
import re
import threading
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import LogConfig

from lab import records
from lab.architectures import native, of_engine
from lab.errors import Broken, NotHere, Usage
from lab.harness import engine, images, runtimes
from lab.harness.images import interpreter, layer, make
from lab.harness.targets._base import Progress, Request, Target, parse_output
from lab.text import last_line, one_line, shown

EMULATED = 4.0
"""The factor on all waits under qemu-user."""

_PYZ = "/muxlab.pyz"
_REFERENCE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/:-]*(@sha256:[0-9a-f]{64})?$")


class Image(NamedTuple):
    """An image in the engine. digest: of the registry's manifest where it came from a registry, else of the image's
    configuration."""

    reference: str
    digest: str
    emulated: bool


MEMORY = "2g"
"""For a container: eight cells at a time, and gVisor itself, which took 0.3 GB when we measured it."""


class Container(Target):
    """One image under one runtime."""

    kind = "docker"
    spelling = "docker:IMAGE[@RUNTIME]"

    def __init__(self, image: str, runtime: Optional[str] = None) -> None:
        self.image, self.runtime = image, runtime
        self.name = "docker:%s%s" % (image, "@" + runtime if runtime else "")
        self._container: Any = None
        self._stopped = threading.Event()

    @classmethod
    def parse(cls, text: str) -> List[Target]:
        """``trixie``, ``python:3.13-slim@runsc``, ``name@sha256:...@runsc``. Raises ``Usage``."""
        image, at, runtime = text.rpartition("@")
        if not at or runtime.startswith("sha256:"):
            image, at, runtime = text, "", ""
        if not _REFERENCE.match(image) or (at and not re.match(r"^[\w.-]+$", runtime)):
            raise Usage('docker:%s: not a name of an image; try docker:trixie or docker:python:3.13-slim@runsc'
                        % shown(text))
        return [cls(image, runtime or None)]

    def collect(self, request: Request, progress: Progress) -> records.Records:
        """Run `lab probe` in a container. Raises ``NotHere`` where the engine, the runtime, the image or a Python in it
        is missing, ``Broken`` where it writes no records."""
        client = engine.connect()
        try:
            with engine.errors_as_broken(self.name):
                _sweep()
                runtime = engine.check_runtime(client, self.runtime, self.name)
                image = self._image(client, request.say)
                python = request.python or self._find_python(client, image)
                found = self._run(client, request, image, runtime, python, progress)
                return with_container(found, client, image, runtime)
        finally:
            client.close()

    def stop(self) -> None:
        """Remove the container, so that ``collect`` reads to the end of its output."""
        self._stopped.set()
        container = self._container
        if container is not None:
            try:
                engine.remove(container)
            except Exception:  # collect() meets the same error and reports it
                pass

    # The image, and the Python in it.

    def _image(self, client: Any, say: Callable[[str], None]) -> Image:
        rows = images.load()
        if self.image in rows:
            made = make.obtain(client, rows[self.image], lambda said: None)
            if made.how != make.ALREADY_HERE:
                say("%s: %s%s" % (self.image, made.how, "; " + made.why_not_pulled if made.why_not_pulled else ""))
            return inspect(client, made.tag)
        try:
            return inspect(client, self.image)
        except ImageNotFound:
            pass
        try:
            client.images.pull(*_split(self.image))
            return inspect(client, self.image)
        except Exception as error:  # of requests, docker or urllib3: we have no image
            said = one_line(str(getattr(error, "explanation", None) or error))
            raise NotHere("%s: the engine lacks this image and cannot pull it: %s; `lab images list` shows what the "
                          "lab can make" % (self.name, said)) from None

    def _find_python(self, client: Any, image: Image) -> str:
        path = interpreter.find(client, image.reference)
        if path is None:
            raise NotHere("%s: we found no Python in this image; give its path with --python PATH, or use an image "
                          "that has one" % self.name)
        return path

    # The run.

    def _run(self, client: Any, request: Request, image: Image, runtime: str, python: str, progress: Progress
             ) -> records.Records:
        stretch = EMULATED if image.emulated else runtimes.slower(runtime)
        wanted = request._replace(slow=request.slow * stretch)
        command = [_PYZ, "probe", "--jsonl", *wanted.options()]
        container = self._container = engine.create(
            client, image.reference, command, entrypoint=[python], runtime=runtime, network_mode="none",
            working_dir="/tmp", environment={"PYTHONDONTWRITEBYTECODE": "1"}, labels=engine.labels("probe"),
            security_opt=["no-new-privileges"], pids_limit=512, mem_limit=MEMORY,
            tmpfs={"/tmp": "size=64m,mode=1777"}, ulimits=[engine.nofile()],
            log_config=LogConfig(type=LogConfig.types.JSON))  # we read it there; the engine may have another default
        try:
            if self._stopped.is_set():
                raise Broken("%s: stopped" % self.name)
            pyz = layer.Layer()
            pyz.file(_PYZ[1:], request.pyz.read_bytes())
            container.put_archive("/", pyz.finish())
            lines, errors = self._read(container, progress)
            code, oom = container.wait(timeout=30)["StatusCode"], _state(container)["OOMKilled"]
        except NotFound:
            raise Broken("%s: the container was removed while it ran, not by us; run it again" % self.name) from None
        finally:
            engine.remove(container)
        complaint = last_line(errors)
        return parse_output(self.name, code, lines, complaint, self._stopped.is_set(), ", out of memory" if oom else "")

    def _read(self, container: Any, progress: Progress) -> Tuple[List[bytes], str]:
        """Start the container and read its output to the end. Returns the lines, and the last 4 KiB of its errors."""
        try:
            container.start()
        except APIError as error:
            said = one_line(engine.explanation(error))
            kind = NotHere if "exec" in said else Broken
            raise kind("%s: the container does not start: %s" % (self.name, said)) from None
        lines: List[bytes] = []
        for line in _lines(container.logs(stdout=True, stderr=False, stream=True, follow=True)):
            lines.append(line)
            progress(len(lines) - 1)
        return lines, container.logs(stdout=False, stderr=True)[-4096:].decode("utf-8", "replace")


@functools.lru_cache(maxsize=None)
def _sweep() -> None:
    """Remove, once in each run, what killed runs have left behind."""
    client = engine.connect()
    try:
        engine.sweep(client)
    finally:
        client.close()


def _split(reference: str) -> Tuple[str, Optional[str]]:
    """What to pull: the name, and a tag unless the name contains a tag or a digest."""
    return reference, None if "@" in reference or ":" in reference.rpartition("/")[2] else "latest"


def with_container(found: records.Records, client: Any, image: Image, runtime: str) -> records.Records:
    """These records with the facts that cannot be read from inside: image, runtime, and their versions."""
    facts = {"image": image.digest, "runtime": runtime, "version": engine.runtime_version(client, runtime),
             "engine": str(client.version().get("Version", "")), "emulated": image.emulated}
    platform = found.platform
    return found._replace(platform=records.Platform.of({**platform.facts, "container": facts}, platform.slow,
                                                       platform.started))


def inspect(client: Any, reference: str) -> Image:
    """Raises ``ImageNotFound``."""
    found = client.images.get(reference)
    own = client.version().get("Arch", "")
    arch = found.attrs.get("Architecture") or own
    row = of_engine(arch)
    is_native = arch == own or (row is not None and row.debian in native(of_engine(own)))
    digests = [each.partition("@")[2] for each in found.attrs.get("RepoDigests") or []]
    return Image(reference, digests[0] if digests else str(found.id), not is_native)


def _state(container: Any) -> Dict[str, Any]:
    container.reload()
    return dict(container.attrs["State"])


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, as they arrive. Text behind the last line end is a line, too."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


TARGET = Container
