"""Records: how they are written, read and rejected, what an error message says, and that they contain nothing about the
user."""

from __future__ import annotations

import io
import json
import os
import re
import socket
from pathlib import Path
from typing import Any, Dict, List

import pytest

from lab import facts, records
from lab.errors import Usage
from lab.records import Observation, Platform, dump, fingerprint, load, parse

pytestmark = pytest.mark.emulated

FACTS: Dict[str, Any] = {
    "system": "Linux", "kernel": {"release": "6.1.0", "version": "#1 SMP"},
    "libc": {"name": "glibc", "version": "2.36", "evidence": ["the interpreter's ELF loader"]},
    "interpreter": {"implementation": "CPython", "version": "3.11.7", "release": None, "gil": True},
    "limits": {"nofile": {"soft": 1024, "hard": 4096}, "fd_setsize": 1024, "somaxconn": 4096, "max_user_watches": 9},
    "cpus": 2, "runtime": {"name": "docker", "certain": False, "evidence": ["/.dockerenv exists"]},
    "features": {"epoll": True, "poll": True}}
PLATFORM = Platform.of(FACTS, 1.0, "2026-11-24T10:00:00Z")
OBSERVED = Observation("readiness/regular-file", "epoll", "observed", "EPERM", "EPERM", "1/1", {"masks": [1, 2.5]},
                       None, 0.012)
LEAKED = OBSERVED._replace(backend="poll", outcome="leak", expected=None, trials="2/3", reason="1 descriptor is open")
MISSING = Observation("readiness/regular-file", "kqueue", "unsupported", None, None, "", {}, "no kqueue() here", 0.0)
CELLS = [OBSERVED, LEAKED, MISSING]

CIRCLE: List[Any] = []
CIRCLE.append(CIRCLE)


def encoded(*values: Any) -> bytes:
    """The bytes of a file of records: records dumped, other values as JSON, bytes unchanged."""
    return b"".join(each if isinstance(each, bytes) else (
        dump(each) if isinstance(each, (Platform, Observation)) else json.dumps(each)).encode("ascii") + b"\n"
        for each in values)


def changed(record: Any, **fields: Any) -> Dict[str, Any]:
    """A record's line as an object, with some fields changed; the value ... removes a field."""
    values = {**json.loads(dump(record)), **fields}
    return {name: value for name, value in values.items() if value is not ...}


def refusal(data: bytes, source: str = "run.jsonl") -> str:
    """The error message for a file that must be rejected."""
    with pytest.raises(Usage) as caught:
        parse(io.BytesIO(data), source)
    assert re.fullmatch(r"[ -~]+", str(caught.value))
    return str(caught.value)


