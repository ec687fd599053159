"""`lab up`: start server containers for experiments, one for each backend, with ports on loopback only.

`lab up` returns once every server has echoed a byte.
"""

from __future__ import annotations

import argparse
import re
from typing import Any, List, Optional, Sequence, Tuple

from rich.console import Console
from rich.table import Table

from lab import backends, quantities
from lab.errors import EXIT_OK, Usage
from lab.harness import engine
from lab.harness.console import console, literal
from lab.harness.server_containers import Server, hardening, netem, starting
from lab.harness.server_variants import Variant
from lab.server.command import MODELS
from lab.server.handlers import HANDLERS
from lab.text import shown

EPILOG = ("The command returns once every server has answered with a byte. The servers run until `lab down`. `lab ps` "
          "shows them, `lab load NAME` drives one with load, and `lab logs NAME` prints its log.")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab up`."""
    add = parser.add_argument
    add("--backend", action="append", default=[], metavar="B", help="start a server on this backend; repeat the option "
        "for several servers; default: epoll")
    add("--model", choices=list(MODELS), default="multiplexing", help="how the servers wait for I/O; default: "
        "%(default)s")
    add("--handler", choices=list(HANDLERS), default="echo", help="the protocol to serve; default: %(default)s")
    add("--image", default="trixie", metavar="IMAGE", help="a row of docker/images.toml, or an image of the engine "
        "that has a Python; default: %(default)s")
    add("--runtime", metavar="R", help="the engine's runtime, such as runsc; default: the engine's default")
    add("--name", help="the server's name; with several servers, the first part of their names; default: the "
        "backend's name")
    add("--port", type=int, metavar="P", help="publish the first server on port P, and each further one on the next "
        "port; default: free ports")
    add("--nofile", type=quantities.positive, default=hardening.NOFILE, metavar="N", help="let each server open N "
        "descriptors; default: %(default)s")
    add("--cpus", type=_cpus, metavar="C", help="let each server use C processors, such as 0.5; default: all")
    add("--memory", type=quantities.byte_count, default=hardening.MEMORY_BYTES, metavar="BYTES", help="let each server "
        "use BYTES of memory; default: %dM" % (hardening.MEMORY_BYTES >> 20))
    add("--netem", metavar="TEXT", help="delay, drop or change what each server sends, in the words of tc-netem(8), "
        "such as \"delay 20ms loss 1%%\"")
    parser.epilog = EPILOG


def run(options: argparse.Namespace) -> int:
    """Start the servers, wait until each answers with a byte, and print a table of them. Returns the exit code."""
    services = services_of(options.model, options.backend)
    limits = hardening.Limits(options.nofile, options.memory, options.cpus)
    check(limits, options.port, options.name, len(services))
    words = netem.parse(options.netem) if options.netem is not None else []
    output = console()
    client = engine.connect()
    try:
        with Console(stderr=True, highlight=False).status("") as status:
            made = starting.start(client, starting.LineUp(
                named(client, options.name, services), options.handler, options.image, options.runtime,
                limits, words, options.port), status.update)
    finally:
        client.close()
    output.print(table(made))
    return EXIT_OK


def services_of(model: str, names: Sequence[str]) -> List[Variant]:
    """The services to start. Raises ``Usage`` for an unknown backend, or a backend with a model that waits on none."""
    if not MODELS[model].takes_backend:
        if names:
            raise Usage("--backend %s: the %s model waits on no backend; use --model multiplexing" % (
                names[0], model))
        return [Variant(model, None)]
    for name in names:
        if name not in backends.names():  # the server itself reports a backend that its image lacks
            raise Usage('no backend "%s"; the backends are: %s' % (shown(name), ", ".join(backends.names())))
    return [Variant(model, name) for name in names or ["epoll"]]


def check(limits: hardening.Limits, port: Optional[int], name: Optional[str], count: int) -> None:
    """Raise ``Usage`` for a value that no engine accepts for ``count`` servers."""
    if limits.memory_bytes < hardening.LEAST_MEMORY_BYTES:
        raise Usage("--memory %d: a Python with the lab needs at least %dM" % (
            limits.memory_bytes, hardening.LEAST_MEMORY_BYTES >> 20))
    if port is not None and not 1 <= port <= 65536 - count:
        raise Usage("--port %d: ports go from 1 to 65535, and %s from there on" % (
            port, "1 server needs one" if count == 1 else "%d servers need one each" % count))
    if name is not None and not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", name):
        raise Usage('--name "%s": a name has letters, digits, dots, dashes and underscores, and begins with a '
                    "letter or digit" % shown(name))


def named(client: Any, name: Optional[str], services: Sequence[Variant]) -> List[Tuple[str, Variant]]:
    """Pair each service with the name of its server. ``name``: the option --name, or None."""
    words = [each.name.replace(":", "-") for each in services]
    if name is None:
        return list(zip(starting.free_names(client, words), services))
    if len(services) == 1:
        return [(name, services[0])]
    return list(zip(starting.free_names(client, ["%s-%s" % (name, word) for word in words]), services))


def table(servers: Sequence[Server]) -> Table:
    """A table with the names and addresses of the servers."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("name", "backend", "image", "runtime", "address"):
        made.add_column(column, no_wrap=True)
    for each in servers:
        made.add_row(*map(literal, (each.name, each.service, each.base, each.runtime, each.where)))
    return made


def _cpus(text: str) -> float:
    """Parse a number of processors. Raises ``ArgumentTypeError``."""
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text) or float(text) < 0.01:
        raise argparse.ArgumentTypeError("%r is not a number of processors; write e.g. 2 or 0.5" % text)
    return float(text)
