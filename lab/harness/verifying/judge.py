"""Verdicts: compares each observation with what the source promises and with what the platform is known to do.

    as-expected       the token is the one that the source promises, or the source promises none
    known-deviation   another token, and a row of ``expectations`` lists it for this platform, with reason and link
    deviation         another token, and no row lists it
    healed            a row lists another token for this platform, but the source's was observed: the row is stale
    unsupported       this platform cannot run the probe; the reason says why
    broken, timeout, crash, leak    nothing was observed, or nothing that we can trust
    excluded          the cell failed, but the user's own file excludes it, with a reason

A cell that failed, but did not on a second run (``verifying.rerun``), is *unsteady*, whatever its verdict. FAILURES
lists the verdicts that make `lab verify` fail. A cell that is absent has no verdict, and never counts as fine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from lab.errors import EXIT_BROKEN, EXIT_DEVIATION, EXIT_OK
from lab.harness.tables import checked, tables
from lab.harness.verifying.expectations import Row
from lab.probing.catalogue import catalogue
from lab.probing.probe import Probe
from lab.records import Observation, Records

FAILURES = ("deviation", "healed", "crash", "timeout", "leak", "broken")
"""In the order in which reports list them: unexpected results first, then what could not be observed."""

BEFORE = "seen_before"
"""The name of the first result in the detail of a cell that was re-run: a token, or an outcome and its reason."""

WITHOUT_ANSWER = {"crash": "crash", "timeout": "hangs"}
"""Outcomes without a token that a row may list all the same, and how a row spells them."""


class Exclude(NamedTuple):
    """A cell, or a probe on all backends, whose failure does not count. ``reason`` is the user's."""

    probe: str
    backend: str
    reason: str

    def covers(self, probe: str, backend: str) -> bool:
        """Whether it applies to that cell."""
        return self.probe == probe and self.backend in ("*", backend)

    def __str__(self) -> str:
        return self.probe if self.backend == "*" else "%s on %s" % (self.probe, self.backend)


class JudgedCell(NamedTuple):
    """One cell with its verdict. row: the expectation that decided it. exclude: what excluded it."""

    target: str
    observation: Observation
    verdict: str
    row: Optional[Row] = None
    exclude: Optional[Exclude] = None

    @property
    def failed(self) -> bool:
        """Whether `lab verify` fails because of it."""
        return self.verdict in FAILURES

    @property
    def unverified(self) -> bool:
        """Whether the row that decided it comes from a document only; no run has confirmed it."""
        return self.row is not None and bool(self.row.unverified)

    @property
    def unsteady(self) -> bool:
        """Whether it failed on the first run, but not on the second, alone."""
        before = self.observation.detail.get(BEFORE)
        return before is not None and not self.failed and before != self.observation.token

    @property
    def cell(self) -> Tuple[str, str]:
        """Probe and backend."""
        return self.observation.probe, self.observation.backend


def judge(target: str, records: Records, rows: Sequence[Row], excludes: Sequence[Exclude] = ()) -> List[
        JudgedCell]:
    """The verdict on every observation of one target. ``rows``: of all platforms."""
    ids = {name: probe.id for name, probe in _by_name().items()}
    known: Dict[str, List[Row]] = {}
    for row in rows:
        if row.applies(records.platform.facts):
            today = row.at(records.platform.facts)._replace(probe=ids.get(row.probe, row.probe))
            known.setdefault(today.probe, []).append(today)
    return [_excluded(_judge(target, each, known.get(each.probe, [])), excludes, ids) for each in records.observations]


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


def _excluded(judged: JudgedCell, excludes: Iterable[Exclude], ids: Mapping[str, str]) -> JudgedCell:
    for exclude in excludes:
        today = exclude._replace(probe=ids.get(exclude.probe, exclude.probe))
        if judged.failed and today.covers(*judged.cell):
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
    """The excludes that excluded nothing: their cells do not fail any more, or they never matched."""
    used = {each.exclude for each in judged}
    return [exclude for exclude in excludes if exclude not in used]


def exit_code(judged: Iterable[JudgedCell]) -> int:
    """The exit code for all cells: 1 where any failed, but 4 where the only failures are broken set-ups."""
    verdicts = {each.verdict for each in judged if each.failed}
    if not verdicts:
        return EXIT_OK
    return EXIT_BROKEN if verdicts == {"broken"} else EXIT_DEVIATION


def updated(records: Records) -> Records:
    """Records under today's ids and expectations: an older lab may have given a probe another id, and another promise.

    An observation is left out if its probe is no longer in the catalogue. If its id was replaced, it is also left out
    if the records hold the cell under today's id too, or if the old probe promised another token: the probe that
    replaced it may say the same in other words."""
    probes, there, kept = _by_name(), {each[:2] for each in records.observations}, []
    for each in records.observations:
        probe = probes.get(each.probe)
        if probe is None:
            continue
        has_token = each.outcome in ("observed", "leak")
        expected = probe.expected(each.backend) if has_token else each.expected
        is_replaced = each.probe != probe.id
        if is_replaced and ((probe.id, each.backend) in there or (has_token and each.expected != expected)):
            continue
        kept.append(each._replace(probe=probe.id, expected=expected))
    return records._replace(observations=kept)


def _by_name() -> Dict[str, Probe]:
    """Every probe by its id, and by each id that it replaced."""
    return {name: probe for probe in catalogue() for name in (probe.id, *probe.aliases)}
