"""Verdicts: what was observed, against what the sources say and what the platform is known to do.

    as-expected       the token is the one that the source promises, or no source promises any
    known-deviation   another one, and a row of ``expectations`` says so for this platform, why, and where that stands
    deviation         another one, and nobody knows why
    healed            a row says that this platform does otherwise, and it did not: the row is stale
    unsupported       this platform cannot be asked; the reason tells
    broken, timeout, crash, leak    nothing, or nothing trustworthy, was observed
    excluded          whatever it is, the user's own file says that it is not to count, and why

A cell that failed, and no more when it was observed again (``verifying.rerun``), is *unsteady* beside its verdict.
What makes `lab verify` fail is in FAILURES; an absent cell is in no list, and never taken as fine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from lab.errors import EXIT_BROKEN, EXIT_DEVIATION, EXIT_OK
from lab.harness.tables import checked, tables
from lab.harness.verifying.expectations import Row
from lab.probing.catalogue import catalogue
from lab.records import Observation, Records

FAILURES = ("deviation", "healed", "crash", "timeout", "leak", "broken")
"""Worst first to read: what surprised, then what could not be observed."""


BEFORE = "seen_before"
"""The name, in the detail of what was observed again, of what came first: a token, or an outcome and its reason."""

WITHOUT_ANSWER = {"crash": "crash", "timeout": "hangs"}
"""Outcomes that are no observation and that a row may know of all the same, and how it calls them."""


class Exclude(NamedTuple):
    """A cell, or a probe on all backends, that the user does not want to count."""

    probe: str
    backend: str
    reason: str

    def covers(self, probe: str, backend: str) -> bool:
        """Whether it speaks of that cell."""
        return self.probe == probe and self.backend in ("*", backend)

    def __str__(self) -> str:
        return self.probe if self.backend == "*" else "%s on %s" % (self.probe, self.backend)


class JudgedCell(NamedTuple):
    """One cell with its verdict; ``row`` is the expectation that decided, ``exclude`` what took it out."""

    target: str
    observation: Observation
    verdict: str
    row: Optional[Row] = None
    exclude: Optional[Exclude] = None

    @property
    def failed(self) -> bool:
        """Whether `lab verify` fails for it."""
        return self.verdict in FAILURES

    @property
    def unverified(self) -> bool:
        """Whether it rests on a row that comes from a document and that no run has confirmed."""
        return self.row is not None and bool(self.row.unverified)

    @property
    def unsteady(self) -> bool:
        """Whether it failed at first, and no more when it was observed again, alone."""
        before = self.observation.detail.get(BEFORE)
        return before is not None and not self.failed and before != self.observation.token

    @property
    def cell(self) -> Tuple[str, str]:
        """Probe and backend."""
        return self.observation.probe, self.observation.backend


def judge(target: str, records: Records, rows: Sequence[Row], excludes: Sequence[Exclude] = ()) -> List[JudgedCell]:
    """The verdict on every observation of one platform."""
    known: Dict[str, List[Row]] = {}
    for row in rows:
        if row.applies(records.platform.facts):
            known.setdefault(row.probe, []).append(row.at(records.platform.facts))
    return [_excluded(_judge(target, each, known.get(each.probe, [])), excludes) for each in records.observations]


def _judge(target: str, seen: Observation, rows: Iterable[Row]) -> JudgedCell:
    covering = [row for row in rows if row.covers(seen.probe, seen.backend)]
    if seen.outcome != "observed":
        known = [row for row in covering if row.observed == WITHOUT_ANSWER.get(seen.outcome)]
        if known:
            return JudgedCell(target, seen, "known-deviation", known[0])
        return JudgedCell(target, seen, seen.outcome)
    for row in covering:
        if row.observed == seen.token:
            return JudgedCell(target, seen, "known-deviation", row)
    as_expected = seen.expected is None or seen.token == seen.expected
    stale = [row for row in covering if not row.varies]
    if as_expected and stale:
        return JudgedCell(target, seen, "healed", stale[0])
    return JudgedCell(target, seen, "as-expected" if as_expected else "deviation")


def _excluded(judged: JudgedCell, excludes: Iterable[Exclude]) -> JudgedCell:
    for exclude in excludes:
        if judged.failed and exclude.covers(*judged.cell):
            return judged._replace(verdict="excluded", exclude=exclude)
    return judged


def read_excludes(path: Path) -> List[Exclude]:
    """The ``[[exclude]]`` tables of a TOML file: probe, reason, and optionally backend. Raises ``Usage``."""
    found = []
    for number, fields in enumerate(tables(path, "exclude"), 1):
        checked("%s: exclude %d" % (path, number), fields, {"probe": str, "backend": str, "reason": str}, ("backend",))
        found.append(Exclude(fields["probe"], fields.get("backend", "*"), fields["reason"]))
    return found


def unused(excludes: Iterable[Exclude], judged: Sequence[JudgedCell]) -> List[Exclude]:
    """The excludes that took nothing out: their reason is gone, or they never matched."""
    used = {each.exclude for each in judged}
    return [exclude for exclude in excludes if exclude not in used]


def exit_code(judged: Iterable[JudgedCell]) -> int:
    """Of the whole: 1 for anything that failed, but 4 where set-ups broke and nothing else failed."""
    verdicts = {each.verdict for each in judged if each.failed}
    if not verdicts:
        return EXIT_OK
    return EXIT_BROKEN if verdicts == {"broken"} else EXIT_DEVIATION


def current(records: Records) -> Records:
    """Records under today's ids and expectations: an older lab may have called a probe otherwise, and promised
    something else of it. A probe that is no longer in the catalogue is left out."""
    by_id = {name: probe for probe in catalogue() for name in (probe.id, *probe.aliases)}
    return records._replace(observations=[
        each._replace(probe=by_id[each.probe].id,
                      expected=by_id[each.probe].expected(each.backend) if each.outcome in ("observed", "leak")
                      else each.expected)
        for each in records.observations if each.probe in by_id])