class TestWriting:
    def test_what_is_written_can_be_read(self) -> None:
        read = parse(io.BytesIO(encoded(PLATFORM, *CELLS)), "run.jsonl")
        assert read == ("run.jsonl", PLATFORM, CELLS)

    def test_a_line_is_plain_and_the_same_for_the_same_record(self) -> None:
        one = OBSERVED._replace(detail={"b": "\u2028\n\x1b", "a": 1})
        other = OBSERVED._replace(detail={"a": 1, "b": "\u2028\n\x1b"})
        assert dump(one) == dump(other)
        assert re.fullmatch("[ -~]+", dump(one))
        assert json.loads(dump(one))["kind"] == "observation"

    def test_only_the_fields_of_the_outcome_are_written(self) -> None:
        assert set(json.loads(dump(OBSERVED))) == {
            "kind", "probe", "backend", "outcome", "token", "expected", "trials", "detail", "seconds"}
        assert set(json.loads(dump(MISSING))) == {"kind", "probe", "backend", "outcome", "reason", "seconds"}
        assert set(json.loads(dump(LEAKED))) == set(json.loads(dump(OBSERVED))) | {"reason"}

    @pytest.mark.parametrize("fields", [
        {"probe": "no-topic"}, {"probe": "a/b\n"}, {"backend": "E POLL"}, {"outcome": "passed"}, {"outcome": []},
        {"token": None}, {"token": ""}, {"token": "t" * 201}, {"token": "a\nb"}, {"expected": 5}, {"trials": "2/1"},
        {"trials": ""}, {"reason": "why?"}, {"seconds": -1.0}, {"seconds": float("nan")}, {"seconds": float("inf")},
        {"seconds": True}, {"detail": {"pair": (1, 2)}}, {"detail": {1: 2}}, {"detail": {"set": {1}}},
        {"detail": {"bytes": b""}}, {"detail": {b"key": 1}}, {"detail": {"huge": 2 ** 64}},
        {"detail": {"low": -2 ** 63 - 1}}, {"detail": {"half": "\ud800"}}, {"detail": {"halves": "\ud83d\ude00"}},
        {"detail": {"long": "x" * 4097}}, {"detail": {"x" * 4097: 1}}, {"detail": {"list": ["x" * 4000] * 300}},
        {"detail": {"circle": CIRCLE}},
        {"detail": {"nan": float("nan")}}, {"detail": None}])
    def test_what_would_not_be_read_is_not_written(self, fields: Dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            dump(OBSERVED._replace(**fields))

    @pytest.mark.parametrize("fields", [
        {"fingerprint": "sha256:" + "0" * 64}, {"facts": {**FACTS, "system": "Plan 9"}}, {"started": "yesterday"},
        {"slow": 0}, {"lab": ""}])
    def test_an_invalid_platform_is_not_written_either(self, fields: Dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            dump(PLATFORM._replace(**fields))

    def test_what_was_not_observed_has_no_token(self) -> None:
        with pytest.raises(ValueError, match="token: would not come back"):
            dump(MISSING._replace(token="EPERM"))

    def test_nesting_is_written_as_deep_as_it_is_read(self) -> None:
        deep: Any = 1
        for _ in range(records.MAX_DEPTH - 2):  # the line and the detail are two levels
            deep = [deep]
        dump(OBSERVED._replace(detail={"deep": deep}))
        with pytest.raises(ValueError, match="detail: is nested more than 16 deep"):
            dump(OBSERVED._replace(detail={"deep": [deep]}))
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(ValueError, match="no JSON"):
            dump(OBSERVED._replace(detail={"deep": deep}))

    def test_flaky_is_what_some_trials_saw_otherwise(self) -> None:
        assert [OBSERVED.flaky, LEAKED.flaky, MISSING.flaky] == [False, True, False]

    def test_nobody_is_in_a_record_of_this_machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        own = [os.environ.get("LOGNAME", ""), os.environ.get("USERNAME", ""), socket.gethostname(),
               os.path.expanduser("~"), os.getcwd()]
        (tmp_path / "secret").mkdir()
        monkeypatch.chdir(tmp_path / "secret")
        for name in ("HOME", "HOSTNAME", "LOGNAME", "PWD", "USER", "USERNAME", "USERPROFILE"):
            monkeypatch.setenv(name, "secret")
        here = facts.facts()
        text = dump(Platform.of(here, 1.0, "2026-11-24T10:00:00Z"))
        public = [here["system"].lower(), (here["distribution"] or {"id": ""})["id"], "localhost", "root", ""]
        assert [name for name in own if name.lower() not in public and json.dumps(name)[1:-1] in text] == []
        assert "secret" not in text.replace("/var/run/secrets/kubernetes.io", "")


class TestFingerprint:
    def changed(self, section: str, **fields: Any) -> Dict[str, Any]:
        return {**FACTS, section: {**FACTS[section], **fields}}

    def test_it_is_the_same_for_the_same_platform(self) -> None:
        assert re.fullmatch("sha256:[0-9a-f]{64}", fingerprint(FACTS))
        assert fingerprint(dict(reversed(list(FACTS.items())))) == fingerprint(FACTS)
        assert fingerprint(facts.facts()) == fingerprint(facts.facts())

    def test_a_process_and_a_moment_do_not_change_it(self) -> None:
        for other in (
                {**FACTS, "cpus": 64}, self.changed("limits", nofile={"soft": 7, "hard": "unlimited"}),
                self.changed("limits", max_user_watches=None), self.changed("runtime", certain=True, evidence=[]),
                self.changed("libc", evidence=["/proc/self/maps"])):
            assert fingerprint(other) == fingerprint(FACTS)

    def test_another_platform_does(self) -> None:
        others = [
            {**FACTS, "system": "Darwin"}, {**FACTS, "runtime": None}, self.changed("runtime", name="podman"),
            self.changed("kernel", release="6.1.1"), self.changed("libc", version="2.37"),
            self.changed("limits", somaxconn=128), self.changed("interpreter", version="3.12.0"),
            self.changed("features", epoll=False), {**FACTS, "new": 1}]
        assert len({fingerprint(each) for each in [*others, FACTS]}) == len(others) + 1

    def test_every_fact_of_today_is_in_or_out_on_purpose(self) -> None:
        """If you add a fact, decide whether a platform that differs in it is another platform, and say so in the
        docstring."""
        assert set(facts.facts()) == {
            "system", "kernel", "architecture", "libc", "distribution", "interpreter", "limits", "cpus", "runtime",
            "virtualization", "features"}
        assert set(facts.limits()) == {"nofile", "fd_setsize", "somaxconn", "max_user_watches"}

    @pytest.mark.parametrize("odd", [{}, {"limits": None}, {"limits": [1]}, {"libc": "glibc"}, {"kernel": {}}])
    def test_facts_that_are_missing_or_odd_are_no_error(self, odd: Dict[str, Any]) -> None:
        assert fingerprint(odd).startswith("sha256:")

    def test_what_is_not_told_counts_as_missing(self) -> None:
        assert fingerprint({**FACTS, "added later": None}) == fingerprint(FACTS)


class TestReading:
    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "run.jsonl"
        path.write_bytes(encoded(PLATFORM, *CELLS))
        read = load(path)
        assert read == (str(path), PLATFORM, CELLS)
        assert load(str(path)) == read

    @pytest.mark.parametrize("data", [
        encoded(PLATFORM, *CELLS).replace(b"\n", b"\r\n"), encoded(PLATFORM, *CELLS)[:-1],
        encoded(PLATFORM, *CELLS).replace(b"{", b" {\t ").replace(b"no kqueue", b"\\u006eo kqueue")],
        ids=["Windows", "no last line end", "other JSON"])
    def test_what_other_programs_make_of_it(self, data: bytes) -> None:
        assert parse(io.BytesIO(data), "run.jsonl") == ("run.jsonl", PLATFORM, CELLS)

    def test_text_may_be_utf_8(self) -> None:
        data = encoded(PLATFORM, MISSING).replace(b"no kqueue", b"kein \xe2\x82\xac")
        assert parse(io.BytesIO(data), "run.jsonl").observations[0].reason == "kein \u20ac() here"

    def test_whole_numbers_are_good_where_others_are(self) -> None:
        read = parse(io.BytesIO(encoded(changed(PLATFORM, slow=2), changed(OBSERVED, seconds=0))), "run.jsonl")
        assert repr([read.platform.slow, read.observations[0].seconds]) == "[2.0, 0.0]"

    @pytest.mark.parametrize("backend", [
        "select", "epoll-et", "none", "selectors:DevpollSelector", "selectors:pkg.mod:Outer.Own_1"])
    def test_names_of_backends(self, backend: str) -> None:
        data = encoded(PLATFORM, changed(OBSERVED, backend=backend))
        assert parse(io.BytesIO(data), "run.jsonl").observations[0].backend == backend

    def test_it_reads_as_lines_come(self) -> None:
        given = []

        def come() -> Any:
            for line in encoded(PLATFORM, {"kind": "unknown"}, OBSERVED).splitlines(True):
                given.append(line)
                yield line

        with pytest.raises(Usage):
            parse(come(), "a pipe")
        assert len(given) == 2

    @pytest.mark.parametrize("name, why", [
        ("missing.jsonl", "ENOENT|WinError"), (".", "EISDIR|EACCES|WinError"),
        ("nul\0.jsonl", "no file has such a name"),
        ("\ud800", "no file has such a name|ENOENT|WinError")])
    def test_a_file_that_cannot_be_read(self, name: str, why: str, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(Usage, match=r"^[ -~]+:1: the file: cannot be read: .*(%s).*; name a file of" % why):
            load(name)

    def test_a_name_of_a_file_is_shown_without_what_moves_a_terminal(self) -> None:
        assert refusal(b"", "a\x1b[31m\n\u202e\ud800.jsonl").startswith(r"a\x1b[31m\n\u202e\ud800.jsonl:1: the line: ")
        with pytest.raises(Usage, match=r"^C:\\r\xfcn:1: "):
            parse([], "C:\\r\xfcn")

    def test_a_line_without_end_does_not_fill_the_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "endless.jsonl"
        with open(path, "wb") as file:
            file.write(encoded(PLATFORM))
            file.truncate(1 << 33)
        with pytest.raises(Usage, match=":2: the line: is longer than 1 MiB; "):
            load(path)

    def test_a_file_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = encoded(PLATFORM, *CELLS)
        monkeypatch.setattr(records, "MAX_FILE_BYTES", len(data))
        parse(io.BytesIO(data), "run.jsonl")
        assert "run.jsonl:5: the line: goes beyond" in refusal(data + b"\n")


class TestRefusals:
    """Each message names the file, the line and the field, in one line without raw characters."""

    @pytest.mark.parametrize("line, field, what", [
        (b"\n", "the line", "is not JSON; "), (b"[1]\n", "the line", "is a list, not an object"),
        (b'"\\u001b\\n"\n', "the line", r"is '\x1b\n', not an object"), (b"nul\n", "the line", "is not JSON"),
        (b"\xef\xbb\xbf{}\n", "the line", "byte order mark; save the file as plain UTF-8"),
        (b"\xff\xfe{\0}\0\n", "the line", "is not UTF-8"), (b'{"\xe2\x82\n', "the line", "is not UTF-8"),
        (b'{"kind": "obser', "the line", "is not JSON; it has no line end, so the run was cut off"),
        (b'{"kind": "\xe2\x82', "the line", "is not UTF-8; it has no line end, so the run was cut off"),
        (b'{"kind": 1, "kind": 1}\n', "'kind'", "is there twice in one object"),
        (b'{"kind": {"\\u202e": 1, "\\u202e": 1}}\n', r"'\u202e'", "is there twice"),
        (b'{"a": NaN}\n', "the line", "a number that is not finite"),
        (b'{"a": -Infinity}\n', "the line", "a number that is not finite"),
        (b'{"a": 1e999}\n', "the line", "a number that is not finite"),
        (b'{"a": 18446744073709551616}\n', "the line", "more than 64 bits"),
        (b'{"a": -%s}\n' % (b"9" * 10 ** 6), "the line", "more than 64 bits"),
        (b'{"a": 1\xd9\xa3}\n', "the line", "is not JSON"), (b'{"a": 1.\xd9\xa3}\n', "the line", "is not JSON"),
        (b'{"a": %s}\n' % (b"[" * 10 ** 6), "the line", "is nested more than 16 deep"),
        (b" " * (1 << 20) + b"\n", "the line", "is longer than 1 MiB"),
        ({"kind": "\x1b[31m" * 20}, "kind", r"is '\x1b[31m\x1b[31m"), ({"kind": ["x"]}, "kind", "is a list, not"),
        ({}, "kind", "is null, not platform or observation"), (PLATFORM, "kind", "a second platform"),
        (OBSERVED, "probe", "readiness/regular-file on epoll is there twice; keep one")],
        ids=lambda value: str(value)[:30])
    def test_a_line_that_is_none(self, line: Any, field: str, what: str) -> None:
        said = refusal(encoded(PLATFORM, OBSERVED, line))
        assert said.startswith("run.jsonl:3: %s: " % field)
        assert what in said and len(said) < 200

    @pytest.mark.parametrize("fields, field, what", [
        ({"outcome": "passed"}, "outcome", "is 'passed', not one of observed, "),
        ({"outcome": ...}, "outcome", "missing"), ({"outcome": [[]]}, "outcome", "is a list"),
        ({"probe": "one"}, "probe", "not an id such as readiness/regular-file"),
        ({"probe": "A/b"}, "probe", "is 'A/b'"), ({"probe": "a/b/c"}, "probe", "not an id"),
        ({"probe": "a/" + "b" * 200}, "probe", "not an id"), ({"probe": "a/b\n"}, "probe", r"'a/b\n'"),
        ({"backend": "../epoll"}, "backend", "not a name"), ({"backend": "selectors:"}, "backend", "not a name"),
        ({"backend": "selectors:a:b:c"}, "backend", "not a name"), ({"backend": None}, "backend", "is null"),
        ({"token": ""}, "token", "is '', not 1 to 200 printable"), ({"token": 5}, "token", "is 5, not"),
        ({"token": "x" * 201}, "token", "is 'xxx"), ({"token": "\u202e"}, "token", r"is '\u202e', not"),
        ({"token": ...}, "token", "is missing"), ({"expected": ...}, "expected", "is missing"),
        ({"expected": True}, "expected", "is true, not null or a token"), ({"trials": "3/2"}, "trials", "k of n"),
        ({"trials": "0/1"}, "trials", "k of n"), ({"trials": [1, 1]}, "trials", "is a list"),
        ({"detail": []}, "detail", "is a list, not an object"), ({"detail": {"x": "\ud800"}}, "detail", "surrogate"),
        ({"detail": {"\ud800": "x"}}, "detail", "surrogate"),
        ({"detail": {"x": "y" * 4097}}, "detail", "has a text of 4097 characters"),
        ({"seconds": True}, "seconds", "is true, not a number"), ({"seconds": "1"}, "seconds", "is '1', not"),
        ({"seconds": -0.5}, "seconds", "is -0.5, not"), ({"seconds": 1e10}, "seconds", "not a number"),
        ({"reason": "x"}, "'reason'", "no field of such a line"), ({"\x1b[2J": 1}, r"'\x1b[2J'", "no field"),
        ({"\ud800": 1}, r"'\ud800'", "no field"), ({"x" * 5000: 1}, "'" + "x" * 57 + "...'", "no field")])
    def test_a_cell(self, fields: Dict[str, Any], field: str, what: str) -> None:
        said = refusal(encoded(PLATFORM, changed(OBSERVED, **fields)))
        assert said.startswith("run.jsonl:2: %s: " % field)
        assert what in said and len(said) < 250

    @pytest.mark.parametrize("record, fields, field", [
        (MISSING, {"reason": ...}, "reason"), (MISSING, {"reason": ""}, "reason"),
        (MISSING, {"reason": None}, "reason"), (MISSING, {"token": "EPERM"}, "'token'"),
        (MISSING, {"detail": {}}, "'detail'"), (LEAKED, {"reason": ...}, "reason"),
        (LEAKED, {"token": ...}, "token")])
    def test_a_cell_without_what_belongs_to_its_outcome(self, record: Any, fields: Dict[str, Any], field: str) -> None:
        assert refusal(encoded(PLATFORM, changed(record, **fields))).startswith("run.jsonl:2: %s: " % field)

    @pytest.mark.parametrize("fields, field, what", [
        ({"schema": 2}, "schema", "2 is written by a newer lab than"),
        ({"schema": 2, "kind": "run"}, "schema", "newer"),
        ({"schema": 0}, "schema", "is 0, not 1"), ({"schema": True}, "schema", "is true, not 1"),
        ({"schema": 1.0}, "schema", "is 1.0, not 1"), ({"schema": ...}, "schema", "is missing"),
        ({"lab": 1}, "lab", "is 1"),
        ({"lab": "0.1.0\n"}, "lab", r"'0.1.0\n'"), ({"facts": []}, "facts", "a list"), ({"slow": 0}, "slow", "above 0"),
        ({"facts": {**FACTS, "system": "Plan 9"}}, "fingerprint", "is not that of these facts"),
        ({"fingerprint": "md5:0"}, "fingerprint", "hexadecimal"), ({"slow": "1"}, "slow", "is '1'"),
        ({"started": "2026-02-30T00:00:00Z"}, "started", "instant"),
        ({"started": "2026-2-3T0:00:00Z"}, "started", "instant"),
        ({"started": "2026-02-03T00:00:00"}, "started", "instant"), ({"started": 5}, "started", "is 5"),
        ({"host": "secret"}, "'host'", "no field of such a line; remove it, or update the lab")])
    def test_a_platform(self, fields: Dict[str, Any], field: str, what: str) -> None:
        said = refusal(encoded(changed(PLATFORM, **fields), OBSERVED))
        assert said.startswith("run.jsonl:1: %s: " % field)
        assert what in said

    def test_a_file_without_a_platform(self) -> None:
        assert refusal(encoded(OBSERVED)).startswith("run.jsonl:1: kind: a cell before its platform; ")
        assert refusal(b"") == "run.jsonl:1: the line: is missing, the file is empty; run again, and look for errors"

    @pytest.mark.parametrize("deep", [15, 100, 900, 100_000])
    @pytest.mark.parametrize("field", ["detail", "outcome", "kind"])
    def test_nesting_that_json_itself_may_or_may_not_stand(self, field: str, deep: int) -> None:
        line = json.dumps(changed(OBSERVED, **{field: {"x": "@"}})).replace('"@"', "[" * deep + "]" * deep)
        assert re.match("run.jsonl:2: (%s|the line): is (nested more than 16 deep|an object)" % field,
                        refusal(encoded(PLATFORM, line.encode("ascii"))))
