"""From nothing to all connections established: without blocking, many at once, but no more than IN_FLIGHT.

A connect that cannot finish at once says EINPROGRESS (Windows: WSAEWOULDBLOCK) and becomes writable when it has
ended, either way; SO_ERROR says which (connect(2)). Unix sockets never linger so: they stand at once, or the
listener's backlog is full, which on Linux is EAGAIN and nothing that can be waited for, so we try again shortly.

More at once would only overflow backlogs: a TCP connect that meets a full one is repeated by the kernel after a
whole second.
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
RETRY = 0.005  # seconds until a full backlog is tried again

_PENDING = (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK))
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, getattr(errno, "WSAEMFILE", errno.EMFILE))


class Connector:
    """Fills ``session.clients``. ``tick`` is called between waits."""

    def __init__(self, session: Session, kind: Callable[[Session, int, socket.socket], Client]) -> None:
        self._session = session
        self._kind = kind
        self._full: Deque[Client] = deque()  # those that met a full backlog
        self._established = 0

    def run(self, tick: Callable[[], None], longest: float) -> None:
        """Establish all connections; no wait takes more than ``longest`` seconds.

        Raises ``Broken`` where that fails, or stands still for the patience.
        """
        plan = self._session.plan
        last = clock()
        before = 0
        while self._established < plan.connections:
            self._open_more()
            if self._established == plan.connections:  # at once, as those of unix sockets do
                break
            for client, event in self._session.backend.wait(RETRY if self._full else min(longest, plan.patience)):
                if client.is_connected:
                    client.on_ready(event)  # a peer that speaks, or leaves, before it was spoken to
                else:
                    self._settle(client)
            for _ in range(len(self._full)):
                self._connect(self._full.popleft())
            tick()
            now = clock()
            if self._established > before:
                before, last = self._established, now
            elif now - last >= plan.patience:
                raise Broken("%d of %d connections to %s are established, and nothing moved for %g s; see that a "
                             "server accepts there, or take fewer --connections"
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
                         "take fewer --connections" % (len(self._session.clients), plan.connections, reason(error),
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
            raise Broken("%s: %s; or take fewer --connections" % (self._session.name(client.index), refusal)) from None

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
            cure = "the local ports are used up; take fewer --connections, or wait a minute"
        else:
            cure = how_to_serve(address)
        return Broken("cannot connect to %s: %s; %s" % (address, reason(why), cure))


def _words(number: int) -> str:
    """The system's words for an error number of a socket."""
    table: Dict[int, str] = getattr(socket, "errorTab", {})  # Windows, whose strerror knows no Winsock numbers
    return table.get(number) or os.strerror(number)
