"""One peer of the event loop: how the server reads from it, queues its output, and ends the connection.

    OPEN ---------> ANSWERING
      |                 |
      v                 v
    FINISHING ----> LINGERING --> CLOSED

ANSWERING: the peer has finished sending (half-close), and the server still sends the output that it owes.
FINISHING: the server has finished (daytime has sent its line, a request was malformed, the server is stopping), and
output still waits. LINGERING: all output is sent, and the server has half-closed with SHUT_WR. It reads and throws away
what the peer still sends, for up to LINGER seconds: close() over unread input would send a reset, which destroys output
that the peer has not read yet. A reset or an error leads from every phase to CLOSED.

The connection has one output queue (``lab.server.output``), and is interested in WRITE only while the queue holds
something. Above ``max_buffer`` it stops reading until half is left. Interest and phase are all the state there is. A
level-triggered backend reports again what we leave unread; an edge-triggered one does so after ``modify``. So both run
the same code, except for the number of rounds: one under level trigger, up to EAGAIN or the fairness budget under edge
trigger.

All connections read into one buffer of the loop, and replies are views of it wherever possible. The usual echo takes
two system calls and no copy. This file is the hot path: measurements justify what looks repetitive.
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
    """One accepted, non-blocking stream socket in a ``Loop``. An idle one takes fewer than 1,024 bytes of memory."""

    __slots__ = ("active_at", "fd", "handler", "interest", "loop", "phase", "queue", "sock")

    def __init__(self, loop: Loop, sock: socket.socket, handler: Handler) -> None:
        self.loop = loop
        self.sock = sock
        self.fd = sock.fileno()
        self.handler = handler
        self.queue: Optional[Waiting] = None  # output that waits; None if there is none, never an empty queue
        self.interest = READ
        self.phase = OPEN
        self.active_at = loop.now

    def open(self) -> None:
        """Register with the backend, then send the handler's greeting. Raises ``Refused`` after closing the socket."""
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
        """Read and write, as far as the event says that the socket is ready."""
        if event == READ:  # the most frequent event, on the shortest way
            self._read()
            return
        if self.queue is not None and event & WRITE:
            self._flush()
        if event & ~WRITE:  # for an error, too: the read raises it
            if self.interest & READ:
                self._read()
            elif event & (ERROR | HANGUP | INVALID):  # we do not read now, and no output can reach the peer any more
                self._lost()

    def _read(self) -> None:
        loop, sock, handler = self.loop, self.sock, self.handler
        for _ in loop.rounds:
            try:
                count = sock.recv_into(loop.buffer)
            except BlockingIOError:
                loop.empty_reads += 1
                if loop.draining and self.queue is None:
                    self.finish()  # all input that had arrived is answered
                return
            except OSError:  # ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ...: after any of them the peer is gone
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
            if not self.interest & READ:  # the reply has paused, finished or closed this connection
                return
        if loop.drains_each_event:
            loop.continue_later(self)

    def _send(self, output: Output) -> None:
        """Send at once as much as the kernel takes, and queue the rest."""
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
        """Send the queued output, then, if the handler is endless, its next piece."""
        loop, queue = self.loop, self.queue
        assert queue is not None
        for _ in loop.flushes:
            first = queue.first()
            try:
                sent = self.sock.send(first)
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
            elif sent < len(first) and not loop.drains_each_event:  # the kernel has no more room
                break
        self._watch()
        if loop.drains_each_event:
            loop.continue_later(self)

    def _flushed(self) -> None:
        """Go on reading, or end: the queue is empty."""
        self.queue = None
        if self.phase == ANSWERING:
            self.close()
        elif self.phase == FINISHING:
            self._linger()
        else:
            self._watch()
            if self.loop.draining:  # under level trigger no event would report that no input is left
                self._read()

    def _watch(self) -> None:
        """Set the interest that follows from phase and queue."""
        waiting = 0 if self.queue is None else self.queue.size
        interest = WRITE if waiting else 0
        if self.phase == LINGERING:
            interest = READ
        elif self.phase == OPEN:
            most = self.loop.limits.max_buffer
            if waiting <= most // 2 or (self.interest & READ and waiting <= most) or self.handler.endless:
                interest |= READ  # an endless handler does not answer input, so reading does not lengthen its queue
        if interest != self.interest:
            self.interest = interest
            self.loop.backend.modify(self.fd, interest)

    def _ended(self) -> None:
        """Handle the end of the stream: the peer will send nothing more."""
        if self.queue is None or self.phase == LINGERING:
            self.close()
        else:
            self.phase = ANSWERING
            self._watch()

    def finish(self) -> None:
        """End from our side: send the queued output, ignore further input."""
        if self.phase == OPEN:
            self.phase = FINISHING
            if self.queue is None:
                self._linger()
            else:
                self._watch()

    def drain(self) -> None:
        """Answer the input that has arrived, then finish: the server is stopping."""
        if self.phase == OPEN and self.interest & READ and self.queue is None:
            self._read()  # to EAGAIN, or to the end of the budget; later events go on from there

    def _linger(self) -> None:
        self.phase = LINGERING
        self.handler = DISCARD
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:  # ENOTCONN: the peer has reset the connection
            self._lost()
            return
        self.loop.start_lingering(self)
        self._watch()

    def _lost(self) -> None:
        """Close after an error, such as a reset or a broken pipe: no byte can be sent or received any more."""
        if self.phase != CLOSED:
            self.loop.stats.resets += 1
            self.close()

    def close(self) -> None:
        """End at once and drop the queued output. May be called twice."""
        if self.phase != CLOSED:
            self.phase = CLOSED
            self.interest = 0
            self.queue = None
            self.loop.backend.unregister(self.fd)
            self.loop.closed(self)
            self.sock.close()  # last: if other code has closed it, EBADF must not leave this connection in the loop
