"""``recorded:FILE``: what was observed before, or on a machine that is not ours."""

from __future__ import annotations

from pathlib import Path
from typing import List

from lab import records
from lab.errors import Usage
from lab.harness.targets._base import Progress, Request, Target
from lab.probing.catalogue import find


class Recorded(Target):
    """A file of records. Observes nothing; what was asked for is picked out of it."""

    kind = "recorded"
    spelling = "recorded:FILE"
    observes = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = "recorded:%s" % path.name

    @property
    def place(self) -> str:
        """The path, as it was given."""
        return str(self.path)

    @classmethod
    def parse(cls, text: str) -> List[Target]:
        """One file. Raises ``Usage`` where none is named."""
        if not text:
            raise Usage("recorded: names no file; try recorded:build/records/here.jsonl")
        return [cls(Path(text))]

    def collect(self, request: Request, progress: Progress) -> records.Records:
        """Read the file. Raises ``Usage`` where it is not to be trusted."""
        found = records.load(str(self.path))
        wanted = {probe.id for name in request.names for probe in find(name)}
        observations = [each for each in found.observations
                        if (not wanted or each.probe in wanted)
                        and (not request.backends or each.backend in request.backends)]
        progress(len(observations))
        return found._replace(observations=observations)


TARGET = Recorded
