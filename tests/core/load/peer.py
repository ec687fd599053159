"""A small threaded echo server for the load tests; a function, honest or not, serves each connection."""

from __future__ import annotations

import socket
import threading
from typing import Callable, List, Optional

from lab.address import UNIX, Address
from tests.waits import PATIENCE

Behaviour = Callable[[socket.socket, int], None]
"""Serves one connection, whose number counts from 0; the connection is closed when the function returns."""


def echo(sock: socket.socket, number: int) -> None:
    while True:
        data = sock.recv(65536)
        if not data:
            return
        sock.sendall(data)


class Peer:
    """Listens on a free port or a unix path, and serves each connection in a thread."""

    def __init__(self, behave: Behaviour = echo, path: Optional[str] = None, backlog: int = 128) -> None:
        self.behave = behave
        self._listener = socket.socket(socket.AF_INET if path is None else UNIX)
        self._listener.bind(("127.0.0.1", 0) if path is None else path)
        self._listener.listen(backlog)
        self.address = Address(self._listener.family, self._listener.getsockname())
        self.socks: List[socket.socket] = []
        self._threads: List[threading.Thread] = []
        self._stopping = False
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._stopping:
                sock.close()
                return
            if sock.family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socks.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock, len(self.socks) - 1))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with sock:
            try:
                self.behave(sock, number)
            except OSError:  # any: the client under test may do anything to the connection
                pass

    def close(self) -> None:
        self._stopping = True
        with socket.socket(self.address.family) as last:
            last.connect(self.address.where)
            self._acceptor.join(PATIENCE)
        self._listener.close()
        for sock in self.socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:  # closed already
                pass
        for thread in self._threads:
            thread.join(PATIENCE)
