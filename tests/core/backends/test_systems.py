"""Exactly the backends that a system should have are available: a run on a system that lacks one of them proves little.

CI runs this file alone, before the others, on each of its systems.
"""

from __future__ import annotations

import sys
from typing import Dict, Tuple

import pytest

from lab.backends import LADDER, names

pytestmark = pytest.mark.emulated

SYSTEMS: Dict[str, Tuple[str, ...]] = {
    "linux": ("epoll", "epoll-et", "poll", "selectors", "select", "selectors:SelectSelector", "selectors:PollSelector",
              "selectors:EpollSelector"),
    "darwin": ("kqueue", "poll", "selectors", "select", "selectors:SelectSelector", "selectors:PollSelector",
               "selectors:KqueueSelector"),
    "win32": ("selectors", "select", "selectors:SelectSelector"),
}
"""By sys.platform, best first."""


@pytest.mark.skipif(sys.platform not in SYSTEMS, reason="this test does not yet know the backends of %s" % sys.platform)
def test_exactly_the_backends_of_this_system_are_here() -> None:
    """This asks the platform, whatever LAB_BACKENDS switches off."""
    assert tuple(kind.name for kind in LADDER if kind.missing() is None) == SYSTEMS[sys.platform]


def test_each_system_has_them_in_the_order_of_the_ladder() -> None:
    for system, found in SYSTEMS.items():
        assert [name for name in names() if name in found] == list(found), system
