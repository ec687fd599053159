"""`python -m tests.core.conformance.catalogue_run`: the whole catalogue, each cell with its control, as lines of JSON.

In a process of its own, because the runner forks where it can, and the tests' own process has other threads.
"""

from __future__ import annotations

import json

from lab.facts import facts
from lab.probing.catalogue import catalogue
from lab.probing.run import controls, runner
from lab.probing.run.child import Task
from lab.probing.run.observe import Cell


def main() -> None:
    """Print the facts, then every observation, each with whether it is of a control."""
    tasks = [Task(Cell(probe, name)) for probe in catalogue() for name in probe.on]
    tasks += controls.tasks(tasks)
    print(json.dumps(facts()))
    for task, seen in zip(tasks, runner.run(tasks, runner.Settings(), lambda task, seen: None)):
        print(json.dumps([task.as_control, seen._asdict()]))


if __name__ == "__main__":
    main()
