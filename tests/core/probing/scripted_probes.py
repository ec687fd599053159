"""Probes that misbehave, each in its own way, for the tests of the runner.

No test imports this module, or its probes would be in the catalogue. LAB_PROBE_MODULES names it to ``lab probe``.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import tempfile
import threading
import time
from typing import Any, Callable, List

from lab.probing.probe import SELECTORS, Seen, SetUpFailed, Unsupported, backend, fault, over, probe, seen, setup
from lab.probing.rig import Rig

_os: Any = os
_signal: Any = signal
_kept: List[Any] = []


def scripted(**more: Any) -> Callable[[Any], Any]:
    more.setdefault("control", setup(changed=True))
    return probe(claim="scripted", source="tests", **more)


@scripted(expect="fine")
def fine(rig: Rig, changed: bool = False) -> Seen:
    """Behave."""
    return seen("changed" if changed else "fine", number=1, words=["a", "b"])


@scripted()
def segfault(rig: Rig) -> Seen:
    """Crash."""
    os.kill(os.getpid(), _signal.SIGSEGV)
    return seen("survived")


@scripted()
def loops(rig: Rig) -> Seen:
    """Never end, and write the process id to a file."""
    if "SCRIPTED_PID" in os.environ:
        with open(os.environ["SCRIPTED_PID"] + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(os.environ["SCRIPTED_PID"] + ".new", os.environ["SCRIPTED_PID"])
    while True:
        time.sleep(0.01)


@scripted()
def leaves_descriptors(rig: Rig) -> Seen:
    """Open two descriptors, and close neither."""
    _kept.extend(os.pipe())
    return seen("opened")


@scripted()
def leaves_thread(rig: Rig) -> Seen:
    """Start a thread that waits for ever."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return seen("started")


@scripted(expect="started")
def ends_thread_late(rig: Rig) -> Seen:
    """Start a thread that ends in a moment, within the grace period."""
    threading.Thread(target=time.sleep, args=(0.05,)).start()
    return seen("started")


@scripted()
def leaves_child(rig: Rig) -> Seen:
    """Fork a child that sleeps."""
    pid = _os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    return seen("forked", pid=pid)


@scripted()
def leaves_orphan(rig: Rig) -> Seen:
    """Fork a child that forks a sleeping one and ends, so that the sleeping one is an orphan in our session."""
    reader, writer = os.pipe()
    pid = _os.fork()
    if pid == 0:
        pid = _os.fork()
        if pid == 0:
            time.sleep(60)
        else:
            os.write(writer, b"%d" % pid)
        os._exit(0)
    _os.waitpid(pid, 0)
    orphan = int(os.read(reader, 20))
    os.close(reader)
    os.close(writer)
    return seen("forked", pid=orphan)


def _exit_slowly() -> None:
    """Have this process, a forked child, take 3 s to exit once it has answered."""
    exit_now = os._exit

    def exit_late(code: int) -> None:
        time.sleep(3.0)
        exit_now(code)
    _os._exit = exit_late


@scripted()
def exits_slowly(rig: Rig) -> Seen:
    """Answer, and take longer to exit than the runner waits."""
    _exit_slowly()
    return seen("answered")


@scripted()
def exits_slowly_with_orphan(rig: Rig) -> Seen:
    """The same, with a grandchild left running."""
    made: Seen = leaves_orphan(rig)
    _exit_slowly()
    return made


@scripted()
def crashes_with_orphan(rig: Rig) -> Seen:
    """Fork such an orphan, and crash."""
    leaves_orphan(rig)
    os._exit(9)


@scripted()
def leaves_file(rig: Rig) -> Seen:
    """Make a temporary file."""
    fd, _ = tempfile.mkstemp()
    os.close(fd)
    return seen("made")


@scripted()
def kills_group(rig: Rig) -> Seen:
    """Kill the process group of the probe."""
    _os.killpg(0, _signal.SIGKILL)
    return seen("survived")


@scripted()
def exits(rig: Rig) -> Seen:
    """End the process at once."""
    os._exit(7)


@scripted()
def exits_politely(rig: Rig) -> Seen:
    """Raise SystemExit."""
    sys.exit(3)


@scripted()
def interrupts(rig: Rig) -> Seen:
    """Raise KeyboardInterrupt."""
    raise KeyboardInterrupt


@scripted(expect="printed")
def prints(rig: Rig) -> Seen:
    """Write garbage to standard output and standard error."""
    print("garbage")
    sys.stdout.flush()
    sys.stderr.write("garbage\n")
    os.write(1, b'{"outcome": "observed"}\n')
    return seen("printed")


@scripted()
def closes_streams(rig: Rig) -> Seen:
    """Close descriptors 0 to 2."""
    os.closerange(0, 3)
    return seen("closed")


@scripted()
def closes_all(rig: Rig) -> Seen:
    """Close every descriptor."""
    os.closerange(0, 256)
    return seen("closed")


def _say(data: bytes) -> None:
    """Write to every pipe that is open, the one for the answer among them."""
    for fd in range(3, 30):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                left = memoryview(data)
                while left:
                    left = left[os.write(fd, left):]
        except OSError:  # EBADF: it is closed, or not open for writing
            pass


