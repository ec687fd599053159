"""`lab verify --serve`: sends real bytes through every backend and I/O model of this machine and checks each byte.

For each variant we start a server in its own process and drive it with two loads. The first sends messages one at a
time over many connections and measures a rate and latencies; the second sends a stream in random segments with
half-closes, for errors that only such traffic provokes. A wrong byte is a deviation (exit code 1); a server that does
not serve is a broken set-up (4). The numbers compare the rows of one table, from one run on one machine; they are no
benchmark.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from rich.console import Console
from rich.table import Table

from lab import quantities
from lab.backends import LADDER, why_missing
from lab.errors import EXIT_OK, Deviation, LabError
from lab.facts import facts, platform_line
from lab.harness.console import literal
from lab.harness.server_variants import Variant, variants
from lab.harness.verifying.server_process import ServerProcess
from lab.load.plan import PING_PONG, STREAM, Plan
from lab.load.report import Report
from lab.load.run import drive

CONNECTIONS = 50
DURATION = 1.0
"""How many seconds the messages of one variant take."""
TOTAL_BYTES = 16 * 1024 ** 2
"""The length of the stream of one variant."""


class Outcome(NamedTuple):
    """What one variant did. ready, stopped: the events that the server logged. messages, stream: the two loads."""

    variant: Variant
    ready: Dict[str, Any]
    stopped: Dict[str, Any]
    messages: Report
    stream: Report


def check_all(console: Console) -> int:
    """Check every variant of this machine and print a table. Returns the exit code."""
    outcomes: List[Outcome] = []
    failures: List[Tuple[str, LabError]] = []
    todo = list(variants())
    with console.status("") as status:
        for number, variant in enumerate(todo, 1):
            status.update("%d of %d: %s" % (number, len(todo), variant.name))
            try:
                outcomes.append(_check(variant))
            except LabError as error:  # we go on with the other variants
                failures.append((variant.name, error))
    console.print("%s\n%d connections: 1 KiB messages, one at a time on each; then %s each way in random segments\n" % (
        literal(platform_line(facts())), CONNECTIONS, quantities.format_bytes(TOTAL_BYTES)), soft_wrap=True)
    console.print(_table(outcomes))
    for line in _summary(outcomes, failures):
        console.print(line, soft_wrap=True)
    console.print()
    return max([EXIT_OK, *(error.exit_code for _, error in failures)])


def _check(variant: Variant) -> Outcome:
    """Start that server and drive it. Raises ``Deviation`` for a wrong byte, ``Broken`` where it does not serve."""
    with ServerProcess(variant.options) as server:
        messages = _drive(Plan(server.address, connections=CONNECTIONS, mode=PING_PONG, duration=DURATION))
        stream = _drive(Plan(server.address, connections=CONNECTIONS, mode=STREAM, total_bytes=TOTAL_BYTES))
    served = server.stopped["bytes_in"], server.stopped["bytes_out"]
    sent = messages.bytes_sent + stream.bytes_sent
    if served != (sent, sent):
        raise Deviation("the server counted %d bytes in and %d out, the clients %d each way" % (*served, sent))
    return Outcome(variant, server.ready, server.stopped, messages, stream)


def _drive(plan: Plan) -> Report:
    """Run one load. Ctrl-C ends all of `lab verify`, not only this load."""
    report = drive(plan)
    if report.is_interrupted:
        raise KeyboardInterrupt
    return report


def _table(outcomes: List[Outcome]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    table.add_column("served by", no_wrap=True)
    table.add_column("trigger", no_wrap=True)
    for name in ("messages/s", "p50", "p99", "stream/s", "server CPU", "verified"):
        table.add_column(name, justify="right", no_wrap=True)
    for outcome in outcomes:
        messages, stream = outcome.messages, outcome.stream
        assert messages.latencies is not None
        table.add_row(
            outcome.variant.name, outcome.ready.get("trigger", "-"), "{:,.0f}".format(messages.messages_per_second),
            quantities.format_seconds(messages.latencies.percentile(0.5)),
            quantities.format_seconds(messages.latencies.percentile(0.99)),
            quantities.format_bytes(stream.bytes_per_second),
            "%.0f %%" % (100 * outcome.stopped["cpu_seconds"] / outcome.stopped["wall_seconds"]),
            quantities.format_bytes(messages.verified_bytes + stream.verified_bytes))
    return table


def _summary(outcomes: List[Outcome], failures: List[Tuple[str, LabError]]) -> Iterator[str]:
    yield ""
    for name, error in failures:
        yield "[bold red]%-9s[/]  %s: %s" % (type(error).__name__.lower(), name, literal(error))
    for kind in LADDER:
        why = why_missing(kind)
        if why is not None:
            yield "[dim]not here   %s: %s[/]" % (kind.name, literal(why))
    verified = sum(each.messages.verified_bytes + each.stream.verified_bytes for each in outcomes)
    yield "%d of %d server variants returned every byte as it was sent: %s in all." % (
        len(outcomes), len(outcomes) + len(failures), quantities.format_bytes(verified))
