"""`lab ps`: show the servers that are up and their activity; on a terminal, live."""

from __future__ import annotations

import argparse
from typing import List, Sequence, Tuple

from rich.console import Group
from rich.live import Live
from rich.table import Table

from lab import quantities
from lab.errors import EXIT_OK
from lab.harness import engine
from lab.harness.console import console, literal
from lab.harness.server_containers import Server, all_servers, watching


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab ps`."""
    parser.add_argument("--once", action="store_true", help="print one table and exit, which is the default without a "
                        "terminal")
    parser.epilog = ("The column CPU shows the load over the last second; 100 % is one processor. Ctrl-C ends the "
                     "command.")


def run(options: argparse.Namespace) -> int:
    """Show the servers. Returns the exit code."""
    output = console()
    if options.once or not output.is_terminal:
        output.print(_screen(_look()))
        return EXIT_OK
    try:
        with Live(console=output, auto_refresh=False) as live:
            while True:  # without a pause, because _look takes a second or two
                live.update(_screen(_look()), refresh=True)
    except KeyboardInterrupt:
        return EXIT_OK


def _look() -> List[Tuple[Server, watching.Activity]]:
    client = engine.connect()
    try:
        servers = all_servers(client)
    finally:
        client.close()
    with engine.errors_as_broken("the servers cannot be watched"):
        return list(zip(servers, watching.look(servers)))


def _screen(rows: Sequence[Tuple[Server, watching.Activity]]) -> Group:
    if not rows:
        return Group("no server is up; `lab up` starts some")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("name", "backend", "image", "runtime", "address", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("connections", "CPU", "memory"):
        table.add_column(name, no_wrap=True, justify="right")
    for each, does in rows:
        table.add_row(
            *map(literal, (each.name, each.service, each.base, each.runtime, each.where, each.state)),
            "-" if does.connections is None else str(does.connections),
            "-" if does.cpu is None else "%.0f %%" % does.cpu,
            "-" if does.memory_bytes is None else quantities.format_bytes(does.memory_bytes))
    notes = ["%s: %s" % (each.name, does.why) for each, does in rows if does.why]
    notes += ["%s: netem %s" % (each.name, each.netem) for each, _ in rows if each.netem]
    return Group(table, *(literal(note) for note in notes))
