"""The state that all connections of a run share: plan, pattern, receive buffer, counters, timers and error messages."""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING, List, Optional, Tuple

from lab.address import UNIX, Address
from lab.backends import Backend
from lab.errors import Broken, Deviation, reason
from lab.events import Trigger
from lab.load.latency import Latencies
from lab.load.pattern import CHUNK, PERIOD, Pattern
from lab.load.plan import Plan

if TYPE_CHECKING:
    from lab.load.client import Client

BUDGET = 16  # the most receives or sends of one edge-triggered connection in a row; then the others get their turn


class Session:
    """The shared state of one run. Counters are over all connections; instants are of ``time.perf_counter``."""

    def __init__(self, plan: Plan, backend: Backend) -> None:
        self.plan = plan
        self.backend = backend
        self.pattern = Pattern(plan.seed)
        self.block = self.pattern.block
        self.buffer = bytearray(CHUNK)  # one for all: each client checks its input before the next one receives
        self.view = memoryview(self.buffer)
        self.is_edge = backend.trigger is Trigger.EDGE
        self.rounds = range(BUDGET if self.is_edge else 1)
        self.clients: List[Client] = []
        self.busy = plan.connections  # connections that have not finished
        self.is_sending = False
        self.started_at = 0.0
        self.launched = 0  # messages that were begun
        self.messages = 0  # messages that came back complete
        self.bytes_sent = 0
        self.bytes_received = 0  # each of them verified
        self.latencies = Latencies()
        self._timers: List[Tuple[float, int]] = []  # (instant, connection)

    def wake_at(self, due: float, index: int) -> None:
        """Start a timer: ``fire`` calls ``on_timer`` of that connection once ``due`` is past."""
        heapq.heappush(self._timers, (due, index))

    def next_timer(self) -> Optional[float]:
        """The instant of the first timer; None if there is none."""
        return self._timers[0][0] if self._timers else None

    def fire(self, now: float) -> None:
        """Call ``on_timer`` of every connection whose timer is due."""
        timers = self._timers
        while timers and timers[0][0] < now:
            self.clients[heapq.heappop(timers)[1]].on_timer(now)

    def stop(self) -> None:
        """Begin no more messages. The run still waits for those that are outstanding."""
        self.is_sending = False
        self._timers.clear()
        for client in self.clients:
            client.stop()

    def unsent(self, at: float) -> int:
        """With a rate, the number of messages that were due at that instant but not begun."""
        plan = self.plan
        if plan.rate is None or not self.started_at:
            return 0
        due = int(max(0.0, at - self.started_at) * plan.rate + 1e-6)  # as (start + 0.03) - start is not quite 0.03
        return max(0, (due if plan.count is None else min(due, plan.count)) - self.launched)

    # Error messages.

    def name(self, index: int) -> str:
        """The name of a connection in messages, which count from 1."""
        return "connection %d of %d to %s" % (index + 1, self.plan.connections, self.plan.address)

    def lost(self, client: Client, error: Optional[OSError]) -> Broken:
        """The error for a connection that the peer closed (``error`` is None) or the system broke."""
        how = "was closed by the peer" if error is None else "broke: " + reason(error)
        return Broken("%s %s, at offset %d with %d bytes owed; see the server's log, or use fewer --connections"
                      % (self.name(client.index), how, client.received, client.owed))

    def surplus(self, client: Client, count: int) -> Deviation:
        """The error for ``count`` more bytes than were sent."""
        return Deviation("%s: %d more bytes came back than the %d that were sent; the server repeats bytes, or is not "
                         "an echo server (`lab serve` is one)" % (self.name(client.index), count, client.sent))

    def missing(self, client: Client) -> Deviation:
        """The error for a stream that ended in order, but too early."""
        why = ("the server loses bytes that are in flight when its client half-closes" if client.received else
               "check that it is an echo server (`lab serve` is one)")
        return Deviation("%s: %d bytes were sent, and the stream ended after %d; %s"
                         % (self.name(client.index), client.sent, client.received, why))

    def wrong(self, client: Client, count: int) -> Deviation:
        """The error for ``count`` received bytes in the buffer, of which some are not those that were sent."""
        received = self.view[:count]
        first = self.pattern.first_wrong(client.index, client.received, received)
        offset = client.received + first
        expected = self.pattern.run(client.index, offset, 1)[0]
        return Deviation("%s: the byte at offset %d came back as 0x%02x, but was sent as 0x%02x; %s"
                         % (self.name(client.index), offset, received[first], expected,
                            self._diagnosis(client, received[first:])))

    def _diagnosis(self, client: Client, received: memoryview) -> str:
        """Where in the pattern the received bytes are from, if they are from it."""
        at = self.pattern.locate(received)
        if at >= 0:
            for other in [client, *self.clients]:
                offset = (at - other.start) % PERIOD
                if offset < other.sent:
                    whose = "its own" if other is client else "those of connection %d" % (other.index + 1)
                    return "the received bytes are %s from offset %d" % (whose, offset)
        return "the received bytes were never sent; repeat with --seed %d" % self.plan.seed

    def stuck(self) -> Deviation:
        """The error if no byte moved for the plan's ``patience``. Raises ``Broken`` if no byte ever came back."""
        late = [client for client in self.clients if client.is_waiting]
        what = "%d of %d connections to %s wait for %d bytes, and nothing moved for %g s" % (
            len(late), self.plan.connections, self.plan.address, sum(client.owed for client in late),
            self.plan.patience)
        if not self.bytes_received and self.bytes_sent:
            raise Broken("%s; no byte ever came back: %s" % (what, how_to_serve(self.plan.address)))
        return Deviation("%s; the first is %s, at offset %d; the server lost bytes or hangs (or raise --patience)"
                         % (what, self.name(late[0].index), late[0].received))


def how_to_serve(address: Address) -> str:
    """The command that starts an echo server at that address."""
    if address.family == UNIX:
        return "start an echo server with `lab serve --host %s`" % (address,)
    host, port = address.where[:2]
    return "start an echo server with `lab serve --host %s --port %d`" % (host, port)


def clock() -> float:
    """The current instant in seconds. A run uses no other clock."""
    return time.perf_counter()
