"""The fixtures of the contract: every backend as a parameter, pairs of every kind, and clients in threads."""

from __future__ import annotations

from tests.core.conformance.peers import threads_of_clients
from tests.core.conformance.rig import each_backend, each_kind, each_pair, one_rig

__all__ = ["each_backend", "each_kind", "each_pair", "one_rig", "threads_of_clients"]
