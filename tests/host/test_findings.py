"""docs/findings.md quotes commands: each is one that `lab` takes, of probes that exist and backends they ask."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Iterator, List

import pytest

from lab.backends import spelling
from lab.cli import build_parser
from lab.errors import LabError
from lab.probing.catalogue import find
from lab.probing.probe import SELECTORS

PAGE = Path(__file__).parents[2] / "docs" / "findings.md"
COMMAND = re.compile(r"^\$ ((?:[A-Z_]+=\S+ )?lab .+)$|`((?:[A-Z_]+=\S+ )?lab [^`]+)`", re.MULTILINE)


def commands(text: str) -> List[str]:
    """Every command of the lab that a page quotes, without its environment."""
    return [re.sub(r"^[A-Z_]+=\S+ ", "", block or inline) for block, inline in COMMAND.findall(text)]


def faults(command: str) -> Iterator[str]:
    """What would keep it from running."""
    try:
        options = build_parser().parse_args(shlex.split(command)[1:])
    except SystemExit:
        yield "%s: not understood" % command
        return
    named = getattr(options, "names", []) or getattr(options, "only", [])
    asked = set(named)
    for name in named:
        try:
            found = find(name)
        except LabError as error:
            yield "%s: %s" % (command, error)
            continue
        for backend in options.backend:
            known = spelling.is_foreign(backend) and set(SELECTORS) <= set(found[0].on)
            if not known and not any(backend in probe.on for probe in found):
                yield "%s: %s does not ask %s" % (command, name, backend)
    compares = options.command == "diff" or getattr(options, "matrix", None) or len(getattr(options, "target", [])) > 1
    if not asked and not compares and not getattr(options, "selector", None):
        yield "%s: of nothing in particular" % command


def sections(text: str) -> List[str]:
    """The numbered findings, each from its heading on."""
    return [part for part in re.split(r"^## ", text, flags=re.MULTILINE) if re.match(r"\d+\. ", part)]


def test_every_command_of_the_page_can_be_run() -> None:
    quoted = commands(PAGE.read_text(encoding="utf-8"))
    assert len(quoted) > 20
    assert [fault for command in quoted for fault in faults(command)] == []


def test_every_finding_tells_what_was_expected_what_was_seen_why_and_the_command() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = sections(text)
    assert [int(part.split(".")[0]) for part in found] == list(range(1, len(found) + 1))
    for part in found:
        title = part.splitlines()[0]
        for needed in ("**Expected", "**Observed:**", "**Why:**", "```console\n$ "):
            assert needed in part, "%s: no %s" % (title, needed)
    rows = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    assert rows == [str(number) for number in range(1, len(found) + 1)], "the table at the top is another list"


@pytest.mark.parametrize("command", ["lab probe no/such", "lab probe hangup/half-close --colour",
                                     "lab verify --only hangup/rdhup-unasked --backend selectors:PollSelector",
                                     "lab prove", "lab verify"])
def test_a_command_that_cannot_be_run_is_found(command: str) -> None:
    assert list(faults(command)) != []


def test_commands_are_found_in_text_and_blocks() -> None:
    text = "`lab probe a/b`, `lab`\n```console\n$ X=1 lab verify --only c/d\n$ ls\n```\n"
    assert commands(text) == ["lab probe a/b", "lab verify --only c/d"]
