"""Exactly the backends that a system should have are available: a run on a system that lacks one of them proves little.

CI runs this file alone, before the others, on each of its systems.
"""

from __future__ import annotations

import sys

import pytest

from lab.backends import LADDER
from tests.core.backends import systems

pytestmark = pytest.mark.emulated


@pytest.mark.skipif(sys.platform not in systems.KNOWN,
                    reason="this test does not yet know the backends of %s" % sys.platform)
def test_exactly_the_backends_of_this_system_are_here() -> None:
    """This asks the platform, whatever LAB_BACKENDS switches off."""
    found = [kind.name for kind in LADDER if systems.is_judged(kind) and kind.missing() is None]
    assert found == [kind.name for kind in systems.of(sys.platform)]


@pytest.mark.parametrize("system,count", [("linux", 8), ("darwin", 7), ("win32", 3)])
def test_a_system_has_an_interface_of_its_own_and_what_is_over_it(system: str, count: int) -> None:
    assert len(systems.of(system)) >= count


def test_every_interface_of_the_ladder_is_in_the_table() -> None:
    assert {kind.interface for kind in LADDER if kind.interface} == set(systems.SYSTEMS)
