"""What the connections of one run share: the plan, the pattern, one receive buffer, the counts, and the words for
what went wrong."""

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

BUDGET = 16  # receives or sends of one edge-triggered connection in a row, so that the others get their turn


class Session:
    """The shared part of one run. All counts are over all connections; instants are of ``time.perf_counter``."""

    def __init__(self, plan: Plan, backend: Backend) -> None:
        self.plan = plan
        self.backend = backend
        self.pattern = Pattern(plan.seed)
        self.block = self.pattern.block
        self.buffer = bytearray(CHUNK)  # one for all: what arrives is checked before the next receive
        self.view = memoryview(self.buffer)
        self.is_edge = backend.trigger is Trigger.EDGE
        self.rounds = range(BUDGET if self.is_edge else 1)
        self.clients: List[Client] = []
        self.busy = plan.connections  # connections that have not finished
        self.is_sending = False
        self.started_at = 0.0
        self.launched = 0  # messages whose sending began
        self.messages = 0  # of those, that came back whole
        self.bytes_sent = 0
        self.bytes_received = 0  # each of them verified
        self.latencies = Latencies()
        self._timers: List[Tuple[float, int]] = []  # (instant, connection)

    def wake_at(self, due: float, index: int) -> None:
        """Have ``refill`` of that connection called once ``due`` is past."""
        heapq.heappush(self._timers, (due, index))

    def next_timer(self) -> Optional[float]:
        """The instant of the first timer."""
        return self._timers[0][0] if self._timers else None

    def fire(self, now: float) -> None:
        """Call whom timers wake."""
        timers = self._timers
        while timers and timers[0][0] < now:
            self.clients[heapq.heappop(timers)[1]].on_timer(now)

    def stop(self) -> None:
        """No more messages; those outstanding are still waited for."""
        self.is_sending = False
        self._timers.clear()
        for client in self.clients:
            client.stop()

    def unsent(self, at: float) -> int:
        """With a rate: messages that were due at that instant, and not begun."""
        plan = self.plan
        if plan.rate is None or not self.started_at:
            return 0
        due = int(max(0.0, at - self.started_at) * plan.rate + 1e-6)  # (start + 0.03) - start is not quite 0.03
        return max(0, (due if plan.count is None else min(due, plan.count)) - self.launched)

    # What went wrong, in words.

    def name(self, index: int) -> str:
        """A connection, for people, who count from 1."""
        return "connection %d of %d to %s" % (index + 1, self.plan.connections, self.plan.address)

    def lost(self, client: Client, error: Optional[OSError]) -> Broken:
        """The peer ended the connection, or the system did."""
        how = "was closed by the peer" if error is None else "broke: " + reason(error)
        return Broken("%s %s, at offset %d with %d bytes owed; see the server's log, or take fewer --connections"
                      % (self.name(client.index), how, client.received, client.owed))

    def surplus(self, client: Client, count: int) -> Deviation:
        """More bytes than were sent."""
        return Deviation("%s: %d more bytes came back than the %d that were sent; the server repeats, or is no echo "
                         "(`lab serve` is one)" % (self.name(client.index), count, client.sent))

    def missing(self, client: Client) -> Deviation:
        """The stream ended in order, but too early."""
        why = ("the server loses what is under way when its client half-closes" if client.received else
               "see that it is an echo server (`lab serve` is one)")
        return Deviation("%s: %d bytes were sent, and the stream ended after %d; %s"
                         % (self.name(client.index), client.sent, client.received, why))

    def wrong(self, client: Client, count: int) -> Deviation:
        """The buffer holds ``count`` bytes of which some are not what was sent."""
        received = self.view[:count]
        first = self.pattern.first_wrong(client.index, client.received, received)
        offset = client.received + first
        expected = self.pattern.run(client.index, offset, 1)[0]
        return Deviation("%s: the byte at offset %d came back as 0x%02x, sent was 0x%02x; %s"
                         % (self.name(client.index), offset, received[first], expected,
                            self._diagnosis(client, received[first:])))

    def _diagnosis(self, client: Client, received: memoryview) -> str:
        """Whose bytes these are, as far as the pattern tells."""
        at = self.pattern.locate(received)
        if at >= 0:
            for other in [client, *self.clients]:
                offset = (at - other.start) % PERIOD
                if offset < other.sent:
                    whose = "its own" if other is client else "those of connection %d" % (other.index + 1)
                    return "what came are %s from offset %d" % (whose, offset)
        return "what came was never sent; repeat with --seed %d" % self.plan.seed

    def stuck(self) -> Deviation:
        """Nothing moved for the whole patience. Raises ``Broken`` where nothing ever came back."""
        late = [client for client in self.clients if client.is_waiting]
        what = "%d of %d connections to %s wait for %d bytes, and nothing moved for %g s" % (
            len(late), self.plan.connections, self.plan.address, sum(client.owed for client in late),
            self.plan.patience)
        if not self.bytes_received and self.bytes_sent:
            raise Broken("%s; nothing ever came back: %s" % (what, how_to_serve(self.plan.address)))
        return Deviation("%s; first %s, at offset %d; the server lost bytes or hangs (or raise --patience)"
                         % (what, self.name(late[0].index), late[0].received))


def how_to_serve(address: Address) -> str:
    """The command that starts an echo server at that address."""
    if address.family == UNIX:
        return "start an echo server with `lab serve --host %s`" % (address,)
    host, port = address.where[:2]
    return "start an echo server with `lab serve --host %s --port %d`" % (host, port)


def clock() -> float:
    """Now, in seconds; the one clock of a run."""
    return time.perf_counter()
