"""`docker:IMAGE[@RUNTIME]` without an engine: how it is spelled, and how its output is read."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import pytest

from lab.errors import Usage
from lab.harness import targets
from lab.harness.targets import container

DIGEST = "sha256:" + "0123456789abcdef" * 4


def spelled(text: str) -> Tuple[str, Optional[str], str]:
    found: Any = targets.parse([text])[0]
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
        targets.parse([text])
    assert "no image is called so; try docker:trixie" in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("pieces", [
    [(b"a\nb", None), (b"c\n", b"oh"), (None, b" no"), (b"d", None)],
    [(b"a\nbc\nd", b"oh no")],
    [(bytes([each]), None) for each in b"a\nbc\nd"] + [(None, b"oh no")],
])
def test_its_output_comes_in_pieces_and_is_read_in_lines(pieces: List[Tuple[Optional[bytes], Optional[bytes]]]) -> None:
    read = list(container._lines(pieces))
    assert [line for line, _ in read if line] == [b"a\n", b"bc\n", b"d"]
    assert b"".join(error for _, error in read) == b"oh no"


@pytest.mark.parametrize("reference, asked", [
    ("python", ("python", "latest")), ("python:3.13", ("python:3.13", None)),
    ("host:5000/python", ("host:5000/python", "latest")), ("base@" + DIGEST, ("base@" + DIGEST, None))])
def test_what_is_pulled_is_one_tag(reference: str, asked: Tuple[str, Optional[str]]) -> None:
    assert container._split(reference) == asked
