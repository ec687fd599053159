"""The JSON schema of records: it is one, other programs find it in the package, and it says what the lab says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import pytest
from jsonschema import Draft202012Validator

from lab import records
from lab.errors import Usage
from lab.harness.verifying import schema
from lab.records import Observation, Platform, dump

PLATFORM: Dict[str, Any] = json.loads(dump(Platform.of({"system": "Linux"}, 1.0, "2026-11-24T10:00:00Z")))
OBSERVED: Dict[str, Any] = json.loads(dump(Observation("a/b", "epoll", "observed", "IN", "IN", "1/1", {}, None, 0.1)))
BROKEN: Dict[str, Any] = json.loads(dump(Observation("a/b", "poll", "broken", None, None, "", {}, "no pty here", 0.1)))


def test_it_is_a_schema_of_this_version() -> None:
    Draft202012Validator.check_schema(schema.SCHEMA)
    assert schema.SCHEMA["$defs"]["platform"]["properties"]["schema"]["const"] == records.SCHEMA


def test_it_knows_the_fields_and_outcomes_of_the_lab() -> None:
    kinds = schema.SCHEMA["$defs"]
    assert set(kinds["platform"]["properties"]) == {"kind", "schema", *Platform._fields}
    assert set(kinds["observation"]["properties"]) == {"kind", *Observation._fields}
    assert tuple(kinds["observation"]["properties"]["outcome"]["enum"]) == records.OUTCOMES
    assert kinds["value"]["maxLength"] == records.MAX_TEXT
    assert kinds["token"]["maxLength"] == records.MAX_NAME


@pytest.mark.parametrize("values", [PLATFORM, OBSERVED, BROKEN], ids=["platform", "observed", "broken"])
def test_what_the_lab_writes_is_right(values: Dict[str, Any]) -> None:
    assert schema.complaint(values) is None
    assert Draft202012Validator(schema.SCHEMA).is_valid(values)


@pytest.mark.parametrize("values, field", [
    ([], "kind"), ({}, "kind"), ({"kind": []}, "kind"), ({"kind": "run"}, "kind"), ({"kind": "platform"}, "the line"),
    ({**PLATFORM, "schema": 2}, "schema"), ({**PLATFORM, "schema": True}, "schema"), ({**PLATFORM, "slow": 0}, "slow"),
    ({**PLATFORM, "host": "x"}, "the line"), ({**PLATFORM, "started": "now"}, "started"),
    ({**PLATFORM, "facts": 1}, "facts"), ({**PLATFORM, "fingerprint": PLATFORM["fingerprint"] + "\n"}, "fingerprint"),
    ({**OBSERVED, "probe": "a"}, "probe"), ({**OBSERVED, "backend": "E"}, "backend"),
    ({**OBSERVED, "token": "\x1b"}, "token"), ({**OBSERVED, "token": "IN\n"}, "token"),
    ({**OBSERVED, "token": "x" * 201}, "token"), ({**OBSERVED, "seconds": -1}, "seconds"),
    ({**OBSERVED, "detail": {"a": [{"b": "x" * 4097}]}}, "detail"), ({**OBSERVED, "reason": "x"}, "reason"),
    ({**OBSERVED, "outcome": "leak"}, "the line"), ({**BROKEN, "token": "IN"}, "token"),
    ({**BROKEN, "reason": ""}, "reason"), ({**BROKEN, "outcome": "observed"}, "the line"),
    ({**BROKEN, "outcome": "passed"}, "outcome")])
def test_what_it_refuses_the_lab_refuses(values: Any, field: str) -> None:
    found = schema.complaint(values)
    assert found is not None and not Draft202012Validator(schema.SCHEMA).is_valid(values)
    assert found[0] == field
    lines = [json.dumps(PLATFORM).encode("ascii")] if values and "probe" in values else []
    with pytest.raises(Usage):
        records.parse([*lines, json.dumps(values).encode("ascii")], "run.jsonl")


def test_a_file_is_checked_by_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (PLATFORM, OBSERVED, BROKEN)), encoding="ascii")
    assert schema.validate(path) == 3
    monkeypatch.setattr(schema, "complaint", lambda values: ("token", "breaks it") if values is not None else None)
    with pytest.raises(Usage, match=r"run\.jsonl:1: token: breaks it; the lab and its schema disagree; please report"):
        schema.validate(path)
    path.write_text("{", encoding="ascii")
    with pytest.raises(Usage, match=r"run\.jsonl:1: the line: is not JSON; it has no line end"):
        schema.validate(path)
