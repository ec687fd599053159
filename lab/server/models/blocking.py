"""Blocking I/O: a thread a connection, each asleep in its own recv or send. The oldest model and the plainest.

Nothing is watched and nothing is queued: a peer that does not read stops its own thread in send, and that is all
the back-pressure there is (``max_buffer`` means nothing here). The price is a thread a peer, two for an endless
handler, which must notice the peer's end while it is busy sending; and that nothing can be told to a sleeping
thread. close() does not wake it on Linux. What does is shutdown() of its socket, and, for those that sleep in
accept, a connection: so that is how this model stops. It has a price too: once reading is shut down, Linux answers
whatever else arrives with a reset, so a peer that goes on sending while we stop may get one after its answers.
Windows wakes nobody that way, and throws away what had arrived: there the threads sleep in select, with a bell beside
their socket (``lab.server.bell``).

An idle timeout makes Python set the socket non-blocking and poll(2) inside each call; without one, recv really
blocks in the kernel.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Callable, Dict, Optional, Set

from lab.address import UNIX, bound
from lab.backends import Waker
from lab.capabilities import has
from lab.server.bell import Bell
from lab.server.handler import Handler, Output
from lab.server.limits import BUFFER, LINGER, RETRY_ACCEPT, Exhaustion, Stats, is_exhaustion, is_their_fault
from lab.server.loop import prepare
from lab.server.models import Model, Plan

SHUTDOWN_WAKES = not has("winsock")
"""Whether shutdown() of its socket wakes a thread in recv or send, and recv still hands out what had arrived."""

_AGAIN = 0.02
"""Seconds until a thread that ought to be awake is called again."""


class Blocking(Model):
    """A thread a listener, a thread a connection, and one that waits for the end."""

    name = "blocking"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.stats = Stats()
        self._waker = Waker()
        self._bell = None if SHUTDOWN_WAKES else Bell()
        self._stopping = 0
        self._calling = threading.Lock()  # held while a connection of our own, to wake an acceptor, is made and closed
        self._callers: Set[Any] = set()  # and their addresses, by which acceptors know them
        self._change = threading.Condition()  # guards all below, and stats; told of every end of a connection
        self._sockets: Dict[threading.Thread, socket.socket] = {}
        self._exhaustion = Exhaustion()

    def wakeup_fd(self) -> int:
        return self._waker.signal_fd

    def stop(self) -> None:
        self._stopping += 1
        self._waker.wake()

    def run(self) -> Stats:
        acceptors = [threading.Thread(target=self._accept, args=(sock,), daemon=True) for sock in self.plan.listeners]
        _end_a_thread()
        try:
            for sock, thread in zip(self.plan.listeners, acceptors):
                sock.setblocking(True)
                thread.start()
            while not self._stopping:
                self._waker.wait()
        finally:
            self._stopping = max(self._stopping, 1)
            try:
                self._end(acceptors)
            finally:
                self._waker.close()  # also when a second signal ends us in there
                if self._bell is not None:
                    self._bell.close()
        return self.stats

    # A listener's thread.

    def _accept(self, listener: socket.socket) -> None:
        while self._wait_for_room():
            try:
                if self._stopping:  # take who waits in the backlog; all came before our own wake-up connection
                    listener.setblocking(False)
                sock, peer = listener.accept()
            except BlockingIOError:  # stopping, and the backlog is empty
                return
            except OSError as error:
                if self._stopping:
                    return
                if is_exhaustion(error):
                    self._say_exhausted("no descriptor free")
                    self._wait_for_an_end()
                elif not is_their_fault(error):
                    raise
                continue
            self._start(sock, peer)

    def _wait_for_room(self) -> bool:
        """Until fewer than max_connections are open; False when there is no room and the server is stopping."""
        with self._change:
            self._change.wait_for(lambda: self._stopping or self._has_room())
            return self._has_room()

    def _has_room(self) -> bool:
        most = self.plan.limits.max_connections
        return most is None or len(self._sockets) < most

    def _wait_for_an_end(self) -> None:
        with self._change:
            self._change.wait(RETRY_ACCEPT)

    def _start(self, sock: socket.socket, peer: Any) -> None:
        if self._stopping and self._is_our_call(sock, peer):
            sock.close()
            return
        thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
        with self._change:
            self._change.wait_for(lambda: self._stopping or self._has_room())  # another listener may have filled it
            self.stats.accepted += 1
            self._sockets[thread] = sock
            self.stats.peak = max(self.stats.peak, len(self._sockets))
        try:
            thread.start()
        except RuntimeError:  # "can't start new thread": the system's limit, not Python's
            sock.close()
            with self._change:
                del self._sockets[thread]
                self.stats.refused += 1
            self._say_exhausted("no thread free")

    def _is_our_call(self, sock: socket.socket, peer: Any) -> bool:
        """Whether we made this connection ourselves, to wake its acceptor. A unix one has no address: but it is over
        by the time that it has been made and closed."""
        with self._calling:
            return peer in self._callers if sock.family != UNIX else _is_over(sock)

    def _call(self, listener: socket.socket) -> None:
        with self._calling:
            wake_accept(listener, self._callers.add)

    def _say_exhausted(self, what: str) -> None:
        with self._change:
            news = self._exhaustion.is_news(time.monotonic())
            self.stats.exhausted += news
        if news:
            self.plan.log.problem("exhausted", "%s: new peers wait until one is; set --max-connections lower" % what)

    # A connection's thread.

    def _serve(self, sock: socket.socket) -> None:
        conversation = Conversation(sock, self.plan.handler(), self.plan.limits.idle_timeout, self._bell)
        outcome = ""
        try:
            conversation.run()
        except socket.timeout:
            outcome = "idle"
        except OSError:  # ECONNRESET, EPIPE, ENOTCONN, ...: the peer is gone, or shutdown() has ended us
            outcome = "resets"
        except Exception as error:  # a bug costs one connection, not the server
            outcome = "errors"
            self.plan.log.bug(error)
        finally:
            with self._change:
                sock.close()
                del self._sockets[threading.current_thread()]
                self.stats.bytes_in += conversation.bytes_in
                self.stats.bytes_out += conversation.bytes_out
                if outcome:
                    setattr(self.stats, outcome, getattr(self.stats, outcome) + 1)
                self._change.notify_all()

    # The end.

    def _end(self, acceptors: list[threading.Thread]) -> None:
        """Wake every thread, give them the drain time, and then no more."""
        deadline = time.monotonic() + self.plan.limits.drain
        with self._change:
            self._change.notify_all()
        for listener in self.plan.listeners:
            self._call(listener)
        for listener, thread in zip(self.plan.listeners, acceptors):
            if thread.ident is not None:
                self._join(thread, listener, deadline)
            listener.close()
        if self._bell is None:
            self._shut(socket.SHUT_RD)  # recv hands out what had arrived, then the end of the stream
        else:
            self._bell.ring()  # and so does what hears this
        with self._change:
            while self._sockets and self._stopping < 2 and time.monotonic() < deadline:
                self._change.wait(0.05)  # a second stop() cannot take this lock in a signal handler, so we look
            self.stats.cut_off = len(self._sockets)
        self._shut(socket.SHUT_RDWR)
        if self._bell is not None:
            self._bell.ring_again()
        with self._change:
            self._change.wait_for(lambda: not self._sockets, LINGER)

    def _join(self, thread: threading.Thread, listener: socket.socket, deadline: float) -> None:
        """Wait for a thread that was woken in accept and takes the backlog, but not for ever. One call may not be
        enough: of several listeners on one port (SO_REUSEPORT) the kernel gives it to any."""
        deadline = max(deadline, time.monotonic() + LINGER)
        thread.join(_AGAIN)
        while thread.is_alive() and self._stopping < 2 and time.monotonic() < deadline:
            self._call(listener)
            thread.join(_AGAIN)

    def _shut(self, how: int) -> None:
        with self._change:
            for sock in self._sockets.values():
                try:
                    sock.shutdown(how)
                except OSError:  # ENOTCONN: reset meanwhile, and its thread knows
                    pass


class Conversation:
    """One connection from its first byte to its last, in the thread that runs it. Raises ``socket.timeout`` when
    nothing moved for ``idle_timeout`` seconds, and ``OSError`` when the peer is gone."""

    def __init__(self, sock: socket.socket, handler: Handler, idle_timeout: Optional[float], bell: Optional[Bell]
                 ) -> None:
        self._sock = sock if bell is None else bell.hung_on(sock)
        self._handler = handler
        self._buffer = bytearray(BUFFER // 4)
        self._peer_ended = False
        self.bytes_in = 0
        self.bytes_out = 0
        prepare(sock)
        self._sock.settimeout(idle_timeout)  # and blocking again

    def run(self) -> None:
        """Talk until the peer or the handler is done, then close in order."""
        handler = self._handler
        self._send(handler.opened())
        if handler.endless:
            self._send_without_end()
        else:
            while not handler.finished and self._receive(handler.received):
                pass
        if not self._peer_ended:
            self._linger()

    def _receive(self, received: Callable[[memoryview], Output]) -> bool:
        """One recv and its answer; False at the end of the stream."""
        count = self._sock.recv_into(self._buffer)
        if not count:
            self._peer_ended = True
            return False
        self.bytes_in += count
        with memoryview(self._buffer) as view:
            self._send(received(view[:count]))
        return True

    def _send(self, output: Output) -> None:
        rest = memoryview(output)
        while rest:
            sent = self._sock.send(rest)  # not sendall: its timeout is one for the whole
            self.bytes_out += sent
            rest = rest[sent:]

    def _send_without_end(self) -> None:
        """Send, while a second thread waits for the peer's end: one thread cannot sleep in both calls."""
        def watch() -> None:
            while not self._peer_ended:
                sent = self.bytes_out
                try:
                    self._receive(self._handler.received)
                except socket.timeout:  # a peer that only reads is not idle
                    self._peer_ended = self.bytes_out == sent
                except OSError:  # reset: nothing more will come
                    self._peer_ended = True

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            while not self._peer_ended:
                self._send(self._handler.more())
        finally:
            self._peer_ended = True
            try:
                self._sock.shutdown(socket.SHUT_RDWR)
            except OSError:  # ENOTCONN: reset meanwhile
                pass
            watcher.join()

    def _linger(self) -> None:
        """Say that we are done, and let the peer finish, so that close() is no reset (see ``limits.LINGER``)."""
        self._sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + LINGER
        while not self._peer_ended:
            self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                self._receive(lambda view: b"")
            except socket.timeout:
                return


