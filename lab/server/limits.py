"""What a server allows its peers, and what it counts: the same for all four I/O models."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Dict, Optional

LINGER = 2.0
"""Seconds that a finished connection may still send, so that its last input does not turn our close() into a
reset, which would destroy output that the peer has not read yet (RFC 1122 4.2.2.13)."""

RETRY_ACCEPT = 0.25
"""Seconds until accept is tried again after the descriptors ran out, if none of ours was closed before."""

BUFFER = 64 * 1024
"""Bytes a read. One buffer is used again and again: a fresh one of 256 KiB costs more than the rest of an echo."""

RETELL = 10.0
"""Seconds without exhaustion until the next one is told again: a server at its limit takes one peer for each that
leaves, and runs out again at once."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, getattr(errno, "WSAEMFILE", errno.EMFILE),
              getattr(errno, "WSAENOBUFS", errno.ENOBUFS))

_THEIR_FAULT = (errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.ENOPROTOOPT, errno.EHOSTUNREACH,
                errno.EOPNOTSUPP, errno.ENETUNREACH, getattr(errno, "EHOSTDOWN", errno.ECONNABORTED),
                getattr(errno, "ENONET", errno.ECONNABORTED), getattr(errno, "WSAECONNRESET", errno.ECONNABORTED),
                getattr(errno, "WSAECONNABORTED", errno.ECONNABORTED),
                getattr(errno, "WSAENOTCONN", errno.ECONNABORTED))  # of Wine 8, where accept on Windows says CONNRESET

_THEIR_FAULT_WINDOWS = (64, 1236, 59)
"""ERROR_NETNAME_DELETED and ERROR_CONNECTION_ABORTED: what a completed AcceptEx, which the Proactor uses, says of a
peer that has reset the connection meanwhile (gh-93821). Wine 8 says ERROR_UNEXP_NET_ERR."""


def is_their_fault(error: OSError) -> bool:
    """Whether accept reported an error of that one connection, or of a firewall's making: the next may be fine
    (accept(2), "Error handling")."""
    return error.errno in _THEIR_FAULT or getattr(error, "winerror", None) in _THEIR_FAULT_WINDOWS


def is_exhaustion(error: OSError) -> bool:
    """Whether accept failed for want of descriptors or memory, here or in the whole system. The connection
    then stays in the backlog (accept(2); gVisor closes it), so a level-triggered loop that goes on would spin."""
    return error.errno in _EXHAUSTED


class Exhaustion:
    """Remembers when descriptors ran out, so that the log tells it once and not with every try."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def is_news(self, now: float) -> bool:
        """Note that it happened, at this instant of ``time.monotonic``; whether it is worth a line."""
        last, self._last = self._last, now
        return now - last > RETELL


@dataclass(frozen=True)
class Limits:
    """What one server process allows.

    max_connections: that are open at once; None: as many as the process may have descriptors.
    idle_timeout: seconds without a byte in either direction until a connection is closed; None: for ever.
    max_buffer: bytes of output that may wait for one peer before it is not read from any more, until half is left.
    drain: seconds that a stopping server takes to flush what it has accepted.
    """

    max_connections: Optional[int] = None
    idle_timeout: Optional[float] = None
    max_buffer: int = 1024 * 1024
    drain: float = 5.0


@dataclass
class Stats:
    """What one run did. Counts; bytes; seconds."""

    accepted: int = 0
    peak: int = 0  # connections open at once
    bytes_in: int = 0
    bytes_out: int = 0
    resets: int = 0  # ended by an error: reset, broken pipe
    idle: int = 0  # closed because nothing moved for idle_timeout
    refused: int = 0  # closed at once: the backend or the thread limit would not take them
    cut_off: int = 0  # still open when the drain time was over
    exhausted: int = 0  # times that descriptors ran out
    errors: int = 0  # bugs: exceptions that nobody foresaw
    waits: int = 0  # calls of the backend
    cpu_seconds: float = 0.0  # of this process, while it served
    wall_seconds: float = 0.0
    extra: Dict[str, int] = field(default_factory=dict)  # what only one model counts
