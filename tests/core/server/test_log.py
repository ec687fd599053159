"""The server's log: one line for each event, in two formats; an error of the log never stops the server."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from typing import List

import pytest

from lab.server.log import Log, pairs
from tests.waits import PATIENCE


def test_text_is_for_people_and_fields_are_for_machines() -> None:
    people, machines = io.StringIO(), io.StringIO()
    Log(stream=people).event("ready", "ready on 1", port=1)
    Log(as_json=True, stream=machines).event("ready", "ready on 1", port=1)
    assert people.getvalue() == "ready on 1\n"
    assert json.loads(machines.getvalue()) == {"event": "ready", "port": 1}


def test_a_problem_is_told_as_a_warning() -> None:
    machines = io.StringIO()
    Log(as_json=True, stream=machines).problem("bug", "bug: x", error="x")
    assert json.loads(machines.getvalue()) == {"event": "bug", "level": "warning", "error": "x"}


def test_an_event_is_one_line_whatever_is_in_it() -> None:
    machines = io.StringIO()
    Log(as_json=True, stream=machines).event("bug", "", error="two\nlines \x00 \u2028 \udcff")
    assert len(machines.getvalue().splitlines()) == 1
    assert json.loads(machines.getvalue())["error"] == "two\nlines \x00 \u2028 \udcff"


def test_standard_output_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    Log().line("here")
    assert capsys.readouterr().out == "here\n"


def test_a_reader_that_went_away_silences_the_log() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    raw = io.FileIO(writer, "w")
    stream = io.TextIOWrapper(raw, write_through=True)
    log = Log(stream=stream)
    log.line("nobody reads this")
    log.line("nor this")
    assert log._stream is None
    stream.close()


def test_a_closed_stream_silences_the_log() -> None:
    stream = io.StringIO()
    log = Log(stream=stream)
    stream.close()
    log.line("x")
    log.line("y")
    assert log._stream is None


def test_no_standard_output_at_all_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # as in pythonw, or after `>&-`
    log = Log()
    log.line("x")
    assert log._stream is None


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_what_the_terminal_cannot_show_is_escaped_and_silences_nothing(encoding: str) -> None:
    raw = io.BytesIO()
    log = Log(stream=io.TextIOWrapper(raw, encoding=encoding))
    log.line("unix:/tmp/\udcff\u2713")  # a path that is not UTF-8, as os.fsdecode returns it
    log.line("next")
    lines = raw.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(b"unix:/tmp/\\udcff")
    assert lines[1] == b"next"


def test_lines_of_many_threads_are_not_mixed() -> None:
    class Pieces(io.StringIO):
        """Writes one character at a time, so that another thread could write in between."""

        def write(self, text: str) -> int:
            return sum(super(Pieces, self).write(each) for each in text)

    stream = Pieces()
    log = Log(stream=stream)

    def speak(word: str) -> None:
        for _ in range(200):
            log.line(word * 20)

    threads: List[threading.Thread] = [threading.Thread(target=speak, args=(word,)) for word in "abcd"]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    finally:
        sys.setswitchinterval(interval)
    lines = stream.getvalue().splitlines()
    assert sorted(lines) == sorted(word * 20 for word in "abcd" for _ in range(200))


def test_pairs_are_in_the_order_given() -> None:
    assert pairs({"b": 1, "a": "x"}) == "b=1 a=x"
    assert pairs({}) == ""
