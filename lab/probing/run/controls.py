"""Compares each observation with its control, which must observe something else.

A control with another set-up, or through a fault, is the same cell run once more. A control on another backend is the
probe's cell on that backend, which must differ from all its other cells. If the two agree, the probe cannot tell them
apart, and its observation is worth nothing.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence, Set, Tuple

from lab.probing.run.child import Task
from lab.probing.run.observe import Cell
from lab.records import Observation


class Agreement(NamedTuple):
    """An observation whose control observed the same."""

    task: Task
    observation: Observation


def tasks(chosen: Sequence[Task]) -> List[Task]:
    """What else to run so that each of these tasks has its control."""
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
    """The observations among ``chosen`` whose controls observed the same. ``found`` has the observations of ``chosen``
    and then of ``controls``. Without a token on either side there is no agreement."""
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
