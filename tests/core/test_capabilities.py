"""Capabilities are what Python offers, looked up anew each time; every list of needs names known ones."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
from typing import Any

import pytest

from lab import facts
from lab.capabilities import CAPABILITIES, has


def test_they_are_the_features_of_the_facts() -> None:
    found = facts.features()
    assert list(found) == list(CAPABILITIES)
    assert all(type(value) is bool for value in found.values())


def test_an_unknown_one_is_an_error() -> None:
    with pytest.raises(KeyError):
        has("teleport")


@pytest.mark.parametrize("owner, attribute, name", [
    (os, "fork", "fork"), (os, "killpg", "sessions"), (os, "set_blocking", "set_blocking"), (os, "openpty", "openpty"),
    (os, "mkfifo", "mkfifo"), (os, "eventfd", "eventfd"), (signal, "setitimer", "posix_signals"),
    (signal, "pthread_sigmask", "posix_signals"), (signal, "SIGBREAK", "sigbreak"), (select, "poll", "poll"),
    (select, "epoll", "epoll"), (select, "kqueue", "kqueue"), (socket, "AF_UNIX", "af_unix"),
    (socket, "SO_REUSEPORT", "so_reuseport"), (socket, "SO_EXCLUSIVEADDRUSE", "so_exclusiveaddruse"),
    (socket, "MSG_OOB", "msg_oob"), (errno, "WSAENOTSOCK", "winsock")])
def test_what_is_taken_away_is_not_here(monkeypatch: pytest.MonkeyPatch, owner: Any, attribute: str, name: str) -> None:
    monkeypatch.delattr(owner, attribute, raising=False)
    assert not has(name)


@pytest.mark.parametrize("owner, attribute, name", [
    (signal, "SIGBREAK", "sigbreak"), (errno, "WSAENOTSOCK", "winsock"), (select, "kqueue", "kqueue"),
    (socket, "SO_EXCLUSIVEADDRUSE", "so_exclusiveaddruse"), (socket, "SO_REUSEPORT", "so_reuseport")])
def test_what_appears_is_here(monkeypatch: pytest.MonkeyPatch, owner: Any, attribute: str, name: str) -> None:
    monkeypatch.setattr(owner, attribute, 21, raising=False)
    assert has(name)


@pytest.mark.parametrize("name", ["resource", "fcntl", "ctypes"])
def test_a_module_that_cannot_be_found_is_not_here(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    assert not has(name)


def test_every_platform_has_what_makes_it() -> None:
    if sys.platform == "win32":
        assert has("winsock") and has("sigbreak") and has("so_exclusiveaddruse")
        assert not [name for name in ("fork", "sessions", "posix_signals", "poll", "epoll", "kqueue", "so_reuseport",
                                      "mkfifo", "openpty", "geteuid", "resource", "proc") if has(name)]
    else:
        assert has("fork") and has("sessions") and has("posix_signals") and has("set_blocking") and has("af_unix")
        assert not has("winsock") and not has("sigbreak") and not has("so_exclusiveaddruse")
