"""A bell that threads hear while they sleep for a socket, for platforms where nothing else wakes them: Windows.

On POSIX shutdown(2) of its socket ends the sleep of a thread in recv or send. On Windows a thread in recv sleeps on
(Wine 8), and recv fails from then on though bytes had arrived, which resets the connection (``shutdown`` in the Winsock
reference, SD_RECEIVE). So there a thread sleeps in select, for its socket and for the bell.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from typing import Any, List, Optional

from lab.backends import Waker


class Bell:
    """Rung once: no more input than has arrived. Rung again: no more at all. Every thread hears both, for ever."""

    def __init__(self) -> None:
        self._once, self._twice = Waker(), Waker()
        self.rung = 0

    def ring(self) -> None:
        self.rung = max(self.rung, 1)
        self._once.wake()

    def ring_again(self) -> None:
        self.rung = 2
        self._once.wake()
        self._twice.wake()

    def hung_on(self, sock: socket.socket) -> Any:
        """The socket, for those who sleep in its ``recv_into`` and ``send``: at the first ring the one ends the stream
        after what has arrived, at the second both raise ECONNABORTED."""
        return _Wakeable(sock, self)

    def wait(self, sock: socket.socket, writes: bool, timeout: Optional[float]) -> bool:
        """Until it is ready: whether it is. Raises ``socket.timeout``, and at the second ring ``OSError``."""
        heard = self._twice.fd if writes else self._once.fd
        listened: List[Any] = [heard] if writes or not self.rung else []
        span = timeout if listened else 0
        if writes:
            rung, ready, _ = select.select(listened, [sock], [], span)
        else:
            ready, _, _ = select.select([sock, *listened], [], [], span)
            rung = [each for each in ready if each is not sock]
        if self.rung == 2:
            raise OSError(errno.ECONNABORTED, "the server has ended")
        if listened and not ready and not rung:
            raise socket.timeout("timed out")
        return sock in ready

    def close(self) -> None:
        """Nobody may hear it any more but those who end at the second ring."""
        self._once.close()
        self._twice.close()


class _Wakeable:
    """As much of a socket as a conversation needs."""

    def __init__(self, sock: socket.socket, bell: Bell) -> None:
        self._sock, self._bell = sock, bell
        self._timeout: Optional[float] = None
        self.shutdown = sock.shutdown

    def settimeout(self, timeout: Optional[float]) -> None:
        self._timeout = timeout
        self._sock.setblocking(False)

    def recv_into(self, buffer: Any) -> int:
        """Some bytes; 0 at the end of the stream."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            was_rung = self._bell.rung
            if self._bell.wait(self._sock, False, _left(deadline)):
                try:
                    return self._sock.recv_into(buffer)
                except BlockingIOError:  # it is not ready after all (select(2), "BUGS"), or another thread was faster
                    continue
            if was_rung:
                return 0

    def send(self, data: Any) -> int:
        """How many bytes were taken; some."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            if self._bell.wait(self._sock, True, _left(deadline)):
                try:
                    return self._sock.send(data)
                except BlockingIOError:  # as above
                    continue


def _left(deadline: Optional[float]) -> Optional[float]:
    return None if deadline is None else max(deadline - time.monotonic(), 0.0)
