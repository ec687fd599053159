"""Images that share a kernel and a runtime check each other: what is the kernel's own must come out the same in all.

Where two of them disagree on what the kernel answers (select, poll, epoll, system calls; not Python's selectors), the
cause is in what they do not share: the C library, Python, the architecture. One of them must then have a row of
expectations that names it. Without such a row either the probe measures something else than it says, or nobody has
understood yet what it measured; both are failures, although each answer by itself may be one that no source forbids.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

from lab.harness import compare
from lab.harness.expectations import fact
from lab.harness.judge import Judged
from lab.records import Records

CAUSES = ("libc.", "interpreter.", "architecture.", "virtualization.", "container.emulated", "distribution.")
"""What images on one kernel may differ in, as facts begin with."""

Kernel = Tuple[object, ...]


class Dispute(NamedTuple):
    """One cell, and what targets on one kernel answered, the most common answer first."""

    kernel: str
    difference: compare.Difference


def kernel(records: Records) -> Kernel:
    """What targets share that share a kernel: its system, release and build, and what answers in its place."""
    facts = records.platform.facts
    return tuple(fact(facts, path) for path in ("system", "kernel.release", "kernel.version", "runtime.name",
                                                "container.version"))


def disputes(records: Mapping[str, Records], judged: Mapping[str, Sequence[Judged]]) -> List[Dispute]:
    """The cells in which targets of one kernel differ, and no expectation says why; both by target."""
    groups: Dict[Kernel, List[str]] = {}
    for target, found in records.items():
        groups.setdefault(_without_engine(kernel(found)), []).append(target)
    rows = {(each.target, *each.cell): each for cells in judged.values() for each in cells}
    found_all = []
    for shared, targets in groups.items():
        sides = {target: [each.observation for each in judged[target] if _is_kernels(each)] for target in targets}
        for one in compare.observations(sides):
            if not _explained(one, rows):
                found_all.append(Dispute(" ".join(str(part) for part in shared if part), one))
    return found_all


def _without_engine(found: Kernel) -> Kernel:
    """A container on runc, and this machine itself, are on one kernel: only who answers in its place tells apart."""
    *same, runtime, version = found
    return (*same, runtime, version) if runtime in ("gvisor", "wine", "wsl1") else tuple(same)


def _is_kernels(each: Judged) -> bool:
    """A leak, a timeout and what broke are failures of their own, and no answers."""
    seen = each.observation
    return seen.outcome in ("observed", "crash") and not seen.backend.startswith("selectors") and not seen.flaky


def _explained(one: compare.Difference, rows: Mapping[Tuple[str, str, str], Judged]) -> bool:
    """Whether all but one of the answers are known to be due to what images may differ in."""
    unknown = 0
    for names in one.answers.values():
        unknown += not all(_names_cause(rows[name, one.probe, one.backend]) for name in names)
    return unknown <= 1


def _names_cause(each: Judged) -> bool:
    row = each.row if each.verdict == "known-deviation" else None
    return row is not None and (row.varies or any(path.startswith(CAUSES) for path in row.where))
