"""A run for people: where targets differ, what is known, a summary; and what deviates last, where the eye is.

Everything that fails stands with its claim, what was expected and observed, and the one command that repeats it. What
is known is one line with its reason. Nothing that was not run is shown as if it were fine.
"""

from __future__ import annotations

from collections import Counter
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from rich.console import Console
from rich.markup import escape
from rich.rule import Rule
from rich.table import Table

from lab.errors import LabError
from lab.harness.verifying import axes, compare
from lab.harness.verifying.judge import BEFORE, FAILURES, Exclude, JudgedCell
from lab.harness.verifying.reports.words import UNSTEADY, UNVERIFIED, explain, printable, repeat_command
from lab.records import Records

_STYLES = {"deviation": "bold red", "healed": "bold magenta", "known-deviation": "yellow", "as-expected": "green",
           "unsupported": "dim", "excluded": "cyan"}
_SHOWN_DIFFERENCES = 60


def report(console: Console, records: Mapping[str, Records], judged: Mapping[str, Sequence[JudgedCell]],
           failed: Mapping[str, LabError], unused: Sequence[Exclude], absent: Mapping[str, Sequence[compare.Cell]],
           disputes: Sequence[axes.Dispute]) -> None:
    """Print it. All but ``unused`` and ``disputes`` are by target, in the order in which they were asked for.
    ``absent`` are the cells that were asked for and are not in a target's records."""
    everything = [each for cells in judged.values() for each in cells]
    differing = _differences(console, judged)
    first = next(iter(judged.values()), ())
    _known(console, [each for each in first if each.cell not in differing])
    _axes(console, list(axes.steps(records, judged)))
    _summary(console, records, judged)
    _not_observed(console, everything)
    for target, cells in absent.items():
        if cells:
            console.print("[bold]not run[/]  %d cells are not in %s: %s%s" % (
                len(cells), escape(target), ", ".join("%s on %s" % cell for cell in cells[:3]),
                ", ..." if len(cells) > 3 else ""), soft_wrap=True)
    for target, error in failed.items():
        console.print("[bold red]not observed[/]  %s: %s" % (escape(target), escape(str(error))), soft_wrap=True)
    for each in everything:
        if each.exclude is not None:
            console.print("[cyan]excluded[/]  %s of %s: %s" % (each.exclude, each.target, escape(each.exclude.reason)),
                          soft_wrap=True)
    for exclude in unused:
        console.print("[bold magenta]unused[/]  the exclude of %s took nothing out; remove it" % str(exclude),
                      soft_wrap=True)
    if disputes or any(each.failed or each.unsteady for each in everything):
        console.print()
    _unsteady(console, [each for each in everything if each.unsteady])
    _disputes(console, disputes)
    _failures(console, [each for each in everything if each.failed])
    console.print(_last_line(everything, failed, disputes), soft_wrap=True)


def _unsteady(console: Console, found: Sequence[JudgedCell]) -> None:
    """What was a surprise at first, and none when it was observed again: by target, what it was and is."""
    if not found:
        return
    console.print(Rule(UNSTEADY, align="left", style="yellow"))
    for each in found:
        seen = each.observation
        console.print("[bold]%s[/]  %s of %s" % (seen.probe, _backend(seen.backend), escape(each.target)),
                      soft_wrap=True)
        _labelled(console, [("first", str(seen.detail[BEFORE])), ("again", compare.answer(seen))])
    console.print()


def _failures(console: Console, found: Sequence[JudgedCell]) -> None:
    """One entry for all cells of a probe that fail in one way, be it on several backends or targets."""
    if not found:
        return
    console.print(Rule("otherwise than expected", align="left", style="red"))
    groups: Dict[Tuple[str, str, Optional[str], Optional[str], Optional[str]], List[JudgedCell]] = {}
    for each in sorted(found, key=lambda each: FAILURES.index(each.verdict)):
        seen = each.observation
        groups.setdefault((each.verdict, seen.probe, seen.expected, seen.token, seen.reason), []).append(each)
    for cells in groups.values():
        _failure(console, cells)


def _failure(console: Console, cells: Sequence[JudgedCell]) -> None:
    first = cells[0]
    console.print("[%s]%s[/]  [bold]%s[/]" % (_STYLES.get(first.verdict, "bold red"), first.verdict,
                                              first.observation.probe), soft_wrap=True)
    _labelled(console, [("on", _places(cells)), *explain(first), ("again", repeat_command(first))])
    console.print()


def _labelled(console: Console, lines: Sequence[Tuple[str, str]]) -> None:
    """Texts of somebody else, each behind its label."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in lines:
        grid.add_row("  " + label, escape(printable(text)))
    console.print(grid)


def _disputes(console: Console, found: Sequence[axes.Dispute]) -> None:
    """Targets on one kernel that disagree on what is the kernel's own."""
    if not found:
        return
    console.print(Rule("targets on one kernel disagree, and no expectation says why", align="left", style="red"))
    for kernel, one in found:
        console.print("[bold]%s[/]  %s, on %s" % (one.probe, _backend(one.backend), escape(printable(kernel))),
                      soft_wrap=True)
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for token, names in one.answers.items():
            grid.add_row("  " + escape(token), escape(", ".join(names)))
        console.print(grid)
    console.print()


