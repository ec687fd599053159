"""Limits, read in every way that there is."""

from __future__ import annotations

import select
import sys
from pathlib import Path
from typing import Any, Dict, Optional

import pytest

from lab import facts
from lab.capabilities import has
from tests.core.facts.folder import tree


class TestLimits:
    def test_numbers_are_read(self, tmp_path: Path) -> None:
        root = tree(tmp_path, {"proc/sys/net/core/somaxconn": "128\n", "proc/sys/fs/epoll/max_user_watches": "many\n"})
        assert facts.limits(root)["somaxconn"] == 128
        assert facts.limits(root)["max_user_watches"] is None

    def test_select_enforces_the_size_that_was_measured(self) -> None:
        size = facts.fd_setsize()
        assert size is not None
        trial = [[0] * (size + 1), [0] * size] if sys.platform == "win32" else [[size], [size - 1]]
        with pytest.raises(ValueError):
            select.select(trial[0], [], [], 0)
        try:
            select.select(trial[1], [], [], 0)
        except OSError:  # EBADF: the number is in range, but not open
            pass

    @pytest.mark.parametrize("line, pair", [
        ("Max open files            1024                 524288               files", {"soft": 1024, "hard": 524288}),
        ("Max open files            1024                 unlimited            files",
         {"soft": 1024, "hard": "unlimited"}),
        ("Max processes             1                    2                    processes", None)])
    def test_open_files_without_the_resource_module(self, line: str, pair: Optional[Dict[str, Any]]) -> None:
        assert facts.limits_file("Limit   Soft Limit\n" + line + "\n") == pair

    @pytest.mark.skipif(not has("proc") or not has("resource"), reason="this platform has only one way")
    def test_both_ways_to_the_limit_on_open_files_agree(self, monkeypatch: pytest.MonkeyPatch) -> None:
        by_call = facts.nofile()
        monkeypatch.setitem(sys.modules, "resource", None)
        assert by_call is not None and facts.nofile() == by_call
