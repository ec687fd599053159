"""Prints a run of many probes: first what needs a look, then a table of tokens for each topic, then a summary.

Whatever comes from a platform is escaped, so that no terminal takes it for a command.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from lab.backends import spelling
from lab.facts import platform_line
from lab.probing.probe import Probe
from lab.probing.run.child import Task
from lab.probing.run.controls import Agreement
from lab.probing.show.layout import WIDTH, flow, hanging, labelled, section
from lab.records import Observation, Platform
from lab.terminal import BOLD, DIM, GREEN, NONE, RED, YELLOW, Paint
from lab.text import escaped

_NAMES = 30  # columns of a probe's name in a table; a longer one pushes its tokens aside

Seen = Tuple[Task, Observation]


class Ran(NamedTuple):
    """A run: its platform, observations, controls, and how long it took."""

    platform: Platform
    seen: Sequence[Seen]
    controls: Sequence[Seen]
    agreeing: Sequence[Agreement]
    seconds: float


def catalogue(probes: Sequence[Probe], paint: Paint) -> str:
    """Ids with their claims, by topic."""
    lines = []
    for probe in probes:
        lines.append(paint(BOLD, probe.id))
        lines += textwrap.wrap(escaped(probe.claim), WIDTH, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def tables(ran: Ran, paint: Paint) -> str:
    """The text for a run of many probes."""
    sections = [paint(BOLD, platform_line(ran.platform.facts)), _deviations(ran, paint), _failures(ran, paint),
                _agreements(ran, paint), _flaky(ran, paint)]
    topics: Dict[str, Dict[str, List[Seen]]] = {}
    for task, seen in ran.seen:
        topics.setdefault(task.cell.probe.topic, {}).setdefault(seen.probe, []).append((task, seen))
    width = min(_NAMES, max(len(seen.probe.partition("/")[2]) for _, seen in ran.seen))
    sections += [_table(topic, probes, width, paint) for topic, probes in topics.items()]
    sections += [unsupported([seen for _, seen in ran.seen], paint), summary(ran, paint)]
    return "\n\n".join(each for each in sections if each)


# What needs a look.

def _deviations(ran: Ran, paint: Paint) -> str:
    found: Dict[Tuple[str, Any, Any], List[Seen]] = {}
    for task, seen in ran.seen:
        if deviates(seen):
            found.setdefault((seen.probe, seen.token, seen.expected), []).append((task, seen))
    lines: List[str] = []
    for (name, token, expected), cells in found.items():
        probe = cells[0][0].cell.probe
        backends = [seen.backend for _, seen in cells]
        lines += ["  " + paint(BOLD, name)]
        where = "" if backends == ["none"] else "  on %s" % ", ".join(spelling.short(backends, _asked(ran, name)))
        for label, text in (("claim", probe.claim), ("source", probe.source), ("expected", expected),
                            ("observed", token + where), ("repeat", repeat_command(name, backends))):
            lines += labelled(paint, label, text, "    ", RED if label == "observed" else "")
    return section("not as the source promises", lines, paint)


def _failures(ran: Ran, paint: Paint) -> str:
    found: Dict[Tuple[str, str, str, bool], List[str]] = {}
    for task, seen in (*ran.seen, *ran.controls):
        if seen.outcome not in ("observed", "unsupported"):
            found.setdefault((seen.outcome, seen.probe, seen.reason or "", task.as_control), []).append(seen.backend)
    lines: List[str] = []
    for (outcome, name, reason, as_control), backends in found.items():
        where = "" if backends == ["none"] else " on %s" % ", ".join(spelling.short(backends, _asked(ran, name)))
        lines.append("  %s  %s%s%s" % (paint(RED, outcome), paint(BOLD, name), where,
                                       ", its control" if as_control else ""))
        lines += labelled(paint, "reason", reason, "    ")
        command = repeat_command(name, backends) + (" --control" if as_control else "")
        lines += labelled(paint, "repeat", command, "    ")
    return section("not observed, or not to be trusted", lines, paint)


def _agreements(ran: Ran, paint: Paint) -> str:
    lines: List[str] = []
    for task, seen in ran.agreeing:
        lines.append("  %s  observes %s, and so does its control: %s" % (
            paint(BOLD, task.cell.name), paint(RED, str(seen.token)), escaped(str(task.cell.probe.control))))
    return section("the control observes the same", lines, paint)


def _flaky(ran: Ran, paint: Paint) -> str:
    lines: List[str] = []
    for task, seen in ran.seen:
        if seen.flaky:
            tokens = seen.detail.get("tokens")
            each = ", ".join("%s %s" % item for item in tokens.items()) if isinstance(tokens, dict) else seen.trials
            lines.append("  %s  %s" % (paint(BOLD, task.cell.name), paint(YELLOW, escaped(each))))
    return section("not the same in every trial", lines, paint)


def _asked(ran: Ran, name: str) -> List[str]:
    return [seen.backend for _, seen in ran.seen if seen.probe == name and seen.outcome != "unsupported"]


def repeat_command(name: str, backends: Sequence[str]) -> str:
    """The command that repeats these cells."""
    return "lab probe %s%s" % (name, "".join(" --backend %s" % each for each in backends if each != "none"))


def deviates(seen: Observation) -> bool:
    """Whether the source promises another token."""
    return seen.token is not None and seen.expected is not None and seen.token != seen.expected


# Side by side.

def _table(topic: str, probes: Dict[str, List[Seen]], width: int, paint: Paint) -> str:
    lines = [paint(BOLD, topic)]
    for name, cells in probes.items():
        first, *more = _lines(_groups([seen for _, seen in cells]), WIDTH - width - 4, paint)
        lines.append("  %s  %s" % (name.partition("/")[2].ljust(width), first))
        lines += [" " * (width + 4) + each for each in more]
    return "\n".join(lines)


def _groups(cells: Sequence[Observation]) -> List[Tuple[str, str, str]]:
    """(backends, text, colour) for each different token of one probe, in the order of the backends."""
    found: Dict[Tuple[str, str], List[str]] = {}
    for seen in cells:
        if seen.outcome == "unsupported":
            continue
        text = seen.token if seen.token is not None else seen.outcome
        text += " (%s)" % seen.trials if seen.token is not None and seen.flaky else ""
        text += " (leak)" if seen.outcome == "leak" else ""
        code = RED if seen.outcome != "observed" or deviates(seen) else YELLOW if seen.flaky else (
            NONE if seen.expected is None else GREEN)
        found.setdefault((text, code), []).append(seen.backend)
    asked = [name for names in found.values() for name in names]
    return [("" if names == ["none"] else ", ".join(spelling.short(names, asked)), escaped(text), code)
            for (text, code), names in found.items()] or [("", "unsupported", DIM)]


def _lines(groups: Sequence[Tuple[str, str, str]], room: int, paint: Paint) -> Iterator[str]:
    """The groups one after another, in as many lines as they need."""
    heads = [backends + ": " if backends else "" for backends, _, _ in groups]
    return flow([(len(head) + len(text), paint(DIM, head) + paint(code, text))
                  for head, (_, text, code) in zip(heads, groups)], " | ", room)


# The end.

def unsupported(seen: Sequence[Observation], paint: Paint) -> str:
    """Each reason, and how many cells are unsupported for it."""
    counts = Counter(each.reason or "" for each in seen if each.outcome == "unsupported")
    lines: List[str] = []
    for reason, count in counts.most_common():
        lines += hanging("  %4d  " % count, reason, paint, DIM)
    return section("unsupported on this platform", lines, paint)


def summary(ran: Ran, paint: Paint) -> str:
    """The last line."""
    seen = [each for _, each in ran.seen]
    counts = Counter(each.outcome for each in seen)
    probes = len({each.probe for each in seen})
    parts = [
        (None, NONE, "%d %s, %d cells in %.1f s: %d observed" % (
            probes, "probe" if probes == 1 else "probes", len(seen), ran.seconds, counts["observed"])),
        (sum(map(deviates, seen)), RED, "%d not as the source promises"),
        (sum(each.flaky for each in seen if each.token), YELLOW, "%d flaky"),
        (counts["broken"], RED, "%d broken"), (counts["timeout"], RED, "%d timed out"),
        (counts["crash"], RED, "%d crashed"), (counts["leak"], RED, "%d leaking"),
        (len(ran.agreeing), RED, "%d with a control that observes the same"),
        (counts["unsupported"], NONE, "%d unsupported"),
    ]
    told = [(code, text if count is None else text % count) for count, code, text in parts if count is None or count]
    return "\n".join(flow([(len(text), paint(code, text)) for code, text in told], ", ", WIDTH - 1)) + "."
