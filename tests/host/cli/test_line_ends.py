"""CRLF, as Windows' text mode writes it to files and pipes, and as git or an editor may leave it: read like LF."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import List

import pytest

from lab import records
from lab.errors import EXIT_OK, EXIT_USAGE
from tests.core.conformance.serving import Process
from tests.host.cli.program import Result, environment, finish, run

TEXT_MODE = """
import sys
for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(newline="\\r\\n")
from lab.cli import main
sys.exit(main(sys.argv[1:]))
"""


def on_windows(*arguments: str) -> Result:
    """`lab`, with its output in text mode; the pipe is read as bytes, so nobody translates them back."""
    return finish([sys.executable, "-W", "error", "-c", TEXT_MODE, *arguments], env=environment())


@pytest.mark.parametrize("words", [["doctor"], ["--help"], ["probe", "hangup/half-close"], ["doctor", "--json"]],
                         ids=" ".join)
def test_every_line_ends_so_and_none_twice(words: List[str]) -> None:
    result = on_windows(*words)
    assert (result.code, result.err) == (EXIT_OK, "")
    assert result.out.count("\r\n") == result.out.count("\n") == result.out.count("\r") > 0


def test_an_error_is_one_line_there_too() -> None:
    result = on_windows("probe", "no-such-topic")
    assert result.code == EXIT_USAGE
    assert result.err.count("\n") == 1 and result.err.endswith("\r\n")


def test_records_that_were_written_so_are_read(tmp_path: Path) -> None:
    result = on_windows("probe", "hangup/half-close", "--jsonl")
    assert (result.code, result.err) == (EXIT_OK, "")
    path = tmp_path / "windows.jsonl"
    path.write_bytes(result.out.encode("ascii"))
    assert b"\r\n" in path.read_bytes()
    found = records.load(str(path))
    unix = tmp_path / "unix.jsonl"
    unix.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))
    assert found.observations == records.load(str(unix)).observations != []
    assert found.platform == records.load(str(unix)).platform


@pytest.mark.needs("harness")
def test_the_harness_reads_them_and_an_exclude_file_so(tmp_path: Path) -> None:
    path, exclude = tmp_path / "windows.jsonl", tmp_path / "exclude.toml"
    path.write_bytes(on_windows("probe", "hangup/half-close", "--jsonl").out.encode("ascii"))
    exclude.write_bytes(b'[[exclude]]\r\nprobe = "hangup/half-close"\r\nbackend = "select"\r\nreason = "x"\r\n')
    judged = run("verify", "--target", "recorded:%s" % path, "--exclude", str(exclude))
    assert (judged.code, judged.err) == (EXIT_OK, "")
    assert "the exclude of hangup/half-close on select excluded nothing" in judged.out
    differing = run("diff", str(path), str(path))
    assert (differing.code, differing.err) == (EXIT_OK, "")
    assert "no facts differ" in differing.out


def test_a_server_s_events_are_json_lines_there_too() -> None:
    program = TEXT_MODE.replace("sys.argv[1:]", '["serve", "--port", "0", "--log", "json"]')
    with Process(program=program) as server:
        assert server.ready["event"] == "listening"
        assert json.loads(json.dumps(server.ready)) == server.ready
        server.connect().close()
