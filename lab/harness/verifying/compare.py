"""Where platforms differ: in their facts, and in what was observed on them.

Compared is what a platform answered, not how long it took: tokens and outcomes. ``unsupported`` is no answer, so a
platform that cannot be asked differs from none.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from lab.records import Observation, Records

Cell = Tuple[str, str]


class Difference(NamedTuple):
    """One cell and its answers, each with those that gave it, most common first."""

    probe: str
    backend: str
    answers: Dict[str, List[str]]


class FactDifference(NamedTuple):
    """One fact by its dotted path, and its value on each side; None where a side does not tell."""

    path: str
    values: Tuple[Any, ...]


def answer(seen: Observation) -> str:
    """What stands in the cell: the token, or the outcome where there is none to trust; empty for unsupported."""
    if seen.outcome == "observed":
        return seen.token or ""
    return "" if seen.outcome == "unsupported" else seen.outcome


def observations(sides: Mapping[str, Sequence[Observation]]) -> List[Difference]:
    """The cells in which these sides, by name, do not all answer alike, in the order in which they are recorded."""
    cells: Dict[Cell, Dict[str, List[str]]] = {}
    for name, found in sides.items():
        for seen in found:
            said = answer(seen)
            if said:
                cells.setdefault((seen.probe, seen.backend), {}).setdefault(said, []).append(name)
    return [Difference(probe, backend, dict(sorted(answers.items(), key=lambda item: -len(item[1]))))
            for (probe, backend), answers in cells.items() if len(answers) > 1]


def only_once(sides: Mapping[str, Sequence[Observation]]) -> Dict[str, List[Cell]]:
    """The cells that one of these sides answers alone, by its name: the others were not asked, or could not be."""
    told: Dict[Cell, List[str]] = {}
    for name, found in sides.items():
        for seen in found:
            if answer(seen):
                told.setdefault((seen.probe, seen.backend), []).append(name)
    alone: Dict[str, List[Cell]] = {}
    for cell, names in told.items():
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
    """(dotted path, value) of everything in nested objects; lists are values."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, "%s.%s" % (path, key) if path else str(key))
    else:
        yield path, value
