"""The event loop: wait on a backend, then let every object whose descriptor is ready do its work.

After each wait the loop calls the owners of the ready descriptors in turn. Acceptors accept new peers, connections read
and write, and the waker reports a call of ``stop``. Under level trigger each owner takes one step. That is fair,
because the backend reports the rest again. Under edge trigger each goes on until EAGAIN. That alone would be unfair, so
a budget ends its turn, and ``modify`` makes the backend report the rest again. The loop needs no list of unfinished
work.

When descriptors run out, accept fails, and the peer stays in the backlog. The listener then stays readable, and a
level-triggered loop spins (15,134 wakeups in 0.1 s, Linux 6.18). A loop that has reached ``max_connections`` spins in
the same way. So the loop stops watching its listeners in both cases, and watches them again when one of its connections
closes. After descriptors ran out it also retries a little later, because another part of the process, or another
process, may have closed some. New peers wait in the backlog meanwhile, and connected peers notice nothing.

To stop, the loop accepts the peers in the backlog, then closes the listeners. Each connection answers the input that
has arrived, and finishes. The loop closes those that are left when the drain time is over.
"""

from __future__ import annotations

import errno
import socket
import time
from typing import Any, Dict, List, Optional, Sequence, Set

from lab.address import BACKLOG, UNIX
from lab.backends import Backend, Refused, Waker
from lab.events import READ, Trigger
from lab.server.connection import LINGERING, Connection
from lab.server.handlers import Factory
from lab.server.limits import BUFFER, LINGER, RETRY_ACCEPT, Exhaustion, Limits, Stats, is_exhaustion, is_peer_error
from lab.server.log import Log
from lab.server.timers import Timers

BUDGET = 16  # reads or writes of one edge-triggered connection in a row; 1 MiB of input
FLUSHES = 4  # pieces of 64 KiB that one connection sends in a row under level trigger
ACCEPTS = 64  # peers taken in a row
SWEEPS = 8  # sweeps within one idle timeout: the loop closes an idle connection at most 1/8 of it late


class Acceptor:
    """A listening socket in the loop."""

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self.loop = loop
        self.sock = sock
        self.fd = sock.fileno()

    def on_ready(self, event: int) -> None:
        """Accept up to ACCEPTS of the peers that wait."""
        self.take(ACCEPTS)

    def take(self, most: int) -> None:
        """Accept up to ``most`` peers."""
        loop = self.loop
        for _ in range(most):
            if loop.is_full:
                loop.pause_accepting()
            if not loop.accepting:  # the loop is full, or ``stop`` was handled earlier in this turn
                return
            try:
                sock, _ = self.sock.accept()
            except BlockingIOError:
                loop.caught_up()
                return
            except OSError as error:
                if is_exhaustion(error):
                    loop.exhausted(error)
                    return
                if not is_peer_error(error):
                    raise
                continue
            loop.accepted(sock)
        if loop.drains_each_event:
            loop.backend.modify(self.fd, READ)


