"""What the manual says is so: its commands exist, its links lead somewhere, its made pages are fresh, its example runs.

Names whatever was forgotten, with the place.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Set

import pytest

from lab.cli import build_parser
from lab.probing.probe import REGISTRY
from lab.probing.run.observe import Cell, observe, why_not
from tools import pages

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"(?:`|^\s*\$? ?)make ([a-z][a-z-]*)", re.MULTILINE)  # in code or as a command line; not in prose
OUTSIDE = re.compile(r"^[a-z][a-z0-9+.-]*:|^//", re.IGNORECASE)


def markdown() -> List[Path]:
    """Every Markdown file of the project: all that git tracks or would add, or, outside a clone, all there are."""
    try:
        told = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"], cwd=ROOT,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or no clone: an archive of the source
        found = [path for path in ROOT.rglob("*.md")
                 if not any(part[0] == "." or part in ("build", "dist") for part in path.relative_to(ROOT).parts)]
    else:
        found = [ROOT / name.decode() for name in told.stdout.split(b"\0") if name]
    return sorted(path for path in found if path.is_file())


def links(text: str) -> Iterator[str]:
    """The targets of all links in a Markdown text, but for those in code."""
    for match in LINK.finditer(CODE.sub("", text)):
        yield match.group(1) or match.group(2)


def anchors(text: str) -> Set[str]:
    """What `#...` may say: the headings, spelled the way that GitHub does."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")
            for title in re.findall(r"^#+ +(.+)$", text, re.MULTILINE)}


def broken_links(page: Path) -> List[str]:
    """The relative links of a page that lead to no file, or to no heading of it."""
    broken = []
    for link in links(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if OUTSIDE.match(link):
            continue
        if not target.exists():
            broken.append("%s: %s: no such file" % (page.name, link))
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8")):
            broken.append("%s: %s: no such heading" % (page.name, link))
    return broken


def targets(makefile: str) -> Set[str]:
    """The names that `make` knows."""
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in pages.PAGES])
def test_the_pages_that_are_made_are_up_to_date(page: Path) -> None:
    assert (ROOT / page).is_file(), "run `make docs`"
    assert (ROOT / page).read_text(encoding="utf-8") == pages.PAGES[page](), "stale: run `make docs`"


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in markdown()])
def test_relative_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# One *heading*, here\n")
    page = tmp_path / "page.md"
    page.write_text("[a](there.md) [b](there.md#one-heading-here) [c](https://example.org/gone) [d](#own)\n# Own\n"
                    "`[e](in-code.md)`\n```\n[f](in-code.md)\n```\n![g](gone.png \"title\") "
                    "[h](there.md#gone)\n\n[i]: gone.md\n")
    assert broken_links(page) == ["page.md: gone.png: no such file", "page.md: there.md#gone: no such heading",
                                  "page.md: gone.md: no such file"]


def test_the_readme_opens_with_two_commands_and_make_knows_every_command_that_a_page_names() -> None:
    known = targets((ROOT / "Makefile").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in ("verify", "test-all"):
        assert "make %s" % command in readme
    unknown = ["%s: make %s" % (page.name, name) for page in markdown()
               for name in MAKE.findall(page.read_text(encoding="utf-8")) if name not in known]
    assert unknown == []


def test_make_help_names_every_command_on_one_screen() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = re.findall(r"^([a-z-]+):.*## (.+)$", makefile, re.MULTILINE)
    assert {name for name, _ in shown} == targets(makefile) - {"clients"}  # a part of test-all
    assert len(shown) <= 22
    assert [name for name, text in shown if len("  make %-9s %s" % (name, text)) > 100] == []


FILES = re.compile(r"^\| (?:room|file in `([^`]+/)`) \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", re.MULTILINE)


def differences(page: str, tree: Sequence[str]) -> List[str]:
    """How the tables of files on a page differ from these paths. A folder in a table stands for every file in it."""
    wrong = []
    for folder, rows in FILES.findall(page):
        named = {folder + name for row in rows.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
        folders = tuple(name for name in named if name.endswith("/"))
        wrong += ["%s: no such file" % name for name in sorted(named)
                  if name not in tree and not any(name in folders and path.startswith(name) for path in tree)]
        sources = [path for path in tree if path.startswith(folder or "lab/") and path.endswith((".py", ".sh"))]
        wrong += ["%s: in no table" % path for path in sources
                  if path not in named and not path.startswith(folders) and not path.endswith("/__init__.py")]
    return wrong


def test_the_map_of_the_tree_names_the_files_that_are_there_and_no_others() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = [path.relative_to(ROOT).as_posix() for room in ("lab", "tools", "docker", "tests")
            for path in sorted((ROOT / room).rglob("*")) if path.is_file()]
    assert [match[0] for match in FILES.findall(page)][:2] == ["", "lab/backends/"]
    assert differences(page, tree) == []


def test_a_file_that_the_map_forgets_or_invents_is_found() -> None:
    page = "| file in `lab/a/` | what it holds |\n|---|---|\n| `b.py`, `gone.py` | this |\n| `c/` | that |\n"
    tree = ["lab/a/__init__.py", "lab/a/b.py", "lab/a/c/d.py", "lab/a/new.py", "lab/e.py"]
    assert differences(page, tree) == ["lab/a/gone.py: no such file", "lab/a/new.py: in no table"]


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == "exec make test-all"


def test_the_probe_that_the_manual_adds_runs_and_its_control_comes_out_otherwise() -> None:
    page = (ROOT / "docs" / "adding-a-probe.md").read_text(encoding="utf-8")
    source = page.partition("```python\n")[2].partition("```")[0]
    names: Dict[str, Any] = {"__name__": "lab.probes.pipes"}
    imports = "from __future__ import annotations\nfrom lab.probing.probe import *\nfrom lab.probing.rig import Rig\n"
    exec(imports + source, names)
    probe = REGISTRY.pop()
    assert probe.id in page
    cells = [Cell(probe, name) for name in probe.on if why_not(Cell(probe, name)) is None]
    seen = [observe(cell) for cell in cells]
    assert seen and {one["token"] for one in seen} == {probe.expect["*"]}
    assert all(observe(cell, as_control=True)["token"] != one["token"] for cell, one in zip(cells, seen))


# The help itself.


def unexplained(parser: argparse.ArgumentParser) -> List[str]:
    """What a parser offers without a word about it."""
    return ["%s %s" % (parser.prog, "/".join(action.option_strings) or action.dest) for action in parser._actions
            if not action.help and not isinstance(action, argparse._SubParsersAction)]


def test_every_command_and_every_option_has_help() -> None:
    parser = build_parser()
    found = pages.commands(parser)
    assert found, "no commands?"
    summaries = {choice.dest: choice.help for action in parser._actions
                 if isinstance(action, argparse._SubParsersAction) for choice in action._choices_actions}
    assert set(summaries) == set(found), "a command without help="
    assert [name for name, each in found.items() if not each.description] == []
    assert [option for each in pages.every(parser) for option in unexplained(each)] == []


def test_an_option_without_help_is_found() -> None:
    parser = argparse.ArgumentParser(prog="lab bad")
    parser.add_argument("--mystery")
    assert unexplained(parser) == ["lab bad --mystery"]


def test_check_tells_stale_from_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert pages.main(["--check"]) == 1
    assert pages.main([]) == 0
    assert pages.main(["--check"]) == 0
    for page in pages.PAGES:
        page.write_text("edited by hand")
        assert pages.main(["--check"]) == 1
        assert pages.main([]) == 0
    assert "run `make docs`" in capsys.readouterr().err
