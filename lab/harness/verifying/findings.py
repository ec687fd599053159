"""What a run of `lab verify` has found out. Every report and the exit code are derived from this value."""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Sequence

from lab.errors import EXIT_DEVIATION, EXIT_OK, LabError
from lab.harness.verifying import judge
from lab.harness.verifying.axes import Dispute
from lab.harness.verifying.compare import Cell
from lab.harness.verifying.judge import Exclude, JudgedCell
from lab.records import Records


class Findings(NamedTuple):
    """All mappings are by target, in the order in which the user gave them.

    records, judged: of the targets that were observed. errors: of the others.
    disputes: cells on which targets that share a kernel disagree.
    absent: cells that the user asked for and that are not in the records. unused: excludes that excluded nothing.
    merged: a line for each target that the user gave several times. unavailable: images that this machine cannot have,
    and why.
    """

    records: Mapping[str, Records]
    errors: Mapping[str, LabError]
    judged: Mapping[str, Sequence[JudgedCell]]
    disputes: Sequence[Dispute] = ()
    absent: Mapping[str, Sequence[Cell]] = {}
    unused: Sequence[Exclude] = ()
    merged: Sequence[str] = ()
    unavailable: Mapping[str, str] = {}

    @property
    def cells(self) -> List[JudgedCell]:
        """Those of all targets."""
        return [each for cells in self.judged.values() for each in cells]

    @property
    def exit_code(self) -> int:
        """The highest of what verdicts, disputes and targets without records call for."""
        return max([judge.exit_code(self.cells), EXIT_DEVIATION if self.disputes else EXIT_OK,
                    *(error.exit_code for error in self.errors.values())])
