"""What one run of `lab verify` is to do: every option, checked and as a value."""

from __future__ import annotations

from pathlib import Path
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

from lab.backends import spelling
from lab.harness.targets import Target
from lab.harness.verifying.compare import Cell
from lab.harness.verifying.judge import Exclude
from lab.probing.catalogue import catalogue, find
from lab.probing.probe import SELECTORS
from lab.records import Records


class Wanted(NamedTuple):
    """The options of one run.

    targets: their names differ. merged: a line for each target that the user gave several times.
    unavailable: images of the matrix that this machine cannot have, and why.
    names: ids of probes and topics; empty for the whole catalogue. backends: empty for every backend.
    has_selector: whether the user tests a selector class; it is then one of ``backends``.
    python: the path of the interpreter in images. slow: the factor on all waits. jobs: targets at a time.
    serves: whether we first check every server variant. once: whether nothing is re-run.
    excludes: cells that do not count. junit: a file to write. out: a folder for records.
    """

    targets: Tuple[Target, ...]
    merged: Tuple[str, ...] = ()
    unavailable: Mapping[str, str] = {}
    names: Tuple[str, ...] = ()
    backends: Tuple[str, ...] = ()
    has_selector: bool = False
    python: Optional[str] = None
    slow: float = 1.0
    jobs: int = 1
    serves: bool = False
    once: bool = False
    excludes: Tuple[Exclude, ...] = ()
    junit: Optional[Path] = None
    out: Optional[Path] = None

    def absent(self, found: Records) -> List[Cell]:
        """The requested cells that these records lack: an older lab wrote them, a run was cut short, or they are of
        fewer probes."""
        there = {(each.probe, each.backend) for each in found.observations}
        return [cell for cell in cells(self.names, self.backends) if cell not in there]


def cells(names: Sequence[str], backends: Sequence[str]) -> List[Cell]:
    """Every cell of these probes, topics and backends, in the order of the catalogue."""
    wanted = {probe.id for name in names for probe in find(name)}
    found = []
    for probe in catalogue():
        if not wanted or probe.id in wanted:
            extra = [name for name in backends if spelling.is_foreign(name) and set(SELECTORS) <= set(probe.on)]
            found += [(probe.id, name) for name in (*probe.on, *extra) if not backends or name in backends]
    return found
