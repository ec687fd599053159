"""What a test environment has reported: the JUnit file that pytest writes in each, read back by `make test-all`.

tests/conftest.py adds a property ``failed`` to a test for each try of it that failed, so that a test that passed only
when pytest ran it again can be told from one that passed at once.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

FOLDER = Path("build", "test-all", "junit")
"""Where the files are, below the root of the tree: one for each environment, by its name."""

FAILED = "failed"
"""The property of a test that tells of a failed try."""


class Report(NamedTuple):
    """The tests of one environment: how many ran, which failed, and which passed only when they were run again."""

    ran: int
    failed: List[str]
    passed_again: List[str]


def read(environment: str, folder: Path) -> Optional[Report]:
    """Read the files of that environment: ``NAME.xml``, and ``NAME.PART.xml`` where it runs pytest more than once.
    Returns None where there is none, or where pytest was ended before it had written one."""
    paths = sorted([*folder.glob("%s.xml" % environment), *folder.glob("%s.*.xml" % environment)])
    try:
        cases = [case for path in paths for case in ElementTree.parse(path).iter("testcase")]
    except ElementTree.ParseError:
        return None
    tries: Dict[str, List[ElementTree.Element]] = {}
    for case in cases:  # pytest writes one for each try
        tries.setdefault("%s::%s" % (case.get("classname"), case.get("name")), []).append(case)
    failed = [name for name, found in tries.items() if any(each.find(kind) is not None for each in found
                                                           for kind in ("failure", "error"))]
    again = [name for name, found in tries.items() if name not in failed
             and any(each.get("name") == FAILED for case in found for each in case.iter("property"))]
    ran = sum(all(each.find("skipped") is None for each in found) for found in tries.values())
    return Report(ran, failed, again) if paths else None


def forget(folder: Path) -> None:
    """Remove the files of earlier runs, or they would count again."""
    for path in folder.glob("*.xml"):
        path.unlink()
