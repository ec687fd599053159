"""Run a load: one thread drives all connections on one backend.

The run connects all clients and starts all of them. Then it waits, and lets every client that is ready go on, until all
have finished. The duration, the message count or the user ends the sending. The run then still waits for the
outstanding replies, and checks them.

With a ``rate`` the run is an open loop. A load generator that waits for a reply before it sends the next message stops
measuring exactly while the server is slow: "coordinated omission" (Gil Tene). With a rate, message k is due k / rate
seconds after the start, on connection k modulo connections. Its latency counts from that instant, even if it is sent
late. epoll waits for whole milliseconds, so the run polls during the last millisecond before a message is due. That
costs CPU time and makes the sending exact.
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

SLICE = 0.25  # the longest wait, in seconds: on Windows Ctrl-C does not interrupt select
_POLLED = 0.001  # seconds before a message is due during which we poll and do not sleep

Watcher = Callable[[Session], None]
"""A function that the run calls with its session several times a second. It must not change the session."""


def drive(plan: Plan, watch: Optional[Watcher] = None) -> Report:
    """Carry out the plan. Returns the measurements.

    Ctrl-C does not raise: it ends the run and sets ``Report.is_interrupted``. The run closes all its sockets, however
    it ends.

    Raises ``Deviation`` if a byte comes back wrong, too often or not at all; ``Broken`` if there is no server, if the
    server closes or resets a connection, or if descriptors run out; ``Usage`` and ``NotHere`` for the backend's name.
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
            backend.close()  # before the sockets: some backends misbehave if a registered socket is closed
            for client in session.clients:
                client.sock.close()
        return run.report()


def _create(plan: Plan) -> Backend:
    try:
        return create(plan.backend)
    except OSError as error:  # EMFILE or ENFILE; epoll_create has hardly any other error
        raise Broken("cannot create a backend: %s; raise the limit (`ulimit -n`)" % reason(error)) from None


class _Run:
    """One run: it measures time, watches for progress, and calls the watcher."""

    def __init__(self, session: Session, watch: Optional[Watcher]) -> None:
        self._session = session
        self._watch = watch
        self._cpu = time.process_time()
        self._began = clock()
        self._watched = self._began
        self._ended = 0.0
        self._unsent = 0
        self._last = 0.0  # when a byte last moved
        self._moved = 0  # bytes in both directions at the last check of progress
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
        """The longest time to wait, in seconds: until the next message is due, sending ends, or SLICE is over."""
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
        """Raise ``Deviation`` or ``Broken`` if bytes are owed and none moved for the plan's ``patience``."""
        session = self._session
        moved = session.bytes_sent + session.bytes_received
        if moved != self._moved:
            self._moved, self._last = moved, now
        elif now - self._last >= session.plan.patience:
            if not any(client.is_waiting for client in session.clients):
                self._last = now  # no client waits for a reply
            else:
                raise session.stuck()

    def _tick(self) -> None:
        if self._watch is not None:
            now = clock()
            if now - self._watched >= SLICE:
                self._watched = now
                self._watch(self._session)

    def report(self) -> Report:
        """The measurements so far."""
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
