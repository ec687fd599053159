"""Which asyncio loop the asynchronous model runs on: the Proactor where there is one, whatever the event loop
policy."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, List

import pytest

from lab.server.models.asynchronous import Asynchronous, new_loop
from tests.core.conformance.peers import ping
from tests.core.conformance.serving import Server, Service

ASYNCHRONOUS = Service("asynchronous", "asynchronous")
OWN: Any = getattr(asyncio, "ProactorEventLoop", asyncio.SelectorEventLoop)  # typed loosely: Windows has the first


def test_the_loop_is_that_of_the_platform() -> None:
    loop = new_loop()
    loop.close()
    assert type(loop) is OWN
    assert (type(loop).__name__ == "ProactorEventLoop") == (sys.platform == "win32")


def test_a_proactor_is_taken_where_asyncio_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Proactor(OWN):  # type: ignore[misc]
        pass

    monkeypatch.setattr(asyncio, "ProactorEventLoop", Proactor, raising=False)
    with Server(ASYNCHRONOUS) as server:
        assert server.model.describe() == {"model": "asynchronous", "loop": "Proactor"}
        ping(server.connect())
        assert isinstance(server.model, Asynchronous)
        assert type(server.model._loop) is Proactor


def test_a_policy_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: List[str] = []
    for name in ("new_event_loop", "get_event_loop_policy", "_get_event_loop_policy", "run"):
        for module in (asyncio, asyncio.events):
            if name in vars(module):
                monkeypatch.setattr(module, name, lambda *_, name=name, **__: asked.append(name))
    with Server(ASYNCHRONOUS) as server:
        assert server.model.describe()["loop"] == OWN.__name__
        ping(server.connect())
    assert asked == []
