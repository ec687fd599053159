"""Images from a registry, tested on a registry of our own: pinned, pulled, given a Python, and each way in which this
fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Tuple

import pytest

from lab.errors import Broken, LabError, NotHere
from lab.harness import engine, images
from lab.harness.images import Row, layer, make, registry
from lab.harness.images.debian import recipe
from tests.engine.docker_registry import Registry, forget, left_by_us

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ID = "registry-test"
GONE = "sha256:" + "0" * 64


@pytest.fixture
def client() -> Iterator[Any]:
    made = engine.connect()
    yield made
    left = left_by_us(made)
    for repository in ("muxlab/" + ID, "muxlab/%s-bare" % ID, "muxlab/%s-base" % ID):
        forget(made, repository)
    made.close()
    assert left == []


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Any) -> Iterator[Registry]:
    monkeypatch.setattr(registry, "_unreachable", {})
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Registry(tmp_path)
    yield made
    made.stop()
    for name in ("base", "other"):
        forget(client, "%s/lab/%s" % (made.host, name))


def row(reference: Optional[str], debian: Optional[Tuple[str, str]] = None, install: Optional[str] = None) -> Row:
    return Row(ID, reference, debian, "3.11", "glibc", "debian", install)


def small(client: Any, content: bytes = b"x") -> str:
    """The tag of an image that contains one file."""
    made = layer.Layer()
    made.file("what", content)
    tag = "muxlab/%s-base:1" % ID
    client.images.load(layer.archive(tag, [made.finish()], "amd64", {"Cmd": ["/what"]}))
    return tag


def one_line(run: Callable[[], Any], kind: type) -> str:
    with pytest.raises(LabError) as caught:
        run()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    return str(caught.value)


def test_a_row_is_pinned_pulled_by_its_digest_and_found_again(served: Registry, client: Any, tmp_path: Path) -> None:
    reference = served.push(client, small(client, b"first"), "lab/base:1")
    path = tmp_path / "images.toml"
    path.write_text('# why\nimages = [\n  { id = "%s", registry = "%s", python = "3.11", libc = "glibc", '
                    'family = "debian" },\n]\n' % (ID, reference), encoding="utf-8")
    first = registry.digest(reference)
    assert registry.pin(path) == {ID: first}
    pinned = path.read_text(encoding="utf-8")
    assert '%s@%s"' % (reference, first) in pinned and pinned.startswith("# why\n")
    registry.pin(path)
    assert path.read_text(encoding="utf-8") == pinned

    served.push(client, small(client, b"second"), "lab/base:1")  # the tag now names another image
    assert registry.digest(reference) != first
    said: List[str] = []
    made = make.obtain(client, images.load(path)[ID], said.append, "registry")
    assert made.how == "pulled from a registry: " + reference
    assert "pulling " + reference in said
    found = client.images.get(made.tag)
    assert [each for each in found.attrs["RepoDigests"] if each.endswith(first)]
    assert make.obtain(client, images.load(path)[ID], said.append).how == "is here"


def test_auto_prefers_the_registry_and_makes_the_image_where_it_is_stopped(served: Registry, client: Any) -> None:
    one = row(served.push(client, small(client), "lab/base:1"), ("bookworm", "amd64"))
    said: List[str] = []
    assert make.obtain(client, one, said.append).how.startswith("pulled from a registry: ")
    assert make.local_image(client, one) == make.LocalImage("registry", 1)

    served.stop()
    made = make.obtain(client, one, said.append, fresh=True)
    assert made.how.startswith("made from Debian's packages: bookworm amd64")
    assert made.why_not_pulled.startswith("no registry can be reached at %s: " % served.host)
    assert made.why_not_pulled in said
    assert make.local_image(client, one) == make.LocalImage("debian", made.bytes)
    assert make.obtain(client, one, said.append, "debian").how == "is here"
    told = one_line(lambda: make.ensure(client, one, said.append, "registry"), NotHere)
    assert told == "%s: %s" % (ID, made.why_not_pulled), "a local image that no registry gave must not do"


def test_a_registry_that_is_out_of_reach_is_asked_once(served: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    served.stop()
    first = one_line(lambda: registry.digest(served.host + "/lab/base:1"), NotHere)
    monkeypatch.setattr(engine, "connect", None)
    assert one_line(lambda: registry.digest(served.host + "/lab/other:2"), NotHere) == first


@pytest.mark.parametrize("name", ["lab/base:wrong", "lab/none:1", "lab/base:1@" + GONE])
def test_an_image_that_the_registry_lacks_is_one_line(served: Registry, client: Any, name: str) -> None:
    served.push(client, small(client), "lab/base:1")
    one = row("%s/%s" % (served.host, name))
    told = one_line(lambda: make.ensure(client, one, lambda what: None, "auto"), NotHere)
    assert told.startswith("%s: the registry has no %s/%s (" % (ID, served.host, name))
    assert not make.is_here(client, one)


def test_a_digest_that_was_deleted_is_one_line(served: Registry, client: Any) -> None:
    reference = served.push(client, small(client), "lab/base:1")
    digest = registry.digest(reference)
    served.delete("lab/base", digest)
    one = row("%s@%s" % (reference, digest))
    told = one_line(lambda: make.ensure(client, one, lambda what: None, "registry"), NotHere)
    assert told.startswith("%s: the registry has no %s@%s (" % (ID, reference, digest))


def test_an_image_of_another_architecture_is_not_taken_for_the_row(served: Registry, client: Any) -> None:
    made = layer.Layer()
    made.file("what", b"x")
    tag = "muxlab/%s-base:1" % ID
    client.images.load(layer.archive(tag, [made.finish()], "s390x", {"Cmd": ["/what"]}))
    reference = served.push(client, tag, "lab/base:1")
    one = row(reference)
    told = one_line(lambda: make.ensure(client, one, lambda what: None, "registry"), Broken)
    assert told.endswith(" is an image of s390x, and the row is of amd64")
    assert not make.is_here(client, one)


@pytest.fixture
def with_shell(client: Any) -> str:
    """An image with a shell, and with a Python that only a command makes usable."""
    made = recipe.root("bookworm", "amd64", ["python3.11-minimal", "base-files", "coreutils", "dash"],
                       lambda what: None)
    made.link("usr/bin/sh", "dash")
    tag = "muxlab/%s-base:1" % ID
    client.images.load(layer.archive(tag, [made.finish()], "amd64", {"Cmd": ["sh"], "Env": ["PATH=" + recipe.PATH]}))
    return tag


def test_python_is_installed_by_the_command_of_the_row(served: Registry, client: Any, with_shell: str) -> None:
    one = row(served.push(client, with_shell, "lab/base:1"), install="ln -s python3.11 /usr/bin/python3")
    said: List[str] = []
    tag = make.ensure(client, one, said.append, "registry")
    assert "installing Python" in said
    found = client.images.get(tag)
    assert found.attrs["Config"]["Cmd"] == ["python3"]
    assert not found.attrs["Config"]["Entrypoint"]
    assert found.labels[engine.LABEL + ".source"] == "registry"
    assert not found.labels[engine.OWNER], "a container of that image would look like an orphan of ours"
    told = client.containers.run(tag, ["python3", "-c", "import sys; print(sys.version_info[:2])"],
                                 network_mode="none",
                                 labels=engine.labels("test"), remove=True)
    assert told == b"(3, 11)\n"

    bad = one._replace(install="echo one; echo no such package >&2; exit 7")
    told = one_line(lambda: make.ensure(client, bad, said.append, "registry"), Broken)
    assert told.endswith("ended with exit code 7: no such package")
    assert not make.is_here(client, bad)


def test_a_command_that_takes_for_ever_is_ended(served: Registry, client: Any, with_shell: str,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "INSTALL_PATIENCE", 0.5)
    one = row(served.push(client, with_shell, "lab/base:1"), install="sleep 1000")
    told = one_line(lambda: make.ensure(client, one, lambda what: None, "registry"), Broken)
    assert told == "%s: `sleep 1000` takes longer than 0.5 s" % ID
    assert not make.is_here(client, one)
