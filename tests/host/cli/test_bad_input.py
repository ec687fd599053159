"""What a user can get wrong: each is one line that says what, which, and what now, and the right exit code."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import List

import pytest

from lab.address import UNIX
from lab.backends import LADDER, here
from lab.errors import EXIT_BROKEN, EXIT_DEVIATION, EXIT_NOT_HERE, EXIT_USAGE
from tests.core.conformance.serving import SERVICES, Server, directory, needs_unix, posix_only
from tests.host.cli.program import call, command, environment, finish, run

MISSING = [kind.name for kind in LADDER if kind.missing() is not None]
HERE = here()[0].name
IN_USE = os.strerror(errno.EADDRINUSE)  # glibc and musl have words of their own


@pytest.mark.parametrize("words, told", [
    (["nonsense"], ["invalid choice", "nonsense", "serve", "see `lab --help`"]),
    (["--nonsense"], ["--nonsense", "see `lab --help`"]),
    (["serve", "--nonsense"], ["--nonsense", "--help`"]),
    (["serve", "--back", "poll"], ["--back", "--help`"]),  # no abbreviations
    (["serve", "--backend"], ["--backend", "expected one argument"]),
    (["serve", "extra"], ["extra", "--help`"]),
    (["serve", "--port", "0", "--backend", "nonsense"], ['no backend "nonsense"', "here: " + HERE]),
    (["serve", "--handler", "nonsense"], ["--handler", "nonsense", "echo"]),
    (["serve", "--model", "nonsense"], ["--model", "nonsense", "multiplexing"]),
    (["serve", "--model", "blocking", "--backend", HERE], [HERE, "blocking", "--model multiplexing"]),
    (["serve", "--model", "asynchronous", "--trace"], ["--trace", "asynchronous", "use multiplexing"]),
    (["serve", "--max-buffer", "0"], ["--max-buffer 0", "at least 1"]),
    (["serve", "--max-buffer", "1.5M"], ["--max-buffer", "1.5M", "write e.g. 4096"]),
    (["serve", "--idle-timeout", "0"], ["--idle-timeout 0", "leave the option out"]),
    (["serve", "--idle-timeout", "soon"], ["--idle-timeout", "soon", "write e.g. 2.5"]),
    (["serve", "--idle-timeout", "9999999999"], ["--idle-timeout", "9999999999", "more than 2000000 seconds"]),
    (["serve", "--drain", "-1"], ["--drain", "-1"]),
    (["serve", "--workers", "0"], ["--workers", "'0'", "from 1"]),
    (["serve", "--max-connections", "many"], ["--max-connections", "many"]),
    (["serve", "--port", "65536"], ["port 65536", "0 (any free one) to 65535"]),
    (["serve", "--port", "-1"], ["port -1", "65535"]),
    (["serve", "--port", "http"], ["--port", "http"]),
    (["serve", "--host", "0.0.0.0"], ["0.0.0.0", "other machines", "--expose"]),
    (["serve", "--host", "::"], ["[::]", "other machines", "--expose"]),
    (["serve", "--host", ""], ['host ""', "127.0.0.1"]),
    (["serve", "--host", "a..b"], ['host "a..b"', "give an address"]),
    (["load", "--mode", "nonsense"], ["--mode", "nonsense", "stream"]),
    (["load", "--mode", "stream", "--duration", "1"], ["stream", "--total"]),
    (["load", "--size", "5K", "--mode", "stream"], ["--size", "--total"]),
    (["load", "--total", "5K"], ["--total", "stream"]),
    (["load", "--depth", "2"], ["--depth 2", "pipelined"]),
    (["load", "--connections", "0"], ["--connections", "'0'"]),
    (["load", "--rate", "0"], ["--rate", "'0'"]),
    (["load", "--backend", "nonsense"], ['no backend "nonsense"', "here: " + HERE]),
    (["load", "--port", "65536"], ["port 65536", "65535"]),
    (["doctor", "--nonsense"], ["--nonsense", "--help`"]),
])
def test_a_wrong_command_line_is_usage(words: List[str], told: List[str]) -> None:
    result = call(*words)
    line = result.complaint()
    assert result.code == EXIT_USAGE
    for each in told:
        assert each in line


@pytest.mark.parametrize("words, told", [
    (["nonsense"], "see `lab --help`"),
    (["serve", "--port", "x"], "see `lab serve --help`"),
    (["serve", "--port", "0", "--backend", "nonsense"], 'no backend "nonsense"'),
    (["load", "--depth", "2"], "--depth 2"),
    (["serve", "--host", "nonsense.invalid"], 'host "nonsense.invalid"'),
    (["serve", "--host", "\udcff"], "give an address"),  # no UTF-8: the byte 0xff
])
def test_it_is_so_in_a_process_of_its_own(words: List[str], told: str) -> None:
    result = run(*words, RES_OPTIONS="timeout:1 attempts:1")  # of the resolver, where there is no network
    assert told in result.complaint()
    assert result.code == EXIT_USAGE


def test_without_a_command_the_help_is_shown() -> None:
    result = run()
    assert (result.code, result.err) == (EXIT_USAGE, "")
    assert result.out == run("--help").out


@pytest.mark.parametrize("name", MISSING)
def test_a_backend_of_another_platform_is_not_here(name: str) -> None:
    for verb in (["serve", "--port", "0"], ["load"]):
        result = call(*verb, "--backend", name)
        line = result.complaint()
        assert result.code == EXIT_NOT_HERE
        assert "backend %s is not here: " % name in line and "; here: " in line


def test_lab_backends_is_checked_and_obeyed() -> None:
    wrong = run("serve", "--port", "0", LAB_BACKENDS="select,nonsense")
    assert wrong.code == EXIT_USAGE
    assert 'LAB_BACKENDS names no backend "nonsense"; it may list: epoll, ' in wrong.complaint()
    off = run("serve", "--port", "0", "--backend", "selectors", LAB_BACKENDS="select")
    assert off.code == EXIT_NOT_HERE
    assert off.complaint().endswith("switched off: LAB_BACKENDS=select; here: select")


@pytest.mark.skipif(not MISSING, reason="every backend is here")
def test_lab_backends_may_leave_none() -> None:
    for verb in ("serve", "load"):
        result = run(verb, "--port", "0", LAB_BACKENDS=MISSING[0])
        assert result.code == EXIT_NOT_HERE
        assert "no backend is here: LAB_BACKENDS=%s" % MISSING[0] in result.complaint()


# Addresses.

def test_a_port_in_use_is_told_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        number = other.getsockname()[1]
        for result in (run("serve", "--port", str(number)), call("serve", "--port", str(number)),
                       call("serve", "--port", str(number), "--model", "asynchronous")):
            line = result.complaint()
            assert result.code == EXIT_BROKEN
            assert "127.0.0.1:%d: %s" % (number, IN_USE) in line or "WinError" in line
            assert "another --port" in line


def test_a_backend_that_is_none_is_told_before_an_address_is_taken(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("kept")
    result = call("serve", "--host", "unix:%s" % (tmp_path / "taken"), "--backend", "nonsense")
    assert (result.code, 'no backend "nonsense"' in result.complaint()) == (EXIT_USAGE, True)


@posix_only
def test_a_port_in_use_ends_workers_before_any_is_forked() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        result = run("serve", "--workers", "2", "--port", str(other.getsockname()[1]))
    assert result.code == EXIT_BROKEN
    assert "another --port" in result.complaint()


def lowest_unprivileged() -> int:
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
            return int(file.read())
    except OSError:  # ENOENT: not Linux, or before 4.11
        return 1024


@posix_only
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS 10.14 and newer have no privileged ports on the wildcard")
@pytest.mark.skipif(lowest_unprivileged() < 10, reason="this system has no privileged ports")
def test_a_privileged_port_is_told_with_the_way_out() -> None:
    """Root may bind it, so root becomes nobody, once all is imported: nobody may not even be able to read that."""
    program = ("import encodings.idna, os, sys\nfrom lab.cli import build_parser, main\n"
               "build_parser(only='serve').parse_args(['serve'])  # imports what argparse needs, such as locale\n"
               "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
               "sys.exit(main(['serve', '--port', '9']))")
    result = finish([sys.executable, "-W", "error", "-c", program])
    line = result.complaint()
    assert result.code == EXIT_BROKEN
    assert "127.0.0.1:9: Permission denied (EACCES)" in line and "from 1024 up" in line


def test_an_address_that_is_not_ours_is_told() -> None:
    result = call("serve", "--host", "192.0.2.1", "--expose", "--port", "0")  # of TEST-NET-1, RFC 5737
    line = result.complaint()
    assert result.code == EXIT_BROKEN
    assert "192.0.2.1" in line and "--host 127.0.0.1" in line


@needs_unix
def test_unix_paths_that_cannot_be_are_told(tmp_path: Path) -> None:
    for host, code, told in (("unix:", EXIT_USAGE, "needs a path"),
                             ("unix:/" + "x" * 110, EXIT_USAGE, "more than 103 bytes"),
                             ("unix:/no/such/directory/s", EXIT_BROKEN, "make the directory first"),
                             ("unix:/", EXIT_BROKEN, "no socket")):
        result = call("serve", "--host", host)
        assert told in result.complaint()
        assert result.code == code
    assert "--workers" in call("serve", "--host", "unix:/tmp/s", "--workers", "2").complaint()
    assert "--dual-stack" in call("serve", "--host", "unix:/tmp/s", "--dual-stack").complaint()


@needs_unix
def test_a_file_in_the_way_of_a_unix_socket_stays_what_it_is() -> None:
    with directory() as where:
        path = os.path.join(where, "precious")
        Path(path).write_text("content")
        os.symlink(path, path + "-link")
        for each in (path, path + "-link"):
            result = call("serve", "--host", "unix:" + each)
            line = result.complaint()
            assert result.code == EXIT_BROKEN
            assert each in line and "choose another path" in line
            assert Path(each).read_text() == "content"
        assert os.path.islink(path + "-link")


@needs_unix
def test_a_unix_socket_that_is_served_is_not_taken_over() -> None:
    with directory() as where:
        path = os.path.join(where, "s")
        with socket.socket(UNIX) as other:
            other.bind(path)
            other.listen(1)
            result = call("serve", "--host", "unix:" + path)
            assert result.code == EXIT_BROKEN
            assert IN_USE in result.complaint()
            assert os.path.exists(path)


# Load against what is no echo server.

def test_load_against_nobody_says_how_to_serve() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))  # bound, but nobody listens
        number = other.getsockname()[1]
        result = run("load", "--port", str(number))
    line = result.complaint()
    assert result.code == EXIT_BROKEN
    assert "cannot connect to 127.0.0.1:%d: " % number in line
    assert "start an echo server with `lab serve --host 127.0.0.1 --port %d`" % number in line


@needs_unix
def test_load_against_no_file_says_how_to_serve() -> None:
    result = call("load", "--host", "unix:/no/such/s")
    assert result.code == EXIT_BROKEN
    assert "`lab serve --host unix:/no/such/s`" in result.complaint()


@pytest.mark.parametrize("handler, codes", [
    ("discard", [EXIT_BROKEN]),
    ("chargen", [EXIT_DEVIATION]),
    ("daytime", [EXIT_DEVIATION, EXIT_BROKEN]),  # it speaks first, and ends first: the load meets one or the other
    ("http", [EXIT_DEVIATION, EXIT_BROKEN]),
])
@pytest.mark.parametrize("mode", ["ping-pong", "pipelined", "stream"])
def test_load_against_what_is_no_echo_server(handler: str, codes: List[int], mode: str) -> None:
    with Server(SERVICES[0], handler) as server:
        result = call("load", "--port", str(server.where[0].where[1]), "--mode", mode, "--connections", "3",
                      "--patience", "300ms")
    line = result.complaint()
    if (handler, mode) == ("discard", "stream"):  # which ends in order, but with nothing said
        codes = [EXIT_DEVIATION]
    assert result.code in codes, line
    assert "127.0.0.1:%d" % server.where[0].where[1] in line
    assert "; " in line  # what now


# Output that goes nowhere.

@posix_only
@pytest.mark.parametrize("words", [["doctor"], ["--version"], ["--help"], ["serve", "--help"], []])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_is_no_error(words: List[str], unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = finish(command(*words), stdout=writer, env=environment(PYTHONUNBUFFERED=unbuffered))
    finally:
        os.close(writer)
    assert result.err == ""
    assert result.code == 0 or (result.code, words) == (EXIT_USAGE, [])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("words", [["doctor"], ["--version"]])
def test_a_full_disk_is_told(words: List[str]) -> None:
    with open("/dev/full", "w") as full:
        result = finish(command(*words), stdout=full)
    assert result.code == EXIT_BROKEN
    assert "No space left on device (ENOSPC)" in result.complaint()
