"""The errors a user can foresee, and the exit codes, which live here and nowhere else.

An error of these classes reaches the terminal as one line, which says what happened, to which object, and what to do
next. Any other exception is a bug in the lab, and is printed with its traceback.
"""

from __future__ import annotations

import errno
import os

EXIT_OK = 0  # everything is as expected, or a known deviation
EXIT_DEVIATION = 1  # the lab observed something that nobody expected
EXIT_USAGE = 2  # the command line or an input file is wrong
EXIT_NOT_HERE = 3  # this platform lacks what the user asked for
EXIT_BROKEN = 4  # the set-up failed before the lab could observe anything
EXIT_INTERRUPTED = 130  # the user pressed Ctrl-C: 128 + SIGINT, as shells report it


class LabError(Exception):
    """A foreseen error. Its text is one whole line for the user, and the process ends with its ``exit_code``."""

    exit_code = EXIT_BROKEN


class Deviation(LabError):
    """Something ran and did not do what it must, e.g. a byte came back wrong."""

    exit_code = EXIT_DEVIATION


class Usage(LabError):
    """The command line or an input file makes no sense; the user has to change it."""

    exit_code = EXIT_USAGE


class NotHere(LabError):
    """The request makes sense, but this platform cannot fulfil it."""

    exit_code = EXIT_NOT_HERE


class Broken(LabError):
    """The set-up failed: a port is in use, a path cannot be written, a server does not answer."""

    exit_code = EXIT_BROKEN


def reason(error: OSError) -> str:
    """The system's reason for an error, in words and by name: ``Address already in use (EADDRINUSE)``.

    On Windows the name is that of ``winerror``, because ``errno`` may hold a POSIX or a Winsock number: which of them
    changed in 3.9.13 and 3.10.5 (bpo-46775).
    """
    number = error.errno
    if number is None:  # e.g. socket.timeout, or an error that Python code raised: it has a text only
        return str(error) or type(error).__name__
    windows = getattr(error, "winerror", None)
    name = "WinError %d" % windows if windows else errno.errorcode.get(number, "errno %d" % number)
    return "%s (%s)" % (error.strerror or os.strerror(number), name)
