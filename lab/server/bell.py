"""Wake threads that sleep in a socket call when the server stops, on Windows, where shutdown(2) does not wake them.

On POSIX, shutdown(2) of a socket wakes a thread that sleeps in recv or send on it. On Windows a thread in recv sleeps
on (Wine 8). Worse, recv fails from then on, although bytes had arrived, and that resets the connection (``shutdown`` in
the Winsock reference, SD_RECEIVE). So on Windows the blocking model's threads sleep in select, on their socket and on a
``Bell``.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from typing import Any, List, Optional

from lab.backends import Waker

_SILENT, _INPUT_ENDED, _ABORTED = range(3)


class Bell:
    """Wakes every thread that waits on an attached socket. ``end_input`` ends reading once the input that has arrived
    is used up; ``abort`` ends reading and writing at once. Both last: a thread that arrives later finds them in force.
    """

    def __init__(self) -> None:
        self._input_waker, self._abort_waker = Waker(), Waker()
        self._state = _SILENT

    @property
    def input_has_ended(self) -> bool:
        """Whether ``end_input`` or ``abort`` was called."""
        return self._state >= _INPUT_ENDED

    def end_input(self) -> None:
        """Make ``recv_into`` of every attached socket return what has arrived, then 0. Writing goes on."""
        self._state = max(self._state, _INPUT_ENDED)
        self._input_waker.wake()

    def abort(self) -> None:
        """Make ``recv_into`` and ``send`` of every attached socket raise ECONNABORTED."""
        self._state = _ABORTED
        self._input_waker.wake()
        self._abort_waker.wake()

    def attach(self, sock: socket.socket) -> Any:
        """An object with the socket's ``recv_into``, ``send``, ``settimeout`` and ``shutdown``, whose calls this bell
        can end."""
        return _Wakeable(sock, self)

    def wait(self, sock: socket.socket, to_write: bool, timeout: Optional[float]) -> bool:
        """Wait until the socket is ready or the bell rings. Returns whether the socket is ready. Raises
        ``socket.timeout``, and ``OSError`` (ECONNABORTED) after ``abort``."""
        waker = self._abort_waker.fd if to_write else self._input_waker.fd
        wakers: List[Any] = [waker] if to_write or not self.input_has_ended else []
        span = timeout if wakers else 0
        if to_write:
            rings, ready, _ = select.select(wakers, [sock], [], span)
        else:
            ready, _, _ = select.select([sock, *wakers], [], [], span)
            rings = [each for each in ready if each is not sock]
        if self._state == _ABORTED:
            raise OSError(errno.ECONNABORTED, "the server has ended")
        if wakers and not ready and not rings:
            raise socket.timeout("timed out")
        return sock in ready

    def close(self) -> None:
        """Close the wakers. Call ``abort`` first: no thread may still wait when they close."""
        self._input_waker.close()
        self._abort_waker.close()


class _Wakeable:
    """The part of a socket's interface that a conversation uses, in calls that the bell can end."""

    def __init__(self, sock: socket.socket, bell: Bell) -> None:
        self._sock, self._bell = sock, bell
        self._timeout: Optional[float] = None
        self.shutdown = sock.shutdown

    def settimeout(self, timeout: Optional[float]) -> None:
        self._timeout = timeout
        self._sock.setblocking(False)

    def recv_into(self, buffer: Any) -> int:
        """Read some bytes. Returns their number; 0 at the end of the stream."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            input_had_ended = self._bell.input_has_ended
            if self._bell.wait(self._sock, False, _left(deadline)):
                try:
                    return self._sock.recv_into(buffer)
                except BlockingIOError:  # select was wrong (select(2), "BUGS"), or another thread read first
                    continue
            if input_had_ended:
                return 0

    def send(self, data: Any) -> int:
        """Send some bytes. Returns the number that the kernel took, at least one."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            if self._bell.wait(self._sock, True, _left(deadline)):
                try:
                    return self._sock.send(data)
                except BlockingIOError:  # as in recv_into
                    continue


def _left(deadline: Optional[float]) -> Optional[float]:
    return None if deadline is None else max(deadline - time.monotonic(), 0.0)
