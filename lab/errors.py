"""The errors a user can foresee, and the exit codes, which live here and nowhere else.

An error of these classes reaches the terminal as one line: what happened, to which object, and what to do
next. Anything else that escapes is a bug in the lab, and keeps its trace.
"""

from __future__ import annotations

import errno
import os

EXIT_OK = 0  # all as expected, or known
EXIT_DEVIATION = 1  # something was observed that nobody expected
EXIT_USAGE = 2  # the command line or an input file is wrong
EXIT_NOT_HERE = 3  # this platform lacks what was asked for
EXIT_BROKEN = 4  # the set-up failed before anything could be observed
EXIT_INTERRUPTED = 130  # the user pressed Ctrl-C: 128 + SIGINT, as shells report it


class LabError(Exception):
    """A foreseen error; its text is one whole line for the user. ``exit_code`` ends the process."""

    exit_code = EXIT_BROKEN


class Deviation(LabError):
    """Something ran and came out otherwise than it must, e.g. a byte that came back wrong."""

    exit_code = EXIT_DEVIATION


class Usage(LabError):
    """What the user asked for makes no sense; another command line would."""

    exit_code = EXIT_USAGE


class NotHere(LabError):
    """What the user asked for makes sense, but not on this platform."""

    exit_code = EXIT_NOT_HERE


class Broken(LabError):
    """The set-up failed: a port in use, a path that cannot be written, a server that does not answer."""

    exit_code = EXIT_BROKEN


def reason(error: OSError) -> str:
    """Why the system refused, in words and by name: ``Address already in use (EADDRINUSE)``.

    On Windows ``winerror`` is named instead of ``errno``: which of the two POSIX or Winsock numbers
    ``errno`` holds changed in 3.9.13 and 3.10.5 (bpo-46775).
    """
    number = error.errno
    if number is None:  # e.g. socket.timeout, or an error made by hand: there is only its text
        return str(error) or type(error).__name__
    windows = getattr(error, "winerror", None)
    name = "WinError %d" % windows if windows else errno.errorcode.get(number, "errno %d" % number)
    return "%s (%s)" % (error.strerror or os.strerror(number), name)
