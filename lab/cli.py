"""The command line: the table of commands, and how each one ends.

A command is a module with ``arguments(parser)`` and ``run(options) -> exit code``. COMMANDS names it, and we import it
only when the user runs it, so that `lab serve` works on a bare Python without the packages of the harness.
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
    """The module of a command, what the command does, and the extra of the package that it needs, if any."""

    module: str
    summary: str
    extra: str = ""


COMMANDS: Dict[str, Command] = {
    "serve": Command("lab.server.command", "run a TCP server on any backend and I/O model"),
    "load": Command("lab.load.command", "drive an echo server with load, and verify every byte"),
    "probe": Command("lab.probing.command", "observe how the readiness APIs behave in this interpreter"),
    "health": Command("lab.health", "check that a server serves, by a byte that it sends back"),
    "doctor": Command("lab.doctor.command", "report what is here: platform, backends, interpreters, tools"),
    "verify": Command("lab.harness.verifying.command", "check that platforms behave as expected, and alike",
                      "harness"),
    "diff": Command("lab.harness.verifying.diff", "list what differs between two platforms or runs", "harness"),
    "images": Command("lab.harness.images.command", "list, build or pin the Linux images that the lab uses", "harness"),
    "up": Command("lab.harness.server_containers.up", "start server containers for experiments", "harness"),
    "ps": Command("lab.harness.server_containers.ps", "show server containers and their activity, live", "harness"),
    "logs": Command("lab.harness.server_containers.logs", "print the log of a server container", "harness"),
    "down": Command("lab.harness.server_containers.down", "stop server containers, and remove them from the engine",
                    "harness"),
}
SERVERS = "lab.harness.server_containers"
"""The room that finds the servers of `lab up`. `lab load` imports it only if the user gives a NAME."""


class Formatter(argparse.HelpFormatter):
    """Help with the same width and form on every Python from 3.8, because docs/cli.md is generated from it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=80)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        if action.nargs == argparse.ZERO_OR_MORE:  # "[ID [ID ...]]" before 3.9
            return "[%s ...]" % self._metavar_formatter(action, default_metavar)(1)
        return super()._format_args(action, default_metavar)


class Parser(argparse.ArgumentParser):
    """Prints an error as one line that ends in what to do. Rejects abbreviations, which a new option could break."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", Formatter)
        if sys.version_info >= (3, 14):
            settings.setdefault("color", False)
        super().__init__(allow_abbrev=False, **settings)
        self._optionals.title = "options"  # "optional arguments" before 3.10

    def error(self, message: str) -> NoReturn:
        """Print one line, and exit with the code for a wrong command line."""
        self.exit(EXIT_USAGE, "%s: %s; see `%s --help`\n" % (self.prog, escaped(message), self.prog))


def build_parser(only: Optional[str] = None) -> argparse.ArgumentParser:
    """The parser of all commands. ``only`` names the command that will run; we then list the others without importing
    them. A command whose extra is not installed is in the list too, and reports that when the user runs it."""
    parser = Parser(prog="lab", description="Find out, by running, how the readiness APIs behave here.",
                    epilog="Exit codes: 0 as expected, 1 deviation, 2 usage, 3 not here, 4 broken.")
    parser.add_argument("--version", action="version", version="lab %s" % lab.__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser,
                                     title="commands (`lab COMMAND --help` explains one)")
    for name, command in COMMANDS.items():
        module = importlib.import_module(command.module) if only in (None, name) else None
        made = commands.add_parser(name, help=command.summary,
                                   description=command.summary[0].upper() + command.summary[1:] + ".")
        if module is not None:
            module.arguments(made)
            made.set_defaults(run=module.run)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command, and return the exit code. Prints a foreseen error as one line on standard error."""
    arguments: List[str] = list(sys.argv[1:] if argv is None else argv)
    name = next((each for each in arguments if not each.startswith("-")), None)
    for stream in (sys.stdout, sys.stderr):
        _escape_what_it_lacks(stream)
    try:
        try:
            return _run(name, arguments)
        finally:  # also after --help, which raises SystemExit
            if sys.stdout is not None:
                sys.stdout.flush()  # we can still report an error here; at exit it would be a traceback
    except LabError as error:
        sys.stderr.write("lab%s: %s\n" % (" " + name if name in COMMANDS else "", escaped(str(error))))
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `lab doctor | head`: the reader has closed the pipe
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
    if not COMMANDS[options.command].extra:  # portable commands handle signals themselves, or need not
        if getattr(options, "server", None) is not None:
            _locate(options)
        return int(options.run(options))
    with _sigterm_as_interrupt():
        return int(options.run(options))


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end a command of the harness as Ctrl-C does, so that no folder and no container is left. On Windows
    no process can send SIGTERM, and Ctrl-Break ends a process in a group of its own."""
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
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
    """Replace the address in the options by that of the server container that the user named."""
    _check_extra("a server's name", Command(SERVERS, "", "harness"))
    options.host, options.port = importlib.import_module(SERVERS).locate(options.server)


def _escape_what_it_lacks(stream: Any) -> None:
    """Make the stream write an escape, and not raise, for a character that its encoding lacks. On Windows, output to a
    file or a pipe is in an old code page (cp1252), and one letter in a path could end the whole command."""
    if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _is_broken_pipe(error: OSError) -> bool:
    """Whether this is a broken pipe on Windows: EINVAL from the C library, without a file's name (CPython 3.13 under
    Wine). An error of a socket has a ``winerror`` there."""
    return (has("winsock") and error.errno == errno.EINVAL and error.filename is None
            and getattr(error, "winerror", None) is None)


def _forget_output() -> None:
    """Discard what is still in the buffer. Otherwise the flush at exit would raise."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _check_extra(name: str, command: Command) -> None:
    """Raise ``NotHere`` if the packages of a command, or its part of the lab, are not installed."""
    if not command.extra:
        return
    try:
        importlib.import_module(command.module)
    except ImportError as error:
        raise NotHere("%s needs more than the portable part (%s is missing): pip install 'muxlab[%s]', or `make setup` "
                      "in a clone" % (name, error.name, command.extra)) from None
