"""What a wait in one thread notices when another thread changes the descriptors, or the object that is waiting.

Nothing here is timed. The waiting thread also watches one end of a spare socket pair. Once that thread sleeps, the
other thread acts, allows one "quiet" span for the wait to end by itself, and then ends it by writing a byte to the
spare pair."""

from __future__ import annotations

import socket
from typing import Tuple

from lab.capabilities import has
from lab.probing.probe import EVERY, Seen, SetUpFailed, over, probe, seen, setup
from lab.probing.rig import Rig, attempt, number
from lab.probing.rig.running import Running
from lab.probing.watchers import SILENT, Answer, Watcher


def _sleeper(rig: Rig, asked: Watcher) -> Tuple[Running, socket.socket]:
    """A thread that is asleep in a wait, and the socket that ends the wait when a byte is written to it."""
    stop, wake = rig.unix()
    asked.watch(stop.fileno())
    waiter = rig.thread(rig.heard, asked, rig.patience)
    waiter.until_asleep()
    return waiter, wake


def _ends(rig: Rig, running: Running) -> bool:
    """Whether the thread ends by itself within quiet."""
    try:
        running.result(rig.quiet)
    except SetUpFailed:
        running.until_asleep()  # on a busy machine the thread may be woken, and not have run yet
        return running.done()
    except (OSError, ValueError):  # whatever it raised, it has ended
        return True
    return True


def _answer(rig: Rig, waiter: Running, wake: socket.socket, *fds: int) -> str:
    """Whether the wait ended by itself (``woken``) or had to be ended (``slept``), and its answer for these
    descriptors: ``slept, NVAL``."""
    manner = "woken" if _ends(rig, waiter) else "slept"
    rig.write(wake)

    def masks(answer: Answer) -> str:
        said = dict(answer)
        return "/".join(sorted({said.get(fd, SILENT) for fd in fds}))
    return "%s, %s" % (manner, attempt(waiter.result, ok=masks))


@probe(
    claim="closing a descriptor does not wake a thread that waits for it; what the wait later reports depends on the "
          "API",
    source="select(2), Multithreaded applications: unspecified, no effect on Linux; poll(2) POLLNVAL; epoll(7) Q6",
    on=EVERY,
    expect={"select": "slept, r", "poll": "slept, NVAL", "epoll": "slept, silent",
            "selectors:SelectSelector": "slept, READ", "selectors:PollSelector": "slept, READ",
            "selectors:EpollSelector": "slept, silent", "selectors": None},
    control=setup(writes=True),
)
def close_while_waiting(rig: Rig, writes: bool = False) -> Seen:
    """Have a thread wait for a TCP socket, a unix socket, a UDP socket and a pipe; close them all; end the wait, and
    look at what it reports for them."""
    kinds = ["tcp", "unix", "udp"] + ([] if has("winsock") else ["pipe"])
    asked = rig.watcher()
    pairs = [rig.pair(kind) for kind in kinds]
    fds = [number(near) for near, _ in pairs]
    for fd in fds:
        asked.watch(fd)
    waiter, wake = _sleeper(rig, asked)
    for near, far in pairs:
        if writes:
            rig.write(far)
        else:
            rig.close(near)
    return seen(_answer(rig, waiter, wake, *fds), kinds=kinds)


@probe(
    claim="a wait in select or poll holds the open file, so after close() in another thread the FIN is sent only when "
          "that wait ends",
    source="select(2) and close(2), Multithreaded processes and close(); epoll(7) Q6",
    on=EVERY,
    expect={"select": "when the wait ended", "poll": "when the wait ended", "epoll": "at once",
            "selectors:SelectSelector": "when the wait ended", "selectors:PollSelector": "when the wait ended",
            "selectors:EpollSelector": "at once", "kqueue": None, "selectors": None},
    control=setup(duplicated=True),
)
def close_holds_end(rig: Rig, duplicated: bool = False) -> Seen:
    """Have a thread wait for a TCP socket; close the socket, and check whether the peer reads the end of file before
    the wait is ended or only after that."""
    near, far = rig.tcp()
    asked = rig.watcher()
    asked.watch(near.fileno())
    waiter, wake = _sleeper(rig, asked)
    if duplicated:
        rig.duplicate(near)
    near.close()
    early = rig.settle(far)
    rig.write(wake)
    attempt(waiter.result)
    if early:
        return seen("at once")
    return seen("when the wait ended" if rig.settle(far) else "never")


