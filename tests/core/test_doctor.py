"""`lab doctor`: its report about a given platform, and that it runs on this one."""

from __future__ import annotations

import argparse
import copy
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, Optional

import pytest

from lab.cli import main
from lab.doctor import command, finding, showing

REPORT: Dict[str, Any] = {
    "lab": "0.1.0",
    "facts": {
        "system": "Linux", "kernel": {"release": "6.1", "version": "#1 SMP"},
        "architecture": {"machine": "x86_64", "bits": 32, "byte_order": "little"},
        "libc": {"name": "musl", "version": None, "evidence": ["x"]},
        "distribution": {"id": "alpine", "version": "3.20"},
        "interpreter": {"implementation": "PyPy", "version": "3.9.16", "release": "7.3.11", "compiler": "GCC 12",
                        "debug": False, "free_threaded": False, "gil": True},
        "limits": {"nofile": {"soft": 1024, "hard": "unlimited"}, "fd_setsize": 1024, "somaxconn": None,
                   "max_user_watches": 98705},
        "cpus": 1, "runtime": {"name": "docker", "certain": False, "evidence": ["/.dockerenv exists"]},
        "virtualization": None, "features": {"epoll": True, "kqueue": False}},
    "backends": [{"name": "epoll", "trigger": "level", "features": ["live"], "why_missing": None},
                 {"name": "kqueue", "trigger": "level", "features": [], "why_missing": "not on Linux, " * 20}],
    "interpreters": [{"path": "/p/python2.7", "implementation": "CPython", "version": "2.7.18", "usable": False,
                      "why_not": "too old: the lab needs 3.8"},
                     {"path": "/p/python3", "implementation": "", "version": "", "usable": False,
                      "why_not": "does not answer"},
                     {"path": "/p/python3.8", "implementation": "CPython", "version": "3.8.18", "usable": True,
                      "why_not": None}],
    "tools": [{"name": "wrk", "what_for": "HTTP load", "path": None, "install": "apk add wrk"},
              {"name": "docker", "what_for": "images", "path": "/usr/bin/docker", "install": None}],
    "engine": None, "emulated": [],
}


def lines(text: str) -> Dict[str, str]:
    """The rows of the report by their first words, without marks."""
    rows = (re.match(r"^  (?:ok  |--  )?(\S+(?: \S+)*)  +(.*)$", line) for line in text.splitlines())
    return {row.group(1): row.group(2) for row in rows if row is not None}


