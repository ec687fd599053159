"""A call whose error is an observation like any other: what it returned or raised, as a word of a token."""

from __future__ import annotations

import errno
import socket
from typing import Any, Callable


def error_name(error: BaseException) -> str:
    """The name of an exception in a token: ``EPERM`` for an OSError that has a number, else its class."""
    if isinstance(error, socket.timeout):  # an OSError without a number before 3.10
        return "timeout"
    if isinstance(error, OSError):
        code = getattr(error, "winerror", None) or error.errno
        if code is not None:
            return errno.errorcode.get(code, "errno %d" % code)
    return type(error).__name__


def attempt(function: Callable[..., Any], *arguments: Any, ok: Callable[[Any], str] = lambda result: "ok") -> str:
    """Call it; return ``ok`` of its result, by default the word ok, or the name of the exception that it raised."""
    try:
        return ok(function(*arguments))
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, OverflowError, MemoryError) as error:
        return error_name(error)  # whatever an API raises is an observation
