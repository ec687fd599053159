"""What lab/cli.py does for Windows: how a broken pipe and a request to stop show there, and output encodings."""

from __future__ import annotations

import errno
import io
import signal
import sys
from typing import Any, Callable, List

import pytest

from lab import cli
from lab.errors import EXIT_OK


class Closed(io.StringIO):
    """An output stream on which every write raises."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> List[bool]:
    """One entry for each time that the program gave up its standard output, which would be that of the tests."""
    calls: List[bool] = []
    monkeypatch.setattr(cli, "_forget_output", lambda: calls.append(True))
    return calls


def test_a_broken_pipe_of_windows_is_no_error(monkeypatch: pytest.MonkeyPatch, forgotten: List[bool]) -> None:
    monkeypatch.setattr(errno, "WSAENOTSOCK", 10038, raising=False)
    monkeypatch.setattr(sys, "stdout", Closed(OSError(errno.EINVAL, "Invalid argument")))
    assert cli.main(["doctor", "--json"]) == EXIT_OK
    assert forgotten == [True]


@pytest.mark.parametrize("error", [
    OSError(errno.EINVAL, "Invalid argument", "a file"), OSError(errno.EBADF, "Bad file descriptor")])
def test_another_error_is_a_bug_with_its_trace(monkeypatch: pytest.MonkeyPatch, forgotten: List[bool], error: OSError
                                               ) -> None:
    monkeypatch.setattr(errno, "WSAENOTSOCK", 10038, raising=False)
    monkeypatch.setattr(sys, "stdout", Closed(error))
    with pytest.raises(OSError, match=error.strerror):
        cli.main(["doctor", "--json"])
    assert forgotten == []


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows it is a broken pipe")
def test_elsewhere_the_same_number_is_no_broken_pipe(monkeypatch: pytest.MonkeyPatch, forgotten: List[bool]) -> None:
    monkeypatch.setattr(sys, "stdout", Closed(OSError(errno.EINVAL, "Invalid argument")))
    with pytest.raises(OSError, match="Invalid argument"):
        cli.main(["doctor", "--json"])


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no signal is free here to play SIGBREAK")
def test_ctrl_break_ends_a_command_of_the_harness_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch) -> None:
    number: Any = getattr(signal, "SIGUSR2")  # noqa: B009
    monkeypatch.setattr(signal, "SIGBREAK", number, raising=False)
    before = [signal.getsignal(each) for each in (number, signal.SIGTERM)]
    for each in (number, signal.SIGTERM):
        with pytest.raises(KeyboardInterrupt), cli._sigterm_as_interrupt():
            signal.raise_signal(each)
    assert [signal.getsignal(each) for each in (number, signal.SIGTERM)] == before


@pytest.mark.parametrize("errors, after", [("strict", "backslashreplace"), ("surrogateescape", "backslashreplace"),
                                           ("replace", "replace"), ("namereplace", "namereplace")])
def test_what_the_user_has_chosen_for_missing_letters_stays(errors: str, after: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors=errors)
    cli._escape_what_it_lacks(stream)
    assert stream.errors == after


@pytest.mark.parametrize("make", [lambda: None, io.StringIO, io.BytesIO])
def test_what_has_no_encoding_is_left_alone(make: Callable[[], Any]) -> None:
    cli._escape_what_it_lacks(make())
