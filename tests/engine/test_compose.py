"""docker/compose.yaml repeats by hand what `lab up` does; these tests compare the two."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from lab import backends
from lab.harness import images
from tests.engine.test_server import BACKENDS


def services() -> Dict[str, Any]:
    """The services by name, after YAML has merged their common parts."""
    import yaml

    found: Dict[str, Any] = yaml.safe_load((images.FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return found


def test_there_is_a_server_for_each_way_to_wait() -> None:
    assert list(services()) == list(BACKENDS)
    assert {name: each["command"] for name, each in services().items()} == {
        name: ["--backend", name] for name in BACKENDS}
    assert set(BACKENDS) <= set(backends.names())


@pytest.mark.parametrize("name", BACKENDS)
def test_it_is_confined_as_lab_up_confines_it(name: str) -> None:
    from lab.harness.server_containers import hardening
    from lab.quantities import byte_count

    said, wanted = services()[name], hardening.confined(hardening.Limits())
    for field in ("read_only", "cap_drop", "security_opt", "pids_limit"):
        assert said[field] == wanted.pop(field)
    assert said["tmpfs"] == ["%s:%s" % each for each in wanted.pop("tmpfs").items()]
    assert {field: byte_count(said[field]) for field in ("mem_limit", "memswap_limit")} == {
        field: wanted.pop(field) for field in ("mem_limit", "memswap_limit")}
    limit = wanted.pop("ulimits")[0]
    assert said["ulimits"] == {limit.name: {"soft": limit.soft, "hard": limit.hard}}
    assert wanted == {}, "missing in compose.yaml"


@pytest.mark.parametrize("name", BACKENDS)
def test_it_is_published_on_loopback_only(name: str) -> None:
    assert services()[name]["ports"] == ["127.0.0.1::10000"]
