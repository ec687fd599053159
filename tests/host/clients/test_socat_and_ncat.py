"""socat and ncat through pipes: the old protocols, as one has always tried them by hand."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from lab.address import resolve
from tests.core.conformance.peers import pattern
from tests.core.conformance.serving import KINDS, SERVICES, Server, Service, directory, each, needs_unix
from tests.host.clients.programs import run
from tests.waits import PROGRAM

pytestmark = pytest.mark.slow  # programs that may not be here, several started in each test

PAYLOAD = 3 * 1024 * 1024


def port(server: Server) -> str:
    return str(server.where[0].where[1])


def target(server: Server) -> str:
    return "TCP4:127.0.0.1:" + port(server)


@each(SERVICES)
def test_socat_gets_megabytes_back_after_its_half_close(service: Service) -> None:
    data = pattern(PAYLOAD)
    with Server(service) as server:
        # -t: how long socat waits for the other direction after the end of its input; half a second by default.
        assert run("socat", "-t", "20", "-", target(server), stdin=data) == data
        stats = server.end()
    assert (stats.accepted, stats.bytes_in, stats.bytes_out, stats.resets) == (1, PAYLOAD, PAYLOAD, 0)


@each(KINDS)
def test_ncat_gets_megabytes_back_after_its_half_close(service: Service) -> None:
    data = pattern(PAYLOAD)
    with Server(service) as server:
        assert run("ncat", "127.0.0.1", port(server), stdin=data) == data


@each(KINDS)
def test_discard_takes_all_and_says_nothing(service: Service) -> None:
    with Server(service, "discard") as server:
        assert run("socat", "-t", "20", "-", target(server), stdin=pattern(PAYLOAD)) == b""
        stats = server.end()
    assert (stats.bytes_in, stats.bytes_out, stats.resets) == (PAYLOAD, 0, 0)


@each(KINDS)
def test_daytime_says_one_line_and_closes(service: Service) -> None:
    with Server(service, "daytime") as server:
        for tool, arguments in (("socat", ["-u", target(server), "-"]),
                                ("ncat", ["--recv-only", "127.0.0.1", port(server)])):
            assert re.match(rb"\w+day, \w+ \d+, \d{4} \d\d:\d\d:\d\d-UTC\r\n\Z", run(tool, *arguments)), tool
        stats = server.end()
    assert (stats.accepted, stats.resets) == (2, 0)


@each(KINDS)
def test_chargen_goes_on_until_its_reader_has_enough(service: Service) -> None:
    size = 500_000
    with Server(service, "chargen") as server:
        text = run("socat", "-u", "-b", "1000", target(server) + ",readbytes=%d" % size, "-")
        assert len(text) == size
        assert {len(line) for line in text.split(b"\r\n")[:-1]} == {72}
        assert text.startswith(bytes(range(0x20, 0x20 + 72)) + b"\r\n" + bytes(range(0x21, 0x21 + 72)) + b"\r\n")


@each(KINDS)
def test_chargen_into_head(service: Service) -> None:
    """The pipe closes in the middle: socat dies of it, and the server must take the reset for an end."""
    if shutil.which("socat") is None:
        pytest.skip("socat is not here: `make clients`, or as root `apt-get install socat`")
    with Server(service, "chargen") as server:
        with subprocess.Popen(["socat", "-u", target(server), "-"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == bytes(range(0x20, 0x20 + 72)) + b"\r\n"
            reader.stdout.close()
            assert reader.wait(PROGRAM) != 0
        stats = server.end()
    assert stats.accepted == 1 and stats.cut_off == 0


@needs_unix
@each(KINDS)
def test_socat_speaks_to_a_unix_socket(service: Service) -> None:
    data = pattern(PAYLOAD)
    with directory() as where, Server(service, where=[resolve("unix:%s/s" % where, 0)]):
        assert run("socat", "-t", "20", "-", "UNIX-CONNECT:%s/s" % where, stdin=data) == data


@each(KINDS[:1])
def test_socat_speaks_ipv6(service: Service) -> None:
    with Server(service, where=[resolve("::1", 0)]) as server:
        assert run("socat", "-t", "20", "-", "TCP6:[::1]:" + port(server), stdin=b"six") == b"six"
