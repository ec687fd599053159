"""Write docs/cli.md from the parsers and docs/catalogue.md from the probes: `python -m tools.pages [--check]`.

So the manual and `--help` always agree, and the catalogue lists exactly the probes that run. The text is the same on
every Python and platform: ``lab.cli.Parser`` itself sets the width, titles and colour of the help, and a probe's data
do not depend on the Python or the platform.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence

from lab.cli import build_parser
from lab.errors import EXIT_DEVIATION, EXIT_OK
from lab.probing.catalogue import catalogue, topics
from lab.probing.probe import Probe

_CLI = """\
# The command line

<!-- Made by `make docs` out of `lab --help`; edit the parsers, not this page. -->

"""

_CATALOGUE = """\
# The catalogue of probes

<!-- Made by `make docs` out of lab/probes/; edit the probes, not this page. -->

%d probes, %d cells. Each probe observes one behaviour, on every backend for which the question makes sense; a probe
on one backend is a cell. *Steps* are what it does; to *ask* means to register the descriptors with the API, unless
they are registered already, and to call it once with a short timeout. *Expected* is what the source promises, or what
Linux and CPython do where a source leaves it open; known differences of platforms are in
`lab/harness/verifying/expectations/`. *Control* is a change that must alter the observation, which shows that the
probe can fail. [How to add one](adding-a-probe.md).

"""

_NAME = re.compile(r"[a-z]+[(._]|(select|poll|epoll|kqueue)\b")
"""A claim that begins with the name of a function or an API keeps its small letter."""


def commands(parser: argparse.ArgumentParser) -> Dict[str, argparse.ArgumentParser]:
    """The parser of each sub-command by name, in the order of the help."""
    found: Dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:  # argparse has no public way down to its sub-parsers
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def render(parser: argparse.ArgumentParser) -> str:
    """The whole page of the command line."""
    return _CLI + "\n".join("## %s\n\n```text\n%s```\n" % (each.prog, _help(each)) for each in every(parser))


def every(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser, and those of its sub-commands at any depth."""
    yield parser
    for each in commands(parser).values():
        yield from every(each)


def _help(parser: argparse.ArgumentParser) -> str:
    return "".join(line.rstrip() + "\n" for line in parser.format_help().splitlines())


def render_catalogue() -> str:
    """The whole page of the probes."""
    everything = catalogue()
    parts = [_CATALOGUE % (len(everything), sum(len(probe.on) for probe in everything))]
    by_topic = {topic: [probe for probe in everything if probe.topic == topic] for topic in topics()}
    parts.append("| topic | probes | about |\n|---|---|---|\n")
    parts += ["| [%s](#%s) | %d | %s |\n" % (topic, topic, len(found), _about(topic).splitlines()[0])
              for topic, found in by_topic.items()]
    for topic, found in by_topic.items():
        parts.append("\n## %s\n\n%s\n" % (topic, _about(topic)))
        parts += ["\n%s" % _probe(probe) for probe in found]
    return "".join(parts)


def _about(topic: str) -> str:
    module = importlib.import_module("lab.probes." + topic.replace("-", "_"))
    return inspect.cleandoc(module.__doc__ or "")


def _probe(probe: Probe) -> str:
    claim = probe.claim if _NAME.match(probe.claim) else probe.claim[0].upper() + probe.claim[1:]
    lines = ["### %s\n" % probe.id, "%s.\n" % claim.rstrip(".")]
    lines.append("- Steps: %s" % " ".join(probe.steps.split()))
    lines.append("- Asked of: %s" % ("the platform; no backend is involved" if probe.on == ("none",)
                                     else ", ".join(probe.on)))
    lines.append("- Expected: %s" % "; ".join(_expected(probe)))
    lines.append("- Control: %s" % str(probe.control))  # a tuple
    if probe.needs:
        lines.append("- Needs: %s" % ", ".join(probe.needs))
    if probe.trials > 1:
        lines.append("- Trials: %d, the majority counts" % probe.trials)
    if probe.aliases:
        lines.append("- Formerly: %s" % ", ".join(probe.aliases))
    lines.append("- Source: %s" % probe.source)
    return "\n".join(lines) + "\n"


def _expected(probe: Probe) -> Iterator[str]:
    """Each token with the backends that it is promised of."""
    tokens: Dict[Optional[str], List[str]] = {}
    for name in probe.on:
        tokens.setdefault(probe.expected(name), []).append(name)
    for token, names in tokens.items():
        what = "nothing is promised" if token is None else "`%s`" % token
        yield what if len(tokens) == 1 else "%s (%s)" % (what, ", ".join(names))


PAGES: Dict[Path, Callable[[], str]] = {
    Path("docs", "cli.md"): lambda: render(build_parser()),
    Path("docs", "catalogue.md"): render_catalogue,
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the pages below the current directory, or with ``--check`` report which of them are out of date."""
    options = argparse.ArgumentParser(prog="python -m tools.pages", description="Write %s." % " and ".join(
        page.as_posix() for page in PAGES))
    options.add_argument("--check", action="store_true", help="write nothing; exit with code 1 if a page is stale")
    check: bool = options.parse_args(argv).check
    stale = 0
    for page, make in PAGES.items():
        text = make().encode("utf-8")
        if page.is_file() and page.read_bytes() == text:
            print("%s is up to date" % page.as_posix())
        elif check:
            stale += 1
            print("%s is stale: run `make docs`" % page.as_posix(), file=sys.stderr)
        else:
            page.parent.mkdir(exist_ok=True)
            page.write_bytes(text)
            print("%s is written" % page.as_posix())
    return EXIT_DEVIATION if stale else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
