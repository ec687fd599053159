"""The fixture of the load tests, for those of them that run on Windows' select."""

from __future__ import annotations

from tests.core.load.conftest import serve

__all__ = ["serve"]
