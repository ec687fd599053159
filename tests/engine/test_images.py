"""Every image is what its row says, the same packages give the same image, and a bad mirror leaves no image half-built.

A row whose image is available neither from a registry nor from the mirror is skipped, with the reason.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional

import pytest

import lab
from lab import cli
from lab.errors import EXIT_BROKEN, EXIT_NOT_HERE, EXIT_OK, NotHere
from lab.harness import engine, images
from lab.harness.images import Row, architecture, layer, make
from lab.harness.images.debian import mirror as debian, recipe
from tests.engine.docker_registry import forget, left_by_us
from tests.host.harness.images.mirror import SUITE, Mirror, served

KEYS = debian.KEYS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ID = "images-test"
BITS = {"i386": 32, "armhf": 32}
ORDER = {"s390x": "big"}
MACHINES = {"amd64": "x86_64", "i386": "x86_64", "arm64": "aarch64", "armhf": "armv7l", "ppc64el": "ppc64le"}
"""The machine of uname(2); a 32-bit program on a 64-bit kernel sees that of the kernel."""

MODULES = {"glibc": "select, socket, selectors, asyncio, json, ssl, multiprocessing.connection, ctypes, resource",
           "musl": "select, socket, selectors, asyncio, json, multiprocessing.connection, resource"}
SCRIPT = """
import json, os, sys
sys.path.insert(0, "/muxlab")
import %s
from lab.facts import facts
print(json.dumps([facts(), os.path.exists(asyncio.__spec__.cached)]))
"""


def say(what: str) -> None:
    """Discard the progress messages."""


@pytest.fixture
def client() -> Iterator[Any]:
    made = engine.connect()
    yield made
    left = left_by_us(made)
    half_made = [tag for image in made.images.list("muxlab/%s-bare" % ID) for tag in image.tags]
    forget(made, "muxlab/" + ID)
    made.close()
    assert left + half_made == []


def seen_inside(client: Any, row: Row, tag: str) -> List[Any]:
    """The lab's facts in a container of the image, and whether its asyncio is compiled."""
    made = layer.Layer()
    source = Path(lab.__file__).parent
    for path in (*source.glob("*.py"), *(source / "facts").glob("*.py")):
        made.file("muxlab/lab/%s" % path.relative_to(source).as_posix(), path.read_bytes())
    container = client.containers.create(tag, [row.program, "-c", SCRIPT % MODULES[row.libc]], network_mode="none",
                                         labels=engine.labels("test"))
    try:
        container.put_archive("/", made.finish())
        container.start()
        code = container.wait()["StatusCode"]
        assert code == 0, container.logs().decode("utf-8", "replace")
        return list(json.loads(container.logs(stderr=False)))
    finally:
        engine.remove(container)


@pytest.mark.parametrize("name", images.names())
def test_an_image_is_what_its_row_says(client: Any, name: str) -> None:
    row = images.find(name)
    try:
        tag = make.ensure(client, row, say)
    except (NotHere, debian.MirrorFails) as error:
        pytest.skip(str(error))
    why = architecture.missing(client, row)
    if why is not None:
        pytest.skip(why)
    found, is_compiled = seen_inside(client, row, tag)
    is_pypy = row.python.startswith("pypy")
    assert found["interpreter"]["implementation"] == ("PyPy" if is_pypy else "CPython")
    assert found["interpreter"]["version"].startswith(row.python.replace("pypy", "") + ".")
    assert found["libc"]["name"] == row.libc
    assert found["architecture"] == {"machine": MACHINES.get(row.arch, row.arch), "bits": BITS.get(row.arch, 64),
                                     "byte_order": ORDER.get(row.arch, "little")}
    here = make.local_image(client, row)
    assert here is not None
    assert is_compiled or here.source == "registry"


def one(**fields: Any) -> Row:
    return Row(ID, None, ("bookworm", "amd64"), "3.11", "glibc", "debian", None)._replace(**fields)


def test_the_same_packages_make_the_same_image(client: Any) -> None:
    first = client.images.get(make.ensure(client, one(), say, "debian")).id
    made = make.obtain(client, one(), say, "debian", fresh=True)
    assert made.how.startswith("made from Debian's packages: bookworm amd64")
    assert client.images.get(made.tag).id == first
    assert made.bytes < 60e6
    assert make.obtain(client, one(), say).how == "is here"


# Mirrors with errors.

PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "base-files", "libc-bin")


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    """A suite whose packages contain one file each and no Python; the only row uses it."""
    with served() as made:
        for name in PACKAGES:
            made.add(name)
        monkeypatch.setenv(debian.MIRROR, made.address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(debian, "PAUSE", 0)
        monkeypatch.setattr(debian, "KEYS", tmp_path / "none.gpg")
        monkeypatch.setattr(images, "load", lambda: {ID: one(debian=(SUITE, "amd64"))})
        yield made


def nothing_there(mirror: Mirror) -> None:
    mirror.files.clear()


def wrong_bytes(mirror: Mirror) -> None:
    mirror.files["dists/%s/InRelease" % SUITE] = b"<html>Sign in first</html>"


def no_index(mirror: Mirror) -> None:
    mirror.publish(indices=False)


def truncated_package(mirror: Mirror) -> None:
    content = mirror.files["pool/libc-bin.deb"]
    assert isinstance(content, bytes)
    mirror.files["pool/libc-bin.deb"] = content[:-10]


def no_python(mirror: Mirror) -> None:
    """Nothing is wrong with the mirror; only the engine notices that it cannot start anything in the image."""


@pytest.mark.parametrize("spoil, told", [
    (nothing_there, "InRelease cannot be fetched: HTTP status 404"),
    (wrong_bytes, "is not an InRelease file of Debian"),
    (no_index, "the suite has no main/binary-amd64/Packages"),
    (truncated_package, "pool/libc-bin.deb does not match the index"), (no_python, "the engine says: ")])
def test_a_bad_mirror_is_one_line_and_leaves_nothing(client: Any, mirror: Mirror, capsys: pytest.CaptureFixture[str],
                                                     spoil: Callable[[Mirror], None], told: str) -> None:
    spoil(mirror)
    assert cli.main(["images", "build", ID]) == EXIT_BROKEN
    out, err = capsys.readouterr()
    assert err.startswith("lab images: %s: " % ID) and told in err
    assert (out, err.count("\n")) == ("", 1)
    assert make.local_image(client, images.find(ID)) is None


def test_what_debian_did_not_sign_is_one_line(client: Any, mirror: Mirror, capsys: pytest.CaptureFixture[str],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "KEYS", KEYS)
    if not debian.can_check_signatures():
        pytest.skip("gpgv or Debian's keys are not here: apt-get install gpgv debian-archive-keyring")
    assert cli.main(["images", "build", ID]) == EXIT_BROKEN
    assert "%s: Debian did not sign this InRelease (gpgv: NODATA" % SUITE in capsys.readouterr().err
    assert make.local_image(client, images.find(ID)) is None


# Architectures.

NOT_HERE = ("images-test: this machine cannot run programs of s390x; as root on Debian and Ubuntu: apt-get "
            "install qemu-user-static binfmt-support")
FOREIGN = one(debian=("bookworm", "s390x"))


def test_what_the_engine_runs_itself_is_not_asked_of_the_kernel(client: Any, monkeypatch: pytest.MonkeyPatch,
                                                                tmp_path: Path) -> None:
    monkeypatch.setattr(architecture, "REGISTERED", tmp_path)
    (tmp_path / "status").write_text("enabled\n")
    assert architecture.native(client)
    for arch in architecture.native(client):
        assert architecture.missing(client, one(debian=("bookworm", arch))) is None


@pytest.mark.parametrize("text, runs", [
    ("enabled\ninterpreter /usr/bin/qemu\nflags: OCF\n", True), ("enabled\nflags: OC\n", False),
    ("disabled\nflags: F\n", False), (None, False)])
def test_the_kernels_list_tells_what_qemu_is_called_for(client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                        text: Optional[str], runs: bool) -> None:
    if client.info()["KernelVersion"] != platform.release():
        pytest.skip("the engine is on another kernel")
    monkeypatch.setattr(architecture, "REGISTERED", tmp_path)
    (tmp_path / "status").write_text("enabled\n")
    if text is not None:
        (tmp_path / "qemu-s390x").write_text(text)
    assert architecture.missing(client, FOREIGN) == (None if runs else NOT_HERE)


def test_where_there_is_no_list_the_image_is_tried_once(client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
                                                        ) -> None:
    monkeypatch.setattr(architecture, "REGISTERED", tmp_path)
    monkeypatch.setattr(architecture, "_tried", {})
    assert architecture.missing(client, FOREIGN) is None, "with neither the list nor an image, the answer is unknown"
    made = layer.Layer()
    made.file("usr/bin/python3", b"\x7fELF of no machine", 0o755)
    client.images.load(layer.archive(FOREIGN.tag, [made.finish()], FOREIGN.arch, {"Env": ["PATH=/usr/bin"]}))
    assert architecture.missing(client, FOREIGN) == NOT_HERE
    forget(client, "muxlab/" + ID)
    assert architecture.missing(client, FOREIGN) == NOT_HERE, "the answer should be remembered"


# The command.

def test_the_list_names_every_row_with_what_is_here(client: Any, capsys: pytest.CaptureFixture[str],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    other = one(id="images-test-2", debian=None, registry="127.0.0.1:1/a:1")
    monkeypatch.setattr(images, "load", lambda: {ID: one(), other.id: other})
    made = layer.Layer()
    made.file("what", b"x" * 3000000)
    client.images.load(layer.archive(one().tag, [made.finish()], "amd64", recipe.config(one())))
    assert cli.main(["images", "list"]) == EXIT_OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == [ID, "3.11", "glibc", "amd64", "debian", "debian", one().tag + ",", "3", "MB",
                                "(debian)"]
    assert lines[2].split() == [other.id, "3.11", "glibc", "amd64", "debian", "registry", "-"]
    assert lines[3].startswith("images-test-2: not available: no registry can be reached at 127.0.0.1:1: ")
    assert len(lines) == 4


def test_what_nobody_asked_for_by_name_does_not_fail_the_run(client: Any, capsys: pytest.CaptureFixture[str],
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {each: one(id=each, debian=None, registry="127.0.0.1:1/a:1") for each in (ID, "images-test-2")}
    monkeypatch.setattr(images, "load", lambda: rows)
    assert cli.main(["images", "build"]) == EXIT_OK
    out = capsys.readouterr().out
    assert out.startswith("not available: images-test, images-test-2: no registry can be reached at 127.0.0.1:1: ")
    assert out.count("\n") == 1
    assert cli.main(["images", "build", ID]) == EXIT_NOT_HERE
    assert cli.main(["images", "build", ID, "images-test-2"]) == EXIT_NOT_HERE
    assert capsys.readouterr().err.count("no registry can be reached") == 3
