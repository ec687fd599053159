"""When an API reports a descriptor as writable, and how much that guarantees: often only a few bytes."""

from __future__ import annotations

import mmap
import os
import socket
from typing import Any, Tuple

from lab.probing.probe import EVERY, RAW, Seen, over, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import SILENT, Watcher

_os: Any = os  # typed loosely, like the next: some of its names exist only on some platforms
_socket: Any = socket

PAGE = mmap.PAGESIZE

TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
"""From tcp(7), because PyPy's socket module lacks the name."""

_WRITABLE = {"select": "w", "poll": "OUT", "epoll": "OUT", "kqueue": "WRITE", "selectors": "WRITE"}


@probe(
    claim="a blocking send() of much data waits, even on a socket that was reported writable",
    source="select(2): a large write may still block; poll(2) POLLOUT",
    on=EVERY,
    expect="ready, waits",
    control=setup(size=1),
)
def large_send_waits(rig: Rig, size: int = 20 << 20) -> Seen:
    """Ask whether a TCP socket is writable; then send 20 MiB from a thread, in blocking mode; nobody reads."""
    near, far = rig.tcp()
    ready = rig.ask(near, "w")
    near.setblocking(True)
    sender = rig.thread(near.send, bytes(size))
    sender.until_asleep()
    found = "returns" if sender.done() else "waits"
    rig.reset(far)  # ends the send
    attempt(sender.result)
    return seen("%s, %s" % ("ready" if ready != SILENT else SILENT, found), mask=ready)


@probe(
    claim="a blocking write of one byte more than fits waits, even on a pipe that was reported writable",
    source="poll(2) POLLOUT; pipe(7) PIPE_BUF",
    on=EVERY,
    expect="ready, waits",
    control=setup(beyond=0),
    needs=("pipes",),
)
def large_pipe_write_waits(rig: Rig, beyond: int = 1) -> Seen:
    """Fill a pipe except for one page; ask whether it is writable; then write one page and one byte from a thread, in
    blocking mode."""
    reader, writer = rig.pipe()
    rig.fill(writer)
    rig.read(reader, PAGE)
    ready = rig.ask(writer, "w")
    _os.set_blocking(writer, True)
    sender = rig.thread(os.write, writer, bytes(PAGE + beyond))
    sender.until_asleep()
    found = "returns" if sender.done() else "waits"
    rig.drain(reader)  # ends the write
    attempt(sender.result)
    return seen("%s, %s" % ("ready" if ready != SILENT else SILENT, found), mask=ready)


