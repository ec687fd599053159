"""Records made by hand, of probes that exist, for tests of what is made out of records."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Tuple

from lab import records
from lab.records import Observation, Platform, Records

FACTS: Dict[str, Any] = {
    "system": "Linux", "kernel": {"release": "6.18.44", "version": "#1 SMP"},
    "architecture": {"machine": "x86_64", "bits": 64, "byte_order": "little"},
    "libc": {"name": "glibc", "version": "2.36", "evidence": []}, "runtime": None,
    "interpreter": {"implementation": "CPython", "version": "3.13.0", "release": "3.13.0"}}

PROBE = "hangup/half-close"
"""What the tests speak of: on select it is expected to say r+w."""

EXPECTED = {"select": "r+w", "poll": "IN+OUT+RDHUP"}


def facts(**interpreter: Any) -> Dict[str, Any]:
    return dict(FACTS, interpreter=dict(FACTS["interpreter"], **interpreter))


def seen(token: str = "r+w", probe: str = PROBE, backend: str = "select", **fields: Any) -> Observation:
    made = Observation(probe, backend, "observed", token, EXPECTED.get(backend, "r+w"), "1/1", {}, None, 0.01)
    return made._replace(**fields)


def failed(outcome: str, reason: str = "why", **fields: Any) -> Observation:
    made = Observation(PROBE, "select", outcome, None, None, "", {}, reason, 0.01)
    return made._replace(**fields)


def run(*observations: Observation, platform: Tuple[Tuple[str, Any], ...] = ()) -> Records:
    of = facts(**dict(platform))
    return Records("made", Platform.of(of, 1.0, "2026-11-24T10:00:00Z"), list(observations))


def save(path: Path, made: Records) -> Path:
    records.save(path, made)
    return path
