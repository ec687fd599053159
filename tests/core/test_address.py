"""Addresses to listen on and to connect to: what is accepted, what is rejected with which advice, and which files are
removed."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import address
from lab.address import UNIX, Address, bound, listen, remove, resolve
from lab.errors import Broken, NotHere, Usage
from tests.waits import PATIENCE

pytestmark = pytest.mark.emulated

needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this platform has no unix sockets")


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:  # EAFNOSUPPORT, EADDRNOTAVAIL: either means that there is no IPv6 loopback
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 loopback here")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A relative path for a unix socket, because a path of pytest may be longer than the 103 bytes that are allowed."""
    monkeypatch.chdir(tmp_path)
    return "lab.sock"


def reach(where: Address) -> None:
    """Connect, and close the connection. Raises OSError if nobody listens."""
    with socket.socket(where.family) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(where.where)


# Names.


def test_an_ipv4_address_is_taken_as_it_is() -> None:
    found = resolve("127.0.0.1", 10000)
    assert found == Address(socket.AF_INET, ("127.0.0.1", 10000))
    assert str(found) == "127.0.0.1:10000"
    assert found.is_loopback


@needs_ipv6
def test_an_ipv6_address_is_printed_in_brackets() -> None:
    found = resolve("::1", 80)
    assert found.family == socket.AF_INET6
    assert str(found) == "[::1]:80"
    assert found.is_loopback


def test_a_wildcard_is_no_loopback() -> None:
    assert not resolve("0.0.0.0", 1).is_loopback


@needs_unix
def test_a_unix_path_needs_no_port() -> None:
    found = resolve("unix:/tmp/some.sock", 10000)
    assert (found.where, str(found), found.is_loopback) == ("/tmp/some.sock", "unix:/tmp/some.sock", True)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(Usage, match="port %d: ports go from 0" % port):
        resolve("127.0.0.1", port)


@pytest.mark.parametrize("host", ["256.1.1.1", "no such host", "a" * 300, "host..name", "\udcff"])
def test_a_bad_host_is_refused_by_name(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, *args: Any, **kwargs: Any) -> None:
        name.encode("idna")  # what the real getaddrinfo does first; the rest would use the network
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(Usage) as caught:
        resolve(host, 1)
    assert str(caught.value).startswith('host "%s": ' % host)
    assert str(caught.value).endswith("give an address such as 127.0.0.1, ::1 or unix:/path")


@needs_unix
def test_a_unix_path_that_cannot_be_is_refused() -> None:
    with pytest.raises(Usage, match="needs a path"):
        resolve("unix:", 0)
    with pytest.raises(Usage, match="more than 103 bytes"):
        resolve("unix:/tmp/" + "x" * 100, 0)


def test_a_platform_without_unix_sockets_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "UNIX", None)
    with pytest.raises(NotHere, match="has no unix sockets; use --host"):
        resolve("unix:/tmp/some.sock", 0)


# Listening.


def test_port_0_becomes_a_real_one() -> None:
    with listen(resolve("127.0.0.1", 0)) as sock:
        where = bound(sock)
        assert where.where[1] > 0
        assert sock.getblocking() is False
        reach(where)


def test_a_port_in_use_is_refused_with_the_way_out() -> None:
    with listen(resolve("127.0.0.1", 0)) as sock:
        where = bound(sock)
        with pytest.raises(Broken) as caught:
            listen(where)
    assert str(caught.value).startswith("cannot listen on %s: " % (where,))
    assert str(caught.value).endswith("choose another --port (0 takes a free one)")


@pytest.mark.parametrize("number, cure, windows", [
    (errno.EACCES, "ports under 1024 need privileges", False),
    (errno.EACCES, "another program keeps it for itself, or Windows does", True),
    (errno.EPERM, "ports under 1024 need privileges", False),
    (errno.EADDRNOTAVAIL, "no interface of this machine has that address", False),
    (errno.EINVAL, "choose another --host or --port", False)])
def test_each_refusal_of_the_system_has_its_cure(number: int, cure: str, windows: bool, monkeypatch: pytest.MonkeyPatch
                                                 ) -> None:
    if windows:
        monkeypatch.setattr(errno, "WSAENOTSOCK", 10038, raising=False)
    else:
        monkeypatch.delattr(errno, "WSAENOTSOCK", raising=False)

    class Refusing(socket.socket):
        def bind(self, where: Any) -> None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(Broken) as caught:
        listen(resolve("127.0.0.1", 80))
    assert errno.errorcode[number] in str(caught.value)
    assert cure in str(caught.value)


def test_without_backlog_the_port_is_held_but_nobody_answers() -> None:
    with listen(resolve("127.0.0.1", 0), backlog=False) as sock, pytest.raises(ConnectionRefusedError):
        reach(bound(sock))


