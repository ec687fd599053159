"""What all parts of the rig share: the two spans, and one list of everything that has to be closed at the end."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import Any, Tuple

PATIENCE = 5.0
"""Seconds for what must come."""

QUIET = 0.1
"""Seconds for what may not come."""

Pair = Tuple[socket.socket, socket.socket]


def number(thing: Any) -> int:
    """The descriptor of a socket or file, or the number itself."""
    return thing if isinstance(thing, int) else int(thing.fileno())


class Base:
    """Remembers what it opens, and closes it in reverse order."""

    def __init__(self, slow: float) -> None:
        self.slow = slow
        self.patience = PATIENCE * slow
        self.quiet = QUIET * slow
        self._stack = contextlib.ExitStack()

    def keep(self, thing: Any) -> Any:
        """Close a socket, a file or a descriptor at the end, if it is still open by then. Returns it."""
        self._stack.callback(self.close, thing)
        return thing

    def close(self, thing: Any) -> None:
        """Close a socket, a file or a descriptor, which may be closed already."""
        try:
            os.close(thing) if isinstance(thing, int) else thing.close()
        except OSError as error:  # EBADF: the probe has closed it. A reset by the peer makes no difference here
            if error.errno not in (errno.EBADF, errno.ECONNRESET, errno.ENOTCONN):
                raise
