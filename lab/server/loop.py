"""The event loop: waits on a backend, and lets whoever is ready do its part.

One wait, then every owner in turn: acceptors take new peers, connections read and write, the waker says that
somebody called ``stop``. Under level trigger each does one step, which is fair because the backend tells again.
Under edge trigger each goes on until EAGAIN, which is not, so a budget ends it and ``modify`` asks to be told
again; no list of unfinished work is needed.

When descriptors run out, accept fails and the peer stays in the backlog, readable for ever: a level-triggered
loop spins (15,134 wakeups in 0.1 s, Linux 6.18). So does one that is simply full. Both stop watching the listeners,
and watch again when one of ours closes; after an exhaustion also a little later, since somebody else may have
closed something. Peers wait in the backlog meanwhile, and those connected notice nothing.

Stopping: who waits in the backlog is still taken, then the listeners close; each connection answers what had
arrived and is then finished; whatever is left when the drain time is over is cut off.
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
from lab.server.limits import BUFFER, LINGER, RETRY_ACCEPT, Exhaustion, Limits, Stats, is_exhaustion, is_their_fault
from lab.server.log import Log
from lab.server.timers import Timers

BUDGET = 16  # reads or writes of one edge-triggered connection in a row; 1 MiB of input
ACCEPTS = 64  # peers taken in a row
SWEEPS = 8  # looks at each idle connection within one idle timeout: it is closed at most 1/8 late


class Acceptor:
    """A listening socket in the loop."""

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self.loop = loop
        self.sock = sock
        self.fd = sock.fileno()

    def on_ready(self, event: int) -> None:
        """Take the peers that wait, a batch at a time."""
        self.take(ACCEPTS)

    def take(self, most: int) -> None:
        """Accept up to so many."""
        loop = self.loop
        for _ in range(most):
            if loop.is_full:
                loop.pause_accepting()
            if not loop.accepting:  # also when the server was stopped earlier in this turn
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
                if not is_their_fault(error):
                    raise
                continue
            loop.accepted(sock)
        if loop.drains_each_event:
            loop.backend.modify(self.fd, READ)


class Alarm:
    """The waker in the loop: somebody wants something."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def on_ready(self, event: int) -> None:
        """Find out what."""
        self.loop.waker.clear()
        self.loop.attend()


