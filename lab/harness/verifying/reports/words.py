"""One verdict in words: everything that a reader needs to believe it and to repeat it."""

from __future__ import annotations

import functools
import json
import shlex
from typing import Dict, Iterator, Tuple

from lab.harness.verifying.compare import answer
from lab.harness.verifying.judge import JudgedCell
from lab.probing.catalogue import catalogue
from lab.probing.probe import Probe
from lab.text import escaped, shown

Lines = Iterator[Tuple[str, str]]

UNVERIFIED = " (unverified)"
"""Marks what rests on a document only."""

NOT_REPRODUCED = "not reproduced on a second run"
"""The heading of unsteady cells."""


def probe_of(each: JudgedCell) -> Probe:
    """The catalogue's entry. It has one for every judged cell, because ``judge.updated`` drops the others."""
    return _by_id()[each.observation.probe]


@functools.lru_cache(maxsize=None)
def _by_id() -> Dict[str, Probe]:
    return {probe.id: probe for probe in catalogue()}


def explain(each: JudgedCell) -> Lines:
    """(label, text) of everything that belongs to a verdict."""
    seen, probe = each.observation, probe_of(each)
    yield "claim", probe.claim
    yield "source", probe.source
    if seen.outcome in ("observed", "leak"):
        yield "expected", "%s" % (seen.expected if seen.expected is not None else "the source promises nothing")
        yield "observed", "%s%s" % (seen.token, " (%s trials)" % seen.trials if seen.flaky else "")
    if seen.reason:
        yield "reason", escaped(seen.reason)
    if each.row is not None and each.verdict == "healed":
        yield "the cause", "%s says %s: %s%s" % (each.row.source, each.row.observed, each.row.why,
                                                 UNVERIFIED if each.unverified else "")
    elif each.row is not None:
        yield "known", "%s (%s)%s" % (each.row.why, each.row.link, UNVERIFIED if each.unverified else "")
    if each.exclude is not None:
        yield "excluded", each.exclude.reason
    if seen.detail:
        yield "detail", shown(json.dumps(seen.detail, sort_keys=True), 1000)
    yield "repeat", repeat_command(each)


def shorten(each: JudgedCell) -> str:
    """The verdict in one line."""
    seen = each.observation
    if each.exclude is not None:
        return "excluded: %s" % each.exclude.reason
    if each.verdict in ("deviation", "known-deviation"):
        return "observed %s%s" % (answer(seen), " instead of %s" % seen.expected if seen.expected else "")
    if each.verdict == "healed" and each.row is not None:
        return "observed %s, which is as expected; %s says %s" % (seen.token, each.row.source, each.row.observed)
    return escaped("%s: %s" % (each.verdict, seen.reason)) if seen.reason else each.verdict


def repeat_command(each: JudgedCell) -> str:
    """The command that repeats this cell."""
    on = [] if each.observation.backend == "none" else ["--backend", each.observation.backend]
    if each.target.startswith("recorded:"):  # the reader must run it on the platform of the records
        return " ".join(["lab", "probe", each.observation.probe, *on])
    return " ".join(shlex.quote(word) for word in ["lab", "verify", "--target", each.target, "--only",
                                                   each.observation.probe, *on])
