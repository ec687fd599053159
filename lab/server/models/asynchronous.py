"""Asynchronous I/O: asyncio. The caller is told what was read, not that it may read.

On POSIX asyncio makes that out of readiness, with a selector and a read of its own; on Windows its Proactor has
the kernel complete the reads and writes (IOCP). The handlers see no difference, which is the point of the model.

Accepting is done here, one at a time with ``sock_accept``, and not by ``create_server``: its loop takes peers as
they come, and running out of descriptors or reaching ``max_connections`` must keep them in the backlog instead.

The output that waits for a peer is kept here too, in a ``Waiting``, and the transport gets the next piece when it has
sent the last one. In the transport's own buffer each write costs an object since CPython 3.12, 330 bytes for a single
byte that waits (gh-146507), and on PyPy each send copies all that waits.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, Callable, Dict, List, Optional, Set

from lab.address import BACKLOG
from lab.server.handler import Handler, Output
from lab.server.handlers import DISCARD
from lab.server.limits import LINGER, RETRY_ACCEPT, Exhaustion, Stats, is_exhaustion, is_their_fault
from lab.server.loop import SWEEPS, prepare
from lab.server.models import Model, Plan
from lab.server.output import Waiting

_SETTLE = 0.02
"""Seconds without a byte after which a draining connection is taken to have sent all that it had sent."""


def new_loop() -> asyncio.AbstractEventLoop:
    """The loop that asyncio has for this platform: the Proactor where there is one, which is Windows, else the one over
    a selector. Not ``asyncio.run``, which asks the policy: a module that sets another one would change what is
    measured, and policies are deprecated since 3.14."""
    make: Callable[[], asyncio.AbstractEventLoop] = getattr(asyncio, "ProactorEventLoop", asyncio.SelectorEventLoop)
    return make()


class Asynchronous(Model):
    """asyncio's own event loop, in the thread that calls ``run``."""

    name = "asynchronous"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.stats = Stats()
        self.draining = False
        self._stop_asked = 0
        self._exhaustion = Exhaustion()
        self._peers: Set[Peer] = set()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._change: asyncio.Event  # made in the loop, which binds it before 3.10

    def run(self) -> Stats:
        loop = new_loop()
        try:
            try:
                loop.run_until_complete(self._main())
            finally:  # of a second signal, too: what is pending ends in order
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
        self._stop_asked += 1
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._changed)
            except RuntimeError:  # it closed meanwhile: stopped already
                pass

    def _changed(self) -> None:
        self._change.set()

    async def _next_change(self, timeout: Optional[float] = None) -> None:
        """Until a connection ends or somebody stops us, or the timeout."""
        self._change.clear()
        try:
            await asyncio.wait_for(self._change.wait(), timeout)
        except asyncio.TimeoutError:
            pass

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_pass_over_theirs)
        self._change = asyncio.Event()
        tasks: List[asyncio.Task[None]] = [asyncio.ensure_future(self._accept(sock)) for sock in self.plan.listeners]
        if self.plan.limits.idle_timeout is not None:
            tasks.append(asyncio.ensure_future(self._sweep(self.plan.limits.idle_timeout)))
        try:
            while not self._stop_asked:
                await self._next_change()
                for task in tasks:
                    if task.done():  # only by a bug: they run until cancelled
                        task.result()
            await self._drain(tasks)
        finally:
            for sock in self.plan.listeners:
                sock.close()
            self.stats.cut_off = sum(1 for peer in self._peers if not peer.lingering)
            while self._peers:  # connection_lost comes with the next turn
                for peer in self._peers:
                    peer.abort()
                await self._next_change(_SETTLE)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while not self._stop_asked:
            if not self._has_room():
                await self._next_change()
                continue
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:
                if is_exhaustion(error):
                    self._say_exhausted()
                    await self._next_change(RETRY_ACCEPT)
                elif not is_their_fault(error):
                    raise
                continue
            try:
                while not self._has_room():  # another listener has filled it meanwhile
                    await self._next_change()
            except asyncio.CancelledError:
                sock.close()
                raise
            await asyncio.shield(self._adopt(sock))  # or the end of accepting would end the newest connection too

    def _has_room(self) -> bool:
        most = self.plan.limits.max_connections
        return most is None or len(self._peers) < most

    async def _adopt(self, sock: socket.socket) -> None:
        """A new peer: give it a transport."""
        prepare(sock)
        peer = Peer(self, self.plan.handler())
        self._peers.add(peer)
        self.stats.accepted += 1
        self.stats.peak = max(self.stats.peak, len(self._peers))
        await asyncio.get_running_loop().connect_accepted_socket(lambda: peer, sock)

    async def _end_accepting(self, tasks: List[asyncio.Task[None]]) -> None:
        """End the accepting tasks, and take who waits in the backlog: closing the listener would reset them.

        Cancelling a task whose sock_accept has a result that it has not seen yet loses that connection, so no new
        result is let in, and those that are there get the two turns they need to arrive.
        """
        loop = asyncio.get_running_loop()
        for listener in self.plan.listeners:
            try:
                loop.remove_reader(listener)
            except NotImplementedError:  # the Proactor has no readers
                pass
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in self.plan.listeners:
            for _ in range(BACKLOG):  # and no more, whoever may go on connecting
                if not self._has_room():
                    break
                try:
                    sock, _ = listener.accept()
                except OSError:  # EAGAIN: empty. Anything else: there is no later at which it may be better
                    break
                await self._adopt(sock)

    def _say_exhausted(self) -> None:
        if self._exhaustion.is_news(time.monotonic()):
            self.stats.exhausted += 1
            self.plan.log.problem("exhausted", "no descriptor free: new peers wait until one is; raise `ulimit -n`, or "
                                  "set --max-connections below it")

    async def _sweep(self, idle: float) -> None:
        while True:
            await asyncio.sleep(idle / SWEEPS)
            now = time.monotonic()
            for peer in list(self._peers):
                peer.look(now)
                if peer.active_at + idle <= now:
                    self.stats.idle += 1
                    peer.abort()

    async def _drain(self, tasks: List[asyncio.Task[None]]) -> None:
        """Close the listeners; finish each connection once it has fallen silent and its output is out."""
        await self._end_accepting(tasks)
        self.draining = True
        deadline = time.monotonic() + self.plan.limits.drain
        for sock in self.plan.listeners:
            sock.close()
        while self._peers and self._stop_asked < 2 and time.monotonic() < deadline:
            await self._next_change(_SETTLE)
            now = time.monotonic()
            for peer in list(self._peers):
                peer.look(now)
                if peer.active_at + _SETTLE <= now and not peer.waits:
                    peer.finish()

    def forget(self, peer: Peer) -> None:
        """A connection has ended: its place is free."""
        self._peers.discard(peer)
        self._changed()


