"""Images that share a kernel and a runtime check each other: what is the kernel's own must come out the same in all.

Where two of them disagree on what the kernel answers (select, poll, epoll, system calls; not Python's selectors), the
cause is in what they do not share: the C library, Python, the architecture. One of them must then have a row of
expectations that names it. Without such a row either the probe measures something else than it says, or nobody has
understood yet what it measured; both are failures, although each answer by itself may be one that no source forbids.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from lab.backends import spelling
from lab.harness.verifying import compare
from lab.harness.verifying.expectations import fact
from lab.harness.verifying.judge import Judged
from lab.records import Records

AXES: Dict[str, Tuple[str, ...]] = {
    "runtime": ("system", "kernel.release", "kernel.version", "runtime.name", "container.version"),
    "libc": ("libc.name",),
    "architecture": ("architecture.machine", "architecture.bits"),
    "Python": ("interpreter.implementation", "interpreter.version"),
}
"""What targets are told apart by, as facts. The kernel belongs to the runtime: it is what answers."""

ANSWERING = ("gvisor", "wine", "wsl1")
"""Runtimes that answer system calls themselves."""

CAUSES = ("libc.", "interpreter.", "architecture.", "virtualization.", "container.emulated", "distribution.")
"""What images on one kernel may differ in, as facts begin with."""

Kernel = Tuple[object, ...]


class Dispute(NamedTuple):
    """One cell, and what targets on one kernel answered, the most common answer first."""

    kernel: str
    difference: compare.Difference


class Step(NamedTuple):
    """Two targets that differ in one axis only: in how many of the cells that both answer they differ, and in how many
    of these the kernel answers, not Python's selectors."""

    axis: str
    one: str
    other: str
    both: int
    differ: int
    of_kernel: int


def coordinates(records: Records) -> Dict[str, Kernel]:
    """Where a target is on each axis. A container on runc, and this machine itself, are on one kernel: who merely
    separates processes does not answer."""
    facts = records.platform.facts
    found = {axis: tuple(fact(facts, path) for path in paths) for axis, paths in AXES.items()}
    if fact(facts, "runtime.name") not in ANSWERING:
        found["runtime"] = found["runtime"][:3]
    return found


def steps(records: Mapping[str, Records], judged: Mapping[str, Sequence[Judged]]) -> Iterator[Step]:
    """For each target the first one before it from which it differs in one axis only, and what that axis changes."""
    where = {target: coordinates(each) for target, each in records.items()}
    for number, (target, here) in enumerate(where.items()):
        for other in list(where)[:number]:
            moved = [axis for axis in AXES if where[other][axis] != here[axis]]
            if len(moved) == 1:
                yield _step(moved[0], other, target, judged)
                break


def _step(axis: str, one: str, other: str, judged: Mapping[str, Sequence[Judged]]) -> Step:
    sides = {name: [each.observation for each in judged[name]] for name in (one, other)}
    told = [{each[:2] for each in found if compare.answer(each)} for found in sides.values()]
    differing = compare.observations(sides)
    return Step(axis, one, other, len(told[0] & told[1]), len(differing),
                sum(spelling.family(each.backend) != spelling.SELECTORS for each in differing))


def disputes(records: Mapping[str, Records], judged: Mapping[str, Sequence[Judged]]) -> List[Dispute]:
    """The cells in which targets of one kernel differ, and no expectation says why; both by target."""
    groups: Dict[Kernel, List[str]] = {}
    for target, found in records.items():
        groups.setdefault(coordinates(found)["runtime"], []).append(target)
    rows = {(each.target, *each.cell): each for cells in judged.values() for each in cells}
    found_all = []
    for shared, targets in groups.items():
        sides = {target: [each.observation for each in judged[target] if _is_kernels(each)] for target in targets}
        for one in compare.observations(sides):
            if not _explained(one, rows):
                found_all.append(Dispute(" ".join(str(part) for part in shared if part), one))
    return found_all


def _is_kernels(each: Judged) -> bool:
    """A leak, a timeout and what broke are failures of their own, and no answers."""
    seen = each.observation
    is_kernel = spelling.family(seen.backend) != spelling.SELECTORS
    return seen.outcome in ("observed", "crash") and is_kernel and not seen.flaky


def _explained(one: compare.Difference, rows: Mapping[Tuple[str, str, str], Judged]) -> bool:
    """Whether all but one of the answers are known to be due to what images may differ in."""
    unknown = 0
    for names in one.answers.values():
        unknown += not all(_names_cause(rows[name, one.probe, one.backend]) for name in names)
    return unknown <= 1


def _names_cause(each: Judged) -> bool:
    row = each.row if each.verdict == "known-deviation" else None
    return row is not None and (row.varies or any(path.startswith(CAUSES) for path in row.where))
