"""A root file system as one tar, out of Debian packages; and an image, as an engine loads it, out of such a tar.

Written by us rather than by ``docker import``, so that architecture, labels and environment are in it, and that the
same packages give the same bytes: the id of an image is the hash of its configuration, and that names the layer's.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import posixpath
import re
import tarfile
from typing import Any, List, Mapping, Set

from debian.arfile import ArFile

from lab.harness import images

_MERGED = re.compile(r"^(bin|sbin|lib|lib32|lib64|libx32|libo32)(?=/|$)")
"""Debian merges these into /usr; a package of an older suite may still ship them apart."""

_LEFT_OUT = re.compile(r"^usr/(share/(doc|man|locale|info|lintian|bug|doc-base|zoneinfo|pixmaps|applications|gcc)"
                       r"|lib/(python|pypy)3[^/]*/(test|idlelib|turtledemo|tkinter|lib2to3|ensurepip|pydoc_data)"
                       r"|lib/[^/]+/gconv|lib/systemd)(?=/|$)")
"""What no server and no probe looks at. usr/share/gcc are pretty printers, gconv is for iconv(3)."""

_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\nlab:x:10001:10001:muxlab:/tmp:/sbin/nologin\n"
                  "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n",
    "etc/group": "root:x:0:\nlab:x:10001:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


class Layer:
    """A tar that grows. Paths are relative, without ``./``; each goes in once, the first wins."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w", format=tarfile.GNU_FORMAT)
        self._there: Set[str] = set()

    def skeleton(self) -> None:
        """What packages take for granted: /tmp, users, and /bin and its like as links into /usr."""
        for name, mode in (("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("usr", 0o755), ("var", 0o755),
                           ("var/tmp", 0o1777), ("run", 0o755), ("proc", 0o555), ("sys", 0o555), ("dev", 0o755)):
            self.directory(name, mode)
        for name in ("bin", "sbin", "lib", "lib64"):
            self.directory("usr/" + name)
            self.link(name, "usr/" + name)
        for name, text in _FILES.items():
            self.file(name, text.encode("ascii"))

    def directory(self, name: str, mode: int = 0o755) -> None:
        """An empty directory."""
        self._add(_info(name, tarfile.DIRTYPE, mode))

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        info = _info(name, tarfile.SYMTYPE, 0o777)
        info.linkname = target
        self._add(info)

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """A file of root's."""
        info = _info(name, tarfile.REGTYPE, mode)
        info.size = len(content)
        self._add(info, io.BytesIO(content))

    def package(self, content: bytes) -> None:
        """All of a .deb but manuals and translations."""
        members = {member.name: member for member in ArFile(fileobj=io.BytesIO(content)).getmembers()}
        data = next(members[name] for name in members if name.startswith("data.tar"))
        with tarfile.open(fileobj=io.BytesIO(data.read()), mode="r:*") as opened:
            self.tree(opened)

    def tree(self, data: tarfile.TarFile) -> None:
        """All members of another tar, with the owners they have there."""
        for member in data:
            there = _plain(member.name)
            name = _merged(there)
            if name == "." or _LEFT_OUT.match(name):
                continue
            info = copy.copy(member)  # the original keeps its name: hard links are found by it
            info.name, info.uname, info.gname = name, "", ""
            content = data.extractfile(member) if member.isreg() else None
            if member.issym():
                info.linkname = _target(there, name, member.linkname)
            elif member.islnk():
                info.linkname = _merged(_plain(member.linkname))
                if info.linkname not in self._there:  # it was left out: this one becomes the file
                    content = data.extractfile(member)
                    info.type, info.size = tarfile.REGTYPE, len(content.read())  # type: ignore[union-attr]
                    content.seek(0)  # type: ignore[union-attr]
            self._add(info, content)

    def _add(self, info: tarfile.TarInfo, content: Any = None) -> None:
        if info.name not in self._there:
            self._there.add(info.name)
            self._tar.addfile(info, content)

    def finish(self) -> bytes:
        """The whole tar; nothing can be added after it."""
        self._tar.close()
        return self._buffer.getvalue()


def _info(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, 0
    return info


def _plain(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def _merged(name: str) -> str:
    return "usr/" + name if _MERGED.match(name) else name


def _target(there: str, name: str, target: str) -> str:
    """Where a symbolic link leads that was made for the place ``there``: a relative one counts from where it lies."""
    if there == name or target.startswith("/"):
        return target
    meant = _merged(posixpath.normpath(posixpath.join(posixpath.dirname(there), target)))
    return posixpath.relpath(meant, posixpath.dirname(name))


def archive(tag: str, layers: List[bytes], arch: str, config: Mapping[str, Any]) -> bytes:
    """What ``docker load`` takes: an image of these layers, with this tag. ``config`` is what `docker inspect` calls
    Config: Env, Cmd, Labels."""
    sums = ["sha256:" + hashlib.sha256(each).hexdigest() for each in layers]
    content = json.dumps({
        **images.ARCHITECTURES[arch], "os": "linux", "created": "1980-01-01T00:00:00Z", "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": sums},
        "history": [{"created": "1980-01-01T00:00:00Z", "created_by": "muxlab"} for _ in layers],
    }, sort_keys=True).encode("ascii")
    names = ["%s/layer.tar" % each.partition(":")[2] for each in sums]
    name = hashlib.sha256(content).hexdigest() + ".json"
    made = Layer()
    made.file(name, content)
    for path, each in zip(names, layers):
        made.file(path, each)
    made.file("manifest.json", json.dumps([{"Config": name, "RepoTags": [tag], "Layers": names}]).encode("ascii"))
    return made.finish()
