"""Run the portable tests inside an image: `python -m tools.in_image IMAGE [arguments for pytest]`.

`tox -e image-trixie` runs this. The image needs only a Python. We copy the source of this tree into a container, and
pytest with the other packages that the tests need, from wheels without compiled parts, which work on any architecture
and any libc. We copy both as archives, so the engine may be on another machine. The container has no network. It is
removed in any case, also after an error or Ctrl-C.

By default we run `tests/core`, which needs nothing but a Python.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence

from docker.errors import NotFound

from lab import records
from lab.errors import EXIT_INTERRUPTED, EXIT_USAGE, Broken, LabError, NotHere, reason
from lab.harness import engine, images
from lab.harness.images import architecture, make
from lab.harness.tables import toml
from lab.harness.targets.container import inspect, with_container
from lab.harness.verifying.observing import write
from lab.text import one_line
from tools import reports

SOURCE = "LAB_IMAGE_SOURCE"
"""The environment variable that restricts the sources of images to one: registry or debian."""

QUICK = ("-m", "not slow or long")
"""How pytest picks the tests where no argument is given: those that also run on the interpreters between the oldest and
the newest one."""

EMULATED = ("-m", "emulated")
"""How pytest picks what is run under emulation: the contract and what byte order could break. The rest measures time,
which qemu-user makes ten times longer."""

JUNIT, RECORDS = "junit.xml", "records.jsonl"
"""What the tests write into the folder of the tree in the container: pytest's report, and the records of the catalogue,
which tests/core/conformance/test_probes.py runs."""

KEPT = Path("build", "records", "inside")
"""Where the records are kept, below the root of the tree: ``make test-all`` judges them with those of the matrix."""

BACKPORTS = ("tomli", "exceptiongroup", "typing-extensions", "colorama")
"""Packages that pytest needs before Python 3.11, the last of them on Windows. pip decides by the Python that runs pip
whether to download them, not by the Python that they are for; so we name them."""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the tests. Returns pytest's exit code. SIGINT and SIGTERM also remove the container."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0].startswith("-"):
        print("usage: python -m tools.in_image IMAGE [arguments for pytest]", file=sys.stderr)
        return EXIT_USAGE
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(images.find(arguments[0]), arguments[1:], Path.cwd())
    except LabError as error:
        print("inside %s: %s" % (arguments[0], error), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def run(row: images.Row, arguments: Sequence[str], tree: Path) -> int:
    """Run pytest in the row's image on the source of this tree, and print its output. Returns its exit code."""
    report, kept = tree / reports.FOLDER / ("image-%s.xml" % row.id), tree / KEPT / (row.id + ".jsonl")
    for old in (report, kept):  # of an earlier run: whoever reads it later must not take it for one of this run
        if old.exists():
            old.unlink()
    client = engine.connect()
    try:
        tag = make.ensure(client, row, lambda text: None, os.environ.get(SOURCE, "auto"))
        content = [("src", sources(tree)), ("packages", packed(packages(row.python.replace("pypy", ""), tree)))]
        words = command(row, arguments, row.arch not in architecture.native(client))
        with engine.errors_as_broken("inside %s" % row.id), _container(client, row, tag, words) as container:
            for name, archive in content:
                container.put_archive("/" + name, archive)
            container.start()
            for piece in container.logs(stream=True, follow=True):
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
            code = int(container.wait()["StatusCode"])
            keep_report(container, report)
            keep_records(client, container, tag, kept.parent, row.id)
            return code
    finally:
        client.close()


def keep_report(container: Any, path: Path) -> None:
    """Copy pytest's report out of the container, if there is one: pytest writes none for a wrong command line."""
    content = copied(container, JUNIT)
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def keep_records(client: Any, container: Any, tag: str, folder: Path, name: str) -> None:
    """Copy the records out of the container, if the catalogue was among the tests, and add what cannot be read from
    inside."""
    content = copied(container, RECORDS)
    if content is not None:
        found = records.parse(content.splitlines(keepends=True), name)
        runtime = engine.check_runtime(client, None, name)
        write(folder, name, with_container(found, client, inspect(client, tag), runtime))


def copied(container: Any, name: str) -> Optional[bytes]:
    """The content of a file that the tests have written; None where they have not."""
    try:
        content = b"".join(container.get_archive("/src/" + name)[0])
    except NotFound:
        return None
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        file = tar.extractfile(name)
        return file.read() if file is not None else None


