"""The results of a load run, as text for people and as JSON for programs."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from lab.load.latency import Latencies
from lab.load.plan import PIPELINED, STREAM, Plan
from lab.quantities import format_bytes, format_seconds

PERCENTILES: Tuple[Tuple[str, float], ...] = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999))


@dataclass(frozen=True)
class Report:
    """The measurements of one run.

    backend: the name of the backend, even if the plan did not choose one.
    connections: connections that were established.
    messages: messages that came back complete; 0 in mode stream.
    bytes_sent, bytes_received: over all connections; the run verified each received byte.
    unsent_messages: messages that were due by the plan's rate but not begun before sending stopped, because the server
        was too slow. No percentile includes them.
    connect_seconds: time until all connections were established.
    seconds: time from then to the last reply.
    cpu_seconds: CPU time of all threads of this process in both of these times.
    latencies: the latencies of the messages; None in mode stream.
    is_interrupted: whether the user ended the run early.
    """

    plan: Plan
    backend: str
    connections: int
    messages: int
    bytes_sent: int
    bytes_received: int
    unsent_messages: int
    connect_seconds: float
    seconds: float
    cpu_seconds: float
    latencies: Optional[Latencies]
    is_interrupted: bool = False

    @property
    def verified_bytes(self) -> int:
        """Bytes that came back and were verified: all that came back, because the first wrong one ends the run."""
        return self.bytes_received

    @property
    def messages_per_second(self) -> float:
        return self.messages / self.seconds if self.seconds else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Bytes a second that came back; as many were sent."""
        return self.bytes_received / self.seconds if self.seconds else 0.0

    def as_json(self) -> Dict[str, Any]:
        """The report as one JSON object. Its keys name the units; a value that the mode does not have is ``null``.

        ``latency_seconds`` holds p50, p90, p99, p99.9 (at most 1/64 too high) and max (exact).
        """
        plan, latencies = self.plan, self.latencies
        by_message = plan.mode != STREAM
        latency = None
        if latencies is not None and latencies.count:
            latency = {name: latencies.percentile(fraction) for name, fraction in PERCENTILES}
            latency["max"] = latencies.max
        return {
            "address": str(plan.address),
            "backend": self.backend,
            "mode": plan.mode,
            "python_implementation": platform.python_implementation(),
            "python_version": platform.python_version(),
            "seed": plan.seed,
            "connections": self.connections,
            "size_bytes": plan.size_bytes if by_message else None,
            "depth": plan.window if by_message else None,
            "rate_messages_per_second": plan.rate,
            "messages": self.messages if by_message else None,
            "unsent_messages": self.unsent_messages if plan.rate is not None else None,
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
            "verified_bytes": self.verified_bytes,
            "connect_seconds": self.connect_seconds,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "messages_per_second": self.messages_per_second if by_message else None,
            "bytes_per_second": self.bytes_per_second,
            "latency_seconds": latency,
            "is_interrupted": self.is_interrupted,
        }

    def as_text(self) -> str:
        """The report as an aligned text of at most 80 columns, unless the address is long."""
        lines = [self._what(), "  to %s" % (self.plan.address,),
                 "  %s on %s %s" % (self.backend, platform.python_implementation(), platform.python_version()), ""]
        each = self.seconds or 1.0
        rows = [("sent", format_bytes(self.bytes_sent), format_bytes(self.bytes_sent / each) + "/s"),
                ("received", format_bytes(self.bytes_received), format_bytes(self.bytes_per_second) + "/s"),
                ("verified", format_bytes(self.verified_bytes), "every byte that came back"),
                ("time", "%.2f s" % self.seconds, "%.2f s of CPU on this side" % self.cpu_seconds)]
        if self.latencies is not None:
            rows.insert(0, ("messages", "{:,}".format(self.messages), "{:,.0f}/s".format(self.messages_per_second)))
        if self.unsent_messages:
            rows.insert(1, ("unsent", "{:,}".format(self.unsent_messages), "due, but replies came too slowly"))
        lines += ["  %-10s%14s    %s" % row for row in rows]
        if self.latencies is not None and self.latencies.count:
            lines += [""] + self._latency_rows(self.latencies)
        if self.is_interrupted:
            lines += ["", "  interrupted; the figures cover the time until then"]
        return "\n".join(lines)

    def _what(self) -> str:
        plan = self.plan
        if plan.mode == STREAM:
            what = "%s in random segments" % format_bytes(plan.total_bytes)
        else:
            what = "messages of {:,} B".format(plan.size_bytes)
            if plan.mode == PIPELINED:
                what += ", %d at a time" % plan.depth
            if plan.rate is not None:
                what += ", {:,.6g}/s in all".format(plan.rate)
        return "%s: %s over %d connection%s" % (plan.mode, what, self.connections, "s"[self.connections == 1:])

    def _latency_rows(self, latencies: Latencies) -> List[str]:
        names = [name for name, _ in PERCENTILES] + ["max"]
        values = [latencies.percentile(fraction) for _, fraction in PERCENTILES] + [latencies.max]
        since = "due" if self.plan.rate is not None else "sent"
        return ["  latency   " + "".join("%11s" % name for name in names),
                "  %-10s" % ("since " + since) + "".join("%11s" % format_seconds(value) for value in values)]

