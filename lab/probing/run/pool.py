"""What the runner needs of a pool of children, however the children are made: ``fork.Pool`` and ``spawn.Pool``."""

from __future__ import annotations

from typing import List, Protocol

from lab.probing.run.child import Task
from lab.probing.run.endings import Ending


class Pool(Protocol):
    """Children that observe tasks, several at a time."""

    @property
    def busy(self) -> int:
        """How many tasks are running."""

    def start(self, task: Task, directory: str) -> None:
        """Begin with a task in a child; ``directory`` is for its temporary files. Raises OSError if the system has no
        room for another child."""

    def wait(self, timeout: float) -> List[Ending]:
        """Wait up to ``timeout`` seconds for tasks to end; return those that have ended, perhaps none. Raises
        ``Broken`` if children cannot be started at all."""

    def close(self) -> None:
        """Kill the children that are still running, and reap all of them."""
