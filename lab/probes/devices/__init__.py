"""Readiness of what is no socket: files, directories, devices, terminals, counters and processes.

"Everything is a file" does not mean that everything can be waited for. The driver of a file decides whether it has a
poll method; one that has none is always ready for select and poll, and refused by epoll.
"""

from __future__ import annotations

import os

from lab.probing.probe import Unsupported
from lab.probing.rig import Rig, error_name

ALWAYS = {"select": "r+w", "poll": "IN+OUT", "epoll": "EPERM", "selectors:SelectSelector": "READ+WRITE",
          "selectors:PollSelector": "READ+WRITE", "selectors:EpollSelector": "EPERM"}
"""What the interfaces report of a file without a poll method."""


def opened(rig: Rig, path: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of that file. Raises ``Unsupported`` if it cannot be opened here."""
    try:
        return int(rig.keep(os.open(path, flags)))
    except OSError as error:  # ENOENT, EACCES, ENXIO: whichever it is, it cannot be asked about here
        raise Unsupported("%s cannot be opened here: %s" % (path, error_name(error))) from error