class Loop:
    """Serves connections on one backend until ``stop``. Everything but ``stop`` belongs to one thread.

    ``backend`` and the listening sockets are given to the loop: ``run`` closes them when it ends.
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
        self.bytes_in = self.bytes_out = 0  # counted here, since a look-up of ``stats`` for each would show
        self.drains_each_event = backend.trigger is Trigger.EDGE
        self.rounds = range(BUDGET if self.drains_each_event else 1)
        self.empty_reads = 0
        self.draining = False
        self.waker = Waker()
        self._handler = handler
        self._acceptors = [Acceptor(self, sock) for sock in listeners]
        self._connections: Set[Connection] = set()
        self._lingering: Dict[Connection, float] = {}
        self._sweeping = False  # there is an appointment for them, and one is enough
        self._timers = Timers()
        self.accepting = False
        self._exhaustion = Exhaustion()
        self._exhausted_at: Optional[float] = None  # if it was told, and is not over
        self._stop_asked = 0

    # What is called from outside.

    def run(self) -> Stats:
        """Serve until stopped, and return what was done. Leaves nothing open."""
        try:
            self.backend.register(self.waker.fd, READ, Alarm(self))
            self._resume_accepting()
            if self.limits.idle_timeout is not None:
                self._timers.at(self.now + self.limits.idle_timeout / SWEEPS, self._sweep_idle)
            self._serve()
        finally:
            self._close_everything()
            self.stats.bytes_in, self.stats.bytes_out = self.bytes_in, self.bytes_out
        return self.stats

    def stop(self) -> None:
        """Drain and end. From any thread or signal handler; once more ends at once."""
        self._stop_asked += 1
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
        return self._stop_asked > 1 or (self.draining and not self._connections)

    def _bug(self, owner: Any, error: Exception) -> None:
        """A handler, or this server, raised what nobody foresaw: that costs one connection, not all of them."""
        self.stats.errors += 1
        self.log.bug(error)
        if isinstance(owner, Connection):
            owner.close()
        else:
            raise error

    # What acceptors and connections report.

    @property
    def is_full(self) -> bool:
        """Whether max_connections are open."""
        most = self.limits.max_connections
        return most is not None and len(self._connections) >= most

    def accepted(self, sock: socket.socket) -> None:
        """A new peer: make it a connection."""
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
            if stats.refused == 1:  # said once, counted always
                self.log.problem("refused", "refused a connection: %s" % refusal, reason=str(refusal))
        except Exception as error:  # of the greeting: the acceptor, which called us, is not to blame
            self._bug(connection, error)

    def closed(self, connection: Connection) -> None:
        """A connection has ended: its place and its descriptor are free."""
        self._connections.discard(connection)
        self._lingering.pop(connection, None)
        if not self.accepting and not self.draining:
            self._resume_accepting()

    def tell_again(self, connection: Connection) -> None:
        """A connection has used up its rounds before EAGAIN: it goes on when all others have had their turn."""
        self.backend.modify(connection.fd, connection.interest)
        if self.draining:  # its last input may have come in the last round, and no event would ever say so
            self._timers.at(self.now, lambda: self._drain(connection))

    def lingers(self, connection: Connection) -> None:
        """A connection has said its last and waits for the peer to close, but not for long."""
        self._lingering[connection] = self.now + LINGER
        if not self._sweeping:
            self._sweeping = True
            self._timers.at(self.now + LINGER, self._sweep_lingering)

    # Accepting, and not accepting.

    def pause_accepting(self) -> None:
        """Stop watching the listeners; the peers wait in the backlog."""
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
        """Nobody waits in the backlog any more."""
        if self._exhausted_at is not None:
            self.log.event("accepting", "accepting again after %.3g s without descriptors"
                           % (self.now - self._exhausted_at), seconds=self.now - self._exhausted_at)
            self._exhausted_at = None

    def exhausted(self, error: OSError) -> None:
        """accept found no free descriptor: wait for one, without spinning."""
        self.pause_accepting()
        self._timers.at(time.monotonic() + RETRY_ACCEPT, self._resume_accepting)
        if self._exhaustion.is_news(self.now):
            self._exhausted_at = self.now
            self.stats.exhausted += 1
            name = errno.errorcode.get(error.errno or 0, str(error.errno))
            self.log.problem("exhausted", "no descriptor free (%s): new peers wait until one is; raise `ulimit -n`, or "
                             "set --max-connections below it" % name, errno=name)

    # Time.

    def _sweep_idle(self) -> None:
        """Close those in which nothing has moved. A look at all of them now and then costs less than an
        appointment for each, in time and in memory."""
        idle = self.limits.idle_timeout
        assert idle is not None
        for connection in [each for each in self._connections if each.active_at + idle <= self.now]:
            self.stats.idle += 1
            connection.close()
        self._timers.at(self.now + idle / SWEEPS, self._sweep_idle)

    def _sweep_lingering(self) -> None:
        """Close those whose peer has not closed in time. They come in the order of their deadlines."""
        self._sweeping = False
        while self._lingering:
            connection, deadline = next(iter(self._lingering.items()))
            if deadline > self.now:
                self._sweeping = True
                self._timers.at(deadline, self._sweep_lingering)
                return
            connection.close()

    # The end.

    def attend(self) -> None:
        """``stop`` was called, or nothing was."""
        if not self._stop_asked or self.draining:
            return
        for acceptor in self._acceptors:  # the backlog: closing the listener would reset those that wait there
            acceptor.take(BACKLOG)
        self.draining = True
        self.pause_accepting()
        for acceptor in self._acceptors:
            acceptor.sock.close()
        self.drains_each_event = True  # also under level trigger: after EAGAIN there is no more to answer
        self.rounds = range(BUDGET)
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
    """Make an accepted socket fit for a loop: non-blocking whatever it inherited (Linux: nothing; the BSDs and
    Windows: the listener's mode), small answers at once, urgent data in its place in the stream.

    Urgent data out of line is one byte that the next may overwrite, and that a plain read loses; RFC 6093 asks
    applications to take it in line.
    """
    sock.setblocking(False)
    if sock.family != UNIX:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        except OSError:  # EINVAL on macOS: the peer has reset the connection already; the first read will say so
            pass
