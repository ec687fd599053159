"""`lab load`: the command's options, its progress line, and its output."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Optional

from lab.address import resolve
from lab.errors import EXIT_INTERRUPTED, EXIT_OK, Usage
from lab.load.plan import DEFAULT_DURATION, MODES, PING_PONG, PIPELINED, STREAM, Plan
from lab.load.run import drive
from lab.load.session import Session, clock
from lab.quantities import byte_count, format_bytes, positive, seconds
from lab.terminal import ProgressLine, is_terminal

PROGRESS = 1.0  # seconds between two rewritings of the progress line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab load`. The defaults are those of ``Plan``."""
    parser.add_argument("server", nargs="?", metavar="NAME", help="a server that `lab up` started, in place of --host "
                        "and --port")
    add = parser.add_argument_group("where").add_argument
    add("--host", default="127.0.0.1", help="the server's address or host name, or unix:/path; default: "
        "%(default)s")
    add("--port", type=int, default=10000, help="the server's port; default: %(default)s")
    add("--backend", metavar="NAME", help="the interface that the load generator waits on; default: the best on this "
        "platform")
    add = parser.add_argument_group("what").add_argument
    add("--mode", choices=MODES, default=PING_PONG, help="ping-pong sends one message at a time on each connection, "
        "pipelined --depth of them, stream one long stream; default: %(default)s")
    add("--connections", type=positive, default=10, metavar="N", help="open N connections at once; default: "
        "%(default)s")
    add("--size", type=byte_count, metavar="BYTES", help="the size of one message; default: 1K")
    add("--depth", type=positive, metavar="K", help="in mode pipelined, keep K messages outstanding on each "
        "connection; default: 16")
    add("--total", type=byte_count, metavar="BYTES", help="in mode stream, send BYTES over all connections; default: "
        "100M")
    add("--rate", type=_rate, metavar="R", help="send R messages a second over all connections, and measure each from "
        "the instant it was due; default: as fast as replies come")
    add("--seed", type=int, default=0, metavar="N", help="the seed of the bytes and the segment sizes; default: "
        "%(default)s")
    add = parser.add_argument_group("until when").add_argument
    add("--duration", type=seconds, metavar="S", help="stop sending after S seconds; default: %g, or until --count"
        % DEFAULT_DURATION)
    add("--count", type=positive, metavar="N", help="stop after N messages over all connections")
    add("--patience", type=seconds, default=10.0, metavar="S", help="give up when no byte moves for S seconds; "
        "default: 10")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Run the load and print the report. Returns the exit code. Raises ``LabError``, as ``drive`` does."""
    plan = plan_of(options)
    with ProgressLine(sys.stderr, interval=0.0) as line:
        report = drive(plan, _Progress(line) if is_terminal(sys.stderr) else None)
    print(json.dumps(report.as_json()) if options.json else report.as_text())
    return EXIT_INTERRUPTED if report.is_interrupted else EXIT_OK


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan that the options describe. Raises ``Usage`` if they contradict each other."""
    if options.depth is not None and options.mode != PIPELINED:
        raise Usage("--depth %d: this is only for --mode pipelined" % options.depth)
    if options.total is not None and options.mode != STREAM:
        raise Usage("--total: this is only for --mode stream; limit messages by --duration or --count")
    if options.size is not None and options.mode == STREAM:
        raise Usage("--size: a stream has segments of random size; give its length by --total")
    given = {name: value for name, value in (("size_bytes", options.size), ("depth", options.depth),
                                             ("total_bytes", options.total)) if value is not None}
    return Plan(address=resolve(options.host, options.port), backend=options.backend, connections=options.connections,
                mode=options.mode, duration=options.duration, count=options.count, rate=options.rate,
                patience=options.patience, seed=options.seed, **given)


def _rate(text: str) -> float:
    """Parse a positive number. Raises ``ArgumentTypeError``."""
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError("%r is not a number of messages a second; write e.g. 500 or 0.5" % text)
    return rate


class _Progress:
    """Rewrites the progress line about once a second, with the speed since the last time."""

    def __init__(self, line: ProgressLine) -> None:
        self._progress = line
        self._last: Optional[float] = None
        self._received = 0

    def __call__(self, session: Session) -> None:
        now = clock()
        if self._last is None:
            self._last = now
        elif now - self._last >= PROGRESS:
            speed = (session.bytes_received - self._received) / (now - self._last)
            self._last, self._received = now, session.bytes_received
            self._progress.show(self._line(session, now, speed))

    def _line(self, session: Session, now: float, speed: float) -> str:
        if not session.started_at:
            return "connecting: %d of %d" % (sum(client.is_connected for client in session.clients),
                                             session.plan.connections)
        done = "%s messages, " % format(session.messages, ",") if session.messages else ""
        return "%.0f s: %s%s verified, %s/s" % (now - session.started_at, done, format_bytes(session.bytes_received),
                                                format_bytes(speed))
