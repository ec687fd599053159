"""Finds the facts and the observations in which platforms differ.

We compare what a platform answered, which are tokens and outcomes, and not how long it took. ``unsupported`` is no
answer, so a platform that cannot run a probe differs from no other.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from lab.records import Observation, Records

Cell = Tuple[str, str]


class Difference(NamedTuple):
    """One cell, and its answers with the names of the sides that gave each, the most common answer first."""

    probe: str
    backend: str
    answers: Dict[str, List[str]]


class FactDifference(NamedTuple):
    """One fact by its dotted path, and its value on each side; None where a side lacks it."""

    path: str
    values: Tuple[Any, ...]


def answer(seen: Observation) -> str:
    """The token, or the outcome where we can trust no token; empty for unsupported."""
    if seen.outcome == "observed":
        return seen.token or ""
    return "" if seen.outcome == "unsupported" else seen.outcome


def observations(sides: Mapping[str, Sequence[Observation]]) -> List[Difference]:
    """The cells in which these sides, by name, do not all give the same answer, in the order of the records."""
    cells: Dict[Cell, Dict[str, List[str]]] = {}
    for name, found in sides.items():
        for seen in found:
            given = answer(seen)
            if given:
                cells.setdefault((seen.probe, seen.backend), {}).setdefault(given, []).append(name)
    return [Difference(probe, backend, dict(sorted(answers.items(), key=lambda item: -len(item[1]))))
            for (probe, backend), answers in cells.items() if len(answers) > 1]


def answered_by_one(sides: Mapping[str, Sequence[Observation]]) -> Dict[str, List[Cell]]:
    """The cells that only one of these sides answers, by its name: the others did not run them, or could not."""
    answered: Dict[Cell, List[str]] = {}
    for name, found in sides.items():
        for seen in found:
            if answer(seen):
                answered.setdefault((seen.probe, seen.backend), []).append(name)
    alone: Dict[str, List[Cell]] = {}
    for cell, names in answered.items():
        if len(names) == 1 and len(sides) > 1:
            alone.setdefault(names[0], []).append(cell)
    return alone


def platforms(sides: Sequence[Records]) -> List[FactDifference]:
    """The facts in which these platforms differ, by path."""
    flat = [dict(leaves(each.platform.facts)) for each in sides]
    paths = dict.fromkeys(path for each in flat for path in each)
    return [FactDifference(path, tuple(each.get(path) for each in flat)) for path in paths
            if any(each.get(path) != flat[0].get(path) for each in flat)]


def leaves(value: Any, path: str = "") -> Iterator[Tuple[str, Any]]:
    """(dotted path, value) of everything in nested mappings; a list is a value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, "%s.%s" % (path, key) if path else str(key))
    else:
        yield path, value
