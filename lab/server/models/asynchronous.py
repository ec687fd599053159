"""The asynchronous model, on asyncio: the loop delivers bytes that it has read, not the news that a read would work.

On POSIX, asyncio waits in a selector and then reads by itself. On Windows, its Proactor asks the kernel to complete the
reads and writes (IOCP). The handlers see no difference, and that is what the model is about.

This module accepts peers itself, one at a time with ``sock_accept``. ``create_server`` would accept peers as they come,
but when descriptors run out or ``max_connections`` is reached, new peers must stay in the backlog.

This module also queues the output that a peer has not read yet, in a ``Waiting``, and gives the transport the next
piece when it has sent the last one. In the transport's own buffer, each write costs an object since CPython 3.12, which
is 330 bytes for a single byte (gh-146507), and on PyPy each send copies the whole buffer.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, Callable, Dict, List, Optional, Set

from lab.address import BACKLOG
from lab.server.handler import Handler, Output
from lab.server.handlers import DISCARD
from lab.server.limits import LINGER, RETRY_ACCEPT, Exhaustion, Stats, is_exhaustion, is_peer_error
from lab.server.loop import SWEEPS, prepare
from lab.server.models import Model, Plan
from lab.server.output import Waiting

_SETTLE = 0.02
"""Seconds without a byte after which the server, when it drains, assumes that a peer's input has all been read."""


def new_loop() -> asyncio.AbstractEventLoop:
    """A new loop of asyncio's default kind for this platform: the Proactor on Windows, a selector loop elsewhere.
    ``asyncio.run`` would ask the event loop policy: a module that sets another policy would change what we measure, and
    policies are deprecated since 3.14."""
    make: Callable[[], asyncio.AbstractEventLoop] = getattr(asyncio, "ProactorEventLoop", asyncio.SelectorEventLoop)
    return make()


