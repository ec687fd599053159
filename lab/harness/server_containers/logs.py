"""`lab logs`: print the output of a server of `lab up`."""

from __future__ import annotations

import argparse
import sys

from lab import quantities
from lab.errors import EXIT_OK
from lab.harness import engine
from lab.harness.server_containers import find
from lab.text import escaped


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab logs`."""
    parser.add_argument("name", metavar="NAME", help="the server's name, as `lab ps` shows it")
    parser.add_argument("-f", "--follow", action="store_true", help="go on printing new lines until Ctrl-C")
    parser.add_argument("--tail", type=quantities.positive, metavar="N", help="begin with the last N lines")


def run(options: argparse.Namespace) -> int:
    """Print the server's log. Returns the exit code."""
    client = engine.connect()
    try:
        server = find(client, options.name)
        client.api.timeout = None  # hours may pass between two lines of a server
        with engine.errors_as_broken(server.name):
            said = server.container.logs(stream=True, follow=options.follow, tail=options.tail or "all")
            for piece in said:
                sys.stdout.write(_decoded(piece))
                sys.stdout.flush()
    finally:
        client.close()
    return EXIT_OK


def _decoded(piece: bytes) -> str:
    """A piece of a log as text, with control characters escaped, because a log can contain a peer's bytes."""
    return escaped(piece.decode("utf-8", "backslashreplace"), keep="\n\t")