@probe(
    claim="a full TCP socket does not become writable as soon as the peer reads something, but only after it has read "
          "much",
    source="Linux include/net/sock.h sk_stream_is_writeable",
    on=RAW,
    expect={"kqueue": None, "*": "late"},
    control=setup(fills=False),
    trials=3,
)
def low_water_tcp(rig: Rig, fills: bool = True) -> Seen:
    """Send over TCP until no more is accepted for a while; have the peer read a 64th of it, and ask whether the sender
    is writable; read on until it is."""
    near, far = rig.tcp()
    asked = rig.watcher()
    asked.watch(near.fileno(), "w")
    total = rig.fill(near) if fills else rig.write(near)
    while rig.heard(asked, rig.quiet / 4):
        more = rig.fill(near) if fills else 0
        if not more:
            return seen("at once")
        total += more
    rig.arrived(far)
    read = len(rig.read(far, total // 64))
    if rig.heard(asked, rig.quiet / 4):
        return seen("with the first read")
    return seen("late", part=round((read + _drained(rig, asked, far, total - read, total // 64)) / total, 2))


@probe(
    claim="a full unix stream becomes writable once three quarters of its data have been read",
    source="Linux net/unix/af_unix.c unix_writable",
    on=RAW,
    expect={"kqueue": None, "*": "3/4"},
    control=setup(fills=False),
    needs=("unix",),
)
def low_water_unix(rig: Rig, fills: bool = True) -> Seen:
    """Send pieces of 4096 bytes over a unix pair until one is not accepted; read them until the sender is writable
    again."""
    near, far = rig.unix()
    total, _ = _flood(rig, near, 4096, 3000 if fills else 1)
    asked = rig.watcher()
    asked.watch(near.fileno(), "w")
    part = _drained(rig, asked, far, total, 4096) / total
    return seen(_quarters(part), part=round(part, 2))


@probe(
    claim="a full pipe becomes writable once a whole page is free, not once a byte is free",
    source="Linux fs/pipe.c pipe_poll, pipe_read; pipe(7)",
    on=RAW,
    expect={"kqueue": None, "*": "a page"},
    control=setup(fills=False),
    needs=("pipes",),
)
def low_water_pipe(rig: Rig, fills: bool = True) -> Seen:
    """Fill a pipe; ask whether it is writable; read one byte, and ask; read the rest of a page, and ask."""
    reader, writer = rig.pipe()
    if fills:
        rig.fill(writer)
    asked = rig.watcher()
    asked.watch(writer, "w")
    for size, word in ((0, "at once"), (1, "a byte"), (PAGE - 1, "a page")):
        rig.read(reader, size)
        if rig.heard(asked, 0):
            return seen(word)
    return seen("more")


@probe(
    claim="TCP_NOTSENT_LOWAT makes a socket unwritable long before its send buffer is full",
    source="tcp(7); Linux ip-sysctl tcp_notsent_lowat",
    on=over(raw=True, edge=False),
    expect="sooner",
    control=setup(sets=False),
    needs=("notsent-lowat",),
)
def notsent_lowat(rig: Rig, sets: bool = True) -> Seen:
    """Send over two TCP connections, one of them with TCP_NOTSENT_LOWAT, until each stays unwritable for a while;
    compare the amounts."""
    amounts = []
    for with_option in (False, sets):
        near, _ = rig.tcp()
        if with_option:
            near.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096)
        asked = rig.watcher()
        asked.watch(near.fileno(), "w")
        total = taken = 0
        while rig.heard(asked) and (taken or not total):  # gVisor makes room once more after it had none
            taken, _ = _flood(rig, near, 16384, 1)
            total += taken
        amounts.append(total)
    return seen("sooner" if 4 * amounts[1] < amounts[0] else "no sooner", amounts=amounts)


@probe(
    claim="a UDP socket is always writable, however much it has sent to a peer that does not read",
    source="udp(7); Linux net/ipv4/udp.c udp_poll",
    on=EVERY,
    expect=_WRITABLE,
    control=setup(kind="unix-datagrams"),
)
def udp(rig: Rig, kind: str = "udp") -> Seen:
    """Send 3000 UDP datagrams that nobody reads; ask whether the sender is writable. Control: use a pair of unix
    datagram sockets."""
    near, _ = rig.pair(kind)
    count, then = _flood(rig, near, 1, 3000)
    return seen(rig.ask(near, "w"), sent=count, then=then)


@probe(
    claim="UDP silently drops datagrams for which the receiver has no room",
    source="udp(7); Linux net/ipv4/udp.c udp_queue_rcv_skb",
    expect="all sent, some dropped",
    control=setup(most=3),
)
def udp_drops(rig: Rig, most: int = 3000) -> Seen:
    """Send 3000 datagrams of 1000 bytes over UDP without blocking; then read all that have arrived. Control: send
    three."""
    near, far = rig.udp()
    sent, then = _flood(rig, near, 1000, most)
    rig.arrived(far)
    got = rig.drain(far)
    words = ("all" if sent == 1000 * most else "some", "some" if got < sent else "none")
    return seen("%s sent, %s dropped" % words, sent=sent, got=got, then=then)


@probe(
    claim="a unix datagram pair has back-pressure: the sender is not writable once the buffer is full",
    source="unix(7); Linux net/unix/af_unix.c unix_dgram_poll, unix_writable",
    on=EVERY,
    expect={"kqueue": None, "*": SILENT},
    control=setup(kind="udp"),
    needs=("unix-datagrams",),
)
def unix_datagrams(rig: Rig, kind: str = "unix-datagrams") -> Seen:
    """Send up to 3000 datagrams over a unix pair until one is not accepted; ask whether the sender is writable.
    Control: use UDP."""
    near, _ = rig.pair(kind)
    count, then = _flood(rig, near, 1, 3000)
    return seen(rig.ask(near, "w"), sent=count, then=then)


@probe(
    claim="a full unix datagram pair becomes writable once three quarters of its data have been read",
    source="Linux net/unix/af_unix.c unix_writable",
    on=RAW,
    expect={"kqueue": None, "*": "3/4"},
    control=setup(most=1),
    needs=("unix-datagrams",),
)
def low_water_unix_datagrams(rig: Rig, most: int = 3000) -> Seen:
    """Send over a unix datagram pair until a datagram is not accepted; read one after the other until the sender is
    writable again."""
    near, far = rig.unix_datagrams()
    total, then = _flood(rig, near, 1, most)
    asked = rig.watcher()
    asked.watch(near.fileno(), "w")
    part = _drained(rig, asked, far, total, 1) / total
    return seen(_quarters(part), part=round(part, 2), then=then)


@probe(
    claim="a bound unix datagram socket queues max_dgram_qlen + 1 datagrams from the sockets that are connected to it",
    source="unix(7) max_dgram_qlen; Linux net/unix/af_unix.c unix_recvq_full",
    expect="max_dgram_qlen + 1",
    control=setup(mutual=True),
    needs=("unix-datagrams", "max-dgram-qlen"),
)
def unix_datagram_queue(rig: Rig, mutual: bool = False) -> Seen:
    """Connect to a bound unix datagram socket, and send until a datagram is not accepted. Control: the bound socket
    connects back."""
    with open("/proc/sys/net/unix/max_dgram_qlen", encoding="ascii") as file:
        limit = int(file.read())
    near, far = (rig.new_socket(_socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    for sock in (near, far):
        sock.bind(os.path.join(rig.directory(), "end"))
    near.connect(far.getsockname())
    if mutual:
        far.connect(near.getsockname())
    count, then = _flood(rig, near, 1, 3000)
    return seen("max_dgram_qlen + 1" if count == limit + 1 else "more" if count > limit + 1 else "fewer",
                sent=count, max_dgram_qlen=limit, then=then)


def _flood(rig: Rig, near: socket.socket, size: int, most: int) -> Tuple[int, str]:
    """Send up to ``most`` pieces of that size, until one is not accepted; the bytes sent, and how it ended."""
    total, data = 0, bytes(size)
    for _ in range(most):
        found = attempt(rig.write, near, data)
        if found != "ok":
            return total, found
        total += size
    return total, "all taken"


def _drained(rig: Rig, asked: Watcher, far: socket.socket, total: int, step: int) -> int:
    """Read pieces of ``step`` bytes at the far end until the watcher reports an event, or everything is read; the bytes
    read."""
    read = 0
    while not rig.heard(asked, 0) and read < total:
        rig.arrived(far)
        read += len(rig.read(far, step))
    return read


def _quarters(part: float) -> str:
    return ("at once", "1/4", "1/2", "3/4", "all")[round(part * 4)]
