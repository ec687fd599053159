"""The load itself: one thread, one backend, all connections.

Connect all, begin all, then wait and let whoever is ready go on, until each has finished. Three things end the
sending: the time, the count, the user. What is outstanding then is still waited for and checked.

Open loop (``rate``). A load that waits for a reply before it sends the next message stops measuring just while the
server is slow: "coordinated omission" (Gil Tene). With a rate, message k is due k / rate seconds after the start,
on connection k modulo connections, and its latency counts from then, sent late or not. Waits are whole
milliseconds with epoll, so the last one before a message is due is polled away: CPU time for exactness.
"""

from __future__ import annotations

import time
from typing import Callable, Optional, Type

from lab.backends import Backend, create
from lab.errors import Broken, reason
from lab.load.client import Client, Messages, Stream
from lab.load.connect import Connector
from lab.load.plan import STREAM, Plan
from lab.load.report import Report
from lab.load.session import Session, clock

SLICE = 0.25  # seconds of one wait at most: on Windows Ctrl-C does not interrupt select
_POLLED = 0.001  # seconds before a message is due from when on we only look

Watcher = Callable[[Session], None]
"""Is shown the session several times a second, and must not change it."""


def drive(plan: Plan, watch: Optional[Watcher] = None) -> Report:
    """Do what the plan says and report what was measured.

    Ctrl-C does not raise: it ends the run, and ``Report.is_interrupted`` says so. Every socket is closed whatever
    happens.

    Raises ``Deviation`` where a byte came back wrong, too often or not at all; ``Broken`` where there is no server,
    it closed or reset a connection, or descriptors ran out; ``Usage`` and ``NotHere`` for the backend's name.
    """
    with _create(plan) as backend:
        session = Session(plan, backend)
        run = _Run(session, watch)
        try:
            run.connect()
            run.exchange()
        except KeyboardInterrupt:
            run.is_interrupted = True
        finally:
            backend.close()  # before the sockets: what is closed while registered haunts some backends
            for client in session.clients:
                client.sock.close()
        return run.report()


def _create(plan: Plan) -> Backend:
    try:
        return create(plan.backend)
    except OSError as error:  # EMFILE or ENFILE; there is little else that epoll_create can say
        raise Broken("cannot create a backend: %s; raise the limit (`ulimit -n`)" % reason(error)) from None


class _Run:
    """One run: its clock, its patience, and what the user sees meanwhile."""

    def __init__(self, session: Session, watch: Optional[Watcher]) -> None:
        self._session = session
        self._watch = watch
        self._cpu = time.process_time()
        self._began = clock()
        self._watched = self._began
        self._ended = 0.0
        self._unsent = 0
        self._last = 0.0  # when something last moved
        self._moved = 0  # bytes, both ways, when it was last looked at
        self.is_interrupted = False

    def connect(self) -> None:
        """Establish all connections."""
        kind: Type[Client] = Stream if self._session.plan.mode == STREAM else Messages
        Connector(self._session, kind).run(self._tick, SLICE)

    def exchange(self) -> None:
        """Send and check until every connection has finished."""
        session, backend = self._session, self._session.backend
        start = session.started_at = self._last = clock()
        span = session.plan.sending_seconds
        deadline = None if span is None else start + span
        session.is_sending = True
        for client in session.clients:
            client.begin()
        self._moved = session.bytes_sent + session.bytes_received
        while session.busy:
            for client, event in backend.wait(self._timeout(deadline)):
                client.on_ready(event)
            now = clock()
            if session.is_sending:
                session.fire(now if deadline is None else min(now, deadline))
                if deadline is not None and now >= deadline:
                    self._unsent = session.unsent(deadline)
                    session.stop()
            self._judge_progress(now)
            self._tick()
        self._ended = clock()
        for client in session.clients:
            client.conclude()

    def _timeout(self, deadline: Optional[float]) -> float:
        """Seconds to wait at most: until the next message is due, the sending ends, or SLICE is over."""
        session = self._session
        timeout = min(SLICE, session.plan.patience)
        if session.is_sending:
            now = clock()
            due = session.next_timer()
            if due is not None:
                timeout = min(timeout, due - now - _POLLED)
            if deadline is not None:
                timeout = min(timeout, deadline - now)
        return max(0.0, timeout)

    def _judge_progress(self, now: float) -> None:
        """Raise where bytes are owed and none moved for the patience."""
        session = self._session
        moved = session.bytes_sent + session.bytes_received
        if moved != self._moved:
            self._moved, self._last = moved, now
        elif now - self._last >= session.plan.patience:
            if not any(client.is_waiting for client in session.clients):
                self._last = now  # nothing is due
            else:
                raise session.stuck()

    def _tick(self) -> None:
        if self._watch is not None:
            now = clock()
            if now - self._watched >= SLICE:
                self._watched = now
                self._watch(self._session)

    def report(self) -> Report:
        """What was measured so far."""
        session = self._session
        now = self._ended or clock()
        started = session.started_at
        if self.is_interrupted and session.is_sending:
            self._unsent = session.unsent(now)
        return Report(
            plan=session.plan,
            backend=session.backend.name,
            connections=sum(client.is_connected for client in session.clients),
            messages=session.messages,
            bytes_sent=session.bytes_sent,
            bytes_received=session.bytes_received,
            unsent_messages=self._unsent,
            connect_seconds=(started or now) - self._began,
            seconds=now - started if started else 0.0,
            cpu_seconds=time.process_time() - self._cpu,
            latencies=None if session.plan.mode == STREAM else session.latencies,
            is_interrupted=self.is_interrupted,
        )
