"""How long a wait lasts: which timeouts are accepted, to what unit they are rounded, and which wait for ever.

These probes measure time in two ways. For a wait of a few milliseconds they take the shortest of many: a busy machine
makes waits longer, and nothing makes them shorter, so this replaces trials. A wait that would never end is ended by a
byte.
"""

from __future__ import annotations

from typing import Any

from lab.probing.probe import EPOLLS, EVERY, Seen, over, probe, seen, setup
from lab.probing.rig import Pair, Rig, attempt

NAP = 0.04
"""Seconds, before the factor slow: how long these waits sleep, and after how long an endless one is ended."""

EARLY = "before its time"
SUB_MS, FULL_MS = "less than 1 ms", "1 ms or more"
SUB_2_MS, FULL_2_MS = "less than 2 ms", "2 ms or more"


@probe(
    claim="select waits for microseconds; poll and epoll round a part of a millisecond up to a whole one",
    source="select(2), poll(2), epoll_wait(2); bpo-20311, bpo-20320, bpo-20452",
    on=EVERY,
    expect={"select": SUB_MS, "selectors:SelectSelector": SUB_MS, "poll": FULL_MS, "epoll": FULL_MS,
            "selectors:PollSelector": FULL_MS, "selectors:EpollSelector": FULL_MS},
    control=setup(data=b"x"),
)
def part_of_a_millisecond(rig: Rig, data: bytes = b"") -> Seen:
    """Watch a socket to which nothing comes; ask with 0.3 ms, several times; judge the shortest wait."""
    return _rounded(rig, 0.0003, 1, data)


@probe(
    claim="poll and epoll round a timeout up to the next millisecond, never down, so that nobody spins",
    source="poll(2), epoll_wait(2); bpo-20311, bpo-20320, bpo-20452",
    on=EVERY,
    expect={"select": SUB_2_MS, "selectors:SelectSelector": SUB_2_MS, "poll": FULL_2_MS, "epoll": FULL_2_MS,
            "selectors:PollSelector": FULL_2_MS, "selectors:EpollSelector": FULL_2_MS},
    control=setup(data=b"x"),
)
def more_than_a_millisecond(rig: Rig, data: bytes = b"") -> Seen:
    """Watch a socket to which nothing comes; ask with 1.6 ms, several times; judge the shortest wait."""
    return _rounded(rig, 0.0016, 2, data)


@probe(
    claim="since Python 3.15 poll() uses ppoll and waits for microseconds; epoll stays at milliseconds",
    source="gh-142434; ppoll(2)",
    on=over("poll", "epoll", raw=True, edge=False),
    expect={"poll": SUB_MS, "epoll": FULL_MS},
    control=setup(data=b"x"),
    needs=("linux", "python3.15"),
)
def ppoll(rig: Rig, data: bytes = b"") -> Seen:
    """Watch a socket to which nothing comes; ask with 0.3 ms, several times; judge the shortest wait."""
    return _rounded(rig, 0.0003, 1, data)


@probe(
    claim="a wait of whole milliseconds is not rounded, but EpollSelector adds one to 9 ms, and to some others",
    source="selectors.py EpollSelector.select: math.ceil(timeout * 1e3) * 1e-3, which epoll.poll() rounds up again",
    on=over("poll", "epoll", edge=False),
    expect={"selectors:EpollSelector": "10 ms or more", "*": "less than 10 ms"},
    control=setup(data=b"x"),
)
def nine_milliseconds(rig: Rig, data: bytes = b"") -> Seen:
    """Watch a socket to which nothing comes; ask with 9 ms, several times; judge the shortest wait."""
    return _rounded(rig, 0.009, 10, data)