@scripted()
def sends_garbage(rig: Rig) -> Seen:
    """Send lines in front of the answer."""
    _say(b"garbage\n\n[]\n")
    return seen("sent")


@scripted()
def sends_half(rig: Rig) -> Seen:
    """Send half an answer, and end the process."""
    _say(b'{"outcome": "obse')
    os._exit(0)


@scripted()
def sends_hundred_megabytes(rig: Rig) -> Seen:
    """Send without end."""
    for _ in range(100):
        _say(b"x" * (1 << 20))
    return seen("sent")


@scripted()
def huge_detail(rig: Rig) -> Seen:
    """Return a detail that is longer than the runner reads."""
    return seen("huge", text="x" * (8 << 20))


@scripted()
def large_detail(rig: Rig) -> Seen:
    """Return a detail that is larger than a pipe holds, and than a record may be."""
    return seen("large", text=["x" * 1000] * 2000)


@scripted()
def odd_detail(rig: Rig) -> Seen:
    """Return a detail that is not JSON."""
    return seen("odd", thing=object())


@scripted()
def odd_number(rig: Rig) -> Seen:
    """Return NaN, which is JSON only to some programs."""
    return seen("odd", number=float("nan"))


@scripted()
def odd_token(rig: Rig) -> Seen:
    """Return a token that no record may have."""
    return seen("\x1b[31m\u20ac")


@scripted()
def returns_number(rig: Rig) -> Any:
    """Return something other than Seen."""
    return 42


@scripted()
def raises(rig: Rig) -> Seen:
    """Raise an unforeseen error."""
    raise RuntimeError("not foreseen")


@scripted(expect="set up")
def fails_at_first(rig: Rig) -> Seen:
    """Fail to set up in the first run, and succeed in the second."""
    here = os.path.join(os.path.dirname(tempfile.gettempdir()), "tried")  # next to the directory of this task
    if not os.path.exists(here):
        os.mkdir(here)
        raise SetUpFailed("nothing came")
    return seen("set up")


@scripted()
def fails(rig: Rig) -> Seen:
    """Fail to set up the situation."""
    raise SetUpFailed("nothing came")


@scripted()
def refuses(rig: Rig) -> Seen:
    """Raise Unsupported."""
    raise Unsupported("not on this platform")


@scripted()
def refuses_and_leaves(rig: Rig) -> Seen:
    """Raise Unsupported, and leave a descriptor open."""
    _kept.append(os.open(os.devnull, os.O_RDONLY))
    raise Unsupported("not on this platform")


@scripted()
def changes_handler(rig: Rig) -> Seen:
    """Set a signal handler."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return seen("set")


@scripted()
def changes_limit(rig: Rig) -> Seen:
    """Lower a limit."""
    import resource
    limits: Any = resource
    limits.setrlimit(limits.RLIMIT_NOFILE, (100, limits.getrlimit(limits.RLIMIT_NOFILE)[1]))
    return seen("set")


@scripted()
def leaves_wakeup(rig: Rig) -> Seen:
    """Call set_wakeup_fd(), and do not restore it."""
    pair = socket.socketpair()
    _kept.extend(pair)
    pair[0].setblocking(False)
    signal.set_wakeup_fd(pair[0].fileno())
    return seen("set")


@scripted(alone=True, expect="alone")
def alone_first(rig: Rig) -> Seen:
    """Return when it ran."""
    return seen("alone", began=time.monotonic(), ended=_later())


@scripted(alone=True, expect="alone")
def alone_second(rig: Rig) -> Seen:
    """Return when it ran."""
    return seen("alone", began=time.monotonic(), ended=_later())


@scripted(expect="crowd")
def in_the_crowd(rig: Rig) -> Seen:
    """Return when it ran."""
    return seen("crowd", began=time.monotonic(), ended=_later())


def _later() -> float:
    time.sleep(0.02)
    return time.monotonic()


# Deviations and controls.

@scripted(expect="promised")
def deviates(rig: Rig, changed: bool = False) -> Seen:
    """Return a token that differs from the expected one."""
    return seen("changed" if changed else "other")


@scripted(expect="blind", trials=1)
def blind(rig: Rig, changed: bool = False) -> Seen:
    """Return the same with the control: a probe that cannot fail."""
    return seen("blind")


@scripted(trials=3)
def flaky(rig: Rig, changed: bool = False, calls: Any = []) -> Seen:  # noqa: B006
    """Return something else in every second trial."""
    calls.append(0)
    return seen("changed" if changed else ("odd", "even")[len(calls) % 2])


@scripted(on=SELECTORS, expect="READ", control=fault("deaf"))
def on_selectors(rig: Rig) -> Seen:
    """Ask for a readable socket."""
    near, far = rig.unix()
    far.send(b"x")
    return seen(rig.ask(near, "r"))


@scripted(on=over("select"), control=backend("select"))
def told_apart(rig: Rig) -> Seen:
    """Return something else on select."""
    return seen("yes" if rig.backend == "select" else "no")


@scripted(on=over("select"), control=backend("select"))
def not_told_apart(rig: Rig) -> Seen:
    """Return the same on every backend."""
    return seen("same")
