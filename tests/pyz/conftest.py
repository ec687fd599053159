"""The archive that the tests of this folder drive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.waits import ARCHIVE


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly built lab.pyz."""
    out = tmp_path_factory.mktemp("pyz") / "lab.pyz"
    subprocess.run([sys.executable, "-m", "lab.harness.pyz", "--out", str(out)], check=True, timeout=ARCHIVE,
                   stdout=subprocess.DEVNULL)
    return out