def _is_over(sock: socket.socket) -> bool:
    """Whether the peer closed without a word, as our own wake-up call does."""
    sock.setblocking(False)
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:  # ECONNRESET, on systems that do not keep a closed connection in the backlog
        return True


def _end_a_thread() -> None:
    """Have one thread end now. In CPython up to 3.9.5 (bpo-44434) it does so by pthread_exit, for which glibc opens a
    library the first time; were that when no descriptor is free, it would abort the process."""
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def wake_accept(listener: socket.socket, note: Callable[[Any], None]) -> None:
    """Make a thread return from ``accept`` on this listener: by a connection, which works everywhere, or, where no
    descriptor is left for one, by shutdown, which works on Linux and resets who waits in the backlog. ``note`` is told
    the address of that connection before it is made."""
    address = bound(listener)
    where = address.where
    if address.family != UNIX and where[0] in ("0.0.0.0", "::"):  # a wildcard is no address to connect to
        where = ("127.0.0.1" if address.family == socket.AF_INET else "::1",) + where[1:]
    try:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
    except OSError:  # EMFILE, ENFILE
        try:
            listener.shutdown(socket.SHUT_RDWR)
        except OSError:  # ENOTCONN on macOS: the thread is a daemon, and sleeps on
            pass
        return
    with sock:
        sock.setblocking(False)
        if address.family != UNIX:
            try:
                sock.bind((where[0], 0) + where[2:])
            except OSError:  # EADDRNOTAVAIL, EADDRINUSE: no address to call from, so connect fails too
                return
            note(sock.getsockname())
        sock.connect_ex(where)  # whatever it says: the thread is awake, or was not asleep
