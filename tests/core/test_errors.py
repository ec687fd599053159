"""How a system error is named, and with which exit code the lab's own errors end a process."""

from __future__ import annotations

import errno
import socket

import pytest

from lab import errors
from lab.errors import Broken, Deviation, LabError, NotHere, Usage, reason


def test_the_exit_codes_are_those_of_the_manual() -> None:
    assert [errors.EXIT_OK, errors.EXIT_DEVIATION, errors.EXIT_USAGE, errors.EXIT_NOT_HERE, errors.EXIT_BROKEN] == [
        0, 1, 2, 3, 4]
    assert {kind: kind.exit_code for kind in (Deviation, Usage, NotHere, Broken)} == {
        Deviation: 1, Usage: 2, NotHere: 3, Broken: 4}
    assert all(issubclass(kind, LabError) for kind in (Deviation, Usage, NotHere, Broken))


@pytest.mark.parametrize("number", [errno.EADDRINUSE, errno.EACCES, errno.EPERM])
def test_a_reason_has_the_words_and_the_name(number: int) -> None:
    text = reason(OSError(number, "The words"))
    assert text == "The words (%s)" % errno.errorcode[number]


def test_a_reason_finds_the_words_by_itself() -> None:
    assert reason(OSError(errno.ENOENT, None)).startswith("No such file")


def test_a_number_without_a_name_is_told_as_a_number() -> None:
    assert reason(OSError(9999, "odd")) == "odd (errno 9999)"


def test_an_error_without_a_number_tells_its_text_or_its_type() -> None:
    assert reason(socket.timeout("timed out")) == "timed out"
    assert reason(OSError()) == "OSError"


def test_windows_names_its_own_number() -> None:
    error = OSError(errno.EACCES, "access forbidden")
    error.winerror = 10013  # type: ignore[attr-defined, unused-ignore]
    assert reason(error) == "access forbidden (WinError 10013)"
