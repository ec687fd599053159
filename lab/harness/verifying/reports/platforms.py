"""The part of a report that is about platforms: where targets differ, what is known of one, what each axis changes."""

from __future__ import annotations

from typing import Dict, List, Mapping, Sequence, Tuple

from rich.console import Console

from lab.harness.console import literal
from lab.harness.verifying import axes, compare
from lab.harness.verifying.judge import JudgedCell
from lab.harness.verifying.reports.layout import grid, heading, style_of, table
from lab.harness.verifying.reports.words import UNVERIFIED

_Answers = Tuple[Tuple[str, Tuple[str, ...]], ...]
"""(token, targets that gave it), the most common first."""


def print_differences(console: Console, judged: Mapping[str, Sequence[JudgedCell]],
                      found: Sequence[compare.Difference]) -> None:
    """By probe: each answer with the targets that gave it, the rarest first, and why they are known to differ."""
    if not found:
        return
    heading(console, "where targets differ")
    cells = {(each.target, *each.cell): each for cells in judged.values() for each in cells}
    by_probe: Dict[str, List[compare.Difference]] = {}
    for one in found:
        by_probe.setdefault(one.probe, []).append(one)
    for probe, differences in by_probe.items():
        console.print("[bold]%s[/]" % probe)
        _print_probe(console, differences, cells)
    console.print()


def _print_probe(console: Console, differences: Sequence[compare.Difference],
                 cells: Mapping[Tuple[str, str, str], JudgedCell]) -> None:
    probe = differences[0].probe
    made = grid(3)
    whys: Dict[str, None] = {}
    for answers, backends in _alike(differences).items():
        where = ", ".join("" if name == "none" else name for name in backends)
        for number, (token, names) in enumerate(reversed(answers)):
            same = [cells[name, probe, backends[0]] for name in names]
            whys.update(dict.fromkeys(each.row.why for each in same if each.row is not None))
            is_rest = number == len(answers) - 1 and len(names) > 1
            made.add_row("  " + (where if number == 0 else ""),
                         "[%s]%s[/]" % (style_of(same[0].verdict), literal(token)),
                         _rest(same) if is_rest else ", ".join(map(_name, same)))
    console.print(made)
    for why in whys:
        console.print("  [dim]%s[/]" % literal(why))


def _name(each: JudgedCell) -> str:
    """The target, marked where the expectation that holds there comes from a document only."""
    return literal(each.target) + ("[italic]%s[/]" % UNVERIFIED if each.unverified else "")


def _rest(same: Sequence[JudgedCell]) -> str:
    """The targets that gave the most common answer; we name only those whose expectation comes from a document."""
    marked = [_name(each) for each in same if each.unverified]
    return "the other %d%s" % (len(same), ": among them " + ", ".join(marked) if marked else "")


def _alike(found: Sequence[compare.Difference]) -> Dict[_Answers, List[str]]:
    """{the answers of one probe: the backends on which they are the same}."""
    groups: Dict[_Answers, List[str]] = {}
    for each in found:
        answers = tuple((token, tuple(names)) for token, names in each.answers.items())
        groups.setdefault(answers, []).append(each.backend)
    return groups


def print_known(console: Console, found: Sequence[JudgedCell]) -> None:
    """By probe and reason: the known differences of one platform, or those that several platforms share."""
    groups: Dict[Tuple[str, str], Dict[Tuple[str, str], List[str]]] = {}
    for each in found:
        if each.verdict == "known-deviation" and each.row is not None:
            mark = "[italic]%s[/]" % UNVERIFIED if each.unverified else ""
            texts = groups.setdefault((each.observation.probe, each.row.why), {})
            texts.setdefault((_contrast(each), mark), []).append(each.observation.backend)
    if not groups:
        return
    heading(console, "known differences on this platform", "yellow")
    for (probe, why), texts in groups.items():
        console.print("[bold]%s[/]" % probe)
        made = grid(2)
        for (text, mark), backends in texts.items():
            where = "" if backends == ["none"] else "on %s" % ", ".join(backends)
            made.add_row("  " + text, (where + mark).strip())
        console.print(made)
        console.print("  [dim]%s[/]" % literal(why))
    console.print()


def _contrast(each: JudgedCell) -> str:
    """What was observed, behind what the source promises, if anything."""
    seen = each.observation
    observed = "[yellow]`%s`[/] observed" % literal(compare.answer(seen))
    return observed if seen.expected is None else "`%s` expected, %s" % (literal(seen.expected), observed)


def print_axes(console: Console, found: Sequence[axes.Step]) -> None:
    """What one axis changes while all others are the same: a row for each target that has such a neighbour."""
    if not found:
        return
    made = table()
    for name in ("differing in", "from", "to"):
        made.add_column(name, overflow="fold")
    for name in ("both\nanswer", "differ", "of them\nthe kernel"):
        made.add_column(name, justify="right")
    for each in sorted(found, key=lambda each: list(axes.AXES).index(each.axis)):
        made.add_row(each.axis, literal(each.one), literal(each.other), "{:,}".format(each.both), str(each.differ),
                     str(each.of_kernel))
    heading(console, "by axis")
    console.print(made)
    console.print()
