"""Tests that need a container engine; `tox -e engine` runs them, `make test` does not.

Without an engine they fail with one line instead of being skipped; ENGINE=none in the environment declares that this is
intended. Everything that they create in the engine is in a scope of their own, so that servers of `lab up` are left
alone, and at the end nothing may be left in that scope. Where testcontainers is not installed (Python 3.8) they do not
run either: only fixtures import the modules that need it.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

from lab.errors import LabError

HERE = Path(__file__).parent

# testcontainers reads this on import. Without it, where /.dockerenv exists, it would assume that it runs in a
# container, and would not find ports on loopback.
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> Iterator[None]:
    """Mark all tests of this folder, before -m selects; where there is no engine keep only one of them, which fails for
    all."""
    for item in _ours(items):
        item.add_marker(pytest.mark.slow)
        item.add_marker(pytest.mark.timeout(600))  # an image may have to be built first; musl takes minutes
    yield
    left = _ours(items)[1:]
    if left and os.environ.get("ENGINE") != "none" and why_not():
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def _ours(items: List[pytest.Item]) -> List[pytest.Item]:
    return [item for item in items if HERE in item.path.parents]


def why_not() -> str:
    """The reason why these tests cannot run here, or an empty string."""
    if importlib.util.find_spec("testcontainers") is None:
        return "tests/engine: testcontainers is not installed; `make setup`, with Python 3.9 or newer"
    from lab.harness import engine

    try:
        engine.connect().close()
    except LabError as error:
        return "tests/engine: %s; or say ENGINE=none" % error
    return ""


@pytest.fixture(autouse=True, scope="session")
def scope() -> Iterator[str]:
    """The scope of this run, which LAB_SCOPE passes on to everything it starts. Fails if anything is left in it at the
    end."""
    if os.environ.get("ENGINE") == "none":
        pytest.skip("tests/engine: ENGINE=none was said")
    why = why_not()
    if why:
        pytest.fail(why, pytrace=False)
    from lab.harness import engine

    _choose_reaper()
    before = os.environ.get("LAB_SCOPE")
    name = "%s-tests-%d" % (engine.scope(), os.getpid())
    os.environ["LAB_SCOPE"] = name
    try:
        sweep()
        yield name
        assert sweep(everything=True) == [], "left in the engine by a test, and removed now"
    finally:
        if before is None:
            del os.environ["LAB_SCOPE"]
        else:
            os.environ["LAB_SCOPE"] = before


def _choose_reaper() -> None:
    """Use the reaper of testcontainers if its image, which comes from a registry, is available. Otherwise our labels
    and ``engine.sweep`` do its work alone; they always do it for what testcontainers did not start."""
    if "TESTCONTAINERS_RYUK_DISABLED" in os.environ:
        return
    from testcontainers.core.config import testcontainers_config

    from lab.errors import NotHere
    from lab.harness.images import registry

    try:
        registry.digest(testcontainers_config.ryuk_image)
    except NotHere as error:
        testcontainers_config.ryuk_disabled = True
        print("no reaper: %s" % error)


def sweep(everything: bool = False) -> List[str]:
    """Call ``engine.sweep``, and return what it removed."""
    from lab.harness import engine

    client = engine.connect()
    try:
        return engine.sweep(client, everything)
    finally:
        client.close()


@pytest.fixture
def client(scope: str) -> Iterator[Any]:
    """A client of the engine; a new one for each test, because it keeps connections open."""
    from lab.harness import engine

    made = engine.connect()
    yield made
    made.close()


@pytest.fixture(scope="session")
def server_image(scope: str) -> Callable[[str], str]:
    """The server image for a row of images.toml, built if it does not exist. If a row is not available, the test is
    skipped with the reason."""
    from lab.harness import engine, images
    from lab.harness.images import make
    from lab.harness.server_containers import image

    known: Dict[str, str] = {}

    def get(row: str) -> str:
        if row not in known:
            client = engine.connect()
            try:
                try:
                    tag = make.ensure(client, images.find(row), lambda text: None)
                except LabError as error:  # no registry or mirror has it now, which is not our failure
                    known[row] = "not here: %s" % error
                else:
                    known[row] = image.ensure(client, tag, lambda text: None)
            finally:
                client.close()
        if known[row].startswith("not here: "):
            pytest.skip("image %s" % known[row])
        return known[row]

    return get
