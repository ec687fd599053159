"""A container engine for one test that may damage it: it has its own disk, sockets and network, and shares only the
programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Optional, Type

import pytest
from docker.client import DockerClient

from lab.address import UNIX
from tests.waits import CONTAINER

_os: Any = os  # typed loosely: some of its names exist only on POSIX


class OwnEngine:
    """dockerd on a file system of ``size``, in a network namespace of its own, because in the common one a second
    dockerd without a bridge would remove the bridge of the first. It needs root; without it the test is skipped."""

    def __init__(self, folder: Path, size: str) -> None:
        if not hasattr(os, "geteuid") or _os.geteuid() != 0 or shutil.which("dockerd") is None:
            pytest.skip("an engine of its own needs root and dockerd on this machine")
        self._folder, self._size = folder, size
        self.address = "unix://%s" % (folder / "engine.sock")
        self.client: Any = None
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._log: Optional[IO[bytes]] = None

    def __enter__(self) -> OwnEngine:
        (self._folder / "disk").mkdir()
        self._run("mount", "-t", "tmpfs", "-o", "size=%s" % self._size, "tmpfs", str(self._folder / "disk"))
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self) -> None:
        self._log = open(self._folder / "log", "wb")  # noqa: SIM115  # until __exit__
        (self._folder / "config.json").write_text("{}")  # so that it ignores the configuration of this machine
        self._process = subprocess.Popen(
            ["unshare", "--net", "--", "dockerd", "--config-file", str(self._folder / "config.json"),
             "--host", self.address, "--pidfile", str(self._folder / "pid"), "--exec-root", str(self._folder / "exec"),
             "--data-root", str(self._folder / "disk" / "data"), "--bridge", "none", "--iptables=false",
             "--ip6tables=false", "--shutdown-timeout", "2"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + CONTAINER
        while not self._listens():
            if time.monotonic() > deadline or self._process.poll() is not None:
                pytest.fail("no engine of its own: %s" % (self._folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)
        self.client = DockerClient(base_url=self.address)

    def _listens(self) -> bool:
        with socket.socket(UNIX) as sock:
            try:
                sock.connect(self.address[len("unix://"):])
            except OSError:  # ENOENT, ECONNREFUSED: not yet
                return False
            return True

    def load(self, name: str) -> None:
        """Load the image of a row into it, from the common engine."""
        from lab.harness import engine, images
        from lab.harness.images import make

        common = engine.connect()
        try:
            tag = make.ensure(common, images.find(name), lambda said: None)
            self.client.images.load(b"".join(common.images.get(tag).save(named=tag)))
        finally:
            common.close()

    def fill_disk(self) -> None:
        """Fill its disk completely."""
        with contextlib.suppress(OSError), open(self._folder / "disk" / "filler", "wb", buffering=0) as file:  # ENOSPC
            while True:
                file.write(bytes(1 << 20))
        with contextlib.suppress(OSError), open(self._folder / "disk" / "rest", "wb", buffering=0) as file:
            while True:
                file.write(b"x")

    def stop(self) -> None:
        """End it as a machine that shuts down does: its containers end first."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(CONTAINER)

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        if self.client is not None:
            self.client.close()
        for name in ("filler", "rest"):
            with contextlib.suppress(FileNotFoundError):
                (self._folder / "disk" / name).unlink()
        self.stop()
        if self._log is not None:
            self._log.close()
        for mount in _mounts_below(self._folder):
            self._run("umount", "--lazy", mount)

    @staticmethod
    def _run(*words: str) -> None:
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _mounts_below(folder: Path) -> Any:
    """Mount points at and below a folder, innermost first."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        found = [line.split()[1] for line in file]
    return sorted((each for each in found if Path(each) == folder or folder in Path(each).parents), reverse=True)
