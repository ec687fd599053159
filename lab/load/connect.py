"""Establish all connections of a run by non-blocking connects, up to IN_FLIGHT at the same time.

A TCP connect that cannot finish at once fails with EINPROGRESS (Windows: WSAEWOULDBLOCK). The socket becomes writable
when the connect has succeeded or failed, and SO_ERROR reports which (connect(2)). A unix socket connects at once, or
the listener's backlog is full. On Linux that is EAGAIN, and no event reports when there is room, so we retry after a
short pause.

More than IN_FLIGHT connects at the same time would only overflow the server's backlog. The kernel retries a TCP connect
that meets a full backlog after a whole second.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from typing import Callable, Deque, Dict

from lab.address import UNIX
from lab.backends import Refused
from lab.errors import Broken, reason
from lab.events import READ, WRITE
from lab.load.client import Client
from lab.load.session import Session, clock, how_to_serve

IN_FLIGHT = 100
RETRY = 0.005  # seconds until we retry after a full backlog

_PENDING = (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK))
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, getattr(errno, "WSAEMFILE", errno.EMFILE))


class Connector:
    """Fills ``session.clients`` with connected clients of this kind."""

    def __init__(self, session: Session, kind: Callable[[Session, int, socket.socket], Client]) -> None:
        self._session = session
        self._kind = kind
        self._full: Deque[Client] = deque()  # those that met a full backlog
        self._established = 0

    def run(self, tick: Callable[[], None], longest: float) -> None:
        """Establish all connections. Call ``tick`` after each wait; no wait takes more than ``longest`` seconds.

        Raises ``Broken`` if a connect fails, or if no connect succeeds for the plan's ``patience``.
        """
        plan = self._session.plan
        last = clock()
        before = 0
        while self._established < plan.connections:
            self._open_more()
            if self._established == plan.connections:  # unix sockets connect at once
                break
            for client, event in self._session.backend.wait(RETRY if self._full else min(longest, plan.patience)):
                if client.is_connected:
                    client.on_ready(event)  # this peer sends or closes before we have sent a byte
                else:
                    self._settle(client)
            for _ in range(len(self._full)):
                self._connect(self._full.popleft())
            tick()
            now = clock()
            if self._established > before:
                before, last = self._established, now
            elif now - last >= plan.patience:
                raise Broken("%d of %d connections to %s are established, and nothing moved for %g s; check that a "
                             "server accepts there, or use fewer --connections"
                             % (before, plan.connections, plan.address, plan.patience))

    def _open_more(self) -> None:
        clients, most = self._session.clients, self._session.plan.connections
        while len(clients) < most and len(clients) - self._established < IN_FLIGHT:
            client = self._kind(self._session, len(clients), self._socket())
            clients.append(client)
            self._connect(client)

    def _socket(self) -> socket.socket:
        plan = self._session.plan
        try:
            sock = socket.socket(plan.address.family, socket.SOCK_STREAM)
        except OSError as error:
            if error.errno not in _NO_DESCRIPTOR:
                raise
            raise Broken("no descriptors are left after %d of %d connections: %s; raise the limit (`ulimit -n %d`) or "
                         "use fewer --connections" % (len(self._session.clients), plan.connections, reason(error),
                                                      plan.connections + 64)) from None
        sock.setblocking(False)
        if plan.address.family != UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _connect(self, client: Client) -> None:
        address = self._session.plan.address
        number = client.sock.connect_ex(address.where)
        if number == 0:
            self._register(client, READ)
            self._establish(client)
        elif number == errno.EAGAIN and address.family == UNIX:
            self._full.append(client)
        elif number in _PENDING:
            self._register(client, WRITE)
        else:
            raise self._failed(number)

    def _register(self, client: Client, interest: int) -> None:
        try:
            self._session.backend.register(client.fd, interest, client)
        except Refused as refusal:
            raise Broken("%s: %s; or use fewer --connections" % (self._session.name(client.index), refusal)) from None

    def _settle(self, client: Client) -> None:
        number = client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise self._failed(number)
        self._session.backend.modify(client.fd, READ)
        self._establish(client)

    def _establish(self, client: Client) -> None:
        client.is_connected = True
        self._established += 1

    def _failed(self, number: int) -> Broken:
        address = self._session.plan.address
        why = OSError(number, _words(number))
        if number == errno.EADDRNOTAVAIL:
            cure = "no local port is free; use fewer --connections, or wait a minute"
        else:
            cure = how_to_serve(address)
        return Broken("cannot connect to %s: %s; %s" % (address, reason(why), cure))


def _words(number: int) -> str:
    """The system's text for an error number of a socket."""
    table: Dict[int, str] = getattr(socket, "errorTab", {})  # for Windows, whose strerror lacks Winsock's numbers
    return table.get(number) or os.strerror(number)
