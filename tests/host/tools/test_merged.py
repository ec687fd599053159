"""One table of Linux, gVisor, Windows and macOS out of four files of records, as CI merges them: every cell that rests
on documents alone is marked, and nothing else is.

The records are made out of the expectations, so each platform does what is known, or believed, of it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from lab.cli import main
from lab.errors import EXIT_DEVIATION, EXIT_OK
from lab.harness.verifying import expectations
from lab.harness.verifying.expectations import Row
from lab.probing.catalogue import catalogue
from lab.probing.probe import NONE
from lab.records import Observation, Platform, Records
from tests.core.backends import systems
from tests.host.harness.made import FACTS, save

_PYTHONS_NAME = {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}

PLATFORMS: Dict[str, Dict[str, Any]] = {
    "linux": {},
    "gvisor": {"kernel": {"release": "4.4.0", "version": "#1 SMP Sun Jan 10 15:06:54 PST 2016"},
               "runtime": {"name": "gvisor", "certain": True, "evidence": []}, "container": {"version": "20240729.0"}},
    "windows": {"system": "Windows", "kernel": {"release": "10.0", "version": "10.0.20348"}, "libc": None},
    "macos": {"system": "Darwin", "kernel": {"release": "24.6.0", "version": "Darwin Kernel Version 24.6.0"},
              "libc": None},
}


def documented(name: str) -> Records:
    """What that platform does, as far as sources and rows say."""
    facts = {**FACTS, **PLATFORMS[name]}
    known: Dict[str, List[Row]] = {}
    for row in expectations.load_all():
        if row.applies(facts):
            known.setdefault(row.probe, []).append(row)
    platform = Platform.of(facts, 1.0, "2026-11-26T10:00:00Z")
    return Records(name, platform, list(_observations(str(facts["system"]), known)))


def _observations(system: str, known: Dict[str, List[Row]]) -> Iterator[Observation]:
    there = {*NONE, *(kind.name for kind in systems.of(_PYTHONS_NAME[system]))}
    for probe in catalogue():
        for backend in probe.on:
            lacks = backend not in there
            rows = [row for row in known.get(probe.id, ()) if row.covers(probe.id, backend) and not row.varies]
            expected = probe.expected(backend)
            token = rows[0].observed if rows else expected
            if lacks or token is None:
                yield Observation(probe.id, backend, "unsupported", None, None, "", {}, "it is not here", 0.0)
            elif token == "crash":
                yield Observation(probe.id, backend, "crash", None, None, "", {}, "it died", 0.0)
            else:
                yield Observation(probe.id, backend, "observed", token, expected, "1/1", {}, None, 0.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> List[str]:
    folder = tmp_path_factory.mktemp("records")
    return ["recorded:%s" % save(folder / ("%s.jsonl" % name), documented(name)) for name in PLATFORMS]


def merged(files: List[str], capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["verify", *(word for each in files for word in ("--target", each)), *options]) == EXIT_OK
    return capsys.readouterr().out


def test_one_table_of_four_platforms(files: List[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = merged(files, capsys, "--out", str(tmp_path / "kept"))
    for name, system in (("linux", "Linux 6.18.44"), ("gvisor", "Linux 4.4.0"), ("windows", "Windows 10.0"),
                         ("macos", "Darwin 24.6.0")):
        assert re.search(r"^recorded:%s.jsonl +CPython 3.13.0, %s" % (name, system), out, re.MULTILINE), name
    assert len(list((tmp_path / "kept").iterdir())) == 4
    assert re.search(r"all as expected, \d+ of them known platform differences, \d+ of these known from documents", out)


def test_where_platforms_differ_each_unverified_cell_is_marked(files: List[str], capsys: pytest.CaptureFixture[str]
                                                               ) -> None:
    out = merged(files, capsys, "--only", "timeouts/nothing-watched")
    assert re.search(r"^ +select, selectors:SelectSelector +WSAEINVAL +recorded:windows.jsonl \(unverified\) *$", out,
                     re.MULTILINE), out
    assert re.search(r"^ +sleeps +the other 3 *$", out, re.MULTILINE), out
    assert "winsock's select() rejects three empty sets" in out


def test_nothing_that_was_seen_is_marked(files: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    out = merged(files, capsys)
    assert "recorded:windows.jsonl (unverified)" in out and "recorded:macos.jsonl (unverified)" in out
    assert "recorded:linux.jsonl (unverified)" not in out and "recorded:gvisor.jsonl (unverified)" not in out
    head = re.search(r"^target +platform +expected .* (unverified) *$", out, re.MULTILINE)
    assert head is not None
    at = slice(head.start(1) - head.start(), head.end(1) - head.start())
    counts = {name: [line[at].strip() for line in out.splitlines() if line.startswith("recorded:%s.jsonl  " % name)][-1]
              for name in PLATFORMS}
    assert counts["linux"] == counts["gvisor"] == ""
    assert int(counts["windows"]) > 50 and int(counts["macos"]) > 20


def test_a_platform_that_contradicts_a_document_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first run on a real Windows: where a row that comes from a document only does not hold, that is news."""
    made = documented("windows")
    changed = [each._replace(token="sleeps") if each.probe == "timeouts/nothing-watched" and each.token else each
               for each in made.observations]
    path = save(tmp_path / "windows.jsonl", made._replace(observations=changed))
    assert main(["verify", "--target", "recorded:%s" % path]) == EXIT_DEVIATION
    out = capsys.readouterr().out
    assert re.search(r"^healed  timeouts/nothing-watched$", out, re.MULTILINE)
    assert re.search(r"^  the cause +windows.toml: cause \d+ says WSAEINVAL: .* \(unverified\)$", out, re.MULTILINE)


def test_known_deviations_of_one_platform_are_marked_too(files: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    out = merged(files[2:3], capsys, "--only", "timeouts/nothing-watched")
    assert re.search(r"^  `sleeps` expected, `WSAEINVAL` observed +on select, selectors:SelectSelector "
                     r"\(unverified\) *$", out, re.MULTILINE), out
