"""The blocking model, the oldest and the plainest: one thread for each connection, asleep in its own recv or send.

The model watches nothing and queues nothing. A peer that does not read blocks its own thread in send, and that is all
the back-pressure there is (``max_buffer`` has no effect). It costs one thread for each peer. An endless handler needs
two: one sends, and the other notices when the peer ends.

A sleeping thread is hard to stop. On Linux, close() does not wake it. shutdown() of its socket does, and a new
connection wakes a thread that sleeps in accept, so the model stops by these two. There is a cost: once reading is shut
down, Linux answers further input with a reset. A peer that goes on sending while we stop may get one after its
answers. On Windows shutdown() does not wake a thread, and input that had arrived is lost. So there the threads sleep in
select, on their socket and a bell (``lab.server.bell``).

With an idle timeout, Python makes the socket non-blocking and calls poll(2) before each recv and send. Without one,
recv really blocks in the kernel.
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
from lab.server.limits import BUFFER, LINGER, RETRY_ACCEPT, Exhaustion, Stats, is_exhaustion, is_peer_error
from lab.server.loop import prepare
from lab.server.models import Model, Plan

SHUTDOWN_WAKES = not has("winsock")
"""Whether shutdown() of a socket wakes a thread in recv or send, and recv still returns the input that had arrived."""

_WAKE_AGAIN = 0.02
"""Seconds after which we try again to wake an acceptor's thread that has not ended."""


class Blocking(Model):
    """One thread for each listener, one for each connection, and the caller's thread, which waits for ``stop``."""

    name = "blocking"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.stats = Stats()
        self._waker = Waker()
        self._bell = None if SHUTDOWN_WAKES else Bell()
        self._stopping = 0
        self._waking = threading.Lock()  # held while we open and close a connection that wakes an acceptor
        self._wakeup_addresses: Set[Any] = set()  # the local addresses of these connections; acceptors skip them
        self._change = threading.Condition()  # guards the fields below, and stats; notified when a connection ends
        self._sockets: Dict[threading.Thread, socket.socket] = {}
        self._exhaustion = Exhaustion()

    def wakeup_fd(self) -> int:
        return self._waker.signal_fd

    def stop(self) -> None:
        self._stopping += 1
        self._waker.wake()

    def run(self) -> Stats:
        acceptors = [threading.Thread(target=self._accept, args=(sock,), daemon=True) for sock in self.plan.listeners]
        _end_one_thread()
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
                self._waker.close()  # also if a second signal raises in _end
                if self._bell is not None:
                    self._bell.close()
        return self.stats

    # A listener's thread.

    def _accept(self, listener: socket.socket) -> None:
        while self._wait_for_room():
            try:
                if self._stopping:  # accept the backlog; all peers in it came before our wake-up connection
                    listener.setblocking(False)
                sock, peer = listener.accept()
            except BlockingIOError:  # stopping, and the backlog is empty
                return
            except OSError as error:
                if self._stopping:
                    return
                if is_exhaustion(error):
                    self._report_exhaustion("no free descriptor")
                    self._wait_for_an_end()
                elif not is_peer_error(error):
                    raise
                continue
            self._start(sock, peer)

    def _wait_for_room(self) -> bool:
        """Wait until fewer than max_connections are open. Returns False if the server is stopping and there is no
        room."""
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
        if self._stopping and self._is_our_wakeup(sock, peer):
            sock.close()
            return
        thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
        with self._change:
            self._change.wait_for(lambda: self._stopping or self._has_room())  # another listener may have taken it
            self.stats.accepted += 1
            self._sockets[thread] = sock
            self.stats.peak = max(self.stats.peak, len(self._sockets))
        try:
            thread.start()
        except RuntimeError:  # "can't start new thread": the limit is the system's, not Python's
            sock.close()
            with self._change:
                del self._sockets[thread]
                self.stats.refused += 1
            self._report_exhaustion("no free thread")

    def _is_our_wakeup(self, sock: socket.socket, peer: Any) -> bool:
        """Whether this is the connection by which we woke the acceptor. A unix socket has no client address to compare.
        But we hold the lock until we have closed our connection, so its end can be read here."""
        with self._waking:
            return peer in self._wakeup_addresses if sock.family != UNIX else _is_over(sock)

    def _wake_acceptor(self, listener: socket.socket) -> None:
        with self._waking:
            wake_accept(listener, self._wakeup_addresses.add)

    def _report_exhaustion(self, what: str) -> None:
        with self._change:
            news = self._exhaustion.is_news(time.monotonic())
            self.stats.exhausted += news
        if news:
            self.plan.log.problem("exhausted", "%s: new peers wait until one is free; lower --max-connections" % what)

    # A connection's thread.

    def _serve(self, sock: socket.socket) -> None:
        conversation = Conversation(sock, self.plan.handler(), self.plan.limits.idle_timeout, self._bell)
        outcome = ""
        try:
            conversation.run()
        except socket.timeout:
            outcome = "idle"
        except OSError:  # ECONNRESET, EPIPE, ENOTCONN, ...: the peer is gone, or our shutdown() woke this thread
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
        """Wake every thread, wait up to the drain time for them to end, then cut off those that are left."""
        deadline = time.monotonic() + self.plan.limits.drain
        with self._change:
            self._change.notify_all()
        for listener in self.plan.listeners:
            self._wake_acceptor(listener)
        for listener, thread in zip(self.plan.listeners, acceptors):
            if thread.ident is not None:
                self._join(thread, listener, deadline)
            listener.close()
        if self._bell is None:
            self._shut(socket.SHUT_RD)  # recv returns what had arrived, then the end of the stream
        else:
            self._bell.end_input()  # the same, for sockets that are attached to the bell
        with self._change:
            while self._sockets and self._stopping < 2 and time.monotonic() < deadline:
                self._change.wait(0.05)  # stop() in a signal handler cannot take this lock to notify us, so we poll
            self.stats.cut_off = len(self._sockets)
        self._shut(socket.SHUT_RDWR)
        if self._bell is not None:
            self._bell.abort()
        with self._change:
            self._change.wait_for(lambda: not self._sockets, LINGER)

    def _join(self, thread: threading.Thread, listener: socket.socket, deadline: float) -> None:
        """Wait for a thread that we woke in accept and that accepts its backlog, but not for ever. One wake-up
        connection may not be enough: if several listeners share a port (SO_REUSEPORT), the kernel gives it to any of
        them."""
        deadline = max(deadline, time.monotonic() + LINGER)
        thread.join(_WAKE_AGAIN)
        while thread.is_alive() and self._stopping < 2 and time.monotonic() < deadline:
            self._wake_acceptor(listener)
            thread.join(_WAKE_AGAIN)

    def _shut(self, how: int) -> None:
        with self._change:
            for sock in self._sockets.values():
                try:
                    sock.shutdown(how)
                except OSError:  # ENOTCONN: the peer has reset the connection, and its thread gets that error
                    pass


