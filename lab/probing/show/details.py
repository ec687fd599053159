"""Prints one probe in detail: its data, and what it observed on each backend, with the raw detail."""

from __future__ import annotations

import json
from typing import Iterator, List, Optional, Sequence

from lab.facts import platform_line
from lab.probing.show.layout import hanging, labelled
from lab.probing.show.report import Ran, deviates, summary, unsupported
from lab.records import Observation
from lab.terminal import BOLD, DIM, GREEN, RED, YELLOW, Paint
from lab.text import escaped


def details(ran: Ran, paint: Paint) -> str:
    """The text for a run of one probe."""
    probe = ran.seen[0][0].cell.probe
    head = [paint(BOLD, probe.id)]
    for label, text in (("claim", probe.claim), ("source", probe.source), ("steps", probe.steps),
                        ("control", str(probe.control))):
        head += labelled(paint, label, text)
    controls = {seen.backend: seen for task, seen in ran.controls if task.as_control}
    agreeing = {each.observation.backend for each in ran.agreeing}
    told = [seen for _, seen in ran.seen if seen.outcome != "unsupported"]
    widths = [max([len(text) for text in column] or [0]) for column in (
        [seen.backend for seen in told if seen.backend != "none"], [seen.token or "" for seen in told])]
    rows: List[str] = []
    for seen in told:
        rows += _answer(seen, controls.get(seen.backend), seen.backend in agreeing, widths, paint)
    sections = [paint(BOLD, platform_line(ran.platform.facts)), "\n".join(head), "\n".join(rows),
                unsupported([seen for _, seen in ran.seen], paint), summary(ran, paint)]
    return "\n\n".join(each for each in sections if each)


def _answer(seen: Observation, control: Optional[Observation], agrees: bool, widths: Sequence[int], paint: Paint
            ) -> Iterator[str]:
    name = "  " + ("" if seen.backend == "none" else seen.backend).ljust(widths[0]) + "  " * bool(widths[0])
    if seen.token is None:
        yield from hanging(name, "%s: %s" % (seen.outcome, seen.reason), paint, RED)
        return
    words = ["the source promises nothing" if seen.expected is None else
             "the source promises %s" % seen.expected if deviates(seen) else "as the source promises"]
    words += ["in %s trials" % seen.trials] if seen.flaky else []
    words += ["left behind: %s" % seen.reason] if seen.outcome == "leak" else []
    if control is not None:
        words.append("its control observed %s" % ("the same" if agrees else control.token or control.outcome))
    code = RED if deviates(seen) or agrees or seen.outcome == "leak" else YELLOW if seen.flaky else GREEN
    yield "%s%s  %s" % (name, paint(code, seen.token.ljust(widths[1])), paint(DIM, escaped("; ".join(words))))
    if seen.detail:
        yield from hanging(" " * len(name), json.dumps(seen.detail, sort_keys=True), paint, "")
