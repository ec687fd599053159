"""The limits that a server sets its peers, the counters it keeps, and accept's errors, for all four I/O models."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Dict, Optional

LINGER = 2.0
"""Seconds for which the server still reads from a finished connection. close() over unread input would send a reset,
which destroys output that the peer has not read yet (RFC 1122 4.2.2.13)."""

RETRY_ACCEPT = 0.25
"""Seconds until the server retries accept after the descriptors ran out, unless one of its connections closes before
that."""

BUFFER = 64 * 1024
"""Bytes of one read. Every read reuses one buffer: allocating 256 KiB each time costs more than the rest of an echo."""

REPORT_AGAIN = 10.0
"""Seconds without exhaustion after which the log reports the next one. A server at its limit accepts one peer for each
that leaves, and runs out again at once; without this pause it would log each time."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, getattr(errno, "WSAEMFILE", errno.EMFILE),
              getattr(errno, "WSAENOBUFS", errno.ENOBUFS))

_PEER_ERRORS = (errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.ENOPROTOOPT, errno.EHOSTUNREACH,
                errno.EOPNOTSUPP, errno.ENETUNREACH, getattr(errno, "EHOSTDOWN", errno.ECONNABORTED),
                getattr(errno, "ENONET", errno.ECONNABORTED), getattr(errno, "WSAECONNRESET", errno.ECONNABORTED),
                getattr(errno, "WSAECONNABORTED", errno.ECONNABORTED),
                getattr(errno, "WSAENOTCONN", errno.ECONNABORTED))  # Wine 8 reports it where Windows has WSAECONNRESET

_PEER_ERRORS_WINDOWS = (64, 1236, 59)
"""ERROR_NETNAME_DELETED and ERROR_CONNECTION_ABORTED: AcceptEx, which the Proactor uses, completes with these if the
peer has reset the connection in the meantime (gh-93821). Wine 8 reports ERROR_UNEXP_NET_ERR."""


def is_peer_error(error: OSError) -> bool:
    """Whether this error of accept concerns one connection only, or comes from a firewall: the next accept may succeed
    (accept(2), "Error handling")."""
    return error.errno in _PEER_ERRORS or getattr(error, "winerror", None) in _PEER_ERRORS_WINDOWS


def is_exhaustion(error: OSError) -> bool:
    """Whether accept failed because this process or the whole system has no descriptor or memory left. The connection
    then stays in the backlog (accept(2); gVisor closes it), so a level-triggered loop that goes on would spin."""
    return error.errno in _EXHAUSTED


class Exhaustion:
    """Remembers when descriptors last ran out, so that the log reports it once and not at every retry."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def is_news(self, now: float) -> bool:
        """Note that descriptors ran out at ``now`` (of ``time.monotonic``). Returns whether to log it."""
        last, self._last = self._last, now
        return now - last > REPORT_AGAIN


@dataclass(frozen=True)
class Limits:
    """The limits of one server process.

    max_connections: connections open at once; None: as many as the process has descriptors.
    idle_timeout: seconds without a byte in either direction after which the server closes a connection; None: never.
    max_buffer: bytes of output that may wait for one peer. Above it the server stops reading from that peer, until half
        of it is left.
    drain: seconds that a stopping server spends on sending the output that is left.
    """

    max_connections: Optional[int] = None
    idle_timeout: Optional[float] = None
    max_buffer: int = 1024 * 1024
    drain: float = 5.0


@dataclass
class Stats:
    """The counters of one run, in events, bytes and seconds."""

    accepted: int = 0
    peak: int = 0  # connections open at once
    bytes_in: int = 0
    bytes_out: int = 0
    resets: int = 0  # connections that ended with an error: reset, broken pipe
    idle: int = 0  # connections closed because no byte moved for idle_timeout
    refused: int = 0  # connections closed at once, because the backend refused them or no thread could start
    cut_off: int = 0  # connections still open when the drain time was over
    exhausted: int = 0  # times that descriptors ran out
    errors: int = 0  # bugs: exceptions that nobody foresaw
    waits: int = 0  # calls of the backend's wait
    cpu_seconds: float = 0.0  # of this process, while it served
    wall_seconds: float = 0.0
    extra: Dict[str, int] = field(default_factory=dict)  # counters that only one model has
