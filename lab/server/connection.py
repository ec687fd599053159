"""One peer of the event loop: what is read, what waits to be written, and how it ends.

    OPEN ---------> ANSWERING     the peer has finished sending (half-close): what it is owed still goes out
      |                 |
      v                 v
    FINISHING ----> LINGERING --> CLOSED

FINISHING: we have finished (daytime has spoken, a request was malformed, the server is stopping), and output
still waits. LINGERING: all is out and we have said so with SHUT_WR; what the peer still sends is read and thrown
away, up to LINGER seconds, because closing over unread input sends a reset that destroys what the peer has not
read yet. A reset or an error leads to CLOSED from anywhere.

There is one output queue (``lab.server.output``), and only while something is in it is there interest in WRITE.
Over ``max_buffer`` the peer is not read from until half is left. Interest and phase are all the state there is: a
level-triggered backend repeats what we leave unread, and an edge-triggered one does after ``modify``, so both run
the same code but for the number of rounds: once under level, until EAGAIN or the fairness budget under edge.

Reads go into one buffer of the loop's, replies are views of it wherever possible, and the usual echo makes two
system calls and no copy. This file is the hot path: what looks repetitive was measured.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Optional

from lab.events import ERROR, HANGUP, INVALID, READ, WRITE
from lab.server.handler import Handler, Output
from lab.server.handlers import DISCARD
from lab.server.output import Waiting

if TYPE_CHECKING:
    from lab.server.loop import Loop

OPEN, ANSWERING, FINISHING, LINGERING, CLOSED = range(5)


class Connection:
    """One accepted, non-blocking stream socket in a ``Loop``. Fewer than 1,024 bytes while it is idle."""

    __slots__ = ("active_at", "fd", "handler", "interest", "loop", "phase", "queue", "sock")

    def __init__(self, loop: Loop, sock: socket.socket, handler: Handler) -> None:
        self.loop = loop
        self.sock = sock
        self.fd = sock.fileno()
        self.handler = handler
        self.queue: Optional[Waiting] = None  # output that waits; None rather than empty
        self.interest = READ
        self.phase = OPEN
        self.active_at = loop.now

    def open(self) -> None:
        """Register, and say what the handler says unasked. Raises ``Refused``, and is closed then."""
        try:
            self.loop.backend.register(self.fd, READ, self)
        except BaseException:
            self.phase = CLOSED
            self.sock.close()
            raise
        greeting = self.handler.opened()
        if greeting:
            self._send(greeting)
        if self.handler.endless and self.queue is None and self.phase == OPEN:
            self.queue = Waiting(self.handler.more())
            self._watch()
        if self.handler.finished and self.phase == OPEN:
            self.finish()

    def on_ready(self, event: int) -> None:
        """Do what the event says can be done."""
        if event == READ:  # the usual, without further questions
            self._read()
            return
        if self.queue is not None and event & WRITE:
            self._flush()
        if event & ~WRITE:  # also for an error: the read raises it
            if self.interest & READ:
                self._read()
            elif event & (ERROR | HANGUP | INVALID):  # not reading, and nothing can be delivered any more
                self._lost()

    def _read(self) -> None:
        loop, sock, handler = self.loop, self.sock, self.handler
        for _ in loop.rounds:
            try:
                count = sock.recv_into(loop.buffer)
            except BlockingIOError:
                loop.empty_reads += 1
                if loop.draining and self.queue is None:
                    self.finish()  # everything that had arrived is answered
                return
            except OSError:  # ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ...: whichever, the peer is gone
                self._lost()
                return
            if not count:
                self._ended()
                return
            loop.bytes_in += count
            self.active_at = loop.now
            reply = handler.received(loop.view[:count])
            if reply:
                self._send(reply)
            if handler.finished and self.phase == OPEN:
                self.finish()
                handler = self.handler
            if not self.interest & READ:  # paused, finished or closed meanwhile
                return
        if loop.drains_each_event:
            loop.tell_again(self)

    def _send(self, output: Output) -> None:
        """Send at once what the kernel takes, and queue the rest."""
        queue = self.queue
        if queue is None:
            try:
                sent = self.sock.send(output)
            except BlockingIOError:
                sent = 0
            except OSError:  # EPIPE, ECONNRESET, ...: the peer is gone
                self._lost()
                return
            self.loop.bytes_out += sent
            if sent < len(output):
                self.queue = Waiting(output[sent:])
                self._watch()
        else:
            queue.append(output)
            if queue.size > self.loop.limits.max_buffer:
                self._watch()

    def _flush(self) -> None:
        """Send what waits; then, of an endless handler, more."""
        loop, queue = self.loop, self.queue
        assert queue is not None
        for _ in loop.rounds:
            try:
                sent = self.sock.send(queue.first())
            except BlockingIOError:
                self._watch()
                return
            except OSError:  # EPIPE, ECONNRESET, ...: the peer is gone
                self._lost()
                return
            self.active_at = loop.now
            loop.bytes_out += sent
            queue.sent(sent)
            if not queue.size:
                if self.phase == OPEN and not loop.draining:
                    queue.append(self.handler.more())
                if not queue.size:
                    self._flushed()
                    return
        self._watch()
        if loop.drains_each_event:
            loop.tell_again(self)

    def _flushed(self) -> None:
        """The queue is empty: go on reading, or end."""
        self.queue = None
        if self.phase == ANSWERING:
            self.close()
        elif self.phase == FINISHING:
            self._linger()
        else:
            self._watch()
            if self.loop.draining:  # under level trigger nothing would tell that there is no more input
                self._read()

    def _watch(self) -> None:
        """Set the interest that phase and queue call for."""
        waiting = 0 if self.queue is None else self.queue.size
        interest = WRITE if waiting else 0
        if self.phase == LINGERING:
            interest = READ
        elif self.phase == OPEN:
            most = self.loop.limits.max_buffer
            if waiting <= most // 2 or (self.interest & READ and waiting <= most) or self.handler.endless:
                interest |= READ  # an endless handler does not answer input, so input makes no queue longer
        if interest != self.interest:
            self.interest = interest
            self.loop.backend.modify(self.fd, interest)

    def _ended(self) -> None:
        """The peer will send nothing more."""
        if self.queue is None or self.phase == LINGERING:
            self.close()
        else:
            self.phase = ANSWERING
            self._watch()

    def finish(self) -> None:
        """End from our side: what waits goes out, input counts no more."""
        if self.phase == OPEN:
            self.phase = FINISHING
            if self.queue is None:
                self._linger()
            else:
                self._watch()

    def drain(self) -> None:
        """The server is stopping: answer what has arrived, then finish."""
        if self.phase == OPEN and self.interest & READ and self.queue is None:
            self._read()  # to EAGAIN, or as far as is fair; later events go on from there

    def _linger(self) -> None:
        self.phase = LINGERING
        self.handler = DISCARD
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:  # ENOTCONN: reset meanwhile
            self._lost()
            return
        self.loop.lingers(self)
        self._watch()

    def _lost(self) -> None:
        """A reset, a broken pipe: nothing can be sent or received any more."""
        if self.phase != CLOSED:
            self.loop.stats.resets += 1
            self.close()

    def close(self) -> None:
        """End now. What waits is dropped. May be called twice."""
        if self.phase != CLOSED:
            self.phase = CLOSED
            self.interest = 0
            self.queue = None
            self.loop.backend.unregister(self.fd)
            self.loop.closed(self)
            self.sock.close()  # last: EBADF, where somebody else has closed it, must not leave us in the loop
