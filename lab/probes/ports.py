"""Which sockets may bind to a port, and which of those that share a port gets the connection."""

from __future__ import annotations

import contextlib
import socket
from typing import Any, List, Optional, Tuple

from lab.probing.probe import Seen, probe, seen, setup
from lab.probing.rig import Rig, attempt

_socket: Any = socket  # typed loosely: some of its names exist only on some platforms


@probe(
    claim="to listen again on a port that is in TIME_WAIT, both the old and the new listener need SO_REUSEADDR",
    source="socket(7) SO_REUSEADDR; Linux net/ipv4/inet_connection_sock.c inet_csk_bind_conflict",
    expect="both",
    control=setup(connects=False),
)
def reuseaddr_time_wait(rig: Rig, connects: bool = True) -> Seen:
    """Accept a connection and close it first, which leaves TIME_WAIT; bind a new listener to the port; do this with and
    without SO_REUSEADDR on the old and on the new listener, and list the combinations that succeed."""
    granted = []
    for old, new, name in ((False, False, "neither"), (True, False, "old"), (False, True, "new"), (True, True, "both")):
        address = _free(rig)
        listener = _bound(rig, address, socket.SO_REUSEADDR if old else None)
        listener.listen(1)
        if connects:
            client = rig.client(listener)
            rig.accept(listener).close()
            rig.arrived(client)
            client.close()
        listener.close()
        if attempt(_bound, rig, address, socket.SO_REUSEADDR if new else None) == "ok":
            granted.append(name)
    return seen(", ".join(granted) or "none")


@probe(
    claim="SO_REUSEADDR does not let a second socket bind to the port of a live listener",
    source="socket(7) SO_REUSEADDR; MSDN, Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE",
    expect="refused",
    control=setup(live=False),
)
def reuseaddr_live(rig: Rig, live: bool = True) -> Seen:
    """Listen with SO_REUSEADDR; bind another socket with SO_REUSEADDR to the same address. Control: the first socket
    binds, but does not listen."""
    address = _free(rig)
    first = _bound(rig, address, socket.SO_REUSEADDR)
    if live:
        first.listen(1)
    found = attempt(_bound, rig, address, socket.SO_REUSEADDR)
    return seen("taken" if found == "ok" else "refused", bind=found)


@probe(
    claim="two sockets with SO_REUSEADDR may be bound to one port, but only one of them can listen",
    source="Linux net/ipv4/inet_connection_sock.c inet_csk_bind_conflict",
    expect="EADDRINUSE",
    control=setup(first_listens=False),
)
def reuseaddr_two_bound(rig: Rig, first_listens: bool = True) -> Seen:
    """Bind two sockets with SO_REUSEADDR to one port; call listen() on the first, then on the second."""
    address = _free(rig)
    first, second = [_bound(rig, address, socket.SO_REUSEADDR) for _ in range(2)]
    listens = attempt(first.listen, 1) if first_listens else "not asked"
    return seen(attempt(second.listen, 1), first=listens)


@probe(
    claim="SO_EXCLUSIVEADDRUSE protects the port of a Windows listener against sockets with SO_REUSEADDR",
    source="MSDN, Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE",
    expect="refused",
    control=setup(exclusive=False),
    needs=("windows",),
)
def exclusiveaddruse(rig: Rig, exclusive: bool = True) -> Seen:
    """Listen with SO_EXCLUSIVEADDRUSE; bind another socket with SO_REUSEADDR to the same address."""
    address = _free(rig)
    _bound(rig, address, _socket.SO_EXCLUSIVEADDRUSE if exclusive else socket.SO_REUSEADDR).listen(1)
    found = attempt(_bound, rig, address, socket.SO_REUSEADDR)
    return seen("taken" if found == "ok" else "refused", bind=found)


@probe(
    claim="SO_REUSEPORT spreads new connections over all listeners on a port",
    source="socket(7) SO_REUSEPORT",
    expect="4 of 4",
    control=setup(listening=1),
    needs=("reuseport",),
)
def reuseport_spreads(rig: Rig, listening: int = 4) -> Seen:
    """Bind four sockets to one port with SO_REUSEPORT, and listen on all; connect 64 times; count the listeners that
    got a connection."""
    listeners = _sharing(rig, 4, listening)
    for _ in range(64):
        rig.client(listeners[0])
    counts = [0, 0, 0, 0]

    def all_accepted() -> bool:
        for index, listener in enumerate(listeners[:listening]):
            counts[index] += len(_accept_all(rig, listener))
        return sum(counts) == 64
    rig.until(all_accepted)
    return seen("%d of 4" % sum(count > 0 for count in counts), counts=counts)


