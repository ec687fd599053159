"""docker/images.toml is canonical and documented, a slip in it is one line, and pinning changes nothing but digests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List

import pytest

from lab.errors import Broken, NotHere, Usage
from lab.harness import images
from lab.harness.images import registry
from lab.harness.tables import toml

PAGE = Path(__file__).parents[4] / "docs" / "adding-an-image.md"
FIELDS = list(images._FIELDS)
DIGEST = "sha256:" + "1" * 64

GOOD = 'id = "a", debian = "trixie amd64", python = "3.13", libc = "glibc", family = "debian"'


def lines_of(text: str) -> List[str]:
    return [line for line in text.splitlines() if line.lstrip().startswith("{")]


def test_a_row_is_a_line_that_begins_with_its_id_and_has_its_fields_in_order() -> None:
    lines = lines_of(images.PATH.read_text(encoding="utf-8"))
    listed = toml(images.PATH)["images"]
    assert len(lines) == len(listed)
    for line, fields in zip(lines, listed):
        assert line.startswith('  { id = "%s", ' % fields["id"])
        assert line.endswith(" },")
        assert list(fields) == [name for name in FIELDS if name in fields]


def test_every_row_is_documented_and_nothing_else_is() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("\n## What there is\n")[2].partition("\nImporting ")[0]
    assert set(re.findall(r"^\| `([a-z0-9.-]+)` \|", text, re.MULTILINE)) == set(images.names())


def test_tags_are_of_one_row_each_and_change_with_it() -> None:
    rows = images.load().values()
    assert len({row.tag for row in rows}) == len(rows)
    for row in rows:
        assert re.match(r"^muxlab/%s:[0-9a-f]{12}$" % re.escape(row.id), row.tag)
        assert row._replace(python="3.1").digest() != row.digest() == row._replace().digest()


@pytest.mark.parametrize("name", ["glibc", "musl"])
def test_a_tag_changes_with_the_recipe(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    row = images.find("trixie")._replace(libc=name)
    before = row.digest()
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path.name == "bytecode.py"))
    monkeypatch.setattr(images, "_recipe", images._recipe.__wrapped__)
    assert row.digest() != before


def test_an_id_that_is_none_is_one_line_with_those_that_are() -> None:
    with pytest.raises(Usage) as caught:
        images.find("trix\nie")
    assert str(caught.value).startswith('no image "trix\\nie"; images: bullseye, ')


@pytest.mark.parametrize("content, told", [
    ("images = 3", "it must hold images = "),
    ("images = []\nmore = 1", "it must hold images = "),
    ("images = [1]", "it must hold images = "),
    ("images = [", "is no TOML: "),
    ("images = [{ %s }, { %s }]" % (GOOD, GOOD), "row 2: id: an earlier row has the id a, too"),
    ("images = [{ %s, size = 3 }]" % GOOD, "row 1: size: unknown field; known: id, registry, debian, "),
    ("images = [{ %s }]" % GOOD.replace('family = "debian"', 'family = ""'), "family: must be a str that is not empty"),
    ("images = [{ %s }]" % GOOD.replace('"3.13"', "3.13"), "python: must be a str"),
    ("images = [{ %s }]" % GOOD.replace('"3.13"', '"3"'), "python must be X.Y or pypyX.Y"),
    ("images = [{ %s }]" % GOOD.replace("glibc", "bionic"), "and libc one of glibc, musl"),
    ("images = [{ %s }]" % GOOD.replace('"a"', '"A b"'), "id: must be lower-case words"),
    ("images = [{ %s }]" % GOOD.replace("trixie amd64", "trixie"), "debian: must be a suite and an architecture"),
    ("images = [{ %s }]" % GOOD.replace("trixie amd64", "trixie vax"), "debian: vax is not one of "),
    ("images = [{ %s }]" % GOOD.replace('debian = "trixie amd64", ', ""), "registry or debian: the row must have one"),
    ("images = [{ %s }]" % GOOD.replace('id = "a", ', ""), "id: is missing"),
])
def test_a_bad_row_is_one_line_that_names_the_field(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "images.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(Usage) as caught:
        images.load(path)
    assert told in str(caught.value) and "images.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Usage, match=r"none\.toml: cannot be read: "):
        images.load(tmp_path / "none.toml")


# References and pins.

@pytest.mark.parametrize("reference, host, pinned", [
    ("python:3.13-slim", "", "python@" + DIGEST), ("python", "", "python@" + DIGEST),
    ("s390x/python:3", "", "s390x/python@" + DIGEST),
    ("localhost/a:1", "localhost", "localhost/a@" + DIGEST),
    ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000", "127.0.0.1:5000/a/b@" + DIGEST),
    ("127.0.0.1:5000/a", "127.0.0.1:5000", "127.0.0.1:5000/a@" + DIGEST),
    ("r.example/a:1@sha256:22", "r.example", "r.example/a@" + DIGEST)])
def test_a_reference_is_told_apart(reference: str, host: str, pinned: str) -> None:
    assert registry.host(reference) == host
    assert registry.by_digest(reference, DIGEST) == pinned


FILE = b"""# A comment with { id = "a", registry = "never" }
images = [\r
  { id = "a",  registry = "one:1", python = "3.13", libc = "glibc", family = "x" }, # why
  # { id = "b", registry = "old:1" },
  { id = "b", registry = "r.example:5000/two:2@sha256:old", debian = "trixie amd64", python = "3.13", libc = "glibc", \
family = "y" },
  { id = "c", debian = "trixie amd64", python = "3.13", libc = "glibc", family = "z" },
]"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    known = {"one:1": DIGEST, "r.example:5000/two:2": DIGEST.replace("1", "2")}
    monkeypatch.setattr(registry, "digest", lambda reference: known[reference])
    path = tmp_path / "images.toml"
    path.write_bytes(FILE)
    path.chmod(0o640)
    return path


