"""How a program learns that nobody is there: failed connects, unread datagrams, peers that close during a send."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, List, Set

from lab.probing.probe import EVERY, Seen, over, probe, seen, setup
from lab.probing.rig import Rig, attempt

_UNIX = int(getattr(socket, "AF_UNIX", -1))


def _code(number: int) -> str:
    return errno.errorcode.get(number, "errno %d" % number) if number else "ok"


def _connect(sock: socket.socket, address: Any) -> str:
    return _code(sock.connect_ex(address))


def _so_error(sock: socket.socket) -> str:
    return _code(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def _nobody(rig: Rig, kind: str = "tcp") -> Any:
    """An address that refuses connections: its socket is connected to a peer. While it exists, nobody else can bind to
    it."""
    return rig.pair(kind)[1].getsockname()


def _connected(rig: Rig, listens: bool) -> socket.socket:
    """A non-blocking TCP socket whose connect has failed or, with a listener, succeeded."""
    sock = rig.new_socket()
    sock.connect_ex(rig.listener().getsockname() if listens else _nobody(rig))
    rig.arrived(sock, "w")
    return sock


def _everything(rig: Rig) -> str:
    return "rwx" if rig.backend == "select" else "rwd"


@probe(
    claim="a non-blocking connect() returns EINPROGRESS first, even where the refusal is immediate",
    source="connect(2) EINPROGRESS; winsock, connect: WSAEWOULDBLOCK",
    expect="EINPROGRESS",
    control=setup(blocks=True),
)
def connect_in_progress(rig: Rig, blocks: bool = False) -> Seen:
    """Connect a non-blocking TCP socket to a loopback port on which nobody listens. Control: use a blocking socket."""
    sock = rig.new_socket()
    sock.setblocking(blocks)
    return seen(_connect(sock, _nobody(rig)))


@probe(
    claim="a socket is not writable after its connect() has failed",
    source="POSIX connect and select; connect(2) EINPROGRESS; winsock, select: exceptfds",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT+ERR+HUP+RDHUP", "epoll": "IN+OUT+ERR+HUP+RDHUP",
            "selectors": "READ+WRITE"},
    control=setup(listens=True),
)
def connect_refused(rig: Rig, listens: bool = False) -> Seen:
    """Have a TCP connect refused; ask for every event that the API has, exceptional conditions and RDHUP included."""
    return seen(rig.ask(_connected(rig, listens), _everything(rig)))


@probe(
    claim="on the loopback, a connect() is refused at once",
    source="RFC 793, reset generation; libuv #2896: Windows repeats the SYN for two seconds",
    on=over("select"),
    expect={"select": "r+w", "selectors": "READ+WRITE"},
    control=setup(answers=False),
)
def connect_refused_soon(rig: Rig, answers: bool = True) -> Seen:
    """Connect to a loopback port on which nobody listens; ask for events within half a second. Control: connect to a
    listener whose backlog is full, which does not answer."""
    listener = rig.listener(0)
    address = _nobody(rig) if answers else listener.getsockname()
    for _ in range(0 if answers else 4):
        rig.new_socket().connect_ex(address)
    sock = rig.new_socket()
    sock.connect_ex(address)
    return seen(rig.ask(sock, _everything(rig), 5 * rig.quiet))


@probe(
    claim="SO_ERROR returns the reason why a connect() failed, once, and then no error",
    source="socket(7) SO_ERROR; POSIX getsockopt; connect(2) EINPROGRESS",
    expect="ECONNREFUSED, ok",
    control=setup(listens=True),
)
def so_error_once(rig: Rig, listens: bool = False) -> Seen:
    """Have a TCP connect refused; read SO_ERROR twice."""
    sock = _connected(rig, listens)
    return seen("%s, %s" % (_so_error(sock), _so_error(sock)))


@probe(
    claim="a socket whose connect() failed reports no events once SO_ERROR has been read",
    source="socket(7) SO_ERROR; poll(2) POLLERR, POLLHUP",
    on=EVERY,
    expect={"select": "r+w", "poll": "IN+OUT+HUP+RDHUP", "epoll": "IN+OUT+HUP+RDHUP", "selectors": "READ+WRITE"},
    control=setup(listens=True),
)
def after_so_error(rig: Rig, listens: bool = False) -> Seen:
    """Have a TCP connect refused; read SO_ERROR; ask for every event that the API has."""
    sock = _connected(rig, listens)
    error = _so_error(sock)
    return seen(rig.ask(sock, _everything(rig)), so_error=error)


def _thrice(rig: Rig, sock: socket.socket) -> str:
    """The results of three connects to a live listener, each made after the one before is decided."""
    address = rig.listener().getsockname()
    codes: List[str] = []
    for _ in range(3):
        codes.append(_connect(sock, address))
        rig.settle(sock, "w")
    return ", ".join(codes)


@probe(
    claim="a socket whose connect() failed can connect to another address, once SO_ERROR has been read",
    source="POSIX connect: its state is unspecified; bpo-30064, cpython #20494",
    expect="ECONNABORTED, EINPROGRESS, ok",
    control=setup(refused=False),
)
def retry(rig: Rig, refused: bool = True) -> Seen:
    """Have a TCP connect refused; read SO_ERROR; connect three times to a live listener. Control: use a new socket."""
    sock = _connected(rig, False) if refused else rig.new_socket()
    error = _so_error(sock)
    return seen(_thrice(rig, sock), so_error=error)


@probe(
    claim="a socket whose connect() failed can connect to another address at once",
    source="POSIX connect: its state is unspecified; bpo-30064, cpython #20494",
    expect="ECONNREFUSED, EINPROGRESS, ok",
    control=setup(refused=False),
)
def retry_unread(rig: Rig, refused: bool = True) -> Seen:
    """Have a TCP connect refused; connect three times to a live listener. Control: use a new socket."""
    return seen(_thrice(rig, _connected(rig, False) if refused else rig.new_socket()))


def _last_unix_client(rig: Rig, backlog: int) -> Any:
    """Connect clients to a unix listener with that backlog until one fails, at most eight; the last one, and its
    error."""
    path = os.path.join(rig.directory(), "listener")
    listener = rig.new_socket(_UNIX)
    listener.bind(path)
    listener.listen(backlog)
    for _ in range(8):
        sock = rig.new_socket(_UNIX)
        code = _connect(sock, path)
        if code != "ok":
            break
    return sock, code


@probe(
    claim="a non-blocking connect() to a unix listener whose backlog is full is in progress until there is room",
    source="connect(2) EAGAIN, EINPROGRESS",
    expect="EAGAIN",
    control=setup(backlog=16),
    needs=("unix", "posix"),
)
def unix_backlog_full(rig: Rig, backlog: int = 1) -> Seen:
    """Create a unix listener with a backlog of one that accepts nothing; connect non-blocking sockets until one
    fails."""
    return seen(_last_unix_client(rig, backlog)[1])


@probe(
    claim="after connect() has failed with EAGAIN, a program can wait until the unix listener has room",
    source="connect(2) EAGAIN; poll(2) POLLHUP",
    on=EVERY,
    expect={"select": "r+w", "poll": "OUT+HUP", "epoll": "OUT+HUP", "selectors": "READ+WRITE"},
    control=setup(backlog=16),
    needs=("unix", "posix"),
)
def unix_backlog_full_wait(rig: Rig, backlog: int = 1) -> Seen:
    """Create a unix listener with a backlog of one that accepts nothing; connect non-blocking sockets until one fails;
    ask whether that one is readable or writable."""
    sock, code = _last_unix_client(rig, backlog)
    return seen(rig.ask(sock, "rw"), connect=code)


def _datagram_to_nobody(rig: Rig, connects: bool) -> socket.socket:
    """A UDP socket that has sent to a port on which nobody receives, after time for the ICMP error to arrive."""
    address = _nobody(rig, "udp")
    sock = rig.new_socket(kind=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    if connects:
        sock.connect(address)
        sock.send(b"x")
    else:
        sock.sendto(b"x", address)
    rig.settle(sock, "")
    return sock


@probe(
    claim="a connected UDP socket is reported in error once an ICMP message says that nobody receives on the port",
    source="udp(7) ECONNREFUSED; poll(2) POLLERR",
    on=EVERY,
    expect={"select": "r+w", "poll": "OUT+ERR", "epoll": "OUT+ERR", "selectors": "READ+WRITE"},
    control=setup(connects=False),
)
def udp_connected(rig: Rig, connects: bool = True) -> Seen:
    """Send from a connected UDP socket to a port on which nobody receives; ask whether the socket is readable or
    writable."""
    return seen(rig.ask(_datagram_to_nobody(rig, connects), "rw"))


@probe(
    claim="recv() on a connected UDP socket reports the ICMP error once",
    source="udp(7) ECONNREFUSED",
    expect="ECONNREFUSED, EAGAIN",
    control=setup(connects=False),
)
def udp_connected_recv(rig: Rig, connects: bool = True) -> Seen:
    """Send from a connected UDP socket to a port on which nobody receives; call recv() twice."""
    sock = _datagram_to_nobody(rig, connects)
    return seen("%s, %s" % (attempt(sock.recv, 10), attempt(sock.recv, 10)))


@probe(
    claim="a UDP socket that is not connected reports ICMP errors as well",
    source="udp(7), error handling (which says it is; only with IP_RECVERR); Windows: SIO_UDP_CONNRESET, gh-127057",
    expect="EAGAIN",
    control=setup(connects=True),
)
def udp_unconnected_recv(rig: Rig, connects: bool = False) -> Seen:
    """Send from an unconnected UDP socket to a port on which nobody receives; call recvfrom()."""
    return seen(attempt(_datagram_to_nobody(rig, connects).recvfrom, 10))


@probe(
    claim="a send() that races with the peer's close() fails with EPIPE or ECONNRESET, if it fails",
    source="send(2) EPIPE, ECONNRESET; macOS: libuv #482, gh-77631 (EPROTOTYPE)",
    expect="EPIPE or ECONNRESET",
    control=setup(closes=False),
    needs=("posix",),
)
def send_to_closing_peer(rig: Rig, closes: bool = True) -> Seen:
    """Repeat twenty times: call send() on a TCP socket over and over while another thread closes its peer. Collect the
    errors."""
    codes: Set[str] = set()
    for _ in range(20):
        near, far = rig.tcp()
        rig.thread(far.close if closes else far.fileno)
        for _ in range(500):
            codes.add(attempt(rig.write, near))
        near.close()
    failed = codes - {"ok", "EAGAIN"}
    strange = "+".join(sorted(failed - {"EPIPE", "ECONNRESET"}))
    return seen(strange or ("EPIPE or ECONNRESET" if failed else "ok"), errors=sorted(failed))
