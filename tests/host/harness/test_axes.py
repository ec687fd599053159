"""Targets on one kernel that disagree on what is the kernel's own: found, unless an expectation names the cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pytest

from lab.cli import main
from lab.errors import EXIT_DEVIATION, EXIT_OK
from lab.harness.verifying import axes, expectations, judge
from lab.harness.verifying.expectations import Row
from lab.records import Platform, Records
from tests.host.harness.made import FACTS, PROBE, save, seen

MUSL = {"libc": {"name": "musl", "version": "1.2.5", "evidence": []}}
GVISOR = {"runtime": {"name": "gvisor", "certain": True, "evidence": []}, "container": {"version": "20240729.0"}}


def made(token: str, backend: str = "poll", changed: Dict[str, Any] = {}, **fields: Any) -> Records:  # noqa: B006
    platform = Platform.of({**FACTS, **changed}, 1.0, "2026-11-24T10:00:00Z")
    return Records("made", platform, [seen(token, backend=backend, expected=None, **fields)])


def row(where: Dict[str, Any], observed: str = "OUT") -> Row:
    return Row(PROBE, "poll", where, observed, "why", "https://example.org/", False, "x.toml: cause 1")


def found(rows: List[Row] = [], **records: Records) -> List[axes.Dispute]:  # noqa: B006
    return axes.disputes(records, {name: judge.judge(name, each, rows) for name, each in records.items()})


def test_two_images_on_one_kernel_that_answer_differently_are_in_dispute() -> None:
    dispute, = found(one=made("IN"), two=made("OUT"), three=made("IN"))
    assert dispute.difference.answers == {"IN": ["one", "three"], "OUT": ["two"]}
    assert dispute.kernel == "Linux 6.18.44 #1 SMP"


def test_a_row_that_names_libc_python_or_architecture_explains_it() -> None:
    sides = {"one": made("IN"), "two": made("OUT", changed=MUSL)}
    for where in ({"libc.name": "musl"}, {"interpreter.version": "==3.13", "libc.name": "musl"}):
        assert found([row(where)], **sides) == []
    assert len(found([row({"system": "Linux"})], **sides)) == 1  # which is no cause: both are
    assert len(found([row({"libc.name": "glibc"})], **sides)) == 1  # which the other side is not


def test_of_three_answers_one_needs_no_reason() -> None:
    sides = {"one": made("IN"), "two": made("OUT", changed=MUSL), "three": made("IN+OUT")}
    assert len(found([row({"libc.name": "musl"})], **sides)) == 1
    assert found([row({"libc.name": "musl"}), row({"libc.name": "glibc"}, "IN+OUT")], **sides) == []


def test_other_kernels_and_runtimes_that_are_kernels_are_not_compared() -> None:
    other = made("OUT", changed={"kernel": {"release": "6.1.0", "version": "#1 SMP"}})
    assert found(one=made("IN"), two=other, three=made("OUT", changed=GVISOR)) == []
    assert len(found(two=made("IN", changed=GVISOR), three=made("OUT", changed=GVISOR))) == 1
    older = made("IN", changed=dict(GVISOR, container={"version": "20221219.0"}))
    assert found(two=older, three=made("OUT", changed=GVISOR)) == []


def test_a_container_and_its_host_share_a_kernel() -> None:
    docker = {"runtime": {"name": "docker", "certain": True, "evidence": []}, "container": {"version": "1.1.5"}}
    assert len(found(here=made("IN"), there=made("OUT", changed=docker))) == 1


def test_python_s_own_selectors_and_flaky_cells_are_not_the_kernel_s() -> None:
    assert found(one=made("READ", "selectors"), two=made("WRITE", "selectors")) == []
    assert found(one=made("IN", trials="2/3"), two=made("OUT")) == []


def test_verify_tells_and_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(judge, "updated", lambda records: records)  # nothing is promised of these cells
    monkeypatch.setattr(expectations, "load_all", list)
    files = [save(tmp_path / name, each) for name, each in (("a.jsonl", made("IN")), ("b.jsonl", made("OUT")))]
    words = [word for file in files for word in ("--target", "recorded:%s" % file)]
    assert main(["verify", *words]) == EXIT_DEVIATION
    out = capsys.readouterr().out
    assert "targets that share a kernel disagree, and no expectation explains it" in out
    assert out.splitlines()[-1] == "1 probes, 2 observations: 1 disputes between targets that share a kernel."
    assert main(["verify", *words[:2]]) == EXIT_OK


# One axis at a time.


def stepped(**records: Records) -> List[axes.Step]:
    return list(axes.steps(records, {name: judge.judge(name, each, []) for name, each in records.items()}))


def test_a_target_is_compared_with_the_first_that_differs_in_one_axis_only() -> None:
    old = {"interpreter": dict(FACTS["interpreter"], version="3.9.2")}
    small = {"architecture": dict(FACTS["architecture"], bits=32)}
    found = stepped(one=made("IN"), old=made("IN", changed=old), musl=made("OUT", changed=MUSL),
                    musl_old=made("OUT", changed={**MUSL, **old}), small=made("IN", changed=small),
                    gvisor=made("x", changed=GVISOR), alike=made("y"))
    assert [(step.axis, step.one, step.other, step.differ) for step in found] == [
        ("Python", "one", "old", 0), ("libc", "one", "musl", 1), ("libc", "old", "musl_old", 1),
        ("architecture", "one", "small", 0), ("runtime", "one", "gvisor", 1),
        ("Python", "old", "alike", 1)]


def test_cells_count_that_both_answer_and_selectors_are_not_the_kernel_s() -> None:
    both = made("IN"), made("OUT", changed=MUSL)
    both[0].observations.extend([seen("READ", backend="selectors"), seen("only here", backend="select")])
    both[1].observations.extend([seen("WRITE", backend="selectors")])
    assert stepped(one=both[0], two=both[1]) == [axes.Step("libc", "one", "two", both=2, differ=2, of_kernel=1)]
