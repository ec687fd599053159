"""Whether an observation could have come out otherwise: each compared with its control.

A control of another set-up, or through a fault, is the same cell run once more; one of another backend is the probe's
cell on that backend, which must differ from all its others. An agreement means that the probe cannot tell the two
apart, so that what it saw says nothing.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence, Set, Tuple

from lab.probing.run.child import Task
from lab.probing.run.observe import Cell
from lab.records import Observation


class Agreement(NamedTuple):
    """An observation, and the control that saw the same."""

    task: Task
    observation: Observation


def tasks(chosen: Sequence[Task]) -> List[Task]:
    """What else to run so that each of these has its control."""
    found: List[Task] = []
    cells: Set[Tuple[str, str]] = {(task.cell.probe.id, task.cell.backend) for task in chosen}
    for task in chosen:
        probe, control = task.cell.probe, task.cell.probe.control
        if control.kind != "backend":
            found.append(Task(task.cell, as_control=True))
        elif (probe.id, control.name) not in cells:
            cells.add((probe.id, control.name))
            found.append(Task(Cell(probe, control.name)))
    return found


def judge(chosen: Sequence[Task], controls: Sequence[Task], found: Sequence[Observation]) -> List[Agreement]:
    """The observations of the chosen that their controls agree with. ``found`` are those of both, in this order. One
    without a token, here or there, agrees with nothing."""
    tokens: Dict[Tuple[str, str, bool], object] = {}
    for task, each in zip([*chosen, *controls], found):
        tokens[task.cell.probe.id, task.cell.backend, task.as_control] = each.token
    agreeing = []
    for task, each in zip(chosen, found):
        control = task.cell.probe.control
        if control.kind != "backend":
            other = tokens.get((each.probe, each.backend, True))
        elif control.name != each.backend:
            other = tokens.get((each.probe, control.name, False))
        else:
            continue
        if each.token is not None and other == each.token:
            agreeing.append(Agreement(task, each))
    return agreeing
