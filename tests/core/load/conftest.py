"""A server to put under load, and every backend to do it with."""

from __future__ import annotations

from typing import Callable, Iterator, List

import pytest

import lab.backends
from tests.core.conformance.rig import slow_by_name
from tests.core.load.peer import Peer


@pytest.fixture
def serve() -> Iterator[Callable[..., Peer]]:
    """Start a ``Peer`` that ends with the test."""
    peers: List[Peer] = []

    def start(*args: object, **kwargs: object) -> Peer:
        peers.append(Peer(*args, **kwargs))  # type: ignore[arg-type]
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()


@pytest.fixture(params=[pytest.param(kind.name, marks=slow_by_name(kind.name)) for kind in lab.backends.here()])
def backend(request: pytest.FixtureRequest) -> str:
    """The name of each backend of this platform."""
    return str(request.param)
