"""One connection of a load run: it sends its part of the pattern, and checks each byte that comes back.

    sent       bytes that the kernel has taken
    goal       bytes that the connection may send by now. It is interested in WRITE only while sent < goal and the
               kernel's buffer is full
    received   bytes that came back, all of them right; never more than sent

There are two kinds. ``Messages`` advances its goal by one message whenever another one may be outstanding, and measures
how long each takes. ``Stream`` sets its goal to the end of the stream at the start, half-closes when it has sent all,
and reads on until the peer has closed, too.

Under level trigger a connection makes one receive and one send for each event, because the backend reports again what
is left. Under edge trigger it goes on until EAGAIN or the end of its budget, and then calls ``modify``, which makes the
backend report again. There is one exception: once a reply is complete, ``Messages`` does not try to read more. Only the
end of the stream can still come then, and the next send finds that out. So a ping-pong message costs one receive and
one send under either trigger.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Deque

from lab.events import BOTH, READ, WRITE
from lab.load.pattern import CHUNK, PERIOD, Pattern
from lab.load.session import Session, clock


class Client:
    """The part that both kinds share. ``sock`` is non-blocking, and connected or connecting."""

    __slots__ = ("fd", "goal", "index", "interest", "is_connected", "is_finished", "received", "sent", "session",
                 "sock", "start")

    reads_to_the_end = False  # whether the connection is finished only at the end of the peer's stream

    def __init__(self, session: Session, index: int, sock: socket.socket) -> None:
        self.session = session
        self.index = index
        self.sock = sock
        self.fd = sock.fileno()
        self.start = Pattern.start(index)
        self.interest = READ
        self.is_connected = False
        self.is_finished = False
        self.sent = self.goal = self.received = 0

    @property
    def owed(self) -> int:
        """Bytes that have not come back yet, whether sent or still to be sent."""
        return self.goal - self.received

    @property
    def is_waiting(self) -> bool:
        """Whether this connection waits for the peer."""
        return not self.is_finished

    def begin(self) -> None:
        """Start to send. The run calls this once all connections are established."""
        raise NotImplementedError

    def on_timer(self, now: float) -> None:
        """Send the message that is due."""

    def stop(self) -> None:
        """Begin no new message."""

    def on_ready(self, event: int) -> None:
        """Receive and send, as far as the event says that the socket is ready. Raises ``Broken`` if the peer is gone,
        ``Deviation`` if a byte is wrong."""
        if event & ~WRITE:  # for an error, too: the receive raises it
            self._read()
        if event & WRITE and self.sent < self.goal:
            self._flush()

    def _read(self) -> None:
        session = self.session
        for _ in session.rounds:
            try:
                count = self.sock.recv_into(session.buffer)
            except BlockingIOError:
                return
            except OSError as error:  # ECONNRESET, ETIMEDOUT, ...: after any of them the connection is gone
                self._broken(error)
                return
            if not count:
                self._ended()
                return
            after = self.received + count
            if after > self.sent or not session.block.startswith(
                    session.view[:count], (self.start + self.received) % PERIOD):
                self._bad(count)
            self.received = after
            session.bytes_received += count
            was_settled = after == self.sent
            self._advance()
            if was_settled and not self.reads_to_the_end:
                return
        if session.is_edge:
            session.backend.modify(self.fd, self.interest)

    def conclude(self) -> None:
        """Check that no surplus bytes came back, after all that was sent has. Raises ``Deviation``."""
        try:
            count = self.sock.recv_into(self.session.buffer)
        except OSError:  # EAGAIN: no surplus. Any other: the peer is gone, and it may be now
            return
        if count:
            self._bad(count)

    def _bad(self, count: int) -> None:
        session = self.session
        due = self.sent - self.received
        if session.pattern.first_wrong(self.index, self.received, session.view[:count]) < min(count, due):
            raise session.wrong(self, count)
        raise session.surplus(self, count - due)

    def _advance(self) -> None:
        """React to right bytes that came back."""

    def _flush(self) -> None:
        """Send up to the goal, as much as the kernel takes."""
        session = self.session
        for _ in session.rounds:
            length = self._length()
            at = (self.start + self.sent) % PERIOD
            try:
                count = self.sock.send(session.pattern.view[at:at + length])
            except BlockingIOError:
                break
            except OSError as error:  # EPIPE, ECONNRESET, ...: after any of them the connection is gone
                raise session.lost(self, error) from None
            self.sent += count
            session.bytes_sent += count
            if self.sent == self.goal:
                if self.interest != READ:
                    self._watch(READ)
                self._all_sent()
                return
            if count < length:
                break
        if self.interest != BOTH or session.is_edge:
            self._watch(BOTH)

    def _length(self) -> int:
        """The number of bytes to pass to the next send."""
        return min(self.goal - self.sent, CHUNK)

    def _all_sent(self) -> None:
        """React to having sent all bytes up to the goal."""

    def _watch(self, interest: int) -> None:
        self.interest = interest
        self.session.backend.modify(self.fd, interest)

    def _ended(self) -> None:
        """Handle the end of the peer's stream."""
        if not self.is_finished:
            raise self.session.lost(self, None)
        self._leave()

    def _broken(self, error: OSError) -> None:
        if not self.is_finished:
            raise self.session.lost(self, error) from None
        self._leave()

    def _finish(self) -> None:
        if not self.is_finished:
            self.is_finished = True
            self.session.busy -= 1

    def _leave(self) -> None:
        """Stop watching, and close: nothing is owed, and the peer is gone."""
        self.session.backend.unregister(self.fd)
        self.sock.close()