@probe(
    claim="epoll and kqueue notice a descriptor that another thread adds during the wait; select and poll do not",
    source="epoll_wait(2) NOTES; kqueue(2)",
    on=EVERY,
    expect={"epoll": "woken, IN", "epoll-et": "woken, IN", "kqueue": "woken, READ",
            "select": "slept, silent; then r", "poll": "slept, silent; then IN",
            "selectors:EpollSelector": "woken, READ", "selectors:KqueueSelector": "woken, READ",
            "selectors:SelectSelector": "slept, silent; then READ",
            "selectors:PollSelector": "slept, silent; then READ", "selectors": None},
    control=setup(readable=False),
)
def add_while_waiting(rig: Rig, readable: bool = True) -> Seen:
    """Have a thread wait; from another thread, register a readable socket with the same object; end the wait, and ask
    once more."""
    near, far = rig.unix()
    if readable:
        rig.write(far)
    asked = rig.watcher()
    waiter, wake = _sleeper(rig, asked)
    asked.watch(near.fileno())
    answer = _answer(rig, waiter, wake, near.fileno())
    return seen(answer if answer.startswith("woken") else "%s; then %s" % (answer, rig.mask(asked, near)))


@probe(
    claim="when another thread unregisters a descriptor during the wait, select and poll go on waiting for it",
    source="bpo-8865; select(2), poll(2): the sets are read when the call begins; epoll_ctl(2) EPOLL_CTL_DEL",
    on=EVERY,
    expect={"select": "woken, r; then silent", "poll": "woken, IN; then silent",
            "epoll": "slept, silent; then silent", "kqueue": "slept, silent; then silent",
            "selectors:SelectSelector": "woken, silent; then silent",
            "selectors:PollSelector": "woken, silent; then silent",
            "selectors:EpollSelector": "slept, silent; then silent",
            "selectors:KqueueSelector": "slept, silent; then silent", "selectors": None},
    control=setup(unregisters=False),
)
def remove_while_waiting(rig: Rig, unregisters: bool = True) -> Seen:
    """Have a thread wait for a socket; unregister the socket, then make it readable; end the wait, and ask once
    more."""
    near, far = rig.unix()
    asked = rig.watcher()
    asked.watch(near.fileno())
    waiter, wake = _sleeper(rig, asked)
    if unregisters:
        asked.unwatch(near.fileno())
    rig.write(far)
    answer = _answer(rig, waiter, wake, near.fileno())
    return seen("%s; then %s" % (answer, rig.mask(asked, near)))


@probe(
    claim="a poll object raises when a second thread calls poll() during the first call; every other API allows two "
          "waits at once",
    source="bpo-8865: RuntimeError, concurrent poll() invocation; epoll_wait(2) NOTES",
    on=over(edge=False),
    expect={"poll": "RuntimeError", "selectors:PollSelector": "RuntimeError", "select": SILENT, "epoll": SILENT,
            "selectors:SelectSelector": SILENT, "selectors:EpollSelector": SILENT, "*": None},
    control=setup(ended=True),
)
def two_ask(rig: Rig, ended: bool = False) -> Seen:
    """Have a thread wait for a socket on which nothing arrives; meanwhile ask the same object from another thread,
    without waiting."""
    near, far = rig.unix()
    asked = rig.watcher()
    asked.watch(near.fileno())
    waiter, wake = _sleeper(rig, asked)
    if ended:
        rig.write(far)
        waiter.result()
    mask = rig.mask(asked, near, 0.0)
    rig.write(wake)
    attempt(waiter.result)
    return seen(mask)