class Conversation:
    """One connection from its first byte to its last, in the thread that calls ``run``. ``run`` raises
    ``socket.timeout`` if no byte moved for ``idle_timeout`` seconds, and ``OSError`` if the peer is gone."""

    def __init__(self, sock: socket.socket, handler: Handler, idle_timeout: Optional[float], bell: Optional[Bell]
                 ) -> None:
        self._sock = sock if bell is None else bell.attach(sock)
        self._handler = handler
        self._buffer = bytearray(BUFFER // 4)
        self._peer_ended = False
        self.bytes_in = 0
        self.bytes_out = 0
        prepare(sock)
        self._sock.settimeout(idle_timeout)  # prepare() made the socket non-blocking

    def run(self) -> None:
        """Exchange bytes until the peer or the handler has finished, then end the connection in order."""
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
        """Receive once, and send the answer. Returns False at the end of the stream."""
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
            sent = self._sock.send(rest)  # not sendall, which has one timeout for the whole output
            self.bytes_out += sent
            rest = rest[sent:]

    def _send_without_end(self) -> None:
        """Send endlessly, while a second thread waits for the peer's end: one thread cannot sleep in both calls."""
        def watch() -> None:
            while not self._peer_ended:
                sent = self.bytes_out
                try:
                    self._receive(self._handler.received)
                except socket.timeout:  # the connection is idle only if nothing was sent meanwhile, either
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
            except OSError:  # ENOTCONN: the peer has reset the connection
                pass
            watcher.join()

    def _linger(self) -> None:
        """Half-close, then read until the peer finishes, so that close() does not send a reset (``limits.LINGER``)."""
        self._sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + LINGER
        while not self._peer_ended:
            self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                self._receive(lambda view: b"")
            except socket.timeout:
                return


def _is_over(sock: socket.socket) -> bool:
    """Whether the peer closed without sending a byte, as our own wake-up connection does."""
    sock.setblocking(False)
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:  # ECONNRESET, on systems that do not keep a closed connection in the backlog
        return True


def _end_one_thread() -> None:
    """Start a thread and let it end. CPython up to 3.9.5 (bpo-44434) ends a thread by pthread_exit, for which glibc
    opens a library the first time. If no descriptor were free at that time, glibc would abort the process."""
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def wake_accept(listener: socket.socket, note: Callable[[Any], None]) -> None:
    """Make a thread return from ``accept`` on this listener by connecting to it, which works everywhere. If no
    descriptor is left for that, call shutdown, which works on Linux and resets the peers in the backlog. Before it
    connects, call ``note`` with the local address of the connection."""
    address = bound(listener)
    where = address.where
    if address.family != UNIX and where[0] in ("0.0.0.0", "::"):  # a wildcard is no address to connect to
        where = ("127.0.0.1" if address.family == socket.AF_INET else "::1",) + where[1:]
    try:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
    except OSError:  # EMFILE, ENFILE
        try:
            listener.shutdown(socket.SHUT_RDWR)
        except OSError:  # ENOTCONN on macOS: the thread sleeps on; it is a daemon thread, so the process can end
            pass
        return
    with sock:
        sock.setblocking(False)
        if address.family != UNIX:
            try:
                sock.bind((where[0], 0) + where[2:])
            except OSError:  # EADDRNOTAVAIL, EADDRINUSE: no free local address, so connect would fail, too
                return
            note(sock.getsockname())
        sock.connect_ex(where)  # ignore the result: the thread is awake now, or was not asleep
