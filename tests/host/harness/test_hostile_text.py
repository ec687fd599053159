"""Names and values that try to command the terminal, to forge a line, or to be rich's markup: none gets through.

Records come from strangers. All that a file may hold is put into every place that is shown, and the output is searched
for the raw characters.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from junitparser import JUnitXml

from lab.cli import main
from lab.errors import EXIT_DEVIATION, EXIT_OK, EXIT_USAGE
from lab.harness.targets import choose
from lab.records import Platform, Records
from tests.host.harness.made import FACTS, failed, run, save, seen

EVIL = "\x1b[31mred \u202e\u2066evil\x9b2J\r\nforged: all as expected\n[/] [bold]bold :warning: \\"
"""An escape sequence, bidirectional marks, C1's CSI, line ends, markup that opens, closes and is none, an emoji's name,
and a backslash that would escape the markup behind it."""

RAW = ["\x1b", "\u202e", "\u2066", "\x9b", "\r", "\nforged", "\u26a0"]

EVIL_FILE = EVIL.replace("[/]", "[]").replace("\r", "") + ".jsonl"
"""The same as a file's name, which holds no slash."""

names_may_be_anything = pytest.mark.skipif(sys.platform != "linux", reason="file names may not hold any byte")


def hostile(*observations: Any) -> Records:
    """A run on a platform all of whose facts, names and values, are hostile."""
    def evil(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: evil(each) for name, each in [*value.items(), (EVIL, EVIL)]}
        return EVIL
    facts: Dict[str, Any] = {**evil(FACTS), "runtime": {"name": EVIL, "certain": True, "evidence": [EVIL]}}
    return Records("made", Platform.of(facts, 1.0, "2026-11-24T10:00:00Z"), list(observations))


def is_clean(text: str) -> bool:
    return [each for each in RAW if each in text] == []


def test_lab_diff_shows_names_and_values_of_facts_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = save(tmp_path / "a.jsonl", run(seen("r[/]"))), save(tmp_path / "b.jsonl", hostile(seen("[bold]r")))
    assert main(["diff", str(a), str(b)]) == EXIT_DEVIATION
    out = capsys.readouterr().out
    assert is_clean(out)
    folded = "".join(out.split())
    for word in (r"\x1b[31mred", r"\u202e\u2066evil\x9b2J\r\nforged", "[/][bold]bold:warning:", "r[/]", "[bold]r"):
        assert word in folded, word


@names_may_be_anything
def test_lab_diff_shows_the_name_of_a_file_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = save(tmp_path / "a.jsonl", run(seen()))
    assert main(["diff", str(good), str(tmp_path / EVIL_FILE)]) == EXIT_USAGE
    error = capsys.readouterr().err
    assert is_clean(error) and error.count("\n") == 1


REASONS = [failed("crash", EVIL), failed("unsupported", EVIL, backend="poll"),
           seen("[/]", backend="epoll", expected="r"), seen("x", backend="selectors", detail={EVIL: EVIL})]


@pytest.mark.parametrize("observations", [REASONS, [seen()]], ids=["failing", "fine"])
def test_lab_verify_shows_facts_and_reasons_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                    observations: List[Any]) -> None:
    path, junit = save(tmp_path / "a.jsonl", hostile(*observations)), tmp_path / "junit.xml"
    code = main(["verify", "--target", "recorded:%s" % path, "--junit", str(junit)])
    assert code == (EXIT_DEVIATION if observations is REASONS else EXIT_OK)
    assert is_clean(capsys.readouterr().out)
    assert is_clean(junit.read_text(encoding="utf-8"))
    assert len(list(JUnitXml.fromfile(str(junit)))) == 1


@names_may_be_anything
def test_lab_verify_shows_names_of_files_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files of one name are told apart by their folders, one of which ends in markup."""
    words = []
    for folder, made in (("one[", run(seen())), ("two", hostile(*REASONS)), ("three", None)):
        path = tmp_path / folder / ("]" + EVIL_FILE)
        path.parent.mkdir()
        if made is not None:
            save(path, made)
        words += ["--target", "recorded:%s" % path]
    junit = tmp_path / "junit.xml"
    assert main(["verify", *words, "--junit", str(junit), "--out", str(tmp_path / "out")]) != EXIT_OK
    out, err = capsys.readouterr()
    assert is_clean(out) and is_clean(err)
    assert "not observed" in out and r"one[/]\x1b[31mred" in out
    assert is_clean(junit.read_text(encoding="utf-8"))
    assert len(list(JUnitXml.fromfile(str(junit)))) == 3
    assert len(list((tmp_path / "out").iterdir())) == 2


@names_may_be_anything
def test_files_whose_names_look_the_same_once_they_are_escaped_stay_two_targets() -> None:
    one, other = choose(["recorded:a\x1b.jsonl", r"recorded:a\x1b.jsonl"]).targets
    assert one.name != other.name and one.name.isprintable() and other.name.isprintable()