def test_pinning_changes_nothing_but_digests_and_is_the_same_twice(file: Path) -> None:
    mode = file.stat().st_mode
    assert registry.pin(file) == {"a": DIGEST, "b": DIGEST.replace("1", "2")}
    pinned = FILE.replace(b'"one:1"', b'"one:1@%s"' % DIGEST.encode()).replace(
        b"sha256:old", DIGEST.replace("1", "2").encode())
    assert file.read_bytes() == pinned
    before = file.stat()
    registry.pin(file)
    assert file.read_bytes() == pinned
    assert file.stat().st_mtime_ns == before.st_mtime_ns, "it was written for nothing"
    assert file.stat().st_mode == mode
    assert list(file.parent.iterdir()) == [file]


def test_pinning_one_leaves_the_others(file: Path) -> None:
    assert registry.pin(file, ["a"]) == {"a": DIGEST}
    assert file.read_bytes() == FILE.replace(b'"one:1"', b'"one:1@%s"' % DIGEST.encode())


@pytest.mark.parametrize("name", ["c", "d", "a\nb"])
def test_pinning_what_no_registry_has_is_one_line(file: Path, name: str) -> None:
    with pytest.raises(Usage) as caught:
        registry.pin(file, ["a", name])
    assert str(caught.value) == 'images.toml: there is no row "%s" with a registry' % ascii(name)[1:-1]
    assert file.read_bytes() == FILE


def test_where_a_registry_cannot_be_reached_nothing_is_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: Dict[str, str] = {"one:1": DIGEST}

    def digest(reference: str) -> str:
        if reference not in found:
            raise NotHere("no registry can be reached")
        return found[reference]

    monkeypatch.setattr(registry, "digest", digest)
    with pytest.raises(NotHere):
        registry.pin(file)
    assert file.read_bytes() == FILE


def test_a_row_that_is_not_in_one_line_stops_it_before_anything_is_written(file: Path) -> None:
    file.write_bytes(FILE.replace(b'{ id = "a",  registry', b'{ registry').replace(b'"x" }', b'"x", id = "a" }'))
    before = file.read_bytes()
    with pytest.raises(Broken, match="a row is not in one line that begins with its id"):
        registry.pin(file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_folder_that_cannot_be_written_is_one_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(Broken) as caught:
        registry.pin(file)
    assert re.match(r"cannot write .*images\.toml: Permission denied \(EACCES\)$", str(caught.value))
    assert file.read_bytes() == FILE
    assert list(file.parent.iterdir()) == [file]
