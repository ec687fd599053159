"""Output in encodings that lack letters: what Windows gives to files and pipes (cp1252, cp437), and plain ASCII.

A letter that is not there comes out as an escape; before, the first such path ended `lab doctor` with a trace.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import List

import pytest

from lab import records
from lab.address import UNIX
from lab.errors import EXIT_BROKEN, EXIT_DEVIATION, EXIT_OK, EXIT_USAGE
from lab.probing.probe import RAW
from tests.core.conformance.serving import directory
from tests.host.cli.program import run

LETTER = "\u015b"
"""LATIN SMALL LETTER S WITH ACUTE: in no code page of Western Europe."""

ESCAPED = r"\u015b"

CODE_PAGES = pytest.mark.parametrize("encoding", ["cp1252:strict", "cp437:strict", "ascii:strict",
                                                  "cp1252:surrogateescape"])


def recorded(path: Path, *tokens: str) -> Path:
    """Records of a platform and observations that have the letter wherever it is allowed."""
    facts = {"system": "Linux", "kernel": {"release": "6.1", "version": "#1 " + LETTER},
             "architecture": {"machine": "x86_64", "bits": 64, "byte_order": "little"}, "libc": None, "runtime": None,
             "distribution": {"id": LETTER, "version": None},
             "interpreter": {"implementation": "CPython", "version": "3.13.0", "release": None}}
    lines = [records.dump(records.Platform.of(facts, 1.0, "2026-11-24T10:00:00Z"))]
    for token, backend in zip(tokens, RAW):
        lines.append(records.dump(records.Observation("hangup/half-close", backend, "observed", token, "r+w", "1/1",
                                                      {"said": LETTER}, None, 0.01)))
    lines.append(records.dump(records.Observation("hangup/reset", "select", "broken", None, None, "", {},
                                                  "no " + LETTER, 0.01)))
    path.write_text("".join(line + "\n" for line in lines), encoding="ascii")
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="programs are no symbolic links there")
@CODE_PAGES
def test_doctor_shows_a_path_with_a_letter_that_is_missing(encoding: str, tmp_path: Path) -> None:
    place = tmp_path / ("a folder " + LETTER)
    place.mkdir()
    (place / "socat").symlink_to(sys.executable)
    result = run("doctor", PYTHONIOENCODING=encoding, PATH=str(place) + os.pathsep + os.environ["PATH"])
    assert (result.code, result.err) == (EXIT_OK, "")
    assert "a folder %s%ssocat" % (ESCAPED, os.sep) in result.out


@CODE_PAGES
@pytest.mark.parametrize("words", [["--help"], ["doctor", "--json"], ["probe", "--list"],
                                   ["probe", "hangup/half-close"], ["probe", "hangup/half-close", "--jsonl"]],
                         ids=" ".join)
def test_what_is_told_is_told_in_every_code_page(encoding: str, words: List[str]) -> None:
    result = run(*words, PYTHONIOENCODING=encoding)
    assert (result.code, result.err) == (EXIT_OK, "")
    assert result.out.isascii()


@CODE_PAGES
@pytest.mark.parametrize("words, code", [
    (["serve", "--host", LETTER], EXIT_USAGE), (["load", "--host", LETTER], EXIT_USAGE),
    (["health", "--host", LETTER], EXIT_USAGE), (["probe", LETTER], EXIT_USAGE), ([LETTER], EXIT_USAGE),
    (["serve", "--port", "0", "--backend", LETTER], EXIT_USAGE)],
    ids=lambda value: value[0] if isinstance(value, list) else "")
def test_an_error_names_its_object_in_every_code_page(encoding: str, words: List[str], code: int) -> None:
    result = run(*words, PYTHONIOENCODING=encoding)
    assert result.code == code
    assert ESCAPED in result.complaint()


@pytest.mark.skipif(UNIX is None, reason="no unix sockets here")
@CODE_PAGES
def test_load_names_a_path_in_every_code_page(encoding: str) -> None:
    with directory() as where:
        result = run("load", "--host", "unix:%s/%s" % (where, LETTER), "--count", "1", PYTHONIOENCODING=encoding)
    assert result.code == EXIT_BROKEN
    assert ESCAPED in result.complaint()


@pytest.mark.needs("harness")
@CODE_PAGES
def test_reports_are_written_in_every_code_page(encoding: str, tmp_path: Path) -> None:
    one, other = recorded(tmp_path / (LETTER + "1.jsonl"), "r", "r+w"), recorded(tmp_path / "2.jsonl", "w", "r+w")
    judged = run("verify", "--target", "recorded:%s" % one, "--target", "recorded:%s" % other,
                 PYTHONIOENCODING=encoding)
    assert (judged.code, judged.err) == (EXIT_DEVIATION, "")
    assert "unexpected results" in judged.out
    differing = run("diff", str(one), str(other), PYTHONIOENCODING=encoding)
    assert (differing.code, differing.err) == (EXIT_DEVIATION, "")
    assert "hangup/half-close" in differing.out
    for said in (judged.out, differing.out):
        assert ESCAPED in said or LETTER not in said


def test_what_the_encoding_has_is_written_as_it_is() -> None:
    """The control: escapes are for what is missing, and for nothing else."""
    result = run("serve", "--host", LETTER, PYTHONIOENCODING="utf-8:strict")
    assert result.code == EXIT_USAGE
    assert LETTER in result.complaint()
