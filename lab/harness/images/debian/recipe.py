"""The content of an image that the lab makes: Debian's packages in one layer, and a configuration for any engine."""

from __future__ import annotations

import json
from typing import Callable, Dict, Iterable, List, Sequence

from lab.errors import Usage
from lab.harness import engine
from lab.harness.images import Row, layer
from lab.harness.images.debian import mirror

Say = Callable[[str], None]
"""A function that shows the user, in a few words, what is being done now."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

LEFT_OUT = frozenset(("awk", "debconf", "debconf-2.0", "dpkg", "install-info", "mawk", "media-types", "mime-support",
                      "netbase", "perl-base", "python3-pkg-resources", "tar", "tzdata",
                      "libdb5.3", "libdb5.3t64", "libgdbm6", "libgdbm6t64", "libncursesw6", "libnsl2", "libreadline8",
                      "libreadline8t64", "libsqlite3-0", "libtirpc3", "libtirpc3t64", "openssl-provider-legacy"))
"""The packages to leave out: those that only maintainer scripts need, and the libraries of curses, dbm, nis, readline
and sqlite3, which no server and no probe imports."""

_QEMU_CPU = {"arm64": "max,pauth=off"}
"""QEMU_CPU by architecture. Debian 13 for arm64 uses pointer authentication, which qemu computes bit by bit: `import
asyncio` took 26 s with it, and 2 s without (qemu 7.2)."""

_NURSERY = "PYPY_GC_NURSERY=4M"
"""A fixed size of PyPy's nursery. By default PyPy makes it half as large as the processor's last-level cache, however
little memory a container may use: 240 MB on a processor with 480 MB of cache."""


def packages(row: Row) -> List[str]:
    """The packages of an image: a Python with complete select, socket, selectors, asyncio and json modules. libc-bin
    has the locale C.UTF-8, which LANG names: without it PyPy 7.3.19 ends at its start."""
    if row.python.startswith("pypy"):
        return ["pypy3", "base-files", "libc-bin"]
    return ["python%s-minimal" % row.python, "libpython%s-stdlib" % row.python, "base-files", "libc-bin"]


def root(suite: str, arch: str, names: Sequence[str], say: Say, left_out: Iterable[str] = LEFT_OUT) -> layer.Layer:
    """A root file system with these packages and their dependencies. Raises ``Broken``."""
    say("reading the index of %s %s" % (suite, arch))
    index = mirror.Index(mirror.Suite(suite), arch)
    wanted = index.closure(names, left_out)
    content = index.fetch(wanted, lambda done, total: say("package %d of %d" % (done, total)))
    say("unpacking %d packages" % len(wanted))
    made = layer.Layer()
    made.skeleton()
    for each in content:
        made.package(each)
    return made


def build(row: Row, say: Say) -> bytes:
    """The root file system of a row, as a tar. Raises ``Broken``, or ``Usage`` if the row names no suite."""
    if row.debian is None:
        raise Usage("%s: no suite of Debian has this image; it can only be pulled" % row.id)
    made = root(*row.debian, packages(row), say)
    if not row.python.startswith("pypy"):
        made.link("usr/bin/python3", "python" + row.python)
    made.link("usr/bin/python", row.program)
    return made.finish()


def config(row: Row) -> Dict[str, object]:
    """The configuration of an image that the lab makes: environment, command and labels."""
    environment = ["PATH=" + PATH, "LANG=C.UTF-8"]
    if row.arch in _QEMU_CPU:
        environment.append("QEMU_CPU=" + _QEMU_CPU[row.arch])
    if row.python.startswith("pypy"):
        environment.append(_NURSERY)
    return {"Cmd": [row.program], "Env": environment, "Labels": labels(row, "debian")}


def labels(row: Row, source: str) -> Dict[str, str]:
    """The labels of every image of the lab. They are not those of ``engine.labels``: no process owns an image."""
    return {engine.LABEL + ".image": row.id, engine.LABEL + ".source": source,
            engine.LABEL + ".row": json.dumps(row._asdict(), sort_keys=True)}
