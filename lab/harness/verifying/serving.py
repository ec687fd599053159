"""`lab verify --serve`: real bytes through every backend and I/O model that is here, each one checked.

For each, a server in its own process, then two loads: messages one at a time over many connections, for a rate and
its latencies; and a stream in random segments with half-closes, for whatever goes wrong only there. A byte that comes
back otherwise is a deviation, exit code 1; a server that does not serve is a broken set-up, 4. The numbers compare
rows of one table, made in one run on one machine; they are no benchmark.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab import quantities
from lab.backends import LADDER, why_missing
from lab.errors import EXIT_OK, Deviation, LabError
from lab.facts import facts
from lab.harness.verifying.process import ServerProcess
from lab.load.plan import PING_PONG, STREAM, Plan
from lab.load.report import Report
from lab.load.run import drive
from lab.server.command import MODELS


class Service(NamedTuple):
    """One way to serve: a model, and a backend where the model takes one."""

    model: str
    backend: Optional[str]

    @property
    def name(self) -> str:
        """As the table shows it."""
        return self.backend or self.model

    @property
    def options(self) -> List[str]:
        """What makes `lab serve` serve that way."""
        return ["--model", self.model] + (["--backend", self.backend] if self.backend else [])


class Outcome(NamedTuple):
    """What one service did."""

    service: Service
    ready: Dict[str, Any]
    stopped: Dict[str, Any]
    messages: Report
    stream: Report


def services() -> Iterator[Service]:
    """Every backend that is here, best first, then the models that need none."""
    for name, model in sorted(MODELS.items(), key=lambda item: not item[1].takes_backend):
        if model.takes_backend:
            for kind in LADDER:
                if why_missing(kind) is None:
                    yield Service(name, kind.name)
        else:
            yield Service(name, None)


CONNECTIONS = 50
DURATION = 1.0
"""Seconds of messages, for each service."""
TOTAL_BYTES = 16 * 1024 ** 2
"""Of the stream, for each service."""


def serve_all(console: Console) -> int:
    """Serve and load in every way that is here; print the table. Returns the exit code."""
    outcomes: List[Outcome] = []
    failures: List[Tuple[str, LabError]] = []
    todo = list(services())
    with console.status("") as status:
        for number, service in enumerate(todo, 1):
            status.update("%d of %d: %s" % (number, len(todo), service.name))
            try:
                outcomes.append(_verify(service))
            except LabError as error:  # the others are verified all the same
                failures.append((service.name, error))
    console.print("%s\n%d connections: 1 KiB messages, one at a time on each; then %s each way in random segments\n" % (
        _here(), CONNECTIONS, quantities.format_bytes(TOTAL_BYTES)), soft_wrap=True)
    console.print(_table(outcomes))
    for line in _summary(outcomes, failures):
        console.print(line, soft_wrap=True)
    console.print()
    return max([EXIT_OK, *(error.exit_code for _, error in failures)])


def _here() -> str:
    """The platform in one line."""
    here = facts()
    return "%s %s on %s %s %s" % (here["interpreter"]["implementation"], here["interpreter"]["version"],
                                  here["system"], here["kernel"]["release"], here["architecture"]["machine"])


def _verify(service: Service) -> Outcome:
    """Serve that way, and load it. Raises ``Deviation`` for a wrong byte, ``Broken`` where it does not work at all."""
    with ServerProcess(service.options) as server:
        messages = _drive(Plan(server.address, connections=CONNECTIONS, mode=PING_PONG, duration=DURATION))
        stream = _drive(Plan(server.address, connections=CONNECTIONS, mode=STREAM, total_bytes=TOTAL_BYTES))
    served = server.stopped["bytes_in"], server.stopped["bytes_out"]
    sent = messages.bytes_sent + stream.bytes_sent
    if served != (sent, sent):
        raise Deviation("the server counted %d bytes in and %d out, the clients %d each way" % (*served, sent))
    return Outcome(service, server.ready, server.stopped, messages, stream)


def _drive(plan: Plan) -> Report:
    """``drive``, but Ctrl-C ends more than this one load."""
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
            outcome.service.name, outcome.ready.get("trigger", "-"), "{:,.0f}".format(messages.messages_per_second),
            quantities.format_seconds(messages.latencies.percentile(0.5)),
            quantities.format_seconds(messages.latencies.percentile(0.99)),
            quantities.format_bytes(stream.bytes_per_second),
            "%.0f %%" % (100 * outcome.stopped["cpu_seconds"] / outcome.stopped["wall_seconds"]),
            quantities.format_bytes(messages.verified_bytes + stream.verified_bytes))
    return table


def _summary(outcomes: List[Outcome], failures: List[Tuple[str, LabError]]) -> Iterator[str]:
    yield ""
    for name, error in failures:
        yield "[bold red]%-9s[/]  %s: %s" % (type(error).__name__.lower(), name, escape(str(error)))
    for kind in LADDER:
        why = why_missing(kind)
        if why is not None:
            yield "[dim]not here   %s: %s[/]" % (kind.name, escape(why))
    verified = sum(each.messages.verified_bytes + each.stream.verified_bytes for each in outcomes)
    yield "%d of %d ways to serve are right here: %s came back as sent." % (
        len(outcomes), len(outcomes) + len(failures), quantities.format_bytes(verified))
