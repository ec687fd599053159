"""``recorded:FILE``: what was observed earlier, or on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import List

from lab import records
from lab.errors import Usage
from lab.harness.targets._base import Progress, Request, Target
from lab.probing.catalogue import find
from lab.text import escaped


class Recorded(Target):
    """A file of records. It observes nothing; ``collect`` selects the requested cells."""

    kind = "recorded"
    spelling = "recorded:FILE"
    noun = "file"
    observes = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = "recorded:%s" % escaped(path.name)

    @property
    def place(self) -> str:
        """The path, as the user gave it."""
        return str(self.path)

    @classmethod
    def parse(cls, text: str) -> List[Target]:
        """One file. Raises ``Usage`` where none is named."""
        if not text:
            raise Usage("recorded: no file is given; try recorded:build/records/here.jsonl")
        return [cls(Path(text))]

    def collect(self, request: Request, progress: Progress) -> records.Records:
        """Read the file. Raises ``Usage`` where it cannot be read or is not valid."""
        found = records.load(str(self.path))
        wanted = {probe.id for name in request.names for probe in find(name)}
        observations = [each for each in found.observations
                        if (not wanted or each.probe in wanted)
                        and (not request.backends or each.backend in request.backends)]
        progress(len(observations))
        return found._replace(observations=observations)


TARGET = Recorded
