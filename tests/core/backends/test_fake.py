"""The scripted backend plays its script, and keeps registrations as every other backend does."""

from __future__ import annotations

import pytest

from lab.backends import AlreadyRegistered, NotRegistered
from lab.backends.fake import Fake, ScriptEnded
from lab.events import BOTH, HANGUP, READ, WRITE, Trigger

pytestmark = pytest.mark.emulated


def test_each_wait_is_a_step() -> None:
    fake = Fake([{3: READ}, {}, {4: WRITE | HANGUP, 3: READ}])
    fake.register(3, READ, "three")
    fake.register(4, BOTH, "four")
    assert fake.wait(1) == [("three", READ)]
    assert fake.wait(None) == []
    assert fake.wait(0) == [("four", WRITE | HANGUP), ("three", READ)], "the order must be that of the script"


def test_after_the_last_step_whoever_waits_fails() -> None:
    fake = Fake([{}])
    fake.register(3, READ)
    fake.wait()
    with pytest.raises(ScriptEnded, match=r"wait\(2\).*registered: \{3: 1\}"):
        fake.wait(2)


def test_events_for_nobody_are_dropped() -> None:
    assert Fake([{9: READ}]).wait() == []


def test_calls_are_kept_in_order() -> None:
    fake = Fake([{}])
    fake.register(3, READ)
    fake.modify(3, BOTH)
    fake.wait(0.5)
    assert fake.interest == {3: BOTH}
    fake.unregister(3)
    assert fake.calls == [("register", 3, READ), ("modify", 3, BOTH), ("wait", 0.5), ("unregister", 3)]
    assert fake.interest == {}


def test_misuse_is_refused_as_by_every_backend() -> None:
    fake = Fake()
    fake.register(3, READ)
    with pytest.raises(AlreadyRegistered):
        fake.register(3, WRITE)
    with pytest.raises(NotRegistered):
        fake.modify(4, READ)
    with pytest.raises(ValueError, match="interest"):
        fake.register(4, 0)
    assert fake.calls == [("register", 3, READ)]


def test_edge_is_claimed_by_the_instance_alone() -> None:
    assert Fake(edge=True).trigger is Trigger.EDGE
    assert Fake().trigger is Fake.trigger is Trigger.LEVEL