class Asynchronous(Model):
    """asyncio's own event loop, in the thread that calls ``run``."""

    name = "asynchronous"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.stats = Stats()
        self.draining = False
        self._stop_calls = 0
        self._exhaustion = Exhaustion()
        self._peers: Set[Peer] = set()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._change: asyncio.Event  # made in the loop, which binds it before 3.10

    def run(self) -> Stats:
        loop = new_loop()
        try:
            try:
                loop.run_until_complete(self._main())
            finally:  # also when a second signal raises here: let the pending tasks end in order
                left = asyncio.all_tasks(loop)
                for task in left:
                    task.cancel()
                if left:
                    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            loop.close()
        return self.stats

    def describe(self) -> Dict[str, Any]:
        loop = new_loop()
        try:
            return {"model": self.name, "loop": type(loop).__name__}
        finally:
            loop.close()

    def stop(self) -> None:
        self._stop_calls += 1
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._changed)
            except RuntimeError:  # the loop has closed: it has stopped already
                pass

    def _changed(self) -> None:
        self._change.set()

    async def _next_change(self, timeout: Optional[float] = None) -> None:
        """Wait until a connection ends, ``stop`` is called, or the timeout is over."""
        self._change.clear()
        try:
            await asyncio.wait_for(self._change.wait(), timeout)
        except asyncio.TimeoutError:
            pass

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_ignore_peer_errors)
        self._change = asyncio.Event()
        tasks: List[asyncio.Task[None]] = [asyncio.ensure_future(self._accept(sock)) for sock in self.plan.listeners]
        if self.plan.limits.idle_timeout is not None:
            tasks.append(asyncio.ensure_future(self._sweep(self.plan.limits.idle_timeout)))
        try:
            while not self._stop_calls:
                await self._next_change()
                for task in tasks:
                    if task.done():  # a bug ended it, because these tasks run until we cancel them; raise that
                        task.result()
            await self._drain(tasks)
        finally:
            for sock in self.plan.listeners:
                sock.close()
            self.stats.cut_off = sum(1 for peer in self._peers if not peer.lingering)
            while self._peers:  # asyncio calls connection_lost in the next turn of the loop
                for peer in self._peers:
                    peer.abort()
                await self._next_change(_SETTLE)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while not self._stop_calls:
            if not self._has_room():
                await self._next_change()
                continue
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:
                if is_exhaustion(error):
                    self._report_exhaustion()
                    await self._next_change(RETRY_ACCEPT)
                elif not is_peer_error(error):
                    raise
                continue
            try:
                while not self._has_room():  # the other listener's task has taken the last place
                    await self._next_change()
            except asyncio.CancelledError:
                sock.close()
                raise
            await asyncio.shield(self._adopt(sock))  # else cancelling this task would end the newest connection, too

    def _has_room(self) -> bool:
        most = self.plan.limits.max_connections
        return most is None or len(self._peers) < most

    async def _adopt(self, sock: socket.socket) -> None:
        """Make a peer of an accepted socket, and give it a transport."""
        prepare(sock)
        peer = Peer(self, self.plan.handler())
        self._peers.add(peer)
        self.stats.accepted += 1
        self.stats.peak = max(self.stats.peak, len(self._peers))
        await asyncio.get_running_loop().connect_accepted_socket(lambda: peer, sock)

    async def _end_accepting(self, tasks: List[asyncio.Task[None]]) -> None:
        """End the accepting tasks, then accept the peers in the backlog, because closing a listener would reset them.

        If we cancelled a task while its sock_accept has a result that the task has not received yet, that connection
        would be lost. So we first remove the readers, which stops new results, and then give the results that exist
        two turns of the loop, which is what they need to arrive.
        """
        loop = asyncio.get_running_loop()
        for listener in self.plan.listeners:
            try:
                loop.remove_reader(listener)
            except NotImplementedError:  # on the Proactor, which has no readers
                pass
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in self.plan.listeners:
            for _ in range(BACKLOG):  # no more, or peers that go on connecting could keep us here
                if not self._has_room():
                    break
                try:
                    sock, _ = listener.accept()
                except OSError:  # EAGAIN: the backlog is empty. Any other error: there is no later time to retry
                    break
                await self._adopt(sock)

    def _report_exhaustion(self) -> None:
        if self._exhaustion.is_news(time.monotonic()):
            self.stats.exhausted += 1
            self.plan.log.problem("exhausted", "no free descriptor: new peers wait until one is free; raise `ulimit "
                                  "-n`, or set --max-connections below it")

    async def _sweep(self, idle: float) -> None:
        while True:
            await asyncio.sleep(idle / SWEEPS)
            now = time.monotonic()
            for peer in list(self._peers):
                peer.note_progress(now)
                if peer.active_at + idle <= now:
                    self.stats.idle += 1
                    peer.abort()

    async def _drain(self, tasks: List[asyncio.Task[None]]) -> None:
        """Close the listeners. Finish each connection once its peer has been silent for _SETTLE seconds and its output
        is sent."""
        await self._end_accepting(tasks)
        self.draining = True
        deadline = time.monotonic() + self.plan.limits.drain
        for sock in self.plan.listeners:
            sock.close()
        while self._peers and self._stop_calls < 2 and time.monotonic() < deadline:
            await self._next_change(_SETTLE)
            now = time.monotonic()
            for peer in list(self._peers):
                peer.note_progress(now)
                if peer.active_at + _SETTLE <= now and not peer.waits:
                    peer.finish()

    def forget(self, peer: Peer) -> None:
        """Forget a connection that has ended: its place is free."""
        self._peers.discard(peer)
        self._changed()


def _ignore_peer_errors(loop: asyncio.AbstractEventLoop, context: Dict[str, Any]) -> None:
    """Keep asyncio from printing a traceback about a peer that was gone before accept. The Proactor watches each accept
    in a task of its own, and nothing retrieves that task's exception. So asyncio would report an error that `_accept`
    has handled (CPython 3.8 to 3.13)."""
    error = context.get("exception")
    if not (isinstance(error, OSError) and is_peer_error(error)):
        loop.default_exception_handler(context)


