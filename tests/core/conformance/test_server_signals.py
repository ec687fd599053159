"""A server in a process of its own: how it ends by signals, and what else can happen to a process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest

from lab.address import UNIX
from lab.errors import EXIT_BROKEN, EXIT_OK
from tests.core.conformance.peers import ping, rest_of
from tests.core.conformance.rig import WINDOWS
from tests.core.conformance.serving import (
    KINDS,
    TIMED,
    Process,
    Service,
    check_that_it_flushes,
    directory,
    each,
    environment,
    needs_unix,
    posix_only,
)
from tests.waits import PROGRAM

SMALL = 16 * 1024
_signal: Any = signal  # typed loosely: type checkers know all of them only on POSIX

STUCK = [service for service in TIMED if service.model != "blocking"]
"""Models that a client that does not read can hold up. A blocking thread wakes in send() at a stop, and may find
room."""

STUCK_HANDLER = """
import os, sys
from lab.cli import main
from lab.server import handlers

class Stuck(handlers.Echo):
    def received(self, data):
        if data == b"wait":
            os.read(0, 1)
        return data

handlers.HANDLERS["echo"] = Stuck
sys.exit(main(["serve", "--port", "0", "--log", "json", "--model", "blocking", "--drain", "60"]))
"""


@each(KINDS)
@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGINT", marks=pytest.mark.slow), pytest.param(
    "SIGBREAK", marks=pytest.mark.skipif(not WINDOWS, reason="SIGBREAK exists only on Windows"))])
def test_a_signal_flushes_and_exits_with_zero(service: Service, name: str) -> None:
    with Process(*service.options, "--max-buffer", "5000") as process:
        check_that_it_flushes(process, getattr(signal, name))


@pytest.mark.needs("console")
@each(KINDS)
def test_ctrl_break_flushes_and_exits_with_zero(service: Service) -> None:
    with Process(*service.options, creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)) as process:
        sock = process.connect()
        ping(sock)
        process.press(getattr(signal, "CTRL_BREAK_EVENT", 0))
        assert rest_of(sock) == b""
        sock.close()
        code, events = process.finish()
    assert (code, [event["event"] for event in events]) == (EXIT_OK, ["stopped"])


@pytest.mark.skipif(WINDOWS, reason="a busy Wine fills the server's send buffer later than its client can see")
@each(STUCK, fast=STUCK[:1])
def test_after_the_drain_time_it_exits_with_zero_all_the_same(service: Service) -> None:
    with Process(*service.options, "--handler", "chargen", "--drain", "0.2") as process:
        process.until_stuck(process.connect(buffers=SMALL))
        process.signal(signal.SIGTERM)
        code, events = process.finish()
    assert code == EXIT_OK
    assert events[-1]["cut_off"] == 1


@pytest.mark.skipif(WINDOWS, reason="a busy Wine fills the server's send buffer later than its client can see")
@each(STUCK)
@pytest.mark.parametrize("first, second", [
    ("SIGTERM", "SIGINT"), pytest.param("SIGINT", "SIGTERM", marks=pytest.mark.slow)])
def test_a_second_signal_ends_it_at_once(service: Service, first: str, second: str) -> None:
    with Process(*service.options, "--handler", "chargen", "--drain", "60") as process:
        reader = process.connect()
        process.until_stuck(process.connect(buffers=SMALL))
        process.signal(getattr(signal, first))
        assert rest_of(reader)  # the stream has ended, so the first signal has arrived, and the server drains
        process.signal(getattr(signal, second))
        code, out, err = process.result()
    assert (code, err) == (128 + getattr(signal, second), "")


@posix_only
def test_a_second_signal_ends_a_thread_that_is_stuck() -> None:
    with Process(program=STUCK_HANDLER) as process:
        idle, stuck = process.connect(), process.connect()
        ping(stuck)
        stuck.sendall(b"wait")
        process.signal(signal.SIGTERM)
        assert rest_of(idle) == b""
        process.signal(signal.SIGTERM)
        assert process.result() == (128 + signal.SIGTERM, "", "")


@posix_only
@each(KINDS)
def test_the_backlog_is_served_when_a_signal_comes(service: Service) -> None:
    with Process(*service.options) as process:
        process.signal(_signal.SIGSTOP)  # so that the server has seen nothing of the following when it continues
        socks = [process.connect() for _ in range(100)]
        for sock in socks:
            sock.sendall(b"waiting")
        process.signal(signal.SIGTERM)
        process.signal(_signal.SIGCONT)
        assert [rest_of(sock) for sock in socks] == [b"waiting"] * len(socks)
        for sock in socks:
            sock.close()
        code, events = process.finish()
    assert code == EXIT_OK
    assert (events[-1]["accepted"], events[-1]["resets"], events[-1]["cut_off"]) == (100, 0, 0)


@pytest.mark.parametrize("log", ["json", "text"])
@pytest.mark.parametrize("trace", [False, True])
def test_whoever_read_its_output_may_leave(log: str, trace: bool) -> None:
    with Process(*(["--trace"] if trace else []), log=log) as process:
        process.deafen()
        sock = process.connect()
        for _ in range(5):
            ping(sock)
        sock.close()
        process.signal(signal.SIGTERM)
        assert process.result() == (EXIT_OK, "", "")


@needs_unix
@each(TIMED, fast=TIMED[:1])
def test_the_file_of_a_unix_socket_goes_with_the_server(service: Service) -> None:
    with directory() as where:
        path = os.path.join(where, "s")
        with Process(*service.options, "--host", "unix:" + path) as process:
            with process.connect() as sock:
                ping(sock)
            assert process.stop(signal.SIGTERM)[0] == EXIT_OK
        assert not os.path.exists(path)


@needs_unix
def test_a_stale_unix_socket_is_replaced_and_a_live_one_refused() -> None:
    with directory() as where:
        path = os.path.join(where, "s")
        with socket.socket(UNIX) as dead:
            dead.bind(path)  # and closed without unlink, as after kill -9
        with Process("--host", "unix:" + path) as process:
            sock = process.connect()
            ping(sock)
            second = subprocess.run([sys.executable, "-m", "lab", "serve", "--host", "unix:" + path],
                                    capture_output=True, timeout=PROGRAM, env=environment())
            assert (second.returncode, second.stdout) == (EXIT_BROKEN, b"")
            assert second.stderr.startswith(b"lab serve: cannot listen on unix:") and second.stderr.count(b"\n") == 1
            ping(sock)
            sock.close()
            assert process.stop(signal.SIGTERM)[0] == EXIT_OK
        assert not os.path.exists(path)
