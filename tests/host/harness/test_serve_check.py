"""`lab verify --serve`: it drives every server variant, and reports what fails with one beside the others."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, List

import pytest
from rich.console import Console

from lab.backends import here
from lab.errors import EXIT_BROKEN, EXIT_DEVIATION, EXIT_OK, Broken, Deviation
from lab.harness.server_variants import Variant, variants
from lab.harness.verifying import serve_check
from lab.harness.verifying.server_process import ServerProcess
from lab.load.plan import STREAM, Plan
from lab.load.report import Report
from lab.load.run import drive as drive_for_real


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_check, "CONNECTIONS", 3)
    monkeypatch.setattr(serve_check, "DURATION", 0.05)
    monkeypatch.setattr(serve_check, "TOTAL_BYTES", 100 * 1024)


def check_all() -> int:
    return serve_check.check_all(Console(width=100, highlight=False))


@pytest.mark.slow
def test_every_backend_here_and_every_other_model_is_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_all() == EXIT_OK
    out = capsys.readouterr().out
    names = [kind.name for kind in here()] + ["blocking", "nonblocking", "asynchronous"]
    rows = [line.split()[0] for line in out.splitlines() if " level " in line or " edge " in line or " - " in line]
    assert rows == names
    assert "%d of %d server variants returned every byte" % (len(names), len(names)) in out


@pytest.mark.parametrize("error,code", [(Deviation("a wrong [byte]"), EXIT_DEVIATION), (Broken("gone"), EXIT_BROKEN)])
def test_a_variant_that_fails_is_reported_and_the_others_are_checked(
        monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = list(variants())[-2:]
    monkeypatch.setattr(serve_check, "variants", lambda: iter(chosen))
    calls: List[str] = []

    def drive(plan: Plan) -> Report:
        calls.append(plan.mode)
        if calls == [calls[0], STREAM]:  # the second load of the first variant
            raise error
        return drive_for_real(plan)

    monkeypatch.setattr(serve_check, "drive", drive)
    assert check_all() == code
    out = capsys.readouterr().out
    assert "%s: %s" % (chosen[0].name, error) in out
    assert "1 of 2 server variants returned every byte" in out


def test_bytes_that_the_server_did_not_count_are_a_deviation(monkeypatch: pytest.MonkeyPatch,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(serve_check, "variants", lambda: iter([Variant("blocking", None)]))
    real = ServerProcess.__exit__

    def lossy(self: ServerProcess, *exception: Any) -> None:
        real(self, *exception)
        self.stopped["bytes_out"] -= 1

    monkeypatch.setattr(ServerProcess, "__exit__", lossy)
    assert check_all() == EXIT_DEVIATION
    assert "the server counted" in capsys.readouterr().out


def test_a_server_that_cannot_serve_is_broken_in_one_line() -> None:
    with pytest.raises(Broken) as caught, ServerProcess(["--backend", "epol"]):
        pytest.fail("it serves on a backend that does not exist")
    assert re.match(r"`lab serve .* never logged that it is listening; lab serve: no backend \"epol\"",
                    str(caught.value))
    assert "\n" not in str(caught.value)


def test_ctrl_c_during_a_load_ends_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_check, "variants", lambda: iter([Variant("blocking", None)] * 2))
    monkeypatch.setattr(serve_check, "drive",
                        lambda plan: dataclasses.replace(drive_for_real(plan), is_interrupted=True))
    with pytest.raises(KeyboardInterrupt):
        check_all()