def _axes(console: Console, found: Sequence[axes.Step]) -> None:
    """What one axis changes, all others alike: a row for each target that has a neighbour."""
    if not found:
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), title_justify="left")
    for name in ("differing in", "from", "to"):
        table.add_column(name, overflow="fold")
    for name in ("both\nanswer", "differ", "of them\nthe kernel"):
        table.add_column(name, justify="right")
    for each in sorted(found, key=lambda each: list(axes.AXES).index(each.axis)):
        table.add_row(each.axis, escape(each.one), escape(each.other), "{:,}".format(each.both), str(each.differ),
                      str(each.of_kernel))
    console.print(Rule("by axis", align="left"))
    console.print(table)
    console.print()


def _backend(name: str) -> str:
    return "no backend" if name == "none" else name


def _places(cells: Sequence[JudgedCell]) -> str:
    """Where these were observed: ``poll, epoll of here; select of python:3.8.18``."""
    targets: Dict[str, List[str]] = {}
    for each in cells:
        targets.setdefault(each.observation.backend, []).append(each.target)
    backends: Dict[Tuple[str, ...], List[str]] = {}
    for backend, names in targets.items():
        backends.setdefault(tuple(names), []).append(_backend(backend))
    return "; ".join("%s of %s" % (", ".join(found), ", ".join(names)) for names, found in backends.items())


def _differences(console: Console, judged: Mapping[str, Sequence[JudgedCell]]) -> Set[compare.Cell]:
    """By probe: each answer with those that gave it, the rarest first, and why it is known to be so. The cells that
    differ."""
    found = compare.observations({target: [each.observation for each in cells] for target, cells in judged.items()})
    if not found:
        return set()
    console.print(Rule("where targets differ", align="left"))
    cells = {(each.target, *each.cell): each for cells in judged.values() for each in cells}
    by_probe: Dict[str, List[compare.Difference]] = {}
    for one in found:
        by_probe.setdefault(one.probe, []).append(one)
    for probe, differences in by_probe.items():
        console.print("[bold]%s[/]" % probe)
        grid = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(3):
            grid.add_column(overflow="fold")
        whys: Dict[str, None] = {}
        for answers, backends in _alike(differences).items():
            where = ", ".join("" if name == "none" else name for name in backends)
            for number, (token, names) in enumerate(reversed(answers)):
                same = [cells[name, probe, backends[0]] for name in names]
                whys.update(dict.fromkeys(each.row.why for each in same if each.row is not None))
                is_rest = number == len(answers) - 1 and len(names) > 1
                grid.add_row("  " + (where if number == 0 else ""),
                             "[%s]%s[/]" % (_STYLES.get(same[0].verdict, "bold red"), escape(token)),
                             _rest(same) if is_rest else ", ".join(map(_name, same)))
        console.print(grid)
        for why in whys:
            console.print("  [dim]%s[/]" % escape(why))
    console.print()
    return {(one.probe, one.backend) for one in found}


def _name(each: JudgedCell) -> str:
    """Who gave an answer, and whether what we know of it there is from a document only."""
    return escape(each.target) + ("[italic]%s[/]" % UNVERIFIED if each.unverified else "")


def _rest(same: Sequence[JudgedCell]) -> str:
    """Those that gave the most common answer; named only where that is from a document."""
    marked = [_name(each) for each in same if each.unverified]
    return "the other %d%s" % (len(same), ": among them " + ", ".join(marked) if marked else "")


_Answers = Tuple[Tuple[str, Tuple[str, ...]], ...]


def _alike(found: Sequence[compare.Difference]) -> Dict[_Answers, List[str]]:
    """{the answers of one probe: the backends on which they are the same}."""
    groups: Dict[_Answers, List[str]] = {}
    for each in found:
        answers = tuple((token, tuple(names)) for token, names in each.answers.items())
        groups.setdefault(answers, []).append(each.backend)
    return groups


def _known(console: Console, everything: Sequence[JudgedCell]) -> None:
    """What a platform, or every one of several, is known to do otherwise, by probe and reason."""
    groups: Dict[Tuple[str, str], Dict[Tuple[str, str, str], List[str]]] = {}
    for each in everything:
        if each.verdict == "known-deviation" and each.row is not None:
            seen = each.observation
            tokens = groups.setdefault((seen.probe, each.row.why), {})
            other = "" if seen.expected is None else "[dim]not[/] " + escape(seen.expected)
            mark = "[italic]%s[/]" % UNVERIFIED if each.unverified else ""
            tokens.setdefault((compare.answer(seen), other, mark), []).append(seen.backend)
    if not groups:
        return
    console.print(Rule("known to be otherwise here", align="left", style="yellow"))
    for (probe, why), answers in groups.items():
        console.print("[bold]%s[/]" % probe)
        grid = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(3):
            grid.add_column(overflow="fold")
        for (token, other, mark), backends in answers.items():
            where = "" if backends == ["none"] else "on %s" % ", ".join(backends)
            grid.add_row("  [yellow]%s[/]" % escape(token), other, (where + mark).strip())
        console.print(grid)
        console.print("  [dim]%s[/]" % escape(why))
    console.print()