def _pass_over_theirs(loop: asyncio.AbstractEventLoop, context: Dict[str, Any]) -> None:
    """Say nothing of a peer that was gone before it was accepted. The Proactor has a task of its own watch each accept,
    whose error nobody takes, so asyncio would print a trace for what `_accept` has dealt with (CPython 3.8 to 3.13)."""
    error = context.get("exception")
    if not (isinstance(error, OSError) and is_their_fault(error)):
        loop.default_exception_handler(context)


class Peer(asyncio.Protocol):
    """One connection: hands what was read to the handler, and what it answers to the transport."""

    transport: asyncio.Transport

    def __init__(self, owner: Asynchronous, handler: Handler) -> None:
        self._owner = owner
        self._handler = handler
        self._queue: Optional[Waiting] = None  # what the transport has not got yet
        self._paused = False  # the transport has something to send
        self._is_held_back = False  # so much waits that the peer is not read from
        self._ended = False  # the peer will send nothing more, and is owed something
        self._finishing = False
        self._made = False  # there is a transport
        self._written = 0  # handed to the transport, ever
        self._sent = 0  # of those, what the kernel had taken at the last look
        self.lingering = False
        self.active_at = time.monotonic()

    @property
    def held(self) -> int:
        """Bytes of output that wait for the peer to read."""
        if not self._made:
            return 0
        return self.transport.get_write_buffer_size() + (self._queue.size if self._queue is not None else 0)

    @property
    def waits(self) -> bool:
        """Whether it cannot be finished yet: output waits, or there is no transport."""
        return not self._made or self.held > 0

    def abort(self) -> None:
        """End at once. Without a transport yet it stays, and is to be asked again."""
        if self._made:
            self.transport.abort()

    def look(self, now: float) -> None:
        """Note whether output has gone out: the transport tells of it only when its buffer is empty."""
        sent = self._written - self.held
        if sent != self._sent:
            self._sent = sent
            self.active_at = now

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._made = True
        transport.set_write_buffer_limits(high=0)  # pause_writing as soon as it has something that it cannot send
        self._say(self._handler.opened)
        if self._handler.finished:
            self.finish()
        elif self._handler.endless:
            self._go_on()

    def data_received(self, data: bytes) -> None:
        self.active_at = time.monotonic()
        self._owner.stats.bytes_in += len(data)
        if self._finishing:
            return
        self._say(self._handler.received, memoryview(data))
        if self._handler.finished:
            self.finish()

    def eof_received(self) -> bool:
        self._handler = DISCARD  # an endless handler says no more
        self._ended = self._queue is not None
        return self._ended  # False: the transport sends what it has, then closes

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
            self._go_on()

    def connection_lost(self, exception: Optional[BaseException]) -> None:
        self._queue = None
        if exception is not None:
            self._owner.stats.resets += 1
        self._owner.forget(self)

    def finish(self) -> None:
        """End from our side: what waits goes out, input counts no more. Again and again, it ends it once."""
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
        except OSError:  # ENOTCONN: reset meanwhile, which the next read will tell
            return
        asyncio.get_running_loop().call_later(LINGER, self.transport.abort)

    def _say(self, ask: Callable[..., Output], *arguments: Any) -> None:
        """Write what the handler answers."""
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
        """Stop reading from a peer that leaves too much unread. Not where the handler is endless: it does not answer
        input, so input makes no queue longer."""
        if not (self._is_held_back or self._handler.endless) and self.held > self._owner.plan.limits.max_buffer:
            self._is_held_back = True
            self.transport.pause_reading()

    def _go_on(self) -> None:
        """More of an endless output, one piece a turn, until the transport's buffer is full. In a row they would
        lock everybody else out: a fast reader never lets it fill, and a lost connection has none."""
        if self._handler.endless and not self._owner.draining and not self.transport.is_closing():
            self._say(self._handler.more)
            if not self._paused:
                asyncio.get_running_loop().call_soon(self._go_on)
