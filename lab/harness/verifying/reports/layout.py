"""How reports on the terminal look: a style for each verdict, tables without rules, labelled lines."""

from __future__ import annotations

from typing import Sequence, Tuple

from rich.console import Console
from rich.rule import Rule
from rich.table import Table

from lab.harness.console import literal

_STYLES = {"deviation": "bold red", "healed": "bold magenta", "known-deviation": "yellow", "as-expected": "green",
           "unsupported": "dim", "excluded": "cyan"}


def style_of(verdict: str) -> str:
    """The style of a verdict, for markup."""
    return _STYLES.get(verdict, "bold red")


def heading(console: Console, text: str, style: str = "") -> None:
    """Print a rule with this text."""
    console.print(Rule(text, align="left", style=style or "rule.line"))


def table() -> Table:
    """A table with a header and no rules; without columns yet."""
    return Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))


def grid(columns: int) -> Table:
    """A table without a header, whose columns fold long texts."""
    made = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(columns):
        made.add_column(overflow="fold")
    return made


def print_labelled(console: Console, lines: Sequence[Tuple[str, str]]) -> None:
    """Print (label, text) pairs, a line each. Other people wrote the texts, so we escape them."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for label, text in lines:
        made.add_row("  " + label, literal(text))
    console.print(made)


def backend(name: str) -> str:
    """The name of a backend in a sentence."""
    return "no backend" if name == "none" else name
