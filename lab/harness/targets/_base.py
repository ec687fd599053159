"""The contract of a target: it runs the catalogue somewhere and returns the records."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, ClassVar, List, NamedTuple, Optional, Sequence, Tuple

from lab import records
from lab.errors import EXIT_BROKEN, EXIT_DEVIATION, EXIT_NOT_HERE, EXIT_OK, Broken, NotHere
from lab.records import Records

Progress = Callable[[int], None]
"""A target calls it with the number of cells that it has observed so far."""


class Request(NamedTuple):
    """What a target is to observe.

    names: ids of probes and topics; empty for the whole catalogue.
    backends: names; empty for every backend.
    slow: the factor on all waits.
    pyz: the lab in one file, which the target runs.
    python: the path of the interpreter in an image; None: the target looks for it.
    say: a target calls it with a line when it had to make or pull something first.
    jobs: how many cells run at a time; 0: `lab probe` decides.
    """

    names: Tuple[str, ...]
    backends: Tuple[str, ...]
    slow: float
    pyz: Path
    python: Optional[str] = None
    say: Callable[[str], None] = lambda text: None
    jobs: int = 0

    def options(self) -> List[str]:
        """The options of `lab probe` for this request."""
        found = ["--slow", "%g" % self.slow, *(["--jobs", "%d" % self.jobs] if self.jobs else []), *self.names]
        for name in self.backends:
            found += ["--backend", name]
        return found


class Target:
    """One place where the catalogue can run.

    name: what tables, messages, JUnit and the files of --out call it; as a rule the spelling that the user gave.
    """

    kind: ClassVar[str]
    """The word before the colon."""

    spelling: ClassVar[str]
    """The form of its spelling, for help and messages."""

    noun: ClassVar[str] = "target"
    """What a message calls it that says that two spellings mean the same one."""

    name: str

    observes: ClassVar[bool] = True
    """Whether each ``collect`` observes anew; False where it always returns the same records."""

    @property
    def place(self) -> str:
        """What identifies the place among all of its class. Where two targets have the same place, only the first runs,
        and `lab verify` reports that. So it must contain everything in which two targets of this class can differ."""
        return self.name

    @classmethod
    def parse(cls, text: str) -> List[Target]:
        """The targets that the text behind ``kind:`` stands for. Raises ``Usage`` or ``NotHere``."""
        raise NotImplementedError

    def collect(self, request: Request, progress: Progress) -> Records:
        """Observe, and return the records. Blocks; runs in a thread of its own.

        Raises ``LabError`` where it cannot; the other targets go on.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Make ``collect``, which runs in another thread, end soon: the user has pressed Ctrl-C."""


def parse_output(name: str, code: int, lines: Sequence[bytes], complaint: Optional[str], was_stopped: bool,
                 aside: str = "") -> Records:
    """The records in the output of a `lab probe` that has ended with exit code ``code``.

    name: of the target, for messages. complaint: its last line of standard error. aside: what else is known of its end.
    Raises ``NotHere`` where `lab probe` says that something is missing there, ``Broken`` where there are no records.
    """
    if code == EXIT_NOT_HERE and complaint:
        raise NotHere("%s: %s" % (name, complaint.partition(": ")[2] or complaint))
    if was_stopped or len(lines) < 2 or code not in (EXIT_OK, EXIT_DEVIATION, EXIT_BROKEN):
        raise Broken("%s: `lab probe` ended with exit code %d%s%s" % (
            name, code, aside, ": " + complaint if complaint else ""))
    return records.parse(lines, name)
