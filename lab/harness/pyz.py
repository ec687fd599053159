"""Pack the portable part of the lab into one file, ``lab.pyz``, which any Python from 3.8 runs.

The same tree gives the same bytes, whoever builds it, when, on which system and Python: only ``.py`` files, in the
order of their names, with LF line ends, fixed times and permissions, and stored rather than deflated, because
zlib and its successors pack the same bytes differently. So two people can compare a checksum, and a container
layer with lab.pyz in it is cached.

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
"""The one folder that is not portable."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say
_UNIX = 3  # create_system: how to read the permissions; zipfile says 0 on Windows otherwise
_MODE = 0o100644


def sources(package: Path) -> Dict[str, bytes]:
    """The files of the archive by name, from the folder of the package ``lab``. ``__main__.py`` is there twice:
    at the top too, where the interpreter looks for it."""
    found = {}
    for path in package.rglob("*.py"):
        inside = path.relative_to(package)
        if inside.parts[0] != LEFT_OUT:
            found["lab/" + inside.as_posix()] = path.read_bytes().replace(b"\r\n", b"\n")
    found["__main__.py"] = found["lab/__main__.py"]
    return found


def pack(files: Dict[str, bytes]) -> bytes:
    """An executable zip archive of these files; the same for the same files."""
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
    """Make ``out`` an executable file of that content, in one step: who runs it meanwhile has the old or the new."""
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
    """Build the archive of ``package`` (the one that is running) at ``out``. Returns its bytes."""
    content = pack(sources(Path(lab.__file__).parent if package is None else package))
    write(out, content)
    return content


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Build, and print path, size and SHA-256."""
    parser = argparse.ArgumentParser(prog="python -m lab.harness.pyz", description="Build lab.pyz.")
    parser.add_argument("--out", type=Path, default=Path("dist", "lab.pyz"), help="default: %(default)s")
    out: Path = parser.parse_args(argv).out
    content = build(out)
    print("%s: %d bytes, sha256 %s" % (out, len(content), hashlib.sha256(content).hexdigest()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