@probe(
    claim="closing one of two listeners that share a port resets the connections in its queue",
    source="socket(7) SO_REUSEPORT; Linux ip-sysctl tcp_migrate_req, off by default (since 5.14)",
    expect="ECONNRESET",
    control=setup(accepts=True),
    needs=("reuseport",),
)
def reuseport_close(rig: Rig, accepts: bool = False) -> Seen:
    """Connect 32 times to two listeners that share a port; close one of them; call recv() on the clients that are not
    in the queue of the other."""
    first, second = _sharing(rig, 2, 2)
    clients = [rig.client(first) for _ in range(32)]
    closing, other = (first, second) if rig.settle(first) else (second, first)  # one may have got them all
    peers = {sock.getpeername() for sock in _accept_all(rig, closing)} if accepts else set()
    closing.close()
    peers.update(sock.getpeername() for sock in _accept_all(rig, other))
    lost = [client for client in clients if client.getsockname() not in peers]
    for client in lost:
        rig.settle(client)
    found = {attempt(client.recv, 1) for client in lost}
    return seen("+".join(sorted(found)) or "none lost", lost=len(lost))


def _sharing(rig: Rig, count: int, listening: int) -> List[socket.socket]:
    """Sockets bound to one port with SO_REUSEPORT, of which the first ``listening`` listen."""
    address = _free(rig)
    made = [_bound(rig, address, _socket.SO_REUSEPORT) for _ in range(count)]
    for sock in made[:listening]:
        sock.listen(128)
    return made


def _accept_all(rig: Rig, listener: socket.socket) -> List[socket.socket]:
    """Accept every connection in the queue."""
    accepted: List[socket.socket] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            accepted.append(rig.keep(listener.accept()[0]))
    return accepted


@probe(
    claim="a listener on :: accepts IPv4 clients too, and reports their addresses mapped into IPv6",
    source="ipv6(7) IPV6_V6ONLY; docs.python.org socket.create_server dualstack_ipv6",
    expect="mapped",
    control=setup(only=True),
    needs=("ipv6",),
)
def dual_stack(rig: Rig, only: bool = False) -> Seen:
    """Listen on :: with the platform's default for IPV6_V6ONLY; connect to 127.0.0.1; read the peer's address."""
    listener = _any_address(rig, only)
    listener.listen(1)
    client = rig.new_socket()
    client.settimeout(rig.patience)
    connected = attempt(client.connect, ("127.0.0.1", listener.getsockname()[1]))
    if connected != "ok":
        return seen(connected)
    near = rig.accept(listener)
    return seen("mapped" if near.getpeername()[0].startswith("::ffff:") else "not mapped",
                v6only=listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


@probe(
    claim="a socket that is bound to :: occupies the IPv4 port as well",
    source="ipv6(7) IPV6_V6ONLY and bindv6only",
    expect="EADDRINUSE",
    control=setup(only=True),
    needs=("ipv6",),
)
def dual_stack_port(rig: Rig, only: bool = False) -> Seen:
    """Bind to :: with the platform's default for IPV6_V6ONLY; bind another socket to 0.0.0.0 and the same port."""
    first = _any_address(rig, only)
    return seen(attempt(_bound, rig, ("0.0.0.0", first.getsockname()[1])))


def _free(rig: Rig) -> Tuple[str, int]:
    """A loopback port that no socket uses, not even in TIME_WAIT: bind it without a flag, and close that socket."""
    sock = _bound(rig, ("127.0.0.1", 0))
    address: Tuple[str, int] = sock.getsockname()
    sock.close()
    return address


def _bound(rig: Rig, address: Tuple[str, int], option: Optional[int] = None) -> socket.socket:
    """A TCP socket bound to that address, after setting that option of SOL_SOCKET. Raises what bind() raises."""
    sock = rig.new_socket()
    if option is not None:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.bind(address)
    return sock


def _any_address(rig: Rig, only: bool) -> socket.socket:
    """A TCP socket bound to ::, at a port that is free for IPv4; for IPv6 only, or with the platform's default."""
    sock = rig.new_socket(socket.AF_INET6)
    if only:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("::", _free(rig)[1]))
    return sock
