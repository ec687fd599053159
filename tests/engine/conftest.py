"""Tests that need a container engine: run by `tox -e containers`, never by `make test`.

Without an engine they fail, in one line, and are not passed over; ENGINE=none in the environment says that this is
meant. All that they make in the engine is of a scope of their own, so servers of `lab up` are left alone, and at the
end nothing of that scope may be left. Where testcontainers is not installed (Python 3.8) nothing here is run either:
the modules that need it are imported by fixtures only.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

from lab.errors import LabError

HERE = Path(__file__).parent

# Read by testcontainers when it is imported: where /.dockerenv exists it would take itself for a container, and miss
# ports on loopback.
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> Iterator[None]:
    """Mark all of ours, before -m looks; and where there is no engine keep one of them, to fail for all."""
    for item in _ours(items):
        item.add_marker(pytest.mark.slow)
        item.add_marker(pytest.mark.timeout(600))  # an image may have to be made first; musl takes minutes
    yield
    left = _ours(items)[1:]
    if left and os.environ.get("ENGINE") != "none" and why_not():
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def _ours(items: List[pytest.Item]) -> List[pytest.Item]:
    return [item for item in items if HERE in item.path.parents]


def why_not() -> str:
    """Why these tests cannot run here; empty where they can."""
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
    """The scope of this run, LAB_SCOPE for all that it starts; nothing of it may be left at the end."""
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
        assert sweep(everything=True) == [], "left in the engine, and removed now"
    finally:
        if before is None:
            del os.environ["LAB_SCOPE"]
        else:
            os.environ["LAB_SCOPE"] = before


def _choose_reaper() -> None:
    """testcontainers' reaper is used where its image, which is one of a registry, can be had. Elsewhere our labels and
    ``engine.sweep`` do its work alone; they do it anyway, for what testcontainers did not start."""
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
    """What ``engine.sweep`` removes."""
    from lab.harness import engine

    client = engine.connect()
    try:
        return engine.sweep(client, everything)
    finally:
        client.close()


@pytest.fixture
def client(scope: str) -> Iterator[Any]:
    """A client of the engine; one for each test, because it holds connections open."""
    from lab.harness import engine

    made = engine.connect()
    yield made
    made.close()


@pytest.fixture(scope="session")
def server_image(scope: str) -> Callable[[str], str]:
    """The server image on a row of images.toml, made where it is not here. A row that cannot be had is told as not
    run, with the reason."""
    from lab.harness import engine, images
    from lab.harness.images import make
    from lab.harness.servers import image

    known: Dict[str, str] = {}

    def get(row: str) -> str:
        if row not in known:
            client = engine.connect()
            try:
                try:
                    tag = make.ensure(client, images.find(row), lambda text: None)
                except LabError as error:  # a registry or a mirror that does not have it now; not a failure of ours
                    known[row] = "not here: %s" % error
                else:
                    known[row] = image.ensure(client, tag, lambda text: None)
            finally:
                client.close()
        if known[row].startswith("not here: "):
            pytest.skip("image %s" % known[row])
        return known[row]

    return get
