"""`lab down`: end servers of `lab up`, or with --all remove everything that the lab has created in the engine."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from typing import Any, List

from docker.errors import APIError

from lab.errors import EXIT_OK, Usage
from lab.harness import engine
from lab.harness.server_containers import Server, find

DRAIN = 6
"""Seconds from SIGTERM to SIGKILL; a server sends the output that is left for 5 seconds at most."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab down`."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="a server that `lab ps` shows; it sends the output "
                        "that is left, then stops")
    parser.add_argument("--all", action="store_true", help="remove at once all containers, networks and volumes of "
                        "this LAB_SCOPE, and those that killed runs of the lab left")


def run(options: argparse.Namespace) -> int:
    """Stop and remove the servers, and print their names. Returns the exit code."""
    if bool(options.names) == options.all:
        raise Usage("give either names of servers (`lab ps` shows them) or --all")
    client = engine.connect()
    try:
        with engine.errors_as_broken("not all could be removed"):
            if options.all:
                removed = engine.sweep(client, everything=True)
            else:
                removed = _stop(client, [find(client, name) for name in dict.fromkeys(options.names)])
    finally:
        client.close()
    print("\n".join("removed %s" % name for name in removed) or "nothing to remove")
    return EXIT_OK


def _stop(client: Any, servers: List[Server]) -> List[str]:
    """Stop all servers at the same time, so that each drains, then remove them. Returns their names."""
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(_drain, servers))
    for each in servers:
        engine.remove(each.container)
    return [each.name for each in servers]


def _drain(server: Server) -> None:
    if server.address is None or server.state == "paused":  # a paused server cannot handle a signal
        return
    client = engine.connect()  # one for each thread
    try:
        client.containers.get(server.container.id).stop(timeout=DRAIN)
    except APIError as error:
        if error.status_code not in (304, 404, 409):  # it has stopped already, or was removed
            raise
    finally:
        client.close()
