"""What surprised is observed once more, with nothing beside it: is it the platform's answer, or an accident?

On a busy machine a timer is late, a peer slow, a queue short, and a probe sees what is not so. Whoever is told of a
deviation must be able to believe it. So after all targets have ended each surprise is asked again, one target after the
other, one cell at a time. What is observed then counts and is kept; its detail tells what came first, ``seen_before``.
Where it is as expected now, the cell is *unsteady*: no failure, and never silent (``JudgedCell.unsteady``).

A target that broke has observed nothing yet, and is asked again too.

A crash is not asked again: no machine is so busy that a process must crash. Nor are surprises of a target that has more
than MANY: these are no accident.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Sequence, Set

from lab.errors import Broken, LabError
from lab.harness.targets import Request, Target
from lab.harness.verifying import compare
from lab.harness.verifying.axes import Dispute
from lab.harness.verifying.compare import Cell
from lab.harness.verifying.judge import BEFORE, JudgedCell
from lab.records import Observation, Records

MANY = 20
"""On one target; a machine that is merely busy spoils a few cells of the whole catalogue."""


def broken(targets: Iterable[Target], failed: Mapping[str, LabError]) -> List[Target]:
    """The targets that broke; what is not here, or makes no sense, is so the second time."""
    return [target for target in targets if target.observes and isinstance(failed.get(target.name), Broken)]


def surprises(judged: Mapping[str, Sequence[JudgedCell]], disputes: Iterable[Dispute]) -> Dict[str, Set[Cell]]:
    """The cells to ask again, by target: those that failed, and in a dispute those with the rarer answer."""
    found = {target: {each.cell for each in cells if each.failed} for target, cells in judged.items()}
    for _, one in disputes:
        numbers = [len(names) for names in one.answers.values()]
        for names in one.answers.values():
            if len(names) < max(numbers) or numbers.count(len(names)) > 1:
                for name in names:
                    found[name].add((one.probe, one.backend))
    for target, cells in judged.items():
        found[target] -= {each.cell for each in cells if each.observation.outcome == "crash"}
    return {target: cells for target, cells in found.items() if 0 < len(cells) <= MANY}


def narrowed(request: Request, cells: Iterable[Cell]) -> Request:
    """What to ask so that these cells are observed, one at a time; others of their probes and backends are, too."""
    probes, backends = (tuple(sorted({cell[part] for cell in cells})) for part in (0, 1))
    return request._replace(names=probes, backends=backends, jobs=1)


def merged(first: Records, second: Iterable[Observation], cells: Set[Cell]) -> Records:
    """``first``, with these cells of ``second`` in their places. One that came to nothing now stays as it was."""
    told = {each[:2]: each for each in second if each[:2] in cells and each.outcome in ("observed", "leak")}
    return first._replace(observations=[_with_before(told[each[:2]], each) if each[:2] in told else each
                                        for each in first.observations])


def _with_before(now: Observation, before: Observation) -> Observation:
    said = compare.answer(before) + (": %s" % before.reason[:1000] if before.reason else "")
    return now._replace(detail={**now.detail, BEFORE: said})
