"""`docker:IMAGE[@RUNTIME]` without an engine: how it is spelled, and how its output is read."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import pytest

from lab.errors import Usage
from lab.harness import targets
from lab.harness.targets import container

DIGEST = "sha256:" + "0123456789abcdef" * 4


def spelled(text: str) -> Tuple[str, Optional[str], str]:
    found: Any = targets.parse(text)[0]
    return found.image, found.runtime, found.name


@pytest.mark.parametrize("text, image, runtime", [
    ("docker:trixie", "trixie", None),
    ("docker:trixie@runsc", "trixie", "runsc"),
    ("docker:python:3.13-slim@runsc", "python:3.13-slim", "runsc"),
    ("docker:registry.example:5000/team/base:1.4", "registry.example:5000/team/base:1.4", None),
    ("docker:base@" + DIGEST, "base@" + DIGEST, None),
    ("docker:base@%s@runsc" % DIGEST, "base@" + DIGEST, "runsc"),
    ("docker:" + DIGEST, DIGEST, None),
])
def test_it_is_spelled_as_engines_spell_it(text: str, image: str, runtime: Optional[str]) -> None:
    assert spelled(text) == (image, runtime, text)


@pytest.mark.parametrize("text", ["docker:", "docker:@runsc", "docker:-v", "docker:a b", "docker:trixie@run sc",
                                  "docker:trixie@", "docker:\x1b[31m"])
def test_what_no_image_is_called_is_one_line(text: str) -> None:
    with pytest.raises(Usage) as refused:
        targets.parse(text)
    assert "not a name of an image; try docker:trixie" in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("pieces", [[b"a\nb", b"c\n", b"d"], [b"a\nbc\nd"],
                                    [b"a", b"\n", b"b", b"c", b"\n", b"", b"d"]])
def test_its_output_comes_in_pieces_and_is_read_in_lines(pieces: List[bytes]) -> None:
    assert list(container._lines(pieces)) == [b"a\n", b"bc\n", b"d"]
    assert list(container._lines([*pieces, b"\n"])) == [b"a\n", b"bc\n", b"d\n"]


@pytest.mark.parametrize("reference, asked", [
    ("python", ("python", "latest")), ("python:3.13", ("python:3.13", None)),
    ("host:5000/python", ("host:5000/python", "latest")), ("base@" + DIGEST, ("base@" + DIGEST, None))])
def test_what_is_pulled_is_one_tag(reference: str, asked: Tuple[str, Optional[str]]) -> None:
    assert container._split(reference) == asked
