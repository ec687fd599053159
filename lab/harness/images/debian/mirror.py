"""Read Debian's packages from a mirror: find them by suite and architecture, fetch them, and check every byte.

We install nothing and run nothing. A package is an archive, and an image that only starts Python does not need what the
package's maintainer scripts do. So any machine makes an image of any architecture, without root, in seconds. We check
packages by the SHA-256 sums of the index, the index by that of InRelease, and InRelease by Debian's signature. The last
check needs ``gpgv`` and Debian's keys, which Debian machines have; ``Suite.is_signed`` shows whether it was made.

We accept a Release that has expired: on an old mirror, that of testing often has, and it still lists what the mirror
has.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence

import requests
from debian.deb822 import Packages, Release, Sources

from lab.errors import Broken, NotHere
from lab.harness import engine
from lab.text import one_line

MIRROR = "LAB_DEBIAN_MIRROR"
"""The environment variable with the address of a mirror, e.g. a company's own."""

KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PATIENCE = 60.0
"""Seconds within which the mirror must send the next byte."""
TRIES = 3
PAUSE = 1.0
"""Seconds before the second try, and twice as many before the third: a mirror may be busy, or in an update."""
THREADS = 6


class MirrorFails(Broken):
    """The mirror does not answer, or its answer does not match its own index."""


def mirror() -> str:
    """The address of a mirror: from LAB_DEBIAN_MIRROR, or the one that this machine's apt uses. Raises ``NotHere``."""
    named = os.environ.get(MIRROR)
    if named:
        return named.rstrip("/")
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        found = re.search(r"^(?:deb (?:\[[^]]*\] )?|URIs: *)(https?://\S+/debian)/?(?:\s|$)", text, re.MULTILINE)
        if found:
            return found.group(1)
    raise NotHere("this machine's apt names no mirror of Debian's packages: set %s to the address of one" % MIRROR)


def fetch(address: str, sha256: Optional[str] = None) -> bytes:
    """The file at this address, which must have this checksum. Raises ``MirrorFails``."""
    why = ""
    for number in range(TRIES):
        if number:
            time.sleep(number * PAUSE)
        try:
            answer = requests.get(address, timeout=PATIENCE)
        except (requests.RequestException, ValueError) as error:  # ValueError: it is not an address
            why = "cannot be fetched: %s" % engine.root_cause(error)
            continue
        if answer.status_code in (403, 404, 410):
            why = "cannot be fetched: HTTP status %d" % answer.status_code
            break
        if answer.status_code != 200:
            why = "cannot be fetched: HTTP status %d" % answer.status_code
        elif sha256 is None or hashlib.sha256(answer.content).hexdigest() == sha256:
            return answer.content
        else:
            why = "does not match the index (SHA-256); the mirror may be in the middle of an update"
    raise MirrorFails("%s %s; try again later, or name another mirror by %s" % (one_line(address), why, MIRROR))


class Suite:
    """One suite on one mirror, and the checksums in its InRelease. Raises ``Broken`` and ``NotHere``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mirror = mirror()
        found = fetch("%s/dists/%s/InRelease" % (self.mirror, name))
        signed = _signed(found, name)
        self.is_signed = signed is not None
        """Whether we have checked Debian's signature; False if this machine cannot check it."""
        text = (found if signed is None else signed).decode("utf-8", "replace")  # must not raise, whatever it contains
        release: Any = Release(text)
        self._sums = {each["name"]: each["sha256"] for each in release.get("SHA256", ()) if len(each) == 3}
        if not self._sums:
            raise Broken("%s: the answer of %s is not an InRelease file of Debian" % (
                name, one_line(self.mirror)))

    def index(self, path: str) -> str:
        """The text of an index file, e.g. ``main/binary-amd64/Packages``. Raises ``Broken``."""
        name = path + ".xz"
        if name not in self._sums:
            raise Broken("%s: the suite has no %s on %s" % (self.name, path, one_line(self.mirror)))
        return lzma.decompress(fetch("%s/dists/%s/%s" % (self.mirror, self.name, name), self._sums[name])).decode()


def can_check_signatures() -> bool:
    """Whether this machine has gpgv and Debian's keys."""
    return shutil.which("gpgv") is not None and KEYS.is_file()


