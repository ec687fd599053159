"""The shape of the source, held by rules that read it: who may import whom, what runs on 3.8, how files are kept.

Each rule is one function and one row of RULES, with a source that breaks it, so that no rule can go blind unseen.
docs/architecture.md tells why; a message here tells what to do.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Set, Tuple

import pytest

ROOT = Path(__file__).parents[2]
LAB = ROOT / "lab"

MAY_IMPORT: Dict[str, str] = {
    "__init__": "",
    "errors": "",
    "events": "errors",
    "capabilities": "",
    "text": "",
    "terminal": "",
    "address": "capabilities errors",
    "facts": "architectures capabilities text",
    "architectures": "",
    "waits": "",
    "wait_status": "",
    "quantities": "waits",
    "interpreters": "capabilities errors",
    "records": "backends errors text",
    "backends": "capabilities errors events waits",
    "load": "address backends errors events facts quantities terminal text",
    "server": "address backends capabilities errors events quantities text wait_status",
    "probing": "backends capabilities errors events facts quantities records terminal text wait_status",
    "probes": "backends capabilities errors events facts probing",
    "health": "address errors quantities",
    "doctor": "architectures backends errors facts interpreters terminal text",
    "cli": "capabilities errors text",
    "__main__": "cli",
    "harness": "*",
}
"""What each module or package at the top of lab/ may import besides itself and the standard library. Down only."""

MAY_NAME = {"cli": "*", "probing": "probes"}
"""Who may import what else by a string, at the moment it is needed: the command line, the command that runs; the
catalogue, the topics."""

MAY_PRINT = re.compile(r"^lab\.(health|interpreters|harness(\..*)?|.*\.command)$")
"""Commands. Everything else returns what it found, or is given a place to write to."""

MAX_LINES = 400
VAGUE = re.compile(r"^_?(util|helper|manager|common|misc|tool)s?$")


PLATFORM = ("errno", "os", "select", "signal", "socket")
"""Modules that have on one platform what they lack on another."""


class Module(NamedTuple):
    """One source file, read."""

    name: str  # dotted; of a package's __init__.py the package
    source: str
    tree: ast.Module

    @property
    def unit(self) -> str:
        """The row of MAY_IMPORT that it belongs to."""
        return (self.name.split(".") + ["__init__"])[1]


def module(name: str, source: str) -> Module:
    return Module(name, source, ast.parse(source))


@functools.lru_cache(maxsize=None)
def read_all() -> Tuple[Module, ...]:
    found = []
    for path in sorted(LAB.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(module(name, path.read_text(encoding="utf-8")))
    return tuple(found)


# What a module refers to.


def imports(one: Module) -> Iterator[Tuple[int, str]]:
    """Line and dotted name of every import statement, at any depth; ``from lab import x`` is ``lab.x``."""
    for node in ast.walk(one.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "." * node.level + (node.module or "")
            elif node.module == "lab":
                for alias in node.names:
                    yield node.lineno, "lab." + alias.name
            else:
                yield node.lineno, node.module or ""


def named(one: Module) -> Iterator[Tuple[int, str]]:
    """Line and name of every string that is the dotted name of one of our modules, for ``import_module``."""
    for node in ast.walk(one.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.match(r"^lab(\.[a-z_]\w*)+$", node.value) and node.value.split(".")[1] in MAY_IMPORT:
                yield node.lineno, node.value


def allowed(unit: str, other: str, by_name: bool) -> bool:
    granted = MAY_IMPORT.get(unit, "").split() + (MAY_NAME.get(unit, "").split() if by_name else [])
    return other in (unit, "__init__") or other in granted or "*" in granted


# Rules: each yields what is wrong with one module.


def down_only(one: Module) -> Iterator[str]:
    for by_name, references in ((False, imports(one)), (True, named(one))):
        for line, name in references:
            parts = name.split(".")
            if parts[0] == "lab" and len(parts) > 1 and parts[1] in MAY_IMPORT:
                if not allowed(one.unit, parts[1], by_name):
                    yield "line %d: lab.%s may not import %s" % (line, one.unit, name)


def standard_library_only(one: Module) -> Iterator[str]:
    known: Set[str] = set(getattr(sys, "stdlib_module_names", ()))
    if one.unit == "harness" or not known:  # before 3.10 Python cannot tell; the source is the same on all
        return
    for line, name in imports(one):
        if name.split(".")[0] not in known | {"lab", "__future__"}:
            yield "line %d: %s is not in the standard library; only lab.harness may need it" % (line, name)


def no_relative_import(one: Module) -> Iterator[str]:
    for line, name in imports(one):
        if name.startswith("."):
            yield "line %d: say `from lab...` instead of `from %s`" % (line, name)


def syntax_of_3_8(one: Module) -> Iterator[str]:
    try:
        ast.parse(one.source, feature_version=(3, 8))
    except SyntaxError as error:
        yield "line %s: Python 3.8 cannot read this: %s" % (error.lineno, error.msg)


def percent_formatting(one: Module) -> Iterator[str]:
    for node in ast.walk(one.tree):
        if isinstance(node, ast.JoinedStr):
            yield "line %d: an f-string; the house style is %%-formatting" % node.lineno


def lazy_annotations(one: Module) -> Iterator[str]:
    has_import = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in one.tree.body)
    for node in ast.walk(one.tree):
        annotated = isinstance(node, ast.AnnAssign) or (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns is not None)
        if annotated and not has_import:
            yield "annotations, but no `from __future__ import annotations`"
            return


def short_file(one: Module) -> Iterator[str]:
    count = one.source.count("\n")
    if count > MAX_LINES:
        yield "%d lines; split it before it has more than %d" % (count, MAX_LINES)


def telling_name(one: Module) -> Iterator[str]:
    if VAGUE.match(one.name.rpartition(".")[2]):
        yield "call it by the one noun that is in it"


def module_docstring(one: Module) -> Iterator[str]:
    if not ast.get_docstring(one.tree):
        yield "open with why the file exists"


def public_docstrings(one: Module) -> Iterator[str]:
    for node in one.tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name[0] != "_":
            if not ast.get_docstring(node):
                yield "line %d: %s has no docstring" % (node.lineno, node.name)


def only_commands_print(one: Module) -> Iterator[str]:
    if MAY_PRINT.match(one.name):
        return
    for node in ast.walk(one.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            if not any(keyword.arg == "file" for keyword in node.keywords):
                yield "line %d: print in a library module; return it, or take a stream" % node.lineno


def capabilities_by_name(one: Module) -> Iterator[str]:
    if one.unit in ("harness", "capabilities", "probes", "probing"):  # a probe asks the platform itself
        return
    for node in ast.walk(one.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hasattr":
            if isinstance(node.args[0], ast.Name) and node.args[0].id in PLATFORM:
                yield "line %d: ask lab.capabilities, which has a name for it" % node.lineno
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in (("os", "name"), ("platform", "system")):
                yield "line %d: a platform's name; ask lab.capabilities for the thing itself" % node.lineno


class Rule(NamedTuple):
    """A rule, and sources that break it: (name of a module, its text)."""

    check: Callable[[Module], Iterator[str]]
    breaks: List[Tuple[str, str]]


RULES = [
    Rule(down_only, [
        ("lab.errors", "import lab.events"),
        ("lab.events", "from lab import backends"),
        ("lab.backends.epoll", "from lab.server.loop import Loop"),
        ("lab.backends.epoll", "def late():\n    import lab.address"),
        ("lab.server.loop", "if TYPE_CHECKING:\n    from lab.load.plan import Plan"),
        ("lab.load", "import lab.server.handlers"),
        ("lab.cli", "def verify():\n    import lab.harness.verifying.command"),
        ("lab.server.command", "importlib.import_module('lab.harness.verifying.command')"),
        ("lab", "from lab import errors"),
    ]),
    Rule(standard_library_only, [
        ("lab.doctor", "import rich"),
        ("lab.doctor", "def show():\n    from rich.table import Table"),
        ("lab.backends.epoll", "try:\n    import uvloop\nexcept ImportError:\n    pass"),
    ]),
    Rule(no_relative_import, [("lab.load.run", "from . import plan"), ("lab.load.run", "from ..errors import Usage")]),
    Rule(syntax_of_3_8, [("lab.load.run", "try:\n    pass\nexcept* OSError:\n    pass"),
                         ("lab.load.run", "match a:\n    case 1:\n        pass")]),
    Rule(percent_formatting, [("lab.load.run", "text = f'{a}'")]),
    Rule(lazy_annotations, [("lab.load.run", "def f() -> int: ..."), ("lab.load.run", "class C:\n    size: int")]),
    Rule(short_file, [("lab.load.run", "\n" * (MAX_LINES + 1))]),
    Rule(telling_name, [("lab.utils", ""), ("lab.load.helpers", ""), ("lab.server._common", "")]),
    Rule(module_docstring, [("lab.load.run", "import os"), ("lab.load", "")]),
    Rule(public_docstrings, [("lab.load.run", "def drive(): ..."), ("lab.load.run", "class Plan: ..."),
                             ("lab.load.run", "async def drive(): ...")]),
    Rule(capabilities_by_name, [("lab.load.run", "if hasattr(os, 'fork'):\n    pass"),
                                ("lab.server.loop", "def f():\n    return hasattr(socket, 'AF_UNIX')"),
                                ("lab.doctor", "WINDOWS = os.name == 'nt'"),
                                ("lab.facts", "platform.system()")]),
    Rule(only_commands_print, [("lab.load.run", "print('done')"), ("lab.errors", "def f():\n    print()")]),
]
NAMES = [rule.check.__name__ for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_the_source_keeps_the_rule(rule: Rule) -> None:
    wrong = ["%s: %s" % (one.name, complaint) for one in read_all() for complaint in rule.check(one)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_the_rule_can_fail(rule: Rule) -> None:
    if rule.check is standard_library_only and sys.version_info < (3, 10):
        pytest.skip("Python before 3.10 does not know what its standard library is")
    for name, source in rule.breaks:
        try:
            broken = module(name, source)
        except SyntaxError:  # newer than this interpreter, which is a complaint as well
            assert rule.check is syntax_of_3_8
            continue
        assert list(rule.check(broken)), source


def test_a_module_that_keeps_all_rules_passes() -> None:
    good = module("lab.server.good", '"""Why."""\n\nfrom __future__ import annotations\n\nimport os\n\n'
                  'from lab import address\nfrom lab.backends import find\n\n\ndef f() -> int:\n    """What."""\n')
    assert [complaint for rule in RULES for complaint in rule.check(good)] == []
    lazy = module("lab.cli", '"""Why."""\nCOMMANDS = {"verify": "lab.harness.verifying.command"}\n')
    assert [complaint for rule in RULES for complaint in rule.check(lazy)] == []


def test_everything_at_the_top_of_lab_has_a_row_and_every_row_its_module() -> None:
    units = {path.stem for path in LAB.glob("*.py")} | {path.parent.name for path in LAB.glob("*/__init__.py")}
    assert units == set(MAY_IMPORT), "MAY_IMPORT must say what it may import"
    assert set(MAY_NAME) <= units


def test_imports_go_down_without_a_way_back() -> None:
    def below(unit: str, seen: Tuple[str, ...]) -> None:
        assert unit not in seen, "MAY_IMPORT goes in a circle: %s" % " -> ".join((*seen, unit))
        for other in MAY_IMPORT[unit].replace("*", "").split():
            below(other, (*seen, unit))

    for unit in MAY_IMPORT:
        below(unit, ())


def test_every_folder_with_sources_is_a_package() -> None:
    folders = {path.parent for path in LAB.rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_module_is_found() -> None:
    names = {one.name for one in read_all()}
    assert {"lab", "lab.cli", "lab.backends", "lab.backends.epoll", "lab.server.models.blocking"} <= names