class TestText:
    @pytest.mark.parametrize("name, said", [
        ("interpreter", "PyPy 7.3.11 (Python 3.9.16), GCC 12"), ("container", "perhaps docker: /.dockerenv exists"),
        ("virtualized", "none that shows"), ("open files", "1,024, may be raised to unlimited"), ("libc", "musl"),
        ("backlog", "unknown (somaxconn)"),  ("architecture", "x86_64, 32-bit Python, little-endian, 1 CPU"),
        ("wrk", "apk add wrk  (HTTP load)"), ("docker", "/usr/bin/docker"),
        ("CPython 2.7.18", "/p/python2.7  too old: the lab needs 3.8"), ("unknown", "/p/python3  does not answer")])
    def test_rows(self, name: str, said: str) -> None:
        assert lines(showing.as_text(REPORT))[name] == said

    def test_it_is_at_most_100_columns_wide(self) -> None:
        text = showing.as_text(REPORT)
        assert max(map(len, text.splitlines())) <= 100 and " ".join(text.split()).count("not on Linux") == 20

    def test_no_line_is_broken_in_a_path(self) -> None:
        report = copy.deepcopy(REPORT)
        report["tools"][1]["path"] = path = "/Program Files/" + "a b " * 30 + "docker"
        assert lines(showing.as_text(report))["docker"] == path

    def test_marks_tell_what_is_here(self) -> None:
        text = showing.as_text(REPORT)
        assert re.search(r"^  ok  epoll ", text, re.MULTILINE) and re.search(r"^  --  kqueue ", text, re.MULTILINE)

    def test_the_end_sums_up(self) -> None:
        last = showing.as_text(REPORT).splitlines()[-1]
        assert last == "Here: 1 of 2 backends, 1 of 3 interpreters, 1 of 2 tools, no container engine."

    def test_the_engine_is_named_with_its_runtimes(self) -> None:
        report = copy.deepcopy(REPORT)
        report["engine"] = {"version": "20.10.24", "runtimes": ["runc", "runsc"]}
        assert lines(showing.as_text(report))["engine"] == "20.10.24, with runc, runsc"

    def test_foreign_architectures_that_run_are_told_from_those_that_do_not(self) -> None:
        report = {**copy.deepcopy(REPORT), "engine": {"version": "28", "runtimes": ["runc"]}, "emulated": ["s390x"]}
        rows = lines(showing.as_text(report))
        assert rows["emulated"] == "s390x" and rows["not emulated"].startswith(
            "arm64, armhf, ppc64el, riscv64  (as root: apt-get")

    def test_colours_change_no_character(self) -> None:
        coloured = showing.as_text(REPORT, coloured=True)
        assert "\x1b[" in coloured and re.sub(r"\x1b\[\d+m", "", coloured) == showing.as_text(REPORT)

    def test_a_report_of_nothing_but_none_can_be_shown(self) -> None:
        report = copy.deepcopy(REPORT)
        here = report["facts"]
        here["limits"] = dict.fromkeys(here["limits"])
        here.update(libc=None, distribution=None, runtime=None, cpus=None)
        report["interpreters"] = []
        assert lines(showing.as_text(report))["open files"] == "unknown"
        assert "unknown (max_user_watches)" in showing.as_text(report)


@pytest.mark.parametrize("name, distribution, hint", [
    ("ncat", "debian", "apt-get install ncat"), ("ncat", "fedora", "dnf install nmap-ncat"),
    ("docker", "debian", "apt-get install docker.io"), ("wrk", "macos", "brew install wrk"),
    ("wrk", "plan9", "install wrk"), ("wrk", None, "install wrk")])
def test_a_missing_tool_comes_with_its_command(monkeypatch: pytest.MonkeyPatch, name: str, distribution: Optional[str],
                                               hint: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found = finding.look_up(name, None if distribution is None else {"id": distribution})
    assert (found["path"], found["install"]) == (None, hint)


@pytest.mark.needs("sh")
@pytest.mark.skipif(sys.platform == "win32", reason="the fakes are shell scripts")
@pytest.mark.parametrize("script, expected", [
    ("echo 20.10.24 runc runsc", {"version": "20.10.24", "runtimes": ["runc", "runsc"]}),
    ("echo Cannot connect; exit 1", None), ("exit 0", None), ("exec sleep 60", None)])
def test_the_engine_answers_or_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str,
                                       expected: Optional[Dict[str, Any]]) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\n%s\n" % script)
    docker.chmod(0o755)
    if "sleep" not in script:
        monkeypatch.setattr(finding, "ENGINE_PATIENCE", 30.0)
    assert finding.engine(str(docker)) == expected


class TestHere:
    def test_json_is_one_object_with_every_part(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["doctor", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert set(report) == set(REPORT)
        assert [each["name"] for each in report["tools"]] == list(finding.TOOLS)
        assert any(each["usable"] for each in report["interpreters"])

    def test_a_backend_that_is_switched_off_says_why(self, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("LAB_BACKENDS", "select")
        assert command.run(argparse.Namespace(json=False)) == 0
        assert lines(capsys.readouterr().out)["selectors"] == "switched off: LAB_BACKENDS=select"

    def test_the_home_directory_is_shortened(self) -> None:
        home = os.path.expanduser("~")
        assert showing._short(os.path.join(home, "x")) == "~" + os.sep + "x"
        assert showing._short(home + "x") == home + "x"
