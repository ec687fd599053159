"""The limit of poll that a process meets only after lowering its own limit, and masks with other numbers than ours."""

from __future__ import annotations

import errno
import select
import subprocess
import sys
from typing import Any, List

import pytest

from lab.backends import Refused, poll
from lab.events import READ
from lab.probing.probe import over
from tests.waits import PROGRAM

pytestmark = pytest.mark.emulated

_LIMITED = """
import os, resource, sys
from lab.backends import Refused, find
from lab.events import READ
backend = find(sys.argv[1])()
reader, writer = os.pipe()
copies = [os.dup(reader) for _ in range(40)]
highest = max(copies)
resource.setrlimit(resource.RLIMIT_NOFILE, (30, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
refused = []
for fd in copies:
    try:
        backend.register(fd, READ, fd)
    except Refused as refusal:
        refused.append(refusal)
os.write(writer, b"x")
ready = backend.wait(5)
print(len(backend), len(refused), len(ready), highest >= 30, refused[0].errno, str(refused[0]))
"""


@pytest.mark.skipif(not hasattr(select, "poll"), reason="no poll() on this platform")
@pytest.mark.parametrize("name", over("poll"))
def test_entries_beyond_the_soft_limit_are_refused_by_register(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise wait() would fail with EINVAL. The limit is on entries, not on numbers. In a child, because it lowers
    its own limit."""
    monkeypatch.delenv("LAB_BACKENDS", raising=False)
    done = subprocess.run([sys.executable, "-c", _LIMITED, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=PROGRAM, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("30 10 30 True %d poll cannot watch" % errno.EINVAL), done.stdout
    assert "ulimit -n" in done.stdout


class Limits:
    """The ``resource`` module of a process with that soft limit."""

    RLIMIT_NOFILE = 7

    def __init__(self, soft: int) -> None:
        self.soft = soft

    def getrlimit(self, _: int) -> Any:
        return self.soft, self.soft


@pytest.mark.parametrize("limits,refuses", [(Limits(2), True), (Limits(3), False), (Limits(-1), False), (None, False)],
                         ids=["beyond", "just-fits", "infinity", "no-resource-module"])
def test_admit(monkeypatch: pytest.MonkeyPatch, limits: Any, refuses: bool) -> None:
    monkeypatch.setattr(poll, "_resource", limits)
    if refuses:
        with pytest.raises(Refused, match="2 entries"):
            poll.admit(9, 3)
    else:
        poll.admit(9, 3)


@pytest.mark.skipif(not hasattr(select, "poll"), reason="no poll() on this platform")
def test_a_foreign_mask_is_a_reason_not_to_be_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """events.py passes masks through unchanged, and AIX gives them other numbers."""
    assert poll.Poll.missing() is None
    monkeypatch.setattr(select, "POLLOUT", 0x2)
    assert poll.Poll.missing() == "POLLOUT is 0x2 here, not 0x4"


def test_without_poll_it_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll, "_poll", None)
    assert "no poll()" in str(poll.Poll.missing())


class Scripted:
    """A poll object that records its calls, and reports a descriptor that was never registered."""

    def __init__(self) -> None:
        self.asked: List[Any] = []

    def register(self, fd: int, mask: int) -> None:
        pass

    def poll(self, milliseconds: Any) -> Any:
        self.asked.append(milliseconds)
        return [(3, READ), (99, READ)]


@pytest.mark.parametrize("cuts,asked", [(False, [pytest.approx(0.4), 0.0, None]), (True, [1, 0, None])])
def test_fractions_are_rounded_up_where_poll_cuts_them_off(monkeypatch: pytest.MonkeyPatch, cuts: bool,
                                                           asked: List[Any]) -> None:
    """PyPy would spin at each timeout below a millisecond."""
    for name, value in (("_poll", Scripted), ("_CUTS_FRACTIONS", cuts), ("_resource", None)):
        monkeypatch.setattr(poll, name, value)
    monkeypatch.setattr(poll.Poll, "missing", classmethod(lambda cls: None))
    backend = poll.Poll()
    for timeout in (0.0004, -1.0, None):
        backend.wait(timeout)
    assert backend._poll.asked == asked


def test_what_was_unregistered_meanwhile_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll, "_poll", Scripted)
    monkeypatch.setattr(poll.Poll, "missing", classmethod(lambda cls: None))
    backend = poll.Poll()
    backend.register(3, READ, "three")
    assert backend.wait(0) == [("three", READ)]
