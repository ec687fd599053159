"""Make a root file system, as one tar, from Debian packages, and an image that an engine can load from such tars.

``docker import`` would also make an image of a tar, but without architecture, labels and environment. Our own code puts
these in, and makes the same bytes from the same packages. An image's id is the hash of its configuration, and that
contains the hashes of the layers. So the same packages give the same id.
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
"""Debian merges these folders into /usr; a package of an older suite may still have files outside."""

_LEFT_OUT = re.compile(r"^usr/(share/(doc|man|locale|info|lintian|bug|doc-base|zoneinfo|pixmaps|applications|gcc)"
                       r"|lib/(python|pypy)3[^/]*/(test|idlelib|turtledemo|tkinter|lib2to3|ensurepip|pydoc_data)"
                       r"|lib/[^/]+/gconv|lib/systemd)(?=/|$)")
"""The files that no server and no probe needs. usr/share/gcc has pretty printers, gconv is for iconv(3)."""

_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\nlab:x:10001:10001:muxlab:/tmp:/sbin/nologin\n"
                  "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n",
    "etc/group": "root:x:0:\nlab:x:10001:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


class Layer:
    """A tar to which files are added. Paths are relative, without ``./``. If a path is added twice, the first wins."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w", format=tarfile.GNU_FORMAT)
        self._names: Set[str] = set()

    def skeleton(self) -> None:
        """Add what packages expect to exist: /tmp, users, and /bin, /sbin, /lib and /lib64 as links into /usr."""
        for name, mode in (("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("usr", 0o755), ("var", 0o755),
                           ("var/tmp", 0o1777), ("run", 0o755), ("proc", 0o555), ("sys", 0o555), ("dev", 0o755)):
            self.directory(name, mode)
        for name in ("bin", "sbin", "lib", "lib64"):
            self.directory("usr/" + name)
            self.link(name, "usr/" + name)
        for name, text in _FILES.items():
            self.file(name, text.encode("ascii"))

    def directory(self, name: str, mode: int = 0o755) -> None:
        """Add an empty directory."""
        self._add(_info(name, tarfile.DIRTYPE, mode))

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        info = _info(name, tarfile.SYMTYPE, 0o777)
        info.linkname = target
        self._add(info)

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """Add a file that belongs to root."""
        info = _info(name, tarfile.REGTYPE, mode)
        info.size = len(content)
        self._add(info, io.BytesIO(content))

    def package(self, content: bytes) -> None:
        """Add the content of a .deb package, without manuals, translations and the like (_LEFT_OUT)."""
        members = {member.name: member for member in ArFile(fileobj=io.BytesIO(content)).getmembers()}
        data = next(members[name] for name in members if name.startswith("data.tar"))
        with tarfile.open(fileobj=io.BytesIO(data.read()), mode="r:*") as opened:
            self.tree(opened)

    def tree(self, data: tarfile.TarFile) -> None:
        """Add the members of another tar, with their owners, except _LEFT_OUT."""
        for member in data:
            there = _plain(member.name)
            name = _merged(there)
            if name == "." or _LEFT_OUT.match(name):
                continue
            info = copy.copy(member)  # tarfile finds hard links by the name of the original, so do not change that
            info.name, info.uname, info.gname = name, "", ""
            content = data.extractfile(member) if member.isreg() else None
            if member.issym():
                info.linkname = _target(there, name, member.linkname)
            elif member.islnk():
                info.linkname = _merged(_plain(member.linkname))
                if info.linkname not in self._names:  # the file was left out: add this link as a file
                    content = data.extractfile(member)
                    info.type, info.size = tarfile.REGTYPE, len(content.read())  # type: ignore[union-attr]
                    content.seek(0)  # type: ignore[union-attr]
            self._add(info, content)

    def _add(self, info: tarfile.TarInfo, content: Any = None) -> None:
        if info.name not in self._names:
            self._names.add(info.name)
            self._tar.addfile(info, content)

    def finish(self) -> bytes:
        """Close the tar. Returns its bytes; nothing can be added after that."""
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
    """The target of a symbolic link after it moved from ``there`` to ``name``: a relative target must move, too."""
    if there == name or target.startswith("/"):
        return target
    meant = _merged(posixpath.normpath(posixpath.join(posixpath.dirname(there), target)))
    return posixpath.relpath(meant, posixpath.dirname(name))


def archive(tag: str, layers: List[bytes], arch: str, config: Mapping[str, Any]) -> bytes:
    """An archive for ``docker load``: an image with these layers and this tag. ``config`` is the part that `docker
    inspect` shows as Config: Env, Cmd, Labels."""
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
