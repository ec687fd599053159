"""The distribution, by os-release(5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest

from lab import facts
from tests.core.facts.folder import LINUX, tree


class TestDistribution:
    @pytest.mark.parametrize("text, found", [
        ('NAME="Debian"\nVERSION_ID="12"\nID=debian\n', {"id": "debian", "version": "12"}),
        ("ID='arch'\n", {"id": "arch", "version": None}),
        ("", {"id": "linux", "version": None})])
    def test_os_release(self, tmp_path: Path, text: str, found: Dict[str, Any]) -> None:
        assert facts.distribution(tree(tmp_path, {"usr/lib/os-release": text}), LINUX) == found
