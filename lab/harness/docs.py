"""Write docs/cli.md out of the parser, so that what the manual says is what `--help` says.

The text is the same on every Python: width, titles and colour are settled by the parser itself (``lab.cli.Parser``).

    python -m lab.harness.docs [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Dict, Optional, Sequence

from lab.cli import build_parser
from lab.errors import EXIT_DEVIATION, EXIT_OK

PAGE = Path("docs", "cli.md")

_HEAD = """\
# The command line

<!-- Made by `make docs` out of `lab --help`; edit the parsers, not this page. -->

"""


def commands(parser: argparse.ArgumentParser) -> Dict[str, argparse.ArgumentParser]:
    """The parser of each sub-command by name, in the order of the help."""
    found: Dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:  # argparse has no public way down to its sub-parsers
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def render(parser: argparse.ArgumentParser) -> str:
    """The whole page."""
    sections = [("lab", parser)] + [("lab " + name, each) for name, each in commands(parser).items()]
    return _HEAD + "\n".join("## %s\n\n```text\n%s```\n" % (name, _help(each)) for name, each in sections)


def _help(parser: argparse.ArgumentParser) -> str:
    return "".join(line.rstrip() + "\n" for line in parser.format_help().splitlines())


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the page below the current directory, or with ``--check`` tell whether it is as it should be."""
    options = argparse.ArgumentParser(prog="python -m lab.harness.docs", description="Write %s." % PAGE.as_posix())
    options.add_argument("--check", action="store_true", help="write nothing; exit 1 where the page is stale")
    check: bool = options.parse_args(argv).check
    text = render(build_parser())
    if PAGE.is_file() and PAGE.read_bytes() == text.encode("utf-8"):
        print("%s is up to date" % PAGE.as_posix())
        return EXIT_OK
    if check:
        print("%s is stale: run `make docs`" % PAGE.as_posix(), file=sys.stderr)
        return EXIT_DEVIATION
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_bytes(text.encode("utf-8"))
    print("%s is written" % PAGE.as_posix())
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