_ASIDES: Dict[str, Callable[[JudgedCell], bool]] = {
    "unverified": lambda each: each.unverified and not each.failed, "flaky": lambda each: each.observation.flaky,
    "unsteady": lambda each: each.unsteady}
"""What else is counted, where there is any."""


def _summary(console: Console, records: Mapping[str, Records], judged: Mapping[str, Sequence[JudgedCell]]) -> None:
    verdicts = [name for name in ("as-expected", "known-deviation", *FAILURES, "unsupported", "excluded")
                if any(each.verdict == name for cells in judged.values() for each in cells)]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("target", min_width=min(40, max([6, *map(len, judged)])))
    table.add_column("is", overflow="fold")
    for name in verdicts:
        table.add_column(name.replace("-", "\n"), justify="right", min_width=max(map(len, name.split("-"))))
    every = [each for cells in judged.values() for each in cells]
    asides = {name: asked for name, asked in _ASIDES.items() if any(map(asked, every))}
    for name in asides:
        table.add_column("of them\n" + name, justify="right", min_width=max(7, len(name)))
    for target, cells in judged.items():
        counts = Counter(each.verdict for each in cells)
        row = [escape(target), escape(platform_line(records[target]))]
        row += ["[%s]%s[/]" % (_STYLES.get(name, "bold red"), counts[name] or "") for name in verdicts]
        table.add_row(*row, *(str(sum(map(asked, cells)) or "") for asked in asides.values()))
    console.print(table)
    console.print()


def platform_line(records: Records) -> str:
    """The platform in one line: interpreter, system, kernel, machine, and what stands between."""
    facts = records.platform.facts
    interpreter, runtime = facts.get("interpreter") or {}, facts.get("runtime") or {}
    parts = ["%s %s" % (interpreter.get("implementation"), interpreter.get("release") or interpreter.get("version")),
             "%s %s" % (facts.get("system"), (facts.get("kernel") or {}).get("release")),
             "%s" % (facts.get("architecture") or {}).get("machine")]
    if (facts.get("libc") or {}).get("name"):
        parts.append("%s %s" % (facts["libc"]["name"], facts["libc"].get("version") or ""))
    if runtime.get("name") and runtime.get("certain"):
        parts.append(str(runtime["name"]))
    return printable(", ".join(part.strip() for part in parts))


def _not_observed(console: Console, everything: Sequence[JudgedCell]) -> None:
    """Every reason for ``unsupported``, with how many cells it cost on which targets."""
    reasons: Dict[str, Counter[str]] = {}
    for each in everything:
        if each.verdict == "unsupported":
            reasons.setdefault(each.observation.reason or "", Counter())[each.target] += 1
    targets = {each.target for each in everything}
    for why, counts in sorted(reasons.items(), key=lambda item: -sum(item[1].values())):
        where = "" if len(counts) == len(targets) else " of %s" % ", ".join(sorted(counts))
        console.print("[dim]unsupported %4d%s: %s[/]" % (sum(counts.values()), escape(where), escape(printable(why))),
                      soft_wrap=True)


def _last_line(everything: Sequence[JudgedCell], failed: Mapping[str, LabError],
               disputes: Sequence[axes.Dispute]) -> str:
    counts = Counter(each.verdict for each in everything)
    answered = len(everything) - counts["unsupported"]
    probes = len({each.observation.probe for each in everything})
    parts: List[str] = list(_bad(counts))
    if disputes:
        parts.append("%d disputes between targets on one kernel" % len(disputes))
    if failed:
        parts.append("%d targets could not be observed" % len(failed))
    head = "%d probes, %d observations: " % (probes, answered)
    if parts:
        return head + "[bold red]%s[/]." % escape(", ".join(parts))
    unverified = sum(each.unverified for each in everything if each.verdict == "known-deviation")
    unsteady = sum(each.unsteady for each in everything)
    return head + "[bold green]all as expected[/]%s%s%s." % (
        ", %d of them known deviations" % counts["known-deviation"] if counts["known-deviation"] else "",
        ", %d of these from documents only: no run has confirmed them" % unverified if unverified else "",
        ", %d only when observed again" % unsteady if unsteady else "")


def _bad(counts: Counter[str]) -> Iterator[str]:
    for verdict in FAILURES:
        if counts[verdict]:
            yield "%d %s" % (counts[verdict], verdict)
