"""Checks targets that share a kernel against each other: they must agree on everything that the kernel answers.

Where two of them disagree on such a cell (select, poll, epoll, system calls; not Python's selectors), the cause is
something that they do not share: the C library, Python or the architecture. One of them must then have a row of
expectations that names this cause. Without such a row, either the probe measures something else than it claims, or
nobody has understood yet what it measured. Both are failures, even where no source forbids either answer.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from lab.backends import spelling
from lab.harness.runtimes import ANSWERS_SYSTEM_CALLS
from lab.harness.verifying import compare
from lab.harness.verifying.expectations import fact
from lab.harness.verifying.judge import JudgedCell
from lab.records import Records

AXES: Dict[str, Tuple[str, ...]] = {
    "runtime": ("system", "kernel.release", "kernel.version", "runtime.name", "container.version"),
    "libc": ("libc.name",),
    "architecture": ("architecture.machine", "architecture.bits"),
    "Python": ("interpreter.implementation", "interpreter.version"),
}
"""The axes on which targets differ, each as dotted paths of facts. The kernel belongs to the runtime axis."""

CAUSES = ("libc.", "interpreter.", "architecture.", "virtualization.", "container.emulated", "distribution.")
"""How the facts begin in which targets that share a kernel may differ."""

Kernel = Tuple[object, ...]


class Dispute(NamedTuple):
    """One cell on which targets that share a kernel disagree. kernel: for a heading."""

    kernel: str
    difference: compare.Difference


class Step(NamedTuple):
    """Two targets that differ on one axis only.

    both: the number of cells that both answer. differ: of those with different answers. of_kernel: of those among them
    that the kernel answers, not Python's selectors.
    """

    axis: str
    one: str
    other: str
    both: int
    differ: int
    of_kernel: int


def coordinates(records: Records) -> Dict[str, Kernel]:
    """Where a target is on each axis. A container on runc and the machine itself share a kernel: a runtime that only
    separates processes does not count."""
    facts = records.platform.facts
    found = {axis: tuple(fact(facts, path) for path in paths) for axis, paths in AXES.items()}
    if fact(facts, "runtime.name") not in ANSWERS_SYSTEM_CALLS:
        found["runtime"] = found["runtime"][:3]
    return found


def steps(records: Mapping[str, Records], judged: Mapping[str, Sequence[JudgedCell]]) -> Iterator[Step]:
    """For each target: the first target before it that differs from it on one axis only, and what that axis changes."""
    where = {target: coordinates(each) for target, each in records.items()}
    for number, (target, here) in enumerate(where.items()):
        for other in list(where)[:number]:
            moved = [axis for axis in AXES if where[other][axis] != here[axis]]
            if len(moved) == 1:
                yield _step(moved[0], other, target, judged)
                break


def _step(axis: str, one: str, other: str, judged: Mapping[str, Sequence[JudgedCell]]) -> Step:
    sides = {name: [each.observation for each in judged[name]] for name in (one, other)}
    answered = [{each[:2] for each in found if compare.answer(each)} for found in sides.values()]
    differing = compare.observations(sides)
    return Step(axis, one, other, len(answered[0] & answered[1]), len(differing),
                sum(spelling.family(each.backend) != spelling.SELECTORS for each in differing))


def disputes(records: Mapping[str, Records], judged: Mapping[str, Sequence[JudgedCell]]) -> List[Dispute]:
    """The cells in which targets that share a kernel differ and no expectation explains it. Arguments are by target."""
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


def _is_kernels(each: JudgedCell) -> bool:
    """Whether the kernel answered this cell. Leaks, timeouts and broken set-ups fail anyway, and are no answers."""
    seen = each.observation
    is_kernel = spelling.family(seen.backend) != spelling.SELECTORS
    return seen.outcome in ("observed", "crash") and is_kernel and not seen.flaky


def _explained(one: compare.Difference, rows: Mapping[Tuple[str, str, str], JudgedCell]) -> bool:
    """Whether expectations name a cause for all answers but one."""
    unknown = 0
    for names in one.answers.values():
        unknown += not all(_names_cause(rows[name, one.probe, one.backend]) for name in names)
    return unknown <= 1


def _names_cause(each: JudgedCell) -> bool:
    row = each.row if each.verdict == "known-deviation" else None
    return row is not None and (row.varies or any(path.startswith(CAUSES) for path in row.where))
