"""`lab serve --workers`: several processes that share one port, one command line and one end."""

from __future__ import annotations

import os
import signal
from typing import Any, List

import pytest

from lab.errors import EXIT_BROKEN, EXIT_OK
from tests.core.conformance.peers import children_of, ping, rest_of, settled
from tests.core.conformance.rig import LINUX
from tests.core.conformance.serving import Process

_os: Any = os  # typed loosely: type checkers know killpg and SIGKILL only on POSIX
_signal: Any = signal

pytestmark = pytest.mark.skipif(not LINUX, reason="Linux spreads connections over the listeners of one port")


def gone(pids: List[int]) -> bool:
    """Whether none of these processes exists any more."""
    return not any(os.path.exists("/proc/%d" % pid) for pid in pids)


def test_workers_share_the_connections_and_end_together() -> None:
    with Process("--workers", "3") as process:
        assert process.ready["workers"] == 3
        pids = children_of(process.pid)
        assert len(pids) == 3
        socks = [process.connect() for _ in range(60)]
        for sock in socks:
            ping(sock)
        for sock in socks:
            sock.close()
        code, events = process.stop(signal.SIGTERM)
    assert code == EXIT_OK
    assert [event["event"] for event in events] == ["stopped"] * 3
    assert sum(event["accepted"] for event in events) == 60
    assert len([event for event in events if event["accepted"]]) > 1
    assert gone(pids)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["blocking", "nonblocking", "asynchronous"])
def test_workers_run_any_model(model: str) -> None:
    with Process("--workers", "2", "--model", model) as process:
        pids = children_of(process.pid)
        with process.connect() as sock:
            ping(sock)
        assert process.stop(signal.SIGTERM)[0] == EXIT_OK
    assert gone(pids)


def test_a_worker_that_ends_by_itself_ends_the_rest() -> None:
    with Process("--workers", "3", "--drain", "1") as process:
        pids = children_of(process.pid)
        os.kill(pids[0], _signal.SIGKILL)
        code, out, err = process.result()
    assert code == EXIT_BROKEN
    assert err.startswith("lab serve: a worker ended by itself (exit codes ")
    assert err.count("\n") == 1
    assert gone(pids)


def test_when_one_worker_is_killed_the_others_still_flush() -> None:
    with Process("--workers", "3", "--drain", "5") as process:
        pids = children_of(process.pid)
        socks = [process.connect() for _ in range(30)]
        for sock in socks:
            ping(sock)
        os.kill(pids[0], _signal.SIGKILL)
        ended = reset = 0
        for sock in socks:
            try:
                ended += rest_of(sock) == b""
            except ConnectionResetError:  # it was a connection of the killed worker
                reset += 1
            sock.close()
        code, out, err = process.result()
    assert ended > 0
    assert code == EXIT_BROKEN
    assert "143" not in err, "a worker got the signal twice, and did not flush"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_counts_once(number: int) -> None:
    """A terminal sends Ctrl-C to every process in the foreground, and the parent passes it on."""
    with Process("--workers", "2", start_new_session=True) as process:
        pids = children_of(process.pid)
        sock = process.connect()
        ping(sock)
        _os.killpg(process.pid, number)
        assert rest_of(sock) == b""
        sock.close()
        code, events = process.finish()
    assert code == EXIT_OK
    assert [event["event"] for event in events] == ["stopped"] * 2
    assert gone(pids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_all_workers_at_once(number: int) -> None:
    with Process("--workers", "2", "--handler", "chargen", "--drain", "60") as process:
        pids = children_of(process.pid)
        settled(process.connect(buffers=16 * 1024))
        process.signal(number)
        process.line()  # the worker without a connection has stopped, so the signal has arrived
        process.signal(number)
        code, out, err = process.result()
    assert (code, err) == (128 + number, "")
    assert gone(pids)


def test_a_signal_while_workers_start_is_not_lost() -> None:
    """At whatever moment the signal arrives, the command ends and leaves no process behind."""
    for count in (1, 3):
        with Process("--workers", "4", ready=False) as process:
            process.until_children(count)
            pids = children_of(process.pid)
            process.signal(signal.SIGTERM)
            code, out, err = process.result()
        assert (code, err) == (EXIT_OK, "")
        assert gone(pids)


def test_workers_do_not_outlive_a_parent_that_was_killed() -> None:
    with Process("--workers", "2") as process:
        sock = process.connect()
        ping(sock)
        process.signal(_signal.SIGKILL)
        assert rest_of(sock) == b"", "its workers must drain as on any other stop"
        sock.close()
        code, out, err = process.result()  # returns when the last worker has closed its end of the output
    assert (code, err) == (-_signal.SIGKILL, "")
    assert out.count('"stopped"') == 2