@contextlib.contextmanager
def _container(client: Any, row: images.Row, tag: str, words: Sequence[str]) -> Iterator[Any]:
    container = engine.create(
        client, tag, list(words), labels=engine.labels("tests"), network_mode="none", init=True, tmpfs={"/tmp": "exec"},
        ulimits=[engine.nofile()], working_dir="/src",
        volumes=["/src", "/packages"],  # anonymous: they create the folders for the archives, and go with the container
        environment={"PYTHONPATH": "/src:/packages", "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis",
                     "PYTHONPYCACHEPREFIX": "/tmp/pycache", "LAB_TEST_RECORDS": "/src/" + RECORDS,
                     "TOX_ENV_NAME": "image-%s" % row.id})
    try:
        yield container
    finally:
        engine.remove(container)


def command(row: images.Row, arguments: Sequence[str], is_emulated: bool = False) -> List[str]:
    """The command that is run inside. Without a path among the arguments it runs all of tests/core."""
    more = (pytest_words([*EMULATED, *arguments], timeout=600) if is_emulated else
            pytest_words(arguments or QUICK))
    return [row.program, *more, "--junitxml=/src/" + JUNIT]


def pytest_words(arguments: Sequence[str], paths: Sequence[str] = ("tests/core",), timeout: Optional[int] = None
                 ) -> List[str]:
    """The arguments with which a Python runs pytest. ``paths`` are run where the arguments name none; ``timeout`` is
    the seconds for one test, by default those of pyproject.toml."""
    default = [] if any(each.startswith("tests") for each in arguments) else paths
    return ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "auto", "--dist", "worksteal", "--reruns", "1",
            *(["--timeout=%d" % timeout] if timeout else []), *arguments, *default]


def sources(tree: Path) -> bytes:
    """An archive of the files in this tree that git tracks or does not ignore, with their present content. Raises
    ``Broken``."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=tree,
                                stdin=subprocess.DEVNULL, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Broken("%s: git cannot list the files; it must be a clone (%s)" % (tree, error)) from error
    return packed(tree, [name.decode() for name in listed.stdout.split(b"\0") if name])


def packed(folder: Path, names: Sequence[str] = (".",)) -> bytes:
    """An archive of these files and folders. Names that do not exist are left out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            if (folder / name).exists():
                tar.add(str(folder / name), name)
    return buffer.getvalue()


def packages(version: str, tree: Path) -> Path:
    """The folder with the packages that the tests import, for a Python of this version. Fetched once for each list of
    requirements. Raises ``NotHere`` or ``Broken``."""
    wanted = [*toml(tree / "pyproject.toml")["project"]["optional-dependencies"]["test"], *BACKPORTS]
    name = "%s-%s" % (version, hashlib.sha256("\n".join(wanted).encode("utf-8")).hexdigest()[:12])
    folder = tree / "build" / "packages" / name
    if not folder.is_dir():
        unfinished = folder.with_name("%s.%d" % (name, os.getpid()))
        unfinished.mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix="lab") as wheels:
            _fetch(wanted, version, wheels)
            for wheel in Path(wheels).glob("*.whl"):
                with zipfile.ZipFile(wheel) as opened:
                    opened.extractall(unfinished)
        try:
            unfinished.rename(folder)
        except OSError as error:  # ENOTEMPTY, EEXIST: another process has made it; report any other error
            if not folder.is_dir():
                raise Broken("%s: %s" % (folder, reason(error))) from error
    return folder


def _fetch(wanted: Sequence[str], version: str, folder: str) -> None:
    """Download wheels into the folder. We use `pip download`, because `pip install --target` chose a pytest that needs
    3.10 for a Python 3.9 (pip 23.2)."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "-d", folder, "--python-version", version,
         "--only-binary", ":all:", "--implementation", "py", "--abi", "none", "--platform", "any", *wanted],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        if "No module named pip" in said[-1]:
            raise NotHere("%s has no pip, which fetches pytest for the image; use the Python of `make setup`"
                          % sys.executable)
        raise Broken("pip cannot fetch %s for Python %s: %s" % (" ".join(wanted), version, one_line(said[-1])))


if __name__ == "__main__":
    sys.exit(main())