@probe(
    claim="shutdown() of a socket wakes every thread that waits for it",
    source="shutdown(2); epoll_ctl(2) EPOLLRDHUP; kqueue(2) EVFILT_READ, EV_EOF",
    on=EVERY,
    expect={"select": "woken, r", "poll": "woken, IN+RDHUP", "epoll": "woken, IN+RDHUP", "kqueue": "woken, READ-EOF",
            "selectors:SelectSelector": "woken, READ", "selectors:PollSelector": "woken, READ",
            "selectors:EpollSelector": "woken, READ", "selectors:KqueueSelector": "woken, READ", "selectors": None},
    control=setup(shuts=False),
)
def shutdown_wakes(rig: Rig, shuts: bool = True) -> Seen:
    """Have a thread wait for a TCP socket; shut down its receiving side from another thread."""
    near, _ = rig.tcp()
    asked = rig.watcher()
    asked.watch(near.fileno(), "rd")
    waiter, wake = _sleeper(rig, asked)
    if shuts:
        near.shutdown(socket.SHUT_RD)
    return seen(_answer(rig, waiter, wake, near.fileno()))


@probe(
    claim="shutdown() of a listener wakes a thread that waits for it, and accept() fails from then on",
    source="accept(2) EINVAL; poll(2) POLLHUP; shutdown(2)",
    on=EVERY,
    expect={"select": "woken, r; accept EINVAL", "poll": "woken, HUP; accept EINVAL",
            "epoll": "woken, HUP; accept EINVAL", "kqueue": None,
            "selectors:SelectSelector": "woken, READ; accept EINVAL",
            "selectors:PollSelector": "woken, READ; accept EINVAL",
            "selectors:EpollSelector": "woken, READ; accept EINVAL", "selectors": None},
    control=setup(shuts=False),
)
def listener_shutdown_wakes(rig: Rig, shuts: bool = True) -> Seen:
    """Have a thread wait for a TCP listener; shut the listener down in both directions; call accept()."""
    listener = rig.listener()
    asked = rig.watcher()
    asked.watch(listener.fileno())
    waiter, wake = _sleeper(rig, asked)
    shut = attempt(listener.shutdown, socket.SHUT_RDWR) if shuts else "ok"
    answer = _answer(rig, waiter, wake, listener.fileno())
    return seen("%s; accept %s" % (answer, attempt(listener.accept)), shutdown=shut)


@probe(
    claim="close() does not wake a thread that is blocked in recv(); shutdown() does",
    source="close(2), Multithreaded processes and close(); shutdown(2)",
    expect="slept",
    control=setup(shuts=True),
)
def close_leaves_recv(rig: Rig, shuts: bool = False) -> Seen:
    """Have a thread block in recv() on a TCP socket; close the socket. At the end the peer sends a byte, so that the
    thread can return."""
    near, far = rig.tcp()
    near.setblocking(True)
    blocked = rig.thread(near.recv, 1)
    blocked.until_asleep()
    if shuts:
        near.shutdown(socket.SHUT_RDWR)
    else:
        near.close()
    woken = _ends(rig, blocked)
    if not woken:
        attempt(rig.write, far)
    return seen("woken" if woken else "slept", ended=attempt(blocked.result))


@probe(
    claim="close() of a listener does not wake a thread that is blocked in accept(); shutdown() does",
    source="close(2), Multithreaded processes and close(); accept(2) EINVAL",
    expect="slept",
    control=setup(shuts=True),
)
def close_leaves_accept(rig: Rig, shuts: bool = False) -> Seen:
    """Have a thread block in accept() on a TCP listener; close the listener. At the end a client connects, so that the
    thread can return."""
    listener = rig.listener()
    address = listener.getsockname()
    listener.setblocking(True)
    blocked = rig.thread(lambda: rig.keep(listener.accept()[0]))
    blocked.until_asleep()
    if shuts:
        attempt(listener.shutdown, socket.SHUT_RDWR)  # WSAENOTCONN on Windows
    else:
        listener.close()
    woken = _ends(rig, blocked)
    if not woken:
        attempt(rig.new_socket().connect_ex, address)
    return seen("woken" if woken else "slept", ended=attempt(blocked.result))