def _signed(content: bytes, name: str) -> Optional[bytes]:
    """The part of an InRelease file that Debian has signed; None if this machine cannot check the signature. One valid
    signature is enough: Debian signs a suite with the keys of two releases, and an older machine has only one of these
    keys. Raises ``Broken`` if the signature is wrong."""
    if not can_check_signatures():
        return None
    with tempfile.TemporaryDirectory(prefix="lab") as folder:
        signed, plain = Path(folder, "InRelease"), Path(folder, "Release")
        signed.write_bytes(content)
        done = subprocess.run(["gpgv", "-q", "--status-fd", "1", "--keyring", str(KEYS), "--output", str(plain),
                               str(signed)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False)
        status = {line.split()[1] for line in done.stdout.decode("ascii", "replace").splitlines()
                  if line.startswith("[GNUPG:] ")}
        if "VALIDSIG" not in status or "BADSIG" in status or not plain.is_file():
            raise Broken("%s: Debian did not sign this InRelease (gpgv: %s); do not use that mirror" % (
                name, ", ".join(sorted(status)) or "no signature"))
        return plain.read_bytes()


Binary = Mapping[str, Any]
"""The fields of one binary package in the index, ``Filename`` and ``SHA256`` among them."""


class Index:
    """The packages of one suite and architecture. Parsing 60,000 paragraphs would take a minute, so the index parses
    only those of the packages that are used."""

    def __init__(self, suite: Suite, arch: str) -> None:
        self.suite, self.arch = suite, arch
        self._paragraphs: Dict[str, str] = {}
        self._providers: Dict[str, str] = {}
        for paragraph in suite.index("main/binary-%s/Packages" % arch).split("\n\n"):
            if paragraph.startswith("Package: "):
                name = paragraph[9:paragraph.index("\n")]
                self._paragraphs[name] = paragraph
                provides = re.search(r"^Provides: (.*)$", paragraph, re.MULTILINE)
                for each in provides.group(1).split(",") if provides else ():
                    self._providers.setdefault(each.split("(")[0].strip(), name)

    def closure(self, names: Iterable[str], left_out: Iterable[str] = ()) -> List[Binary]:
        """These packages and all packages that they depend on, sorted by name. Of alternatives, take the first that
        exists. Leave out a dependency if its own name, or the name that it provides, is in ``left_out``. Raises
        ``Broken`` if the suite lacks a package."""
        found: Dict[str, Binary] = {}
        unwanted = set(left_out)
        todo = [(name, "") for name in names]
        while todo:
            name, wanted_by = todo.pop()
            real = self._real(name)
            if not real:
                raise Broken("%s has no package %s for %s%s" % (self.suite.name, one_line(name), self.arch,
                                                                wanted_by))
            if real in found:
                continue
            package: Any = Packages(self._paragraphs[real])
            found[real] = package
            for kind in ("pre-depends", "depends"):
                for alternatives in package.relations[kind]:
                    choice = self._choose([each["name"] for each in alternatives])
                    if not unwanted & {choice, self._real(choice)}:
                        todo.append((choice, ", which %s needs" % real))
        return [found[name] for name in sorted(found)]

    def _real(self, name: str) -> str:
        """The package of that name, or the first that provides it; empty if there is none."""
        return name if name in self._paragraphs else self._providers.get(name, "")

    def _choose(self, alternatives: Sequence[str]) -> str:
        return next((each for each in alternatives if self._real(each)), alternatives[0])

    def fetch(self, packages: Sequence[Binary], progress: Callable[[int, int], None]) -> List[bytes]:
        """Fetch the archives of these packages. Returns them in the same order. Calls ``progress(fetched, total)``
        after each. Raises ``Broken``."""
        found = []
        with ThreadPoolExecutor(THREADS) as pool:
            jobs = [pool.submit(fetch, "%s/%s" % (self.suite.mirror, each["Filename"]), each["SHA256"])
                    for each in packages]
            try:
                for job in jobs:
                    found.append(job.result())
                    progress(len(found), len(jobs))
            finally:  # after an error or Ctrl-C, do not fetch the rest
                for job in jobs:
                    job.cancel()
        return found


def source(suite: Suite, package: str) -> bytes:
    """The upstream tarball of a source package. Raises ``Broken``."""
    text = suite.index("main/source/Sources")
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("Package: %s\n" % package):
            found = Sources(paragraph)
            for each in found["Checksums-Sha256"]:
                if re.search(r"\.orig\.tar\.\w+$", each["name"]):
                    address = "%s/%s/%s" % (suite.mirror, found["Directory"], each["name"])
                    return fetch(address, each["sha256"])
    raise Broken("%s has no source package %s" % (suite.name, package))