def _rounded(rig: Rig, timeout: float, whole: int, data: bytes) -> Seen:
    """Whether the shortest wait lasts at least ``whole`` milliseconds, less, or not even the timeout. We ask up to 50
    times, or for 150 ms (both times slow), so that a busy machine returns one on time; once a wait was shorter than
    ``whole``, we ask ten times more, in case another is shorter than the timeout."""
    asked = rig.watcher()
    asked.watch(_pair(rig, data)[0].fileno())
    shortest = float("inf")
    left = int(min(50, 150 // whole) * rig.slow)
    while left and shortest >= 1000 * timeout:
        left -= 1
        with rig.timed() as taken:
            answer = asked.ask(timeout)
        if answer:
            return seen("ready")
        if 1000 * taken["seconds"] < whole <= shortest:
            left = min(left, 10)
        shortest = min(shortest, 1000 * taken["seconds"])
    if shortest < 1000 * timeout:
        return seen(EARLY, shortest_ms=round(shortest, 3))
    token = "%d ms or more" if shortest >= whole else "less than %d ms"
    return seen(token % whole, shortest_ms=round(shortest, 3))


def _pair(rig: Rig, data: bytes) -> Pair:
    """Two TCP sockets; the data has arrived at the near one."""
    near, far = rig.tcp()
    if data:
        far.send(data)
        rig.arrived(near)
    return near, far


@probe(
    claim="with a negative timeout select raises, poll and epoll wait for ever, and selectors do not wait",
    source="docs.python.org select, selectors; bpo-31334, bpo-32842; selectmodule.c for kqueue",
    on=EVERY,
    expect={"select": "ValueError", "poll": "waits", "epoll": "waits", "kqueue": "ValueError",
            "selectors": "returns at once"},
    control=setup(timeout=NAP / 2, after=1.0),
    trials=3,
    promises=("selectors",),
    aliases=("selectors-select/negative",),
)
def negative(rig: Rig, timeout: float = -1.0, after: float = NAP) -> Seen:
    """Watch a socket, ask with a timeout of -1 s, and have a byte sent 40 ms later."""
    return _ended(rig, timeout, after)


@probe(
    claim="epoll rounds a timeout between -1 ms and 0 up to 0 and does not wait; poll waits for ever",
    source="selectmodule.c select_epoll_poll: ROUND_CEILING; bpo-31786, which cured poll alone",
    on=EVERY,
    expect={"select": "ValueError", "poll": "waits", "epoll": "returns at once", "kqueue": "ValueError",
            "selectors": "returns at once"},
    control=setup(timeout=NAP / 2, after=1.0),
    trials=3,
)
def tiny_negative(rig: Rig, timeout: float = -0.0009, after: float = NAP) -> Seen:
    """Watch a socket, ask with a timeout of -0.9 ms, and have a byte sent 40 ms later."""
    return _ended(rig, timeout, after)


@probe(
    claim="a timeout of -1 ms makes epoll wait for ever",
    source="docs.python.org epoll.poll(); selectmodule.c select_epoll_poll: ROUND_CEILING",
    on=EPOLLS,
    expect="waits",
    control=setup(timeout=NAP / 2, after=1.0),
    trials=3,
)
def negative_millisecond(rig: Rig, timeout: float = -0.001, after: float = NAP) -> Seen:
    """Watch a socket, ask with a timeout of -1 ms, and have a byte sent 40 ms later."""
    return _ended(rig, timeout, after)


@probe(
    claim="a timeout of None waits until something comes",
    source="docs.python.org select, selectors",
    on=EVERY,
    expect="waits",
    control=setup(timeout=NAP / 2, after=1.0),
    promises=("selectors",),
    aliases=("selectors-select/forever",),
)
def none(rig: Rig, timeout: Any = None, after: float = NAP) -> Seen:
    """Watch a socket, ask with None, and have a byte sent 40 ms later."""
    return _ended(rig, timeout, after)


def _ended(rig: Rig, timeout: Any, after: float) -> Seen:
    """How a wait ends: with the byte that is sent after so many seconds, with an answer before that, at the timeout, at
    once without an answer, or with an exception. Both spans grow with slow."""
    near, far = rig.tcp()
    asked = rig.watcher()
    asked.watch(near.fileno())
    sent = []

    def send() -> None:
        sent.append(b"x")  # before it is, or the wait could end and not know
        far.send(b"x")
    rig.later(after * rig.slow, send)
    with rig.timed() as taken:
        outcome = attempt(asked.ask, timeout * rig.slow if timeout and timeout > 0 else timeout,
                          ok=lambda answer: "" if not answer else "waits" if sent else "answers too soon")
    quiet = "sleeps" if taken["seconds"] >= 0.4 * NAP * rig.slow else "returns at once"
    return seen(outcome or quiet, **taken)


@probe(
    claim="a wait lasts for its whole timeout, which is in seconds, if nothing comes",
    source="docs.python.org select, selectors",
    on=EVERY,
    expect="sleeps",
    control=setup(data=b"x"),
    promises=("selectors",),
    aliases=("selectors-select/timeout",),
)
def in_full(rig: Rig, data: bytes = b"") -> Seen:
    """Watch a socket to which nothing comes; ask with a timeout."""
    asked = rig.watcher()
    asked.watch(_pair(rig, data)[0].fileno())
    return _slept(rig, asked)


@probe(
    claim="a wait sleeps if nothing is watched; on Windows select raises instead",
    source="docs.python.org select.select(): not on Windows; bpo-29256, bpo-29255",
    on=EVERY,
    expect="sleeps",
    control=setup(watched=True),
    promises=("selectors",),
    aliases=("selectors-select/nothing-registered",),
)
def nothing_watched(rig: Rig, watched: bool = False) -> Seen:
    """Ask with a timeout and nothing registered. Control: a readable socket is registered."""
    asked = rig.watcher()
    if watched:
        asked.watch(_pair(rig, b"x")[0].fileno())
    return _slept(rig, asked)


def _slept(rig: Rig, asked: Any) -> Seen:
    nap = NAP * rig.slow
    with rig.timed() as taken:
        outcome = attempt(asked.ask, nap, ok=lambda answer: "answers" if answer else "")
    return seen(outcome or ("sleeps" if taken["seconds"] >= 0.8 * nap else "returns at once"), **taken)


@probe(
    claim="poll and epoll count milliseconds in an int, so 25 days at most; select accepts more",
    source="poll(2), epoll_wait(2); selectmodule.c: OverflowError; asyncio MAXIMUM_SELECT_TIMEOUT",
    on=EVERY,
    expect={"select": "r", "selectors:SelectSelector": "READ", "poll": "OverflowError", "epoll": "OverflowError",
            "selectors:PollSelector": "OverflowError", "selectors:EpollSelector": "OverflowError"},
    control=setup(timeout=0.0, data=b""),
)
def three_million_seconds(rig: Rig, timeout: float = 3e6, data: bytes = b"x") -> Seen:
    """Watch a readable socket; ask with a timeout of 35 days."""
    return _taken(rig, timeout, data)


@probe(
    claim="the largest timeout of poll and epoll is 2,147,483.647 s, the largest int in milliseconds",
    source="poll(2), epoll_wait(2); selectmodule.c: OverflowError",
    on=EVERY,
    expect={"select": "r", "poll": "IN", "epoll": "IN", "selectors": "READ"},
    control=setup(timeout=0.0, data=b""),
)
def largest_int(rig: Rig, timeout: float = 2147483.647, data: bytes = b"x") -> Seen:
    """Watch a readable socket; ask with a timeout of 2**31 - 1 ms."""
    return _taken(rig, timeout, data)


@probe(
    claim="select and kqueue accept a timeout of 32 years; on macOS they do not",
    source="select(2), kevent(2); EINVAL above 100,000,000 s on macOS: erlang/otp #5339, crossterm #868",
    on=over("select", "kqueue"),
    expect={"select": "r", "selectors:SelectSelector": "READ"},
    control=setup(timeout=0.0, data=b""),
)
def billion_seconds(rig: Rig, timeout: float = 1e9, data: bytes = b"x") -> Seen:
    """Watch a readable socket; ask with a timeout of 32 years."""
    return _taken(rig, timeout, data)


@probe(
    claim="no API accepts a timeout above 292 years, which Python cannot count in nanoseconds",
    source="selectmodule.c and pytime.c: OverflowError",
    on=EVERY,
    expect="OverflowError",
    control=setup(timeout=0.0, data=b""),
)
def ten_billion_seconds(rig: Rig, timeout: float = 1e10, data: bytes = b"x") -> Seen:
    """Watch a readable socket; ask with a timeout of 317 years."""
    return _taken(rig, timeout, data)


@probe(
    claim="infinity is refused as a timeout: only None waits for ever",
    source="docs.python.org select; pytime.c: OverflowError",
    on=EVERY,
    expect="OverflowError",
    control=setup(timeout=0.0, data=b""),
)
def infinity(rig: Rig, timeout: float = float("inf"), data: bytes = b"x") -> Seen:
    """Watch a readable socket; ask with infinity."""
    return _taken(rig, timeout, data)


@probe(
    claim="nan (not a number) is refused as a timeout",
    source="pytime.c: ValueError; bpo-26669",
    on=EVERY,
    expect="ValueError",
    control=setup(timeout=0.0, data=b""),
)
def nan(rig: Rig, timeout: float = float("nan"), data: bytes = b"x") -> Seen:
    """Watch a readable socket; ask with nan."""
    return _taken(rig, timeout, data)


@probe(
    claim="a string is refused as a timeout",
    source="docs.python.org select: a number or None",
    on=EVERY,
    expect="TypeError",
    control=setup(timeout=0.0, data=b""),
)
def text(rig: Rig, timeout: Any = "1", data: bytes = b"x") -> Seen:
    """Watch a readable socket; ask with the string 1."""
    return _taken(rig, timeout, data)


def _taken(rig: Rig, timeout: Any, data: bytes) -> Seen:
    """Ask for a readable socket with that timeout, which does not pass: return the mask, or the exception."""
    return seen(rig.ask(_pair(rig, data)[0], "r", timeout))


@probe(
    claim="select on Linux writes the rest of the timeout back into the timeval",
    source="select(2): select may update the timeout argument, pselect does not change it",
    on=("select",),
    expect="written back",
    control=setup(name="pselect", parts=1_000_000_000),
    needs=("posix", "ctypes"),
)
def time_left(rig: Rig, name: str = "select", parts: int = 1_000_000) -> Seen:
    """Call the C library's select by ctypes without any descriptor, with 1 ms in a timeval; read it afterwards."""
    import ctypes
    span = (ctypes.c_long * 2)(0, parts // 1000)  # seconds, and how many of the parts of one
    mask = [None] if name == "pselect" else []  # of signals
    getattr(ctypes.CDLL(None), name)(0, None, None, None, span, *mask)
    return seen("kept" if list(span) == [0, parts // 1000] else "written back")
