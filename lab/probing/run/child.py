"""What a child does: it observes one cell in a directory of its own, and looks for what the cell left behind.

It is the same in a forked child and in a spawned worker. The answer is one line of JSON: the outcome that ``observe``
returns, or ``leak``.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any, Dict, NamedTuple

from lab.backends import spelling
from lab.probing import watchers
from lab.probing.run import leaks
from lab.probing.run.observe import Cell, observe, why_not


class Task(NamedTuple):
    """A cell to observe, or its control."""

    cell: Cell
    as_control: bool = False


def answer(task: Task, slow: float, directory: str) -> bytes:
    """Observe a cell, with ``directory`` for temporary files; return the line to send back."""
    fields = _watched(task, slow, directory)
    try:
        text = json.dumps(fields, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        text = json.dumps({"outcome": "broken", "seconds": fields["seconds"],
                           "reason": "its detail is no JSON: %s" % str(error)[:200]})
    return text.encode("ascii") + b"\n"


def _watched(task: Task, slow: float, directory: str) -> Dict[str, Any]:
    for name in ("TMPDIR", "TEMP", "TMP"):
        os.environ[name] = directory
    tempfile.tempdir = directory
    if spelling.is_foreign(task.cell.backend):
        watchers.warm_up(task.cell.backend)
    why_not(task.cell)  # before the look: checking a need may leave a file open, as ctypes does with libffi 3.5
    before = leaks.look()
    fields = observe(task.cell, slow, task.as_control)
    left = "; ".join(leaks.left(before, directory, slow))
    if left and fields["outcome"] == "observed":
        fields.update(outcome="leak", reason=left)
    elif left:  # no token to keep
        fields.update(outcome="broken", reason="%s; and it left behind: %s" % (fields["reason"], left))
    return fields


def redirect() -> None:
    """Point descriptors 0 to 2 to /dev/null, so that a probe can print to them, read from them and close them."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        if fd != null:
            os.dup2(null, fd)
    if null > 2:
        os.close(null)
