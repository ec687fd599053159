"""--workers on a platform that lacks what it needs: the command fails before it starts anything, and names what is
missing."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import pytest

from lab.address import resolve
from lab.errors import NotHere
from lab.server import workers


@pytest.mark.parametrize("owner, attribute, words", [
    (socket, "SO_REUSEPORT", "SO_REUSEPORT"), (os, "fork", "fork"), (signal, "pthread_sigmask", "POSIX signals")])
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, owner: Any, attribute: str, words: str) -> None:
    for name, each in (("SO_REUSEPORT", socket), ("fork", os), ("waitpid", os), ("WNOHANG", os),
                       ("setitimer", signal), ("pthread_sigmask", signal), ("sigwait", signal)):
        monkeypatch.setattr(each, name, 15, raising=False)  # present, whatever the platform
    monkeypatch.delattr(owner, attribute)
    with pytest.raises(NotHere, match="has no %s; run one worker" % words):
        workers.check([resolve("127.0.0.1", 0)])
