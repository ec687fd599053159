"""What an edge-triggered registration reports, and what it does not: EPOLLET, and EV_CLEAR of kqueue.

epoll(7) says that an event is delivered when a change occurs, and leaves open what a change is: these probes find it
out for each kind of file; topic ``edge-out`` is about writing. Level-triggered interfaces are asked the same question
where they can be, and ``epoll-et`` has to stand out. Backend ``kqueue`` is level-triggered, so the probes of EV_CLEAR
set that flag themselves. Most probes use unix sockets and pipes, because there the reader has been notified when the
write returns.
"""

from __future__ import annotations

EDGE = ("epoll-et",)
