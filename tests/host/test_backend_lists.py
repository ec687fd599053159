"""No list of backends but the ladder: who means some of them says by what they have in common (``over``, ``RAW``, ...).

Else a new backend would have to be added in as many places as there are lists, and nobody would know of all.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator, List

import pytest

from lab.backends import names
from lab.probing.probe import NONE

ROOT = Path(__file__).parents[2]
NAMES = {*names(), *NONE}


def lists(source: str) -> Iterator[int]:
    """The lines of all tuples, lists and sets of constants in which two backends stand and, of strings, nothing but
    backends: with other words between them they are a command line, or attributes of a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            words = {each.value for each in node.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)}
            if len(words - set(NONE)) > 1 and words <= NAMES:
                yield node.lineno


def test_nobody_else_lists_backends() -> None:
    found: List[str] = []
    for folder in ("lab", "tests", "tools"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found += ["%s:%d" % (path.relative_to(ROOT), line) for line in lists(path.read_text(encoding="utf-8"))]
    assert not found, "say it by property, as lab.probing.probe.over does: %s" % ", ".join(found)


@pytest.mark.parametrize("source", [
    "RAW = ('select', 'poll', *MORE)", "['epoll', 'epoll-et']", "f(on={'kqueue', 'none', 'epoll'})",
    "def f(asked=('select', 'selectors:SelectSelector')): ...",
])
def test_a_list_is_found(source: str) -> None:
    assert list(lists(source)) == [1]


@pytest.mark.parametrize("source", [
    "over('select', 'poll')", "['up', '--backend', 'epoll', '--backend', 'poll']", "('epoll', 'none')", "('epoll',)",
    "{'epoll': 'IN', 'select': 'r'}", "('poll', 'poll')",
])
def test_what_is_no_list_of_them_is_left_alone(source: str) -> None:
    assert list(lists(source)) == []