class WakerHandler:
    """Owns the waker's descriptor in the loop: it becomes ready after a call of ``stop``."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def on_ready(self, event: int) -> None:
        """Reset the waker, then start to stop if ``stop`` was called."""
        self.loop.waker.clear()
        self.loop.handle_stop()


class Loop:
    """Serves connections on one backend until ``stop``. Only ``stop`` may be called from another thread.

    The loop takes ownership of ``backend`` and of the listening sockets: ``run`` closes them when it ends.
    """

    def __init__(self, backend: Backend, listeners: Sequence[socket.socket], handler: Factory, limits: Limits,
                 log: Log) -> None:
        self.backend = backend
        self.limits = limits
        self.log = log
        self.stats = Stats()
        self.now = time.monotonic()  # when the last wait returned
        self.buffer = bytearray(BUFFER)
        self.view = memoryview(self.buffer)
        self.bytes_in = self.bytes_out = 0  # not in ``stats``: one more look-up for each read takes measurable time
        self.drains_each_event = backend.trigger is Trigger.EDGE
        self.rounds = range(BUDGET if self.drains_each_event else 1)  # reads in a row
        self.flushes = range(BUDGET if self.drains_each_event else FLUSHES)  # pieces of output in a row
        self.empty_reads = 0
        self.draining = False
        self.waker = Waker()
        self._handler = handler
        self._acceptors = [Acceptor(self, sock) for sock in listeners]
        self._connections: Set[Connection] = set()
        self._lingering: Dict[Connection, float] = {}
        self._sweeping = False  # whether a timer for the lingering connections is set; one is enough
        self._timers = Timers()
        self.accepting = False
        self._exhaustion = Exhaustion()
        self._exhausted_at: Optional[float] = None  # when descriptors ran out, if the log has reported it and it lasts
        self._stop_calls = 0

    # Called from outside.

    def run(self) -> Stats:
        """Serve until stopped. Returns the counters, and leaves nothing open."""
        try:
            self.backend.register(self.waker.fd, READ, WakerHandler(self))
            self._resume_accepting()
            if self.limits.idle_timeout is not None:
                self._timers.at(self.now + self.limits.idle_timeout / SWEEPS, self._sweep_idle)
            self._serve()
        finally:
            self._close_everything()
            self.stats.bytes_in, self.stats.bytes_out = self.bytes_in, self.bytes_out
        return self.stats

    def stop(self) -> None:
        """Drain, then end. A second call ends at once. May be called from any thread or signal handler."""
        self._stop_calls += 1
        self.waker.wake()

    # The loop itself.

    def _serve(self) -> None:
        wait, timers, stats = self.backend.wait, self._timers, self.stats
        monotonic = time.monotonic
        while not self._is_done():
            ready = wait(timers.until_next(monotonic()) if timers else None)
            self.now = now = monotonic()
            stats.waits += 1
            for owner, event in ready:
                try:
                    owner.on_ready(event)
                except Exception as error:
                    self._bug(owner, error)
            if timers:
                timers.run(now)

    def _is_done(self) -> bool:
        return self._stop_calls > 1 or (self.draining and not self._connections)

    def _bug(self, owner: Any, error: Exception) -> None:
        """Log an exception that nobody foresaw. If it came from a connection, close that one; else raise it again."""
        self.stats.errors += 1
        self.log.bug(error)
        if isinstance(owner, Connection):
            owner.close()
        else:
            raise error

    # Called by acceptors and connections.

    @property
    def is_full(self) -> bool:
        """Whether max_connections are open."""
        most = self.limits.max_connections
        return most is not None and len(self._connections) >= most

    def accepted(self, sock: socket.socket) -> None:
        """Make a connection of a socket that an acceptor has accepted."""
        stats = self.stats
        stats.accepted += 1
        prepare(sock)
        connection = Connection(self, sock, self._handler())
        self._connections.add(connection)
        stats.peak = max(stats.peak, len(self._connections))
        try:
            connection.open()
        except Refused as refusal:
            self._connections.discard(connection)
            stats.refused += 1
            if stats.refused == 1:  # log the first only; the counter has them all
                self.log.problem("refused", "refused a connection: %s" % refusal, reason=str(refusal))
        except Exception as error:  # from the greeting: close this connection, not the acceptor that called us
            self._bug(connection, error)

    def closed(self, connection: Connection) -> None:
        """Forget a connection that has closed: its place and its descriptor are free."""
        self._connections.discard(connection)
        self._lingering.pop(connection, None)
        if not self.accepting and not self.draining:
            self._resume_accepting()

    def continue_later(self, connection: Connection) -> None:
        """Let a connection that used up its rounds before EAGAIN go on after all others have had their turn."""
        self.backend.modify(connection.fd, connection.interest)
        if self.draining:  # the last round may have read the last input; then no event would ever come
            self._timers.at(self.now, lambda: self._drain(connection))

    def start_lingering(self, connection: Connection) -> None:
        """Wait up to LINGER seconds for the peer of a finished connection to close."""
        self._lingering[connection] = self.now + LINGER
        if not self._sweeping:
            self._sweeping = True
            self._timers.at(self.now + LINGER, self._sweep_lingering)

    # Pausing and resuming accept.

    def pause_accepting(self) -> None:
        """Stop watching the listeners. New peers wait in the backlog."""
        if self.accepting:
            self.accepting = False
            for acceptor in self._acceptors:
                self.backend.unregister(acceptor.fd)

    def _resume_accepting(self) -> None:
        if not self.accepting and not self.draining:
            self.accepting = True
            for acceptor in self._acceptors:
                self.backend.register(acceptor.fd, READ, acceptor)

    def caught_up(self) -> None:
        """Log the end of an exhaustion: the backlog is empty again."""
        if self._exhausted_at is not None:
            self.log.event("accepting", "accepting again after %.3g s without descriptors"
                           % (self.now - self._exhausted_at), seconds=self.now - self._exhausted_at)
            self._exhausted_at = None

    def exhausted(self, error: OSError) -> None:
        """Pause accepting after accept found no free descriptor, and retry in RETRY_ACCEPT seconds."""
        self.pause_accepting()
        self._timers.at(time.monotonic() + RETRY_ACCEPT, self._resume_accepting)
        if self._exhaustion.is_news(self.now):
            self._exhausted_at = self.now
            self.stats.exhausted += 1
            name = errno.errorcode.get(error.errno or 0, str(error.errno))
            self.log.problem("exhausted", "no free descriptor (%s): new peers wait until one is free; raise "
                             "`ulimit -n`, or set --max-connections below it" % name, errno=name)

    # Timers.

    def _sweep_idle(self) -> None:
        """Close the connections in which no byte moved for ``idle_timeout``. A sweep over all of them now and then
        costs less time and memory than a timer for each."""
        idle = self.limits.idle_timeout
        assert idle is not None
        for connection in [each for each in self._connections if each.active_at + idle <= self.now]:
            self.stats.idle += 1
            connection.close()
        self._timers.at(self.now + idle / SWEEPS, self._sweep_idle)

    def _sweep_lingering(self) -> None:
        """Close the lingering connections whose time is over. The dictionary is in the order of their deadlines."""
        self._sweeping = False
        while self._lingering:
            connection, deadline = next(iter(self._lingering.items()))
            if deadline > self.now:
                self._sweeping = True
                self._timers.at(deadline, self._sweep_lingering)
                return
            connection.close()

    # The end.

    def handle_stop(self) -> None:
        """Begin to drain if ``stop`` was called: accept the backlog, close the listeners, answer what has arrived."""
        if not self._stop_calls or self.draining:
            return
        for acceptor in self._acceptors:  # closing a listener resets the peers in its backlog, so accept them first
            acceptor.take(BACKLOG)
        self.draining = True
        self.pause_accepting()
        for acceptor in self._acceptors:
            acceptor.sock.close()
        self.rounds = self.flushes = range(BUDGET)  # to EAGAIN: only that shows that no input is left
        self.drains_each_event = True
        self._timers.at(time.monotonic() + self.limits.drain, self.stop)
        for connection in list(self._connections):
            self._drain(connection)

    def _drain(self, connection: Connection) -> None:
        try:
            connection.drain()
        except Exception as error:
            self._bug(connection, error)

    def _close_everything(self) -> None:
        self.draining = True
        left: List[Connection] = list(self._connections)
        self.stats.cut_off += sum(1 for each in left if each.phase != LINGERING)
        for connection in left:
            connection.close()
        for acceptor in self._acceptors:
            acceptor.sock.close()
        self.backend.close()
        self.waker.close()


def prepare(sock: socket.socket) -> None:
    """Set an accepted socket up for a loop: non-blocking, no delay of small answers, urgent data in line.

    An accepted socket inherits the listener's non-blocking mode on the BSDs and Windows, and nothing on Linux; so set
    it in any case. Urgent data out of line is one byte, which the next one may overwrite and which a plain read does
    not return; RFC 6093 asks applications to take it in line.
    """
    sock.setblocking(False)
    if sock.family != UNIX:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        except OSError:  # EINVAL on macOS: the peer has reset the connection already; the first read will raise that
            pass
