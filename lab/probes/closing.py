"""What a closed poller does: some raise, and some go on as if they were open."""

from __future__ import annotations

import os
from typing import Any

from lab.probing.probe import SELECTORS, Seen, over, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import SILENT, Watcher


def _asked(rig: Rig, asked: Watcher, thing: Any) -> Seen:
    """What the watcher raises or reports; if it does neither, whether it waited for its timeout."""
    with rig.timed() as taken:
        mask = rig.mask(asked, thing)
    if mask != SILENT:
        return seen(mask)
    return seen("slept" if taken["seconds"] > 0.8 * rig.quiet else "at once")


@probe(
    claim="a closed poller raises when it is asked, and does not return at once that nothing is ready",
    source="selectmodule.c; selectors.py; Python docs, BaseSelector.close: it shall not be used any more",
    on=(*over("epoll", "kqueue", raw=True), *SELECTORS),
    expect={"epoll": "ValueError", "kqueue": "ValueError", "selectors:EpollSelector": "ValueError",
            "selectors:KqueueSelector": "ValueError", "selectors:SelectSelector": "at once",
            "selectors:PollSelector": "at once"},
    control=setup(closes=False),
    trials=3,
)
def asked_after_close(rig: Rig, closes: bool = True) -> Seen:
    """Register a readable socket; close the poller, and ask it with a timeout."""
    near, far = rig.unix()
    rig.write(far)
    asked = rig.watcher()
    asked.watch(near.fileno())
    if closes:
        asked.close()
    return _asked(rig, asked, near)


@probe(
    claim="a closed selector in which nothing is registered raises when it is asked, and does not sleep",
    source="selectors.py; Python docs, BaseSelector.close: it shall not be used any more",
    on=over("select", "poll", raw=False),
    expect="slept",
    control=setup(registers=True),
    trials=3,
)
def empty_after_close(rig: Rig, registers: bool = False) -> Seen:
    """Close a selector in which nothing is registered, and ask it with a timeout. Control: a readable socket is
    registered."""
    near, far = rig.unix()
    rig.write(far)
    asked = rig.watcher()
    if registers:
        asked.watch(near.fileno())
    asked.close()
    return _asked(rig, asked, near)


@probe(
    claim="a poller may be closed twice: the second close() does not close its number, which another file may have",
    source="Python docs, select.epoll.close and select.kqueue.close; selectmodule.c",
    on=over("epoll", "kqueue"),
    expect="ok, number spared",
    control=setup(by_number=True),
    needs=("posix",),
)
def closed_twice(rig: Rig, by_number: bool = False) -> Seen:
    """Close the poller; give its number to another file, and close the poller again; look whether that file is still
    open. Control: close only the number at first, so that the poller does not know."""
    asked: Any = rig.watcher()
    other = rig.new_socket()
    fd = int(asked.api.fileno())
    if by_number:
        os.close(fd)
    else:
        asked.close()
    rig.duplicate(other, at=fd)
    again = attempt(asked.close)
    return seen("%s, number %s" % (again, attempt(os.fstat, fd, ok=lambda _: "spared")))
