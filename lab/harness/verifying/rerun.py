"""Re-runs unexpected and broken results, alone, to tell a platform's answer from an accident.

On a busy machine a timer is late, a peer slow or a queue short, and a probe observes what is not the platform's
doing. A reported deviation must be credible. So, after all targets have ended, each unexpected result is run once more,
one target after the other and one cell at a time. The second result counts and is kept; its detail holds the first one,
as ``seen_before``. A cell that is as expected on the second run is *unsteady*: it does not fail the run, and every
report lists it (``JudgedCell.unsteady``).

A target that broke has observed nothing yet; it is re-run as a whole.

A crash is not re-run, because no machine is so busy that a process must crash. Nor are the unexpected results of a
target that has more than MANY of them: so many are no accident.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Sequence, Set

from lab.errors import Broken, LabError
from lab.harness.targets import Request, Target
from lab.harness.verifying import compare, observing
from lab.harness.verifying.axes import Dispute
from lab.harness.verifying.compare import Cell
from lab.harness.verifying.judge import BEFORE, JudgedCell
from lab.harness.verifying.observing import Observed, Observer
from lab.records import Observation, Records

MANY = 20
"""For one target; a machine that is merely busy spoils a few cells of the whole catalogue."""

LABEL = ", second run"
"""What the progress bar adds to the name of a target."""


def broken_targets(observer: Observer, targets: Sequence[Target], observed: Observed) -> Observed:
    """Re-run the targets that broke, one at a time. One that succeeds now has records, and the console says that it
    failed at first; one that fails again keeps its first error."""
    found, errors = dict(observed.records), dict(observed.errors)
    tasks = [(target, observer.request) for target in broken(targets, errors)]
    with observing.started(observer, tasks, 1, LABEL) as outcomes:
        for target, outcome in outcomes:
            if isinstance(outcome, Records):
                observer.request.say(_recovered(target.name, errors.pop(target.name)))
                found[target.name] = outcome
                observing.write(observer.out, target.name, outcome)
    return Observed(observing.in_order(targets, found), errors)


def broken(targets: Iterable[Target], errors: Mapping[str, LabError]) -> List[Target]:
    """The targets that broke. What is not here, or makes no sense, would be the same on a second run."""
    return [target for target in targets if target.observes and isinstance(errors.get(target.name), Broken)]


def _recovered(name: str, error: LabError) -> str:
    text = str(error)
    prefix = name + ": "
    return "%s: failed once (%s); the second run succeeded" % (
        name, text[len(prefix):] if text.startswith(prefix) else text)


def unexpected_cells(judged: Mapping[str, Sequence[JudgedCell]], disputes: Iterable[Dispute]) -> Dict[str, Set[Cell]]:
    """The cells to re-run, by target: those that failed, and in a dispute those with the rarer answer."""
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


def rerun(observer: Observer, targets: Sequence[Target], observed: Observed, cells: Mapping[str, Set[Cell]]
          ) -> Observed:
    """Re-run these cells, by target, and put what they are now in the place of what they were. A target that cannot be
    observed now keeps its first results, because it was fine a minute ago."""
    found = dict(observed.records)
    tasks = [(target, narrowed(observer.request, cells[target.name])) for target in targets
             if target.observes and target.name in cells]
    with observing.started(observer, tasks, 1, LABEL) as outcomes:
        for target, outcome in outcomes:
            if isinstance(outcome, Records):
                found[target.name] = merged(found[target.name], outcome.observations, cells[target.name])
                observing.write(observer.out, target.name, found[target.name])
    return observed._replace(records=found)


def narrowed(request: Request, cells: Iterable[Cell]) -> Request:
    """A request for these cells, one at a time. It includes the other cells of their probes and backends."""
    probes, backends = (tuple(sorted({cell[part] for cell in cells})) for part in (0, 1))
    return request._replace(names=probes, backends=backends, jobs=1)


def merged(first: Records, second: Iterable[Observation], cells: Set[Cell]) -> Records:
    """``first``, with these cells replaced by those of ``second``. A cell without a result in ``second`` stays."""
    answered = {each[:2]: each for each in second if each[:2] in cells and each.outcome in ("observed", "leak")}
    return first._replace(observations=[
        _with_before(answered[each[:2]], each) if each[:2] in answered else each for each in first.observations])


def _with_before(now: Observation, before: Observation) -> Observation:
    text = compare.answer(before) + (": %s" % before.reason[:1000] if before.reason else "")
    return now._replace(detail={**now.detail, BEFORE: text})