class Messages(Client):
    """Messages of one size, up to ``window`` of them outstanding."""

    __slots__ = ("_begun", "_boundary", "_due", "_has_timer", "_left", "_size", "_window")

    def __init__(self, session: Session, index: int, sock: socket.socket) -> None:
        super().__init__(session, index, sock)
        plan = session.plan
        self._size = plan.size_bytes
        self._window = plan.window
        share = plan.share(index)
        self._left = -1 if share is None else share  # messages to begin; negative never ends
        self._begun = 0
        self._due: Deque[float] = deque()  # for each outstanding message, the instant from which its latency counts
        self._boundary = self._size  # the offset at which the oldest of them ends
        self._has_timer = False

    @property
    def is_waiting(self) -> bool:
        return bool(self._due)

    def begin(self) -> None:
        self._refill(clock())
        self._check()

    def on_timer(self, now: float) -> None:
        self._has_timer = False
        self._refill(now)

    def stop(self) -> None:
        self._left = 0
        self._check()

    def _check(self) -> None:
        if not self._left and not self._due:
            self._finish()

    def _advance(self) -> None:
        if self.received < self._boundary:
            return
        now = clock()
        session, due = self.session, self._due
        while self.received >= self._boundary:
            session.latencies.record(now - due.popleft())
            session.messages += 1
            self._boundary += self._size
        if self._left:
            self._refill(now)
        elif not due:
            self._finish()

    def _refill(self, now: float) -> None:
        """Begin as many messages as the window has room for and, with a rate, as are due."""
        session, due = self.session, self._due
        rate = session.plan.rate
        while self._left and len(due) < self._window:
            if rate is not None:
                turn = self.index + self._begun * session.plan.connections
                instant = session.started_at + turn / rate
                if instant >= now:
                    if not self._has_timer:
                        self._has_timer = True
                        session.wake_at(instant, self.index)
                    break
                due.append(instant)
            else:
                due.append(now)
            self._begun += 1
            self._left -= 1
            self.goal += self._size
            session.launched += 1
        if self.sent < self.goal and self.interest == READ:
            self._flush()


class Stream(Client):
    """One long stream in segments of random size: send it, half-close, and read until the peer's stream ends."""

    __slots__ = ("_end", "_has_shut", "_random")

    reads_to_the_end = True

    def __init__(self, session: Session, index: int, sock: socket.socket) -> None:
        super().__init__(session, index, sock)
        self._random = (session.plan.seed * 69069 + index * 2 + 1) & 0x7FFFFFFF
        self._end = 0  # the offset at which the segment ends
        self._has_shut = False

    def begin(self) -> None:
        self.goal = self.session.plan.share(self.index) or 0
        if self.goal:
            self._flush()
        else:
            self._all_sent()

    def _length(self) -> int:
        """The bytes that are left of the segment. A new segment has 1 to CHUNK bytes. The generator, the rand() of ANSI
        C, keeps one integer for each connection; the upper 16 bits of it are random enough."""
        if self.sent >= self._end:
            self._random = (self._random * 1103515245 + 12345) & 0x7FFFFFFF
            self._end = self.sent + 1 + (self._random >> 15)
        return min(self._end, self.goal) - self.sent

    def _all_sent(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:  # ENOTCONN: the peer has reset the connection
            raise self.session.lost(self, error) from None
        self._has_shut = True

    def _ended(self) -> None:
        if not self._has_shut:
            raise self.session.lost(self, None)
        if self.received < self.goal:
            raise self.session.missing(self)
        self._finish()
        self._leave()
