"""Opens sockets, alone and in connected pairs. All are non-blocking, and are closed at the end."""

from __future__ import annotations

import socket
import struct
from typing import Any

from lab.capabilities import has
from lab.probing.probe import Unsupported
from lab.probing.rig.base import Pair
from lab.probing.rig.waiting import Waiting


class Sockets(Waiting):
    """Opens sockets, and resets them."""

    def new_socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A new socket."""
        made: socket.socket = self.keep(socket.socket(family, kind))
        made.setblocking(False)
        return made

    def listener(self, backlog: int = 16, family: int = socket.AF_INET, reuse: bool = False) -> socket.socket:
        """A TCP listener on the loopback, at a port that the system chooses."""
        made = self.new_socket(family)
        if reuse:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        made.listen(backlog)
        return made

    def client(self, listener: socket.socket) -> socket.socket:
        """A TCP socket that is connected to the listener; nobody has accepted the connection yet."""
        made: socket.socket = self.keep(socket.socket(listener.family))
        made.settimeout(self.patience)
        made.connect(listener.getsockname())
        made.setblocking(False)
        return made

    def accept(self, listener: socket.socket) -> socket.socket:
        """The next connection. Raises ``SetUpFailed`` if none comes."""
        self.arrived(listener)
        made: socket.socket = self.keep(listener.accept()[0])
        made.setblocking(False)
        return made

    def tcp(self) -> Pair:
        """Two connected TCP sockets on the loopback. Their listener is closed."""
        listener = self.listener(1)
        far = self.client(listener)
        near = self.accept(listener)
        listener.close()
        for end in (near, far):  # or small sends would wait for each other's acknowledgement
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return near, far

    def unix(self) -> Pair:
        """Two connected unix stream sockets; on Windows the TCP pair that socketpair makes there."""
        return self._pair(*socket.socketpair())

    def unix_datagrams(self) -> Pair:
        """Two connected unix datagram sockets."""
        family: Any = getattr(socket, "AF_UNIX", None)
        if family is None:
            raise Unsupported("Python has no unix sockets here")
        return self._pair(*socket.socketpair(family, socket.SOCK_DGRAM))

    def udp(self) -> Pair:
        """Two UDP sockets on the loopback, connected to each other."""
        near, far = self.new_socket(kind=socket.SOCK_DGRAM), self.new_socket(kind=socket.SOCK_DGRAM)
        for end in (near, far):
            end.bind(("127.0.0.1", 0))
        near.connect(far.getsockname())
        far.connect(near.getsockname())
        return near, far

    def _pair(self, near: socket.socket, far: socket.socket) -> Pair:
        for end in (near, far):
            self.keep(end).setblocking(False)
        return near, far

    def reset(self, sock: socket.socket) -> None:
        """Close with RST instead of FIN (socket(7), SO_LINGER of zero seconds)."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if has("winsock") else "ii", 1, 0))
        sock.close()
