"""What is asked of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from lab.address import Address
from lab.errors import Usage

PING_PONG, PIPELINED, STREAM = "ping-pong", "pipelined", "stream"
MODES = (PING_PONG, PIPELINED, STREAM)

DEFAULT_DURATION = 3.0


@dataclass(frozen=True)
class Plan:
    """One run of load against one echo server. Raises ``Usage`` where the parts make no sense.

    address: where the server listens.
    backend: by name; None: the best here.
    connections: all established before the first byte is sent, all open until the last has come back.
    mode: ``ping-pong``: one message outstanding a connection; ``pipelined``: ``depth`` of them; ``stream``:
        ``total_bytes`` over all connections, in segments of random size, then half-close and the rest.
    size_bytes: of one message; not for stream.
    duration: seconds of sending. None: until ``count``, or DEFAULT_DURATION where that is None too.
    count: messages over all connections, after which the run ends; the first of both ends it.
    rate: messages a second over all connections, sent when they are due rather than when there is room (open
        loop). Latency then counts from when a message was due. None: as fast as replies come (closed loop).
    patience: seconds without any progress until the run is given up, while connecting and later.
    seed: of the bytes that are sent and the sizes of segments.
    """

    address: Address
    backend: Optional[str] = None
    connections: int = 10
    mode: str = PING_PONG
    size_bytes: int = 1024
    duration: Optional[float] = None
    count: Optional[int] = None
    rate: Optional[float] = None
    depth: int = 16
    total_bytes: int = 100 * 1024 * 1024
    patience: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise Usage('no mode "%s"; there are: %s' % (self.mode, ", ".join(MODES)))
        for name in ("connections", "size_bytes", "depth", "total_bytes", "patience", "rate", "count"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise Usage("%s %s: it must be more than 0" % (name.replace("_bytes", ""), value))
        if self.mode == STREAM and not (self.duration is self.count is self.rate is None):
            raise Usage("mode stream ends by --total; --duration, --count and --rate are for messages")

    @property
    def sending_seconds(self) -> Optional[float]:
        """After how many seconds sending stops; None: when all is sent."""
        if self.duration is None and self.count is None and self.mode != STREAM:
            return DEFAULT_DURATION
        return self.duration

    @property
    def window(self) -> int:
        """Messages that one connection may have outstanding."""
        return self.depth if self.mode == PIPELINED else 1

    def share(self, index: int) -> Optional[int]:
        """Of ``count`` messages, or of the bytes of a stream, what connection ``index`` sends; None: no limit."""
        whole = self.total_bytes if self.mode == STREAM else self.count
        if whole is None:
            return None
        return whole // self.connections + (index < whole % self.connections)
