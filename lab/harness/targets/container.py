"""``docker:IMAGE[@RUNTIME]``: any image, under any OCI runtime of the engine. Nothing but a Python is needed in it.

IMAGE is an id of docker/images.toml, which is made first where it is not here, or whatever the engine calls an image.
lab.pyz is put into a container of it that has no network and a pinned limit of descriptors, so that two images differ
in nothing that the lab could keep the same; records come back on its standard output. The container is removed also
after a crash or Ctrl-C; what a SIGKILL leaves, the next run removes.

What the lab cannot see from inside goes into the facts: the image's digest, the runtime and its engine.
"""

from __future__ import annotations

import functools
import re
import threading
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import LogConfig

from lab import records
from lab.errors import Broken, NotHere, Usage
from lab.harness import engine, images, runtimes
from lab.harness.images import interpreter, layer, make
from lab.harness.targets._base import Progress, Request, Target, last_line, parse_output

EMULATED = 4.0
"""How much longer all waits are under qemu-user."""

_PYZ = "/muxlab.pyz"
_REFERENCE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/:-]*(@sha256:[0-9a-f]{64})?$")


class Image(NamedTuple):
    """An image that is in the engine: how to name it there, and what it is."""

    reference: str
    digest: str  # of the registry's manifest where it came from one, else of the image's configuration
    emulated: bool


MEMORY = "2g"
"""For a container: eight cells at once, and gVisor's own besides, which was 0.3 GB where it was watched."""


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
            raise Usage('docker:%s: no image is called so; try docker:trixie, docker:python:3.13-slim@runsc'
                        % ascii(text)[1:-1])
        return [cls(image, runtime or None)]

    def collect(self, request: Request, progress: Progress) -> records.Records:
        """Run `lab probe` in a container. Raises ``NotHere`` for an engine, a runtime, an image or a Python that is not
        here, ``Broken`` where it does not bring records back."""
        client = engine.connect()
        try:
            with engine.errors_as_broken(self.name):
                _sweep()
                runtime = engine.check_runtime(client, self.runtime, self.name)
                image = self._image(client, request.say)
                python = request.python or self._find_python(client, image)
                found = self._run(client, request, image, runtime, python, progress)
                facts = {**found.platform.facts, "container": self._facts(client, image, runtime)}
        finally:
            client.close()
        return found._replace(platform=records.Platform.of(facts, found.platform.slow, found.platform.started))

    def stop(self) -> None:
        """Remove the container, which ends whatever waits for it."""
        self._stopped.set()
        container = self._container
        if container is not None:
            try:
                engine.remove(container)
            except Exception:  # whatever the engine says, collect() meets it too, and tells it
                pass

    # The image, and the Python in it.

    def _image(self, client: Any, say: Callable[[str], None]) -> Image:
        rows = images.load()
        if self.image in rows:
            made = make.made(client, rows[self.image], lambda said: None)
            if made.how != make.HERE:
                say("%s: %s%s" % (self.image, made.how, "; " + made.why_not if made.why_not else ""))
            return _inspect(client, made.tag)
        try:
            return _inspect(client, self.image)
        except ImageNotFound:
            pass
        try:
            client.images.pull(*_split(self.image))
            return _inspect(client, self.image)
        except Exception as error:  # requests', docker's, urllib3's: whichever it is, the image does not come
            raise NotHere("%s: neither here nor to be pulled: %s; `lab images list` names what can be made" % (
                self.name, engine.one_line(str(getattr(error, "explanation", None) or error)))) from None

    def _find_python(self, client: Any, image: Image) -> str:
        path = interpreter.find(client, image.reference)
        if path is None:
            raise NotHere("%s: there is no Python in this image; name it with --python PATH, or use an image that has "
                          "one" % self.name)
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
            log_config=LogConfig(type=LogConfig.types.JSON))  # where we read it, whatever the engine's default is
        try:
            if self._stopped.is_set():
                raise Broken("%s: stopped" % self.name)
            pyz = layer.Layer()
            pyz.file(_PYZ[1:], request.pyz.read_bytes())
            container.put_archive("/", pyz.finish())
            lines, errors = self._read(container, progress)
            code, oom = container.wait(timeout=30)["StatusCode"], _state(container)["OOMKilled"]
        except NotFound:
            raise Broken("%s: somebody removed the container while it ran; run it again" % self.name) from None
        finally:
            engine.remove(container)
        complaint = last_line(errors)
        return parse_output(self.name, code, lines, complaint, self._stopped.is_set(), ", out of memory" if oom else "")

    def _read(self, container: Any, progress: Progress) -> Tuple[List[bytes], str]:
        """Start it, and read to the end what it writes: its lines, and the last of its errors."""
        try:
            container.start()
        except APIError as error:
            said = engine.one_line(engine.explanation(error))
            raise (NotHere if "exec" in said else Broken)("%s: it does not start: %s" % (self.name, said)) from None
        lines: List[bytes] = []
        for line in _lines(container.logs(stdout=True, stderr=False, stream=True, follow=True)):
            lines.append(line)
            progress(len(lines) - 1)
        return lines, container.logs(stdout=False, stderr=True)[-4096:].decode("utf-8", "replace")

    def _facts(self, client: Any, image: Image, runtime: str) -> Dict[str, Any]:
        return {"image": image.digest, "runtime": runtime, "version": engine.runtime_version(client, runtime),
                "engine": str(client.version().get("Version", "")), "emulated": image.emulated}


@functools.lru_cache(maxsize=None)
def _sweep() -> None:
    """Once a run: remove what killed ones left."""
    client = engine.connect()
    try:
        engine.sweep(client)
    finally:
        client.close()


def _split(reference: str) -> Tuple[str, Optional[str]]:
    """What to pull: a name, and a tag unless the name has a tag or a digest itself."""
    return reference, None if "@" in reference or ":" in reference.rpartition("/")[2] else "latest"


def _inspect(client: Any, reference: str) -> Image:
    """Raises ``ImageNotFound``."""
    found = client.images.get(reference)
    own = client.version().get("Arch", "")
    arch = found.attrs.get("Architecture") or own
    digests = [each.partition("@")[2] for each in found.attrs.get("RepoDigests") or []]
    return Image(reference, digests[0] if digests else str(found.id),
                 arch != own and (own, arch) != ("amd64", "386"))


def _state(container: Any) -> Dict[str, Any]:
    container.reload()
    return dict(container.attrs["State"])


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, as they come; what stands behind the last line end is one, too."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


TARGET = Container
