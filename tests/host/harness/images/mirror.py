"""A mirror of Debian's packages on loopback, made by hand: a suite of a few packages, and ways to answer wrongly."""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, Iterator, List, Mapping, Tuple, Union

SUITE, ARCH = "toy", "amd64"
INDEX = "main/binary-%s/Packages.xz" % ARCH

Answer = Union[bytes, int]
"""A body, or a status."""


def tar(members: Mapping[str, Any]) -> bytes:
    """A tar by name: bytes are a file, ("->", target) a symbolic link, ("=", target) a hard link, None a folder."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as opened:
        for name, what in members.items():
            info = tarfile.TarInfo(name)
            info.uname, info.mtime = "builder", 1
            if isinstance(what, bytes):
                info.size = len(what)
            elif what is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            else:
                info.type, info.linkname = (tarfile.SYMTYPE if what[0] == "->" else tarfile.LNKTYPE), what[1]
            opened.addfile(info, io.BytesIO(what) if isinstance(what, bytes) else None)
    return made.getvalue()


def deb(members: Mapping[str, Any]) -> bytes:
    """A package that holds these members."""
    made = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("control.tar.xz", lzma.compress(tar({}))),
                          ("data.tar.xz", lzma.compress(tar(members)))):
        made += ("%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, "100644", len(content))).encode("ascii")
        made += content + b"\n" * (len(content) % 2)
    return made


class Mirror:
    """What is served by path, and what was asked for. An entry of ``first`` is answered once, before the real one."""

    def __init__(self) -> None:
        self.files: Dict[str, Answer] = {}
        self.first: Dict[str, List[Answer]] = {}
        self.asked: List[str] = []
        self.address = ""
        self._paragraphs: List[str] = []

    def add(self, name: str, content: bytes = b"", **fields: str) -> str:
        """Take up a package; returns its path. ``Depends="a, b"`` and the like are its fields."""
        path = "pool/%s.deb" % name
        content = content or deb({"./usr/share/%s" % name: name.encode("ascii")})
        self.files[path] = content
        lines = ["Package: " + name, "Version: 1", "Filename: " + path,
                 "SHA256: " + hashlib.sha256(content).hexdigest()]
        lines += ["%s: %s" % (key.replace("_", "-"), value) for key, value in fields.items()]
        self._paragraphs.append("\n".join(lines) + "\n")
        self.publish()
        return path

    def publish(self, indices: bool = True) -> None:
        """Write the index of all packages, and an InRelease that vouches for it (or for nothing)."""
        index = lzma.compress("\n".join(self._paragraphs).encode("utf-8"))
        self.files["dists/%s/%s" % (SUITE, INDEX)] = index
        listed = " %s %d %s\n" % (hashlib.sha256(index).hexdigest(), len(index), INDEX if indices else "other")
        self.files["dists/%s/InRelease" % SUITE] = ("Suite: %s\nSHA256:\n%s" % (SUITE, listed)).encode("ascii")

    def answer(self, path: str) -> Tuple[int, bytes]:
        """Status and body."""
        self.asked.append(path)
        waiting = self.first.get(path)
        found = waiting.pop(0) if waiting else self.files.get(path, 404)
        return (found, b"") if isinstance(found, int) else (200, found)


@contextmanager
def served() -> Iterator[Mirror]:
    """A mirror at an address of its own."""
    mirror = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = mirror.answer(self.path.lstrip("/"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *told: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    mirror.address = "http://127.0.0.1:%d" % server.server_address[1]
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
