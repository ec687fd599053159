"""The ways that are meant: help, version, doctor, and a server with its load, each as a user runs them."""

from __future__ import annotations

import json
import signal

import pytest

import lab
from lab.backends import LADDER, here, why_missing
from lab.cli import COMMANDS
from lab.errors import EXIT_NOT_HERE, EXIT_OK
from tests.core.conformance.serving import HAS_UNIX, KINDS, Process, Service, directory, each
from tests.host.cli.program import run

STOP = signal.SIGTERM


def test_version_is_that_of_the_package() -> None:
    assert run("--version") == (EXIT_OK, "lab %s\n" % lab.__version__, "")


def test_help_names_every_command_on_one_screen() -> None:
    result = run("--help")
    assert (result.code, result.err) == (EXIT_OK, "")
    assert all("  %s " % name in result.out for name in COMMANDS)
    assert len(result.out.splitlines()) <= 24


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not command.extra])
def test_each_command_has_help(name: str) -> None:
    result = run(name, "--help")
    assert (result.code, result.err) == (EXIT_OK, "")
    assert result.out.startswith("usage: lab %s " % name)
    assert max(map(len, result.out.splitlines())) <= 100


def test_doctor_names_every_backend() -> None:
    result = run("doctor")
    assert (result.code, result.err) == (EXIT_OK, "")
    for kind in LADDER:
        assert "%s  %s" % ("--" if why_missing(kind) else "ok", kind.name) in result.out


def test_doctor_tells_machines_the_same() -> None:
    result = run("doctor", "--json")
    assert (result.code, result.err) == (EXIT_OK, "")
    found = json.loads(result.out)
    assert [backend["name"] for backend in found["backends"]] == [kind.name for kind in LADDER]


@each(KINDS)
def test_serve_and_load_together_in_each_mode(service: Service) -> None:
    with Process(*service.options) as server:
        for mode, size, how in (("ping-pong", 30 * 1024, ["--count", "30"]), ("pipelined", 3000, [
                "--count", "30", "--size", "100", "--depth", "5"]), ("stream", 300_000, ["--total", "300000"])):
            result = run("load", "--port", str(server.where[0].where[1]), "--connections", "4", "--mode", mode,
                         "--json", *how)
            assert (result.code, result.err) == (EXIT_OK, "")
            report = json.loads(result.out)
            assert (report["mode"], report["connections"], report["verified_bytes"]) == (mode, 4, size)
        code, events = server.stop(STOP)
    assert code == EXIT_OK
    stopped = events[-1]
    assert (stopped["event"], stopped["accepted"]) == ("stopped", 12)
    assert (stopped["bytes_in"], stopped["bytes_out"]) == (30 * 1024 + 3000 + 300_000,) * 2
    assert [stopped[key] for key in ("resets", "errors", "refused", "cut_off", "exhausted")] == [0] * 5


@pytest.mark.parametrize("host", [pytest.param("::1", marks=pytest.mark.needs("ipv6")), "localhost", "unix"])
def test_both_take_every_kind_of_address(host: str) -> None:
    if host == "unix" and not HAS_UNIX:
        pytest.skip("no unix sockets here")
    with directory() as where:
        if host == "unix":
            host = "unix:%s/s" % where
        with Process("--host", host) as server:
            port = "0" if host.startswith("unix") else str(server.where[0].where[1])
            result = run("load", "--host", host, "--port", port, "--count", "10")
            assert (result.code, result.err) == (EXIT_OK, "")
            assert "verified" in result.out
            assert server.stop(STOP)[0] == EXIT_OK


def test_the_ready_line_for_people_says_where_and_how() -> None:
    with Process("--backend", here()[0].name, log="text") as server:
        line = server.first_line
        server.signal(STOP)
        code, out, err = server.result()
    assert line.startswith("listening on 127.0.0.1:"), err
    assert " backend=%s trigger=%s handler=echo" % (here()[0].name, here()[0].trigger) in line
    assert (code, err) == (EXIT_OK, "")
    assert out.startswith("stopped: 0 connections")


def test_commands_that_need_extras_are_named_where_those_are_missing() -> None:
    try:
        import rich  # noqa: F401
    except ImportError:
        result = run("verify")
        assert result.code == EXIT_NOT_HERE
        assert "pip install 'muxlab[harness]'" in result.complaint()
    else:
        result = run("verify", "--help")
        assert (result.code, result.err) == (EXIT_OK, "")
