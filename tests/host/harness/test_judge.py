"""Verdicts: expectation against observation, row against platform, exclude against failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import EXIT_BROKEN, EXIT_DEVIATION, EXIT_OK, Usage
from lab.harness.verifying.expectations import Row
from lab.harness.verifying.judge import FAILURES, Exclude, JudgedCell, exit_code, judge, read_excludes, unused, updated
from tests.host.harness.made import PROBE, failed, run, seen

ROW = Row(PROBE, "select", {"interpreter.version": "==3.13"}, "r", "because", "https://example.org/", False,
          "x.toml: cause 1")


def verdict(observation: object, *rows: Row) -> str:
    return judge("here", run(observation), rows)[0].verdict  # type: ignore[arg-type]


def test_what_was_promised_is_as_expected() -> None:
    assert verdict(seen("r+w")) == "as-expected"


def test_where_nothing_is_promised_anything_is_as_expected() -> None:
    assert verdict(seen("whatever", expected=None)) == "as-expected"


def test_another_token_that_nobody_knows_of_is_a_deviation() -> None:
    assert verdict(seen("r")) == "deviation"
    assert verdict(seen("r"), ROW._replace(probe="hangup/other")) == "deviation"
    assert verdict(seen("r"), ROW._replace(backend="poll")) == "deviation"
    assert verdict(seen("r"), ROW._replace(where={"interpreter.version": "<3.9"})) == "deviation"


def test_another_token_that_a_row_knows_of_is_a_known_deviation() -> None:
    judged = judge("here", run(seen("r")), [ROW])[0]
    assert (judged.verdict, judged.row, judged.failed) == ("known-deviation", ROW, False)


def test_a_third_token_is_a_deviation_in_spite_of_the_row() -> None:
    assert verdict(seen("w"), ROW) == "deviation"


def test_a_row_that_applies_and_is_not_observed_has_healed() -> None:
    judged = judge("here", run(seen("r+w")), [ROW])[0]
    assert (judged.verdict, judged.row, judged.failed) == ("healed", ROW, True)
    assert verdict(seen("r+w"), ROW._replace(where={"interpreter.version": "<3.9"})) == "as-expected"


def test_of_two_rows_that_apply_one_suffices() -> None:
    assert verdict(seen("r"), ROW._replace(observed="w"), ROW) == "known-deviation"


@pytest.mark.parametrize("outcome", ["unsupported", "broken", "timeout", "crash", "leak"])
def test_what_was_not_observed_is_what_it_is(outcome: str) -> None:
    assert verdict(failed(outcome), ROW) == outcome


def test_an_exclude_takes_out_failures_only_and_by_cell() -> None:
    exclude = Exclude(PROBE, "select", "ours is patched")
    judged = judge("here", run(seen("r"), seen("IN", backend="poll")), [], [exclude])
    assert [each.verdict for each in judged] == ["excluded", "deviation"]
    assert unused([exclude], judged) == []
    fine = judge("here", run(seen("r+w")), [], [exclude])
    assert [each.verdict for each in fine] == ["as-expected"]
    assert unused([exclude], fine) == [exclude]
    everywhere = judge("here", run(seen("r"), seen("IN", backend="poll")), [], [exclude._replace(backend="*")])
    assert {each.verdict for each in everywhere} == {"excluded"}


def test_the_exit_code_is_of_the_worst() -> None:
    def of(*verdicts: str) -> int:
        return exit_code([JudgedCell("here", seen(), each) for each in verdicts])
    assert of() == of("as-expected", "known-deviation", "unsupported", "excluded") == EXIT_OK
    assert of("as-expected", "broken") == EXIT_BROKEN
    for each in set(FAILURES) - {"broken"}:
        assert of("as-expected", "broken", each) == EXIT_DEVIATION


def test_old_records_are_read_with_todays_ids_and_expectations() -> None:
    old = run(seen("r+w", expected="something else"), seen(probe="hangup/gone-for-good"))
    assert updated(old).observations == [seen("r+w")]


REPLACED, BY = "selectors-contract/register-twice", "lifecycle/register-twice"
"""An id that another probe has replaced, and the id of that probe."""

SELECTOR = "selectors:SelectSelector"


def test_a_row_and_an_exclude_may_name_a_probe_by_an_id_that_was_replaced() -> None:
    observed = seen("ok", BY, SELECTOR, expected="KeyError")
    row = ROW._replace(probe=REPLACED, backend=SELECTOR, observed="ok")
    judged = judge("here", run(observed), [row])[0]
    assert (judged.verdict, judged.row) == ("known-deviation", row._replace(probe=BY))
    exclude = Exclude(REPLACED, "*", "ours is patched")
    judged_all = judge("here", run(observed), [], [exclude])
    assert [each.verdict for each in judged_all] == ["excluded"]
    assert unused([exclude], judged_all) == []


def test_an_observation_under_a_replaced_id_counts_once_and_only_in_the_words_of_today() -> None:
    old = seen("KeyError", REPLACED, SELECTOR, expected="KeyError")
    assert updated(run(old)).observations == [old._replace(probe=BY)]
    today = seen("ok", BY, SELECTOR, expected="KeyError")
    assert updated(run(old, today)).observations == [today]
    assert updated(run(seen("at once, silent", "selectors-select/negative", SELECTOR, expected="at once, silent"))
                   ).observations == []


@pytest.mark.parametrize("text, complaint", [
    ('[[exclude]]\nprobe = "a/b"\n', "exclude 1: reason: is missing"),
    ('[[exclude]]\nprobe = "a/b"\nreason = ""\n', "exclude 1: reason: must be a str that is not empty"),
    ('[[exclude]]\nprobe = "a/b"\nreason = "x"\nwhy = "y"\n', "exclude 1: why: unknown field"),
    ("[[row]]\n", "must hold [[exclude]] tables and nothing else"),
])
def test_a_file_of_excludes_that_is_not_as_it_must_be_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(Usage) as refused:
        read_excludes(path)
    assert complaint in str(refused.value)


def test_a_file_of_excludes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[exclude]]\nprobe = "a/b"\nreason = "x"\n'
                    '[[exclude]]\nprobe = "c/d"\nbackend = "poll"\nreason = "y"\n')
    found = read_excludes(path)
    assert found == [Exclude("a/b", "*", "x"), Exclude("c/d", "poll", "y")]
    assert [str(each) for each in found] == ["a/b", "c/d on poll"]


def test_a_row_that_varies_does_not_heal() -> None:
    row = ROW._replace(varies=True)
    assert [verdict(seen(token), row) for token in ("r", "r+w", "w")] == [
        "known-deviation", "as-expected", "deviation"]


def test_a_row_can_know_of_a_crash_or_a_hang_and_of_nothing_else_that_is_no_observation() -> None:
    row = ROW._replace(observed="crash")
    assert verdict(failed("crash"), row) == "known-deviation"
    assert verdict(seen("r+w"), row) == "healed"
    assert verdict(failed("timeout"), row) == "timeout"
    assert verdict(failed("timeout"), row._replace(observed="hangs")) == "known-deviation"
    assert verdict(failed("timeout"), row._replace(observed="timeout")) == "timeout", "that is what a call may say"
    assert verdict(failed("broken"), row._replace(observed="broken")) == "broken"