@needs_ipv6
def test_dual_stack_takes_ipv4_clients_and_without_it_none_does() -> None:
    with listen(resolve("::", 0), dual_stack=True) as sock:
        reach(Address(socket.AF_INET, ("127.0.0.1", bound(sock).where[1])))
        reach(Address(socket.AF_INET6, ("::1", bound(sock).where[1])))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # hold the IPv4 port, or another program might listen on it
        port = held.getsockname()[1]
        with listen(resolve("::", port)):
            reach(Address(socket.AF_INET6, ("::1", port)))
            with pytest.raises(ConnectionRefusedError):
                reach(Address(socket.AF_INET, ("127.0.0.1", port)))


def test_nobody_takes_a_live_port_not_even_with_so_reuseaddr() -> None:
    """On Windows, SO_REUSEADDR alone would let a second server take it (SO_EXCLUSIVEADDRUSE in the Winsock
    reference)."""
    with listen(resolve("127.0.0.1", 0)) as sock, socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError) as caught:
            thief.bind(bound(sock).where)
        assert caught.value.errno in (errno.EADDRINUSE, errno.EACCES, getattr(errno, "WSAEACCES", errno.EACCES))
        with pytest.raises(Broken, match="cannot listen on 127"):
            listen(bound(sock))


@pytest.mark.parametrize("exclusive", [False, True])
def test_the_port_is_taken_exclusively_where_that_can_be_asked_for(monkeypatch: pytest.MonkeyPatch, exclusive: bool
                                                                   ) -> None:
    """SO_KEEPALIVE stands for the option that only Windows has, because the test can read back which of the two is
    set."""
    if exclusive:
        monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)
    else:
        monkeypatch.delattr(socket, "SO_EXCLUSIVEADDRUSE", raising=False)
    with listen(resolve("127.0.0.1", 0)) as sock:
        is_set = [bool(sock.getsockopt(socket.SOL_SOCKET, each)) for each in (socket.SO_KEEPALIVE, socket.SO_REUSEADDR)]
    assert is_set == [exclusive, not exclusive]


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="this platform has no SO_REUSEPORT")
def test_reuse_port_lets_two_listen() -> None:
    with listen(resolve("127.0.0.1", 0), reuse_port=True) as sock:
        listen(bound(sock), reuse_port=True).close()


# Unix sockets, and the files they leave.


@needs_unix
def test_a_stale_socket_file_is_removed(path: str) -> None:
    listen(resolve("unix:" + path, 0)).close()  # like a server that was killed, which does not unlink
    assert os.path.exists(path)
    with listen(resolve("unix:" + path, 0)) as sock:
        reach(bound(sock))


@needs_unix
def test_a_live_server_is_not_robbed(path: str) -> None:
    where = resolve("unix:" + path, 0)
    with listen(where) as sock:
        with pytest.raises(Broken, match="in use"):
            listen(where)
        reach(bound(sock))


@needs_unix
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a full backlog refuses like a dead address")
def test_a_live_server_with_a_full_backlog_is_not_waited_for(path: str) -> None:
    where = resolve("unix:" + path, 0)
    with listen(where) as sock, socket.socket(UNIX, socket.SOCK_STREAM) as queued:
        sock.listen(0)  # which still queues one
        queued.connect(path)
        with pytest.raises(Broken, match="in use"):
            listen(where)


@needs_unix
@pytest.mark.parametrize("content", ["", "precious"])
def test_a_file_that_is_no_socket_is_never_removed(path: str, content: str) -> None:
    Path(path).write_text(content)
    with pytest.raises(Broken, match="no socket; choose another path"):
        listen(resolve("unix:" + path, 0))
    assert Path(path).read_text() == content


@needs_unix
def test_a_link_to_a_file_is_never_followed_to_its_removal(path: str) -> None:
    Path("precious").write_text("precious")
    os.symlink("precious", path)
    with pytest.raises(Broken):
        listen(resolve("unix:" + path, 0))
    assert os.path.islink(path)
    assert Path("precious").read_text() == "precious"


@needs_unix
def test_a_directory_that_is_missing_is_named_as_the_cure(path: str) -> None:
    with pytest.raises(Broken, match="make the directory first"):
        listen(resolve("unix:missing/" + path, 0))


@needs_unix
def test_remove_takes_the_file_away_and_minds_no_other(path: str) -> None:
    where = resolve("unix:" + path, 0)
    listen(where).close()
    remove(where)
    assert not os.path.exists(path)
    remove(where)  # already removed, which is fine
    remove(resolve("127.0.0.1", 1))  # has no file
