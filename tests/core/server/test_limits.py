"""How an error of accept() is classified, and which numbers the options accept."""

from __future__ import annotations

import argparse
import errno
import socket

import pytest

from lab.quantities import byte_count, seconds
from lab.server.limits import Limits, Stats, is_exhaustion, is_peer_error
from lab.waits import LONGEST_WAIT


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
def test_want_of_descriptors_or_memory_is_exhaustion(name: str) -> None:
    error = OSError(getattr(errno, name), "")
    assert is_exhaustion(error)
    assert not is_peer_error(error)


@pytest.mark.parametrize("name", ["ECONNABORTED", "EPROTO", "EPERM", "ENETDOWN", "ENETUNREACH", "EHOSTUNREACH"])
def test_errors_of_one_connection_are_its_fault(name: str) -> None:
    error = OSError(getattr(errno, name), "")
    assert is_peer_error(error)
    assert not is_exhaustion(error)


@pytest.mark.parametrize("name", ["EBADF", "EINVAL", "ENOTSOCK", "EFAULT"])
def test_errors_of_ours_are_neither(name: str) -> None:
    error = OSError(getattr(errno, name), "")
    assert not is_peer_error(error)
    assert not is_exhaustion(error)
    assert not is_exhaustion(OSError("without a number"))
    assert not is_peer_error(OSError("without a number"))


def test_limits_are_off_by_default_but_for_the_buffer() -> None:
    limits = Limits()
    assert limits.max_connections is None and limits.idle_timeout is None
    assert limits.max_buffer == 1024 ** 2


def test_statistics_of_two_runs_share_nothing() -> None:
    first, second = Stats(), Stats()
    first.extra["x"] = 1
    assert second.extra == {}


@pytest.mark.parametrize("text, value", [("0", 0.0), ("2.5", 2.5), (".5", 0.5), ("3.", 3.0), ("300ms", 0.3),
                                         ("1m", 60.0), ("2000000", LONGEST_WAIT)])
def test_spans_are_read_with_their_unit(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "-1", "1e3", "inf", "nan", "1h", "1,5", "2000001", "9" * 400, "99999999m"])
def test_spans_that_no_system_call_takes_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        seconds(text)


def test_the_longest_span_is_really_waited_for() -> None:
    """A longer one overflows in poll(2): settimeout(4294968) times out after 0.7 s on CPython 3.11 on Linux."""
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(LONGEST_WAIT)
        assert near.gettimeout() == LONGEST_WAIT
        assert int(LONGEST_WAIT * 1000) < 2 ** 31


@pytest.mark.parametrize("text, value", [("0", 0), ("4096", 4096), ("64K", 65536), ("64k", 65536), ("1M", 1024 ** 2),
                                         ("2GiB", 2 * 1024 ** 3), ("5B", 5)])
def test_counts_of_bytes_are_powers_of_1024(text: str, value: int) -> None:
    assert byte_count(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1.5M", "K", "1T", "0x10", "1 2", "1e6"])
def test_counts_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        byte_count(text)
