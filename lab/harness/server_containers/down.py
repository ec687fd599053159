"""`lab down`: ends servers of `lab up`, and with --all removes whatever the lab has made in the engine."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from typing import Any, List

from docker.errors import APIError

from lab.errors import EXIT_OK, Usage
from lab.harness import engine
from lab.harness.server_containers import Server, find

DRAIN = 6
"""Seconds from SIGTERM to the end by force; a server flushes for 5 at most."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lab down`."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="a server, as `lab ps` shows it; it stops in order")
    parser.add_argument("--all", action="store_true", help="at once: all containers, networks and volumes of ours "
                        "(of LAB_SCOPE), and what killed runs left")


def run(options: argparse.Namespace) -> int:
    """Remove them, and print what is gone. Returns the exit code."""
    if bool(options.names) == options.all:
        raise Usage("say which: names of servers (`lab ps` shows them), or --all")
    client = engine.connect()
    try:
        with engine.errors_as_broken("not all could be removed"):
            if options.all:
                removed = engine.sweep(client, everything=True)
            else:
                removed = _stop(client, [find(client, name) for name in dict.fromkeys(options.names)])
    finally:
        client.close()
    print("\n".join("removed %s" % name for name in removed) or "there was nothing to remove")
    return EXIT_OK


def _stop(client: Any, servers: List[Server]) -> List[str]:
    """Let all of them drain at the same time, then remove them."""
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(_drain, servers))
    for each in servers:
        engine.remove(each.container)
    return [each.name for each in servers]


def _drain(server: Server) -> None:
    if server.address is None or server.state == "paused":  # who is frozen hears no signal
        return
    client = engine.connect()  # one a thread
    try:
        client.containers.get(server.container.id).stop(timeout=DRAIN)
    except APIError as error:
        if error.status_code not in (304, 404, 409):  # it has stopped, or is gone
            raise
    finally:
        client.close()
