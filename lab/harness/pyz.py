"""Pack the portable part of the lab into one file, ``lab.pyz``, which every Python from 3.8 on can run.

The same source tree gives the same bytes at any time, on any system and any Python. The archive has only ``.py`` files,
sorted by name, with LF line ends and fixed times and permissions. It stores them uncompressed, because zlib and its
successors compress the same bytes differently. So two people can compare checksums, and an engine can cache an image
layer that contains lab.pyz.

    python -m lab.harness.pyz [--out dist/lab.pyz]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Dict, Optional, Sequence

import lab

SHEBANG = b"#!/usr/bin/env python3\n"
LEFT_OUT = "harness"
"""The one folder of lab/ that is not portable."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file can hold
_UNIX = 3  # create_system: how to read the permissions; on Windows zipfile would write 0
_MODE = 0o100644


def sources(package: Path) -> Dict[str, bytes]:
    """The files of the archive by name. ``package``: the folder of the package ``lab``. The archive has ``__main__.py``
    twice: once in the package, and once at the top, where the interpreter looks for it."""
    found = {}
    for path in package.rglob("*.py"):
        relative = path.relative_to(package)
        if relative.parts[0] != LEFT_OUT:
            found["lab/" + relative.as_posix()] = path.read_bytes().replace(b"\r\n", b"\n")
    found["__main__.py"] = found["lab/__main__.py"]
    return found


def pack(files: Dict[str, bytes]) -> bytes:
    """An executable zip archive of these files. The same files give the same bytes."""
    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = _UNIX
            info.external_attr = _MODE << 16
            archive.writestr(info, files[name])
    return buffer.getvalue()


def write(out: Path, content: bytes) -> None:
    """Write ``content`` to the executable file ``out`` in one step: a process that opens it gets the old or the new
    file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=out.name + ".", dir=str(out.parent))
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(name, 0o755)
        os.replace(name, out)
    except BaseException:
        os.unlink(name)
        raise


def build(out: Path, package: Optional[Path] = None) -> bytes:
    """Build the archive of ``package`` (default: the running one) and write it to ``out``. Returns its bytes."""
    content = pack(sources(Path(lab.__file__).parent if package is None else package))
    write(out, content)
    return content


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Build the archive, and print its path, size and SHA-256."""
    parser = argparse.ArgumentParser(prog="python -m lab.harness.pyz", description="Pack the portable part of the lab "
                                     "into one file that any Python from 3.8 on can run.")
    parser.add_argument("--out", type=Path, default=Path("dist", "lab.pyz"), help="the file to write; default: "
                        "%(default)s")
    out: Path = parser.parse_args(argv).out
    content = build(out)
    print("%s: %d bytes, sha256 %s" % (out, len(content), hashlib.sha256(content).hexdigest()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