class Peer(asyncio.Protocol):
    """One connection: passes its input to the handler, and the handler's output to the transport."""

    transport: asyncio.Transport

    def __init__(self, owner: Asynchronous, handler: Handler) -> None:
        self._owner = owner
        self._handler = handler
        self._queue: Optional[Waiting] = None  # output that the transport does not have yet
        self._paused = False  # whether the transport has bytes that it could not send yet
        self._is_held_back = False  # whether we have stopped reading, because too much output waits
        self._ended = False  # whether the peer has half-closed while output still waits for it
        self._finishing = False
        self._made = False  # whether there is a transport
        self._written = 0  # bytes passed to the transport so far
        self._sent = 0  # of those, the bytes that the kernel had taken at the last call of note_progress
        self.lingering = False
        self.active_at = time.monotonic()

    @property
    def held(self) -> int:
        """Bytes of output that the peer has not read yet, as far as we know."""
        if not self._made:
            return 0
        return self.transport.get_write_buffer_size() + (self._queue.size if self._queue is not None else 0)

    @property
    def waits(self) -> bool:
        """Whether the connection cannot be finished yet, because output waits or there is no transport."""
        return not self._made or self.held > 0

    def abort(self) -> None:
        """End at once. Does nothing while there is no transport: call it again later."""
        if self._made:
            self.transport.abort()

    def note_progress(self, now: float) -> None:
        """Update ``active_at`` if the kernel has taken output. The transport itself reports that only when its buffer
        is empty."""
        sent = self._written - self.held
        if sent != self._sent:
            self._sent = sent
            self.active_at = now

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._made = True
        transport.set_write_buffer_limits(high=0)  # asyncio calls pause_writing as soon as bytes wait
        self._write_reply(self._handler.opened)
        if self._handler.finished:
            self.finish()
        elif self._handler.endless:
            self._send_more()

    def data_received(self, data: bytes) -> None:
        self.active_at = time.monotonic()
        self._owner.stats.bytes_in += len(data)
        if self._finishing:
            return
        self._write_reply(self._handler.received, memoryview(data))
        if self._handler.finished:
            self.finish()

    def eof_received(self) -> bool:
        self._handler = DISCARD  # so that an endless handler stops
        self._ended = self._queue is not None
        return self._ended  # False: the transport sends the bytes that it has, then closes

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.active_at = time.monotonic()
        while self._queue is not None and not self._paused:
            piece = self._queue.take()
            if not self._queue.size:
                self._queue = None
            self.transport.write(piece)
        if self._is_held_back and not self._ended and self.held <= self._owner.plan.limits.max_buffer // 2:
            self._is_held_back = False
            self.transport.resume_reading()
        if self._paused:
            return
        if self._ended:
            self.transport.close()
        elif self._finishing:
            self._linger_when_flushed()
        elif self._handler.endless:
            self._send_more()

    def connection_lost(self, exception: Optional[BaseException]) -> None:
        self._queue = None
        if exception is not None:
            self._owner.stats.resets += 1
        self._owner.forget(self)

    def finish(self) -> None:
        """End from our side: send the buffered output, ignore further input. May be called again and again."""
        if not self._finishing:
            self._finishing = True
            self._handler = DISCARD
        self._linger_when_flushed()

    def _linger_when_flushed(self) -> None:
        if self.lingering or self.held or self.transport.is_closing():
            return
        self.lingering = True
        try:
            self.transport.write_eof()
        except OSError:  # ENOTCONN: the peer has reset the connection; the next read will report it
            return
        asyncio.get_running_loop().call_later(LINGER, self.transport.abort)

    def _write_reply(self, ask: Callable[..., Output], *arguments: Any) -> None:
        """Call a method of the handler, and write what it returns."""
        try:
            output = ask(*arguments)
        except Exception as error:  # a bug costs one connection, not the server
            self._owner.stats.errors += 1
            self._owner.plan.log.bug(error)
            self.transport.abort()
            return
        if output:
            self._owner.stats.bytes_out += len(output)
            self._written += len(output)
            if not self._paused:
                self.transport.write(output)
            elif self._queue is None:
                self._queue = Waiting(output)
            else:
                self._queue.append(output)
            self._hold_back()

    def _hold_back(self) -> None:
        """Stop reading from a peer that leaves too much output unread. An endless handler does not answer input, so
        reading does not lengthen its queue, and we go on reading."""
        if not (self._is_held_back or self._handler.endless) and self.held > self._owner.plan.limits.max_buffer:
            self._is_held_back = True
            self.transport.pause_reading()

    def _send_more(self) -> None:
        """Write the next piece of an endless output in each turn of the loop, until the transport's buffer is full.
        Writing pieces in one turn would starve all other connections: a fast reader never lets the buffer fill, and a
        lost connection has no buffer."""
        if self._handler.endless and not self._owner.draining and not self.transport.is_closing():
            self._write_reply(self._handler.more)
            if not self._paused:
                asyncio.get_running_loop().call_soon(self._send_more)
