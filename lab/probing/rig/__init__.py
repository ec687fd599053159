"""What probes are built on: a ``Rig`` opens what a probe needs, waits for situations, and cleans everything up.

A rig waits for two spans, and for nothing else:

    patience   for what must come on every platform. It is long, and spent in full only if something is wrong: then the
               set-up has failed, which is not an observation.
    quiet      for what may not come: after that, "silent" is the observation. It is short, since each silent cell
               spends it in full.

Both grow with ``slow``, the one factor for emulated and busy machines. We never sleep to synchronise: a probe waits for
the state that it needs by ``arrived`` or ``settle``, which look through another API than the observed one.

    asking       watcher, selector, heard, mask, ask
    sockets      new_socket, listener, client, accept, tcp, unix, unix_datagrams, udp, reset
    descriptors  pair, pipe, eventfd, pty, directory, file, duplicate, closed_number, limit_descriptors
    traffic      write, read, found, fill, drain
    waiting      arrived, settle, until, timed
    processes    thread, later, handle, alarm, fork, reap
    base         keep, close
"""

from __future__ import annotations

from typing import Any

from lab.probing.rig.asking import Asking
from lab.probing.rig.attempts import attempt, error_name
from lab.probing.rig.base import Pair, number
from lab.probing.rig.descriptors import Descriptors
from lab.probing.rig.processes import Processes
from lab.probing.rig.traffic import Traffic

__all__ = ["Pair", "Rig", "attempt", "error_name", "number"]


class Rig(Asking, Descriptors, Traffic, Processes):
    """Opens what a probe needs, and closes it. One rig a run."""

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()
