"""What every kind of target is: something that runs the catalogue somewhere, and brings records back."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, ClassVar, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from lab import records
from lab.errors import EXIT_BROKEN, EXIT_DEVIATION, EXIT_NOT_HERE, EXIT_OK, Broken, NotHere
from lab.records import Records

Progress = Callable[[int], None]
"""Told how many cells have been observed so far."""


class Request(NamedTuple):
    """What to observe.

    names: ids and topics; empty for the whole catalogue.
    backends: names; empty for every one.
    slow: the factor on all waits.
    pyz: the lab in one file, to be run there.
    python: the path of the interpreter in an image; None: it is found.
    say: told, in a line, what was done to have the target.
    jobs: cells at a time; 0: as many as `lab probe` thinks fit.
    """

    names: Tuple[str, ...]
    backends: Tuple[str, ...]
    slow: float
    pyz: Path
    python: Optional[str] = None
    say: Callable[[str], None] = lambda text: None
    jobs: int = 0

    def options(self) -> List[str]:
        """The options of `lab probe` that ask for it."""
        found = ["--slow", "%g" % self.slow, *(["--jobs", "%d" % self.jobs] if self.jobs else []), *self.names]
        for name in self.backends:
            found += ["--backend", name]
        return found


class Target:
    """One place. ``name`` is how it is spelled, and tells it from the others in a table."""

    kind: ClassVar[str]
    spelling: ClassVar[str]
    """The form of its spelling, for help and messages."""

    name: str

    observes: ClassVar[bool] = True
    """Whether ``collect`` observes anew each time."""

    @property
    def place(self) -> str:
        """What tells it from every other one of its kind, where the name is shorter."""
        return self.name

    @classmethod
    def parse(cls, text: str) -> List[Target]:
        """The targets that the text behind ``kind:`` stands for. Raises ``Usage`` or ``NotHere``."""
        raise NotImplementedError

    def collect(self, request: Request, progress: Progress) -> Records:
        """Observe, and return the records. Blocks; runs in a thread of its own.

        Raises ``LabError`` where it cannot: the others are observed all the same.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Make ``collect``, in another thread, end soon: the user has pressed Ctrl-C."""


def unique(targets: Iterable[Target]) -> List[Target]:
    """These, each place once. Different places that would have one name are called by all that tells them apart."""
    found: Dict[str, Target] = {}
    for target in targets:
        found.setdefault(target.place, target)
    names = [target.name for target in found.values()]
    for target in found.values():
        if names.count(target.name) > 1:
            target.name = "%s:%s" % (target.kind, target.place)
    return list(found.values())


def parse_output(name: str, code: int, lines: Sequence[bytes], complaint: Optional[str], was_stopped: bool,
                 aside: str = "") -> Records:
    """What a `lab probe` that has ended has written. Raises ``NotHere`` for what it says is not there, ``Broken`` where
    it brings no records back: with its exit code, ``aside``, and the last that it complained of."""
    if code == EXIT_NOT_HERE and complaint:
        raise NotHere("%s: %s" % (name, complaint.partition(": ")[2] or complaint))
    if was_stopped or len(lines) < 2 or code not in (EXIT_OK, EXIT_DEVIATION, EXIT_BROKEN):
        raise Broken("%s: `lab probe` ended with exit code %d%s%s" % (
            name, code, aside, ": " + complaint if complaint else ""))
    return records.parse(lines, name)


def last_line(text: str) -> Optional[str]:
    """The last line of somebody's error output, fit for a message of ours; None where there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ascii(lines[-1][:300])[1:-1] if lines else None
