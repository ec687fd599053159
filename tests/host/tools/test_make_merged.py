"""`make merged`, the last job of CI: one table of all files of records below a folder, and what is kept of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab import records
from lab.errors import EXIT_DEVIATION, EXIT_OK, EXIT_USAGE
from tests.host.harness.made import run, save, seen
from tests.waits import PROGRAM

SCRIPT = Path(__file__).parents[3] / "tools" / "merged.sh"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="make and sh run it, on Linux and macOS")


def merged(folder: Path) -> subprocess.CompletedProcess[str]:
    """What it says of ``folder / "records"``; ``folder / "out"`` is where it keeps things."""
    return subprocess.run(["sh", str(SCRIPT), sys.executable, "records", "out"], cwd=folder, stdin=subprocess.DEVNULL,
                          capture_output=True, encoding="utf-8", timeout=PROGRAM)


def put(folder: Path, name: str, token: str) -> None:
    path = folder / "records" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, run(seen(token)))


def test_every_file_below_is_one_target_and_the_table_the_verdicts_and_the_records_are_kept(tmp_path: Path) -> None:
    for name in ("windows-latest-3.8/here.jsonl", "macos-latest-3.8/here.jsonl", "a b/docker-trixie.jsonl"):
        put(tmp_path, name, "r+w")
    done = merged(tmp_path)
    assert (done.returncode, done.stderr) == (EXIT_OK, "")
    assert "1 probes, 3 observations: all as expected" in done.stdout
    assert "recorded:docker-trixie.jsonl" in done.stdout
    assert (tmp_path / "out" / "table.txt").read_text(encoding="utf-8") == done.stdout
    assert "recorded:records/macos-latest-3.8/here.jsonl" in (tmp_path / "out" / "verdicts.xml").read_text("utf-8")
    kept = [records.load(str(path)) for path in (tmp_path / "out" / "records").iterdir()]
    assert [[each.token for each in one.observations] for one in kept] == [["r+w"]] * 3


def test_what_deviates_is_the_exit_code_and_is_kept_all_the_same(tmp_path: Path) -> None:
    put(tmp_path, "one.jsonl", "r+w")
    put(tmp_path, "other.jsonl", "silent")
    assert merged(tmp_path).returncode == EXIT_DEVIATION
    assert "silent" in (tmp_path / "out" / "table.txt").read_text(encoding="utf-8")


def test_no_records_are_one_line(tmp_path: Path) -> None:
    for is_there in (False, True):
        if is_there:
            (tmp_path / "records").mkdir()
        done = merged(tmp_path)
        assert (done.returncode, done.stdout) == (EXIT_USAGE, "")
        assert done.stderr == "merged: no .jsonl file below records; `lab verify --out records` makes one\n"
