"""The timers of a loop run in order, once, and never earlier than they are due."""

from __future__ import annotations

from typing import List

from hypothesis import given, settings, strategies as st

from lab.server.timers import Timers


@given(st.lists(st.floats(0, 100), max_size=20), st.lists(st.floats(0, 120), max_size=5))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_each_is_called_once_when_it_is_due_in_order(instants: List[float], looks: List[float]) -> None:
    timers = Timers()
    called: List[float] = []
    for instant in instants:
        timers.at(instant, lambda instant=instant: called.append(instant))  # type: ignore[misc]
    for now in sorted(looks):
        timers.run(now)
        assert called == sorted(each for each in instants if each <= now)
        assert len(timers) == len(instants) - len(called)


def test_equal_instants_are_called_in_the_order_they_were_made() -> None:
    timers = Timers()
    called: List[int] = []
    for number in range(5):
        timers.at(1.0, lambda number=number: called.append(number))  # type: ignore[misc]
    timers.run(1.0)
    assert called == [0, 1, 2, 3, 4]


def test_what_a_callback_adds_waits_for_the_next_run() -> None:
    timers = Timers()
    called: List[str] = []

    def again() -> None:
        called.append("again")
        timers.at(0.0, again)

    timers.at(0.0, again)
    timers.run(5.0)
    assert called == ["again"]
    timers.run(5.0)
    assert called == ["again", "again"]


def test_the_time_to_the_next_is_never_negative() -> None:
    timers = Timers()
    assert timers.until_next(0.0) is None
    timers.at(7.0, lambda: None)
    timers.at(3.0, lambda: None)
    assert timers.until_next(1.0) == 2.0
    assert timers.until_next(9.0) == 0.0
