"""Debian's docker-registry on loopback: installed on this machine, or unpacked from its package.

An engine talks to a registry on 127.0.0.1 without TLS. The registry listens on port 0, and its log tells the real port.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import IO, Any, List, Optional

import requests
from debian.arfile import ArFile
from docker.errors import ImageNotFound

from lab.harness import engine
from lab.harness.images.debian import mirror
from tests.waits import CONTAINER

SUITE, PACKAGE = "bookworm", "docker-registry"
WANTED = re.compile(r"listening on 127\.0\.0\.1:(\d+)")
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

CONFIG = """\
version: 0.1
storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}
http: {addr: "127.0.0.1:0"}
"""


def program(folder: Path) -> str:
    """The docker-registry of this machine, or else of Debian's package; it needs only glibc."""
    here = shutil.which("docker-registry")
    if here is not None:
        return here
    index = mirror.Index(mirror.Suite(SUITE), "amd64")
    (package,) = (each for each in index.closure([PACKAGE]) if each["Package"] == PACKAGE)
    (content,) = index.fetch([package], lambda done, total: None)
    return str(unpack(content, folder))


def unpack(content: bytes, folder: Path) -> Path:
    """Extract the program from the package."""
    members = {member.name: member for member in ArFile(fileobj=io.BytesIO(content)).getmembers()}
    data = next(members[name] for name in members if name.startswith("data.tar"))
    made = folder / "docker-registry"
    with tarfile.open(fileobj=io.BytesIO(data.read()), mode="r:*") as opened:
        made.write_bytes(opened.extractfile("./usr/bin/docker-registry").read())  # type: ignore[union-attr]
    made.chmod(0o755)
    return made


class Registry:
    """A running registry, at ``host``. Call ``stop`` at the end."""

    def __init__(self, folder: Path) -> None:
        config = folder / "config.yml"
        config.write_text(CONFIG % (folder / "store"), encoding="utf-8")
        self._process = subprocess.Popen([program(folder), "serve", str(config)], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        port = _port(self._process.stderr)
        self._reader = threading.Thread(target=self._process.stderr.read)  # a full pipe blocks it
        self._reader.start()
        if port is None:
            self.stop()
            raise AssertionError("docker-registry did not start")
        self.host = "127.0.0.1:%d" % port

    def stop(self) -> None:
        """End the registry, unless it has ended already."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def push(self, client: Any, tag: str, name: str) -> str:
        """Push an image of the engine under another name, which is then removed from the engine. Returns the
        reference."""
        repository, _, version = name.partition(":")
        reference = "%s/%s" % (self.host, repository)
        assert client.images.get(tag).tag(reference, version)
        try:
            told: List[Any] = list(client.images.push(reference, version, stream=True, decode=True))
            assert [each for each in told if "error" in each] == []
        finally:
            forget(client, reference)
        return "%s:%s" % (reference, version)

    def delete(self, name: str, digest: str) -> None:
        """Delete a manifest."""
        address = "http://%s/v2/%s/manifests/%s" % (self.host, name, digest)
        assert requests.delete(address, headers={"Accept": MANIFEST}, timeout=CONTAINER).status_code == 202


def _port(log: IO[bytes]) -> Optional[int]:
    for line in log:
        found = WANTED.search(line.decode("utf-8", "replace"))
        if found:
            return int(found.group(1))
    return None


def left_by_us(client: Any) -> List[str]:
    """The names of the containers that this process has created and not removed."""
    mine = {"label": "%s=%s" % (engine.OWNER, engine.owner(os.getpid()))}
    return [each.name for each in client.containers.list(all=True, filters=mine)]


def forget(client: Any, repository: str) -> None:
    """Remove the names of this repository from the engine, and the images that have no other name."""
    for image in client.images.list(repository):
        for reference in [*image.tags, *image.attrs["RepoDigests"]]:
            if re.match(re.escape(repository) + r"[:@][^/]*$", reference):
                try:
                    client.images.remove(reference, force=True)
                except ImageNotFound:  # removing the last tag of a repository removes its digests
                    pass
