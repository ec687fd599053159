"""Ends another thread's wait: the self-pipe trick, with a socket pair because Windows selects nothing else.

Closing a descriptor does not wake whoever waits for it, and a signal wakes only the main thread; a byte that
becomes readable wakes every backend on every platform (select(2), "The self-pipe trick").
"""

from __future__ import annotations

import socket


class Waker:
    """Register ``fd`` for READ; ``wake`` from any thread or signal handler; ``clear`` when it is ready."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)  # signal.set_wakeup_fd takes no blocking descriptor
        self.fd = self._near.fileno()
        self.signal_fd = self._far.fileno()
        """For ``signal.set_wakeup_fd``: the interpreter writes the signal's number here."""

    def wake(self) -> None:
        """Make ``fd`` readable. Never blocks, never fails: when the pair is full, it is readable already."""
        try:
            self._far.send(b"\0")
        except OSError:  # EAGAIN: full. EBADF: closed meanwhile, so nobody waits any more
            pass

    def clear(self) -> None:
        """Read all that was written, so that a level-triggered backend reports ``fd`` no more."""
        try:
            while self._near.recv(4096):
                pass
        except BlockingIOError:
            pass

    def wait(self) -> None:
        """Block this thread until ``wake`` or a signal; for threads that wait for nothing else."""
        self._near.setblocking(True)
        try:
            self._near.recv(4096)
        finally:
            self._near.setblocking(False)

    def close(self) -> None:
        self._near.close()
        self._far.close()
