"""The parameters of a load run: which server, how much, how fast, for how long."""

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
    """One load run against one echo server. Raises ``Usage`` if the parameters make no sense together.

    address: where the server listens.
    backend: the name of the backend to wait on; None: the best on this platform.
    connections: the number of connections. The run establishes all of them before it sends the first byte, and keeps
        all of them open until the last byte has come back.
    mode: ``ping-pong``: one outstanding message on each connection; ``pipelined``: ``depth`` of them; ``stream``:
        ``total_bytes`` over all connections, in segments of random size, then half-close and read the rest.
    size_bytes: the size of one message; unused in mode stream.
    duration: seconds of sending. None: until ``count`` is reached, or DEFAULT_DURATION if that is None, too.
    count: messages over all connections. With a ``duration``, whichever is reached first ends the run.
    rate: messages a second over all connections. The run sends a message when it is due, not when the last reply has
        come (open loop), and measures its latency from that instant. None: as fast as replies come (closed loop).
    patience: seconds without progress after which the run gives up, while it connects and later.
    seed: the seed of the bytes and of the segment sizes.
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
            raise Usage('no mode "%s"; the modes are: %s' % (self.mode, ", ".join(MODES)))
        for name in ("connections", "size_bytes", "depth", "total_bytes", "patience", "rate", "count"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise Usage("%s %s: it must be more than 0" % (name.replace("_bytes", ""), value))
        if self.mode == STREAM and not (self.duration is self.count is self.rate is None):
            raise Usage("mode stream ends after --total bytes; --duration, --count and --rate are for messages")

    @property
    def sending_seconds(self) -> Optional[float]:
        """The seconds after which the run stops sending; None: it stops when all is sent."""
        if self.duration is None and self.count is None and self.mode != STREAM:
            return DEFAULT_DURATION
        return self.duration

    @property
    def window(self) -> int:
        """The most messages that one connection may have outstanding."""
        return self.depth if self.mode == PIPELINED else 1

    def share(self, index: int) -> Optional[int]:
        """What connection ``index`` sends: its part of the ``count`` messages, or of a stream's bytes; None: no
        limit."""
        whole = self.total_bytes if self.mode == STREAM else self.count
        if whole is None:
            return None
        return whole // self.connections + (index < whole % self.connections)
