"""The command line: which commands there are, and how they end.

A command is a module with ``arguments(parser)`` and ``run(options) -> exit code``, named in COMMANDS and imported
only when it is the one to be run: `lab serve` on a bare Python needs nothing that the harness needs.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import signal
import sys
import threading
from typing import Any, Dict, Iterator, List, NamedTuple, NoReturn, Optional, Sequence

import lab
from lab.capabilities import has
from lab.errors import EXIT_BROKEN, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, LabError, NotHere, reason
from lab.text import escaped


class Command(NamedTuple):
    """Where a command lives, what it does, and the extra that it needs, if any."""

    module: str
    summary: str
    extra: str = ""


COMMANDS: Dict[str, Command] = {
    "serve": Command("lab.server.command", "run a TCP server on any backend and I/O model"),
    "load": Command("lab.load.command", "drive an echo server with load, and verify every byte"),
    "probe": Command("lab.probing.command", "observe how the readiness APIs behave in this very interpreter"),
    "health": Command("lab.health", "tell whether a server serves, by a byte that it gives back"),
    "doctor": Command("lab.doctor.command", "tell what is here: platform, backends, interpreters, tools"),
    "verify": Command("lab.harness.verifying.command", "tell whether platforms behave as expected, and alike",
                      "harness"),
    "diff": Command("lab.harness.verifying.diff", "tell what differs between two platforms or runs", "harness"),
    "images": Command("lab.harness.images.command", "list, build or pin the Linux images that the lab uses", "harness"),
    "up": Command("lab.harness.server_containers.up", "start server containers for experiments", "harness"),
    "ps": Command("lab.harness.server_containers.ps", "show server containers and their activity, live", "harness"),
    "logs": Command("lab.harness.server_containers.logs", "print the log of a server container", "harness"),
    "down": Command("lab.harness.server_containers.down", "stop server containers, and remove them from the engine",
                    "harness"),
}
SERVERS = "lab.harness.server_containers"
"""Knows where the servers of `lab up` are; `lab load NAME` works without it until a name is given."""


class Formatter(argparse.HelpFormatter):
    """Help of one width and one form on every Python from 3.8: docs/cli.md is made of it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=80)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        if action.nargs == argparse.ZERO_OR_MORE:  # "[ID [ID ...]]" before 3.9
            return "[%s ...]" % self._metavar_formatter(action, default_metavar)(1)
        return super()._format_args(action, default_metavar)


class Parser(argparse.ArgumentParser):
    """Errors in one line, with the way out; no abbreviated options, which would break when one is added."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", Formatter)
        if sys.version_info >= (3, 14):
            settings.setdefault("color", False)
        super().__init__(allow_abbrev=False, **settings)
        self._optionals.title = "options"  # "optional arguments" before 3.10

    def error(self, message: str) -> NoReturn:
        """End with one line and the exit code for a wrong command line."""
        self.exit(EXIT_USAGE, "%s: %s; see `%s --help`\n" % (self.prog, escaped(message), self.prog))


def build_parser(only: Optional[str] = None) -> argparse.ArgumentParser:
    """The parser of all commands. ``only`` names the one that will run: the others are then listed, but not
    imported. A command whose extra is not installed is listed too, and says so when it is run."""
    parser = Parser(prog="lab", description="Find out, by running, how the readiness APIs behave here.",
                    epilog="`lab COMMAND --help` tells more. Exit: 0 as expected, 1 deviation, 2 usage, 3 not here, "
                           "4 broken.")
    parser.add_argument("--version", action="version", version="lab %s" % lab.__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
    for name, command in COMMANDS.items():
        module = importlib.import_module(command.module) if only in (None, name) else None
        made = commands.add_parser(name, help=command.summary,
                                   description=command.summary[0].upper() + command.summary[1:] + ".")
        if module is not None:
            module.arguments(made)
            made.set_defaults(run=module.run)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command. Returns the exit code; a foreseen error is one line on standard error."""
    arguments: List[str] = list(sys.argv[1:] if argv is None else argv)
    name = next((each for each in arguments if not each.startswith("-")), None)
    for stream in (sys.stdout, sys.stderr):
        _escape_what_it_lacks(stream)
    try:
        try:
            return _run(name, arguments)
        finally:  # also after --help, which ends with SystemExit
            if sys.stdout is not None:
                sys.stdout.flush()  # what fails here can still be told; at exit it would be a trace
    except LabError as error:
        sys.stderr.write("lab%s: %s\n" % (" " + name if name in COMMANDS else "", escaped(str(error))))
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `lab doctor | head`: whoever read us has seen enough
        _forget_output()
        return EXIT_OK
    except OSError as error:
        if _is_broken_pipe(error):
            _forget_output()
            return EXIT_OK
        if error.errno != errno.ENOSPC:
            raise
        _forget_output()
        sys.stderr.write("lab: cannot write the output: %s; make room, or write elsewhere\n" % reason(error))
        return EXIT_BROKEN


def _run(name: Optional[str], arguments: List[str]) -> int:
    if name in COMMANDS:
        _check_extra(name, COMMANDS[name])
    options = build_parser(only=name or "").parse_args(arguments)
    if options.command is None:
        build_parser(only="").print_help()
        return EXIT_USAGE
    if not COMMANDS[options.command].extra:  # portable ones see to signals themselves, or need not
        if getattr(options, "server", None) is not None:
            _locate(options)
        return int(options.run(options))
    with _sigterm_as_interrupt():
        return int(options.run(options))


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Who asks a command of the harness to end gets what Ctrl-C gets: no folder and no container is left. On Windows
    nobody can ask by SIGTERM, and Ctrl-Break is the way to end what has a process group of its own."""
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return
    numbers = [signal.SIGTERM, *([getattr(signal, "SIGBREAK")] if has("sigbreak") else [])]  # noqa: B009
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _locate(options: argparse.Namespace) -> None:
    """Put the address of the server container that is named in place of the options'."""
    _check_extra("a server's name", Command(SERVERS, "", "harness"))
    options.host, options.port = importlib.import_module(SERVERS).locate(options.server)


def _escape_what_it_lacks(stream: Any) -> None:
    """Have a character that the stream's encoding lacks come out as an escape, not as an error. On Windows output that
    goes to a file or a pipe is in an old code page (cp1252), and one path with a letter that it lacks ended all."""
    if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _is_broken_pipe(error: OSError) -> bool:
    """Whether it is Windows' way to say so: EINVAL, from the C library and of no file (CPython 3.13, seen under Wine).
    An error of a socket there has a ``winerror``."""
    return (has("winsock") and error.errno == errno.EINVAL and error.filename is None
            and getattr(error, "winerror", None) is None)


def _forget_output() -> None:
    """What is still in the buffer goes nowhere: the flush at exit would complain."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _check_extra(name: str, command: Command) -> None:
    """Raise ``NotHere`` for a command whose packages, or whose part of the lab, are not installed."""
    if not command.extra:
        return
    try:
        importlib.import_module(command.module)
    except ImportError as error:
        raise NotHere("%s needs more than the portable part (%s is missing): pip install 'muxlab[%s]', or `make setup` "
                      "in a clone" % (name, error.name, command.extra)) from None
