"""What probes stand on: pairs of every kind, two named waits, threads, children and limits, all cleaned up.

Two spans, and nothing else is waited for:

    patience   for what must come on every platform. Generous: it is spent in full only where something is wrong, and
               then the set-up has failed, which is not an observation.
    quiet      for what may not come: after that, "silent" is what was observed. Short: each silent cell spends it.

Both grow with ``slow``, the one factor for emulated and crowded machines. No sleep synchronises anything: a probe waits
for the state that it needs, by ``arrived`` or ``settle``, which look through another API than the one that is observed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import signal
import socket
import struct
import tempfile
import threading
import time
from typing import Any, Callable, Dict, Iterator, Optional, Tuple, Union

from lab.capabilities import has
from lab.probing import faults
from lab.probing.probe import SetUpFailed, Unsupported
from lab.probing.running import Running
from lab.probing.watchers import SILENT, Answer, Watcher, watcher
from lab.wait_status import exit_code

_os: Any = os  # typed loosely, as the next two: what only POSIX has
_select: Any = select
_signal: Any = signal

PATIENCE = 5.0
"""Seconds for what must come."""

QUIET = 0.1
"""Seconds for what may not come."""

Descriptor = Union[int, socket.socket]
Pair = Tuple[socket.socket, socket.socket]


def number(thing: Any) -> int:
    """The descriptor of a socket or file, or the number itself."""
    return thing if isinstance(thing, int) else int(thing.fileno())


def error_name(error: BaseException) -> str:
    """How an exception is called in a token: ``EPERM`` for an OSError that has a number, else its class."""
    if isinstance(error, socket.timeout):  # an OSError without a number before 3.10
        return "timeout"
    if isinstance(error, OSError):
        code = getattr(error, "winerror", None) or error.errno
        if code is not None:
            return errno.errorcode.get(code, "errno %d" % code)
    return type(error).__name__


def attempt(function: Callable[..., Any], *arguments: Any, ok: Callable[[Any], str] = lambda result: "ok") -> str:
    """Call it; ``ok`` of what it returned, by default the word ok, or the name of what it raised."""
    try:
        return ok(function(*arguments))
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, OverflowError, MemoryError) as error:
        return error_name(error)  # whatever an API answers is an observation


class Rig:
    """Opens what a probe needs, and closes it. One rig a run."""

    def __init__(self, backend: str, slow: float = 1.0, fault: Optional[str] = None) -> None:
        self.backend = backend
        self.slow = slow
        self.patience = PATIENCE * slow
        self.quiet = QUIET * slow
        self._fault = fault
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()

    # What is observed through.

    def watcher(self, name: Optional[str] = None) -> Watcher:
        """A new watcher of this cell's backend, or of another by name."""
        made = watcher(name or self.backend)
        self._stack.callback(made.close)
        return made if self._fault is None else faults.wrap(self._fault, made)

    def selector(self) -> Any:
        """A new object of this cell's selectors class."""
        made: Any = self.watcher()
        return made.api

    def heard(self, asked: Watcher, timeout: Optional[float] = None) -> Answer:
        """What it answers within ``timeout``, by default quiet. One call."""
        return asked.ask(self.quiet if timeout is None else timeout)

    def mask(self, asked: Watcher, thing: Any, timeout: Optional[float] = None) -> str:
        """How it answers for that descriptor within ``timeout``, by default quiet: a mask by name, ``silent``, or the
        name of what it raised."""
        fd = number(thing)

        def spelled(answer: Answer) -> str:
            return "/".join(mask for found, mask in answer if found == fd) or SILENT
        return attempt(self.heard, asked, timeout, ok=spelled)

    def ask(self, thing: Any, want: str = "r", timeout: Optional[float] = None) -> str:
        """``mask`` of a new watcher that watches only this; or the name of what registering raised."""
        asked = self.watcher()
        registered = attempt(asked.watch, number(thing), want)
        return self.mask(asked, thing, timeout) if registered == "ok" else registered

    # What is observed.

    def keep(self, thing: Any) -> Any:
        """Close this at the end, should it be open then: a socket, a file, or a descriptor's number."""
        self._stack.callback(self.close, thing)
        return thing

    def close(self, thing: Any) -> None:
        """Close a socket, a file, or a descriptor; closed already is fine."""
        try:
            os.close(thing) if isinstance(thing, int) else thing.close()
        except OSError as error:  # EBADF: the probe has closed it. A reset peer makes no difference to us
            if error.errno not in (errno.EBADF, errno.ECONNRESET, errno.ENOTCONN):
                raise

    def new_socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A new socket, non-blocking."""
        made: socket.socket = self.keep(socket.socket(family, kind))
        made.setblocking(False)
        return made

    def listener(self, backlog: int = 16, family: int = socket.AF_INET, reuse: bool = False) -> socket.socket:
        """A non-blocking TCP listener on the loopback, at a port of its own."""
        made = self.new_socket(family)
        if reuse:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        made.listen(backlog)
        return made

    def client(self, listener: socket.socket) -> socket.socket:
        """A non-blocking TCP socket, connected to the listener; nobody has accepted it yet."""
        made: socket.socket = self.keep(socket.socket(listener.family))
        made.settimeout(self.patience)
        made.connect(listener.getsockname())
        made.setblocking(False)
        return made

    def accept(self, listener: socket.socket) -> socket.socket:
        """The next connection, non-blocking. Raises ``SetUpFailed`` where none comes."""
        self.arrived(listener)
        made: socket.socket = self.keep(listener.accept()[0])
        made.setblocking(False)
        return made

    def tcp(self) -> Pair:
        """Two connected TCP sockets on the loopback, non-blocking; the listener is gone."""
        listener = self.listener(1)
        far = self.client(listener)
        near = self.accept(listener)
        listener.close()
        for end in (near, far):  # or small sends would wait for each other's acknowledgement
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return near, far

    def unix(self) -> Pair:
        """Two connected unix stream sockets, non-blocking; on Windows the TCP pair that socketpair makes there."""
        return self._pair(*socket.socketpair())

    def unix_datagrams(self) -> Pair:
        """Two connected unix datagram sockets, non-blocking."""
        family: Any = getattr(socket, "AF_UNIX", None)
        if family is None:
            raise Unsupported("Python has no unix sockets here")
        return self._pair(*socket.socketpair(family, socket.SOCK_DGRAM))

    def udp(self) -> Pair:
        """Two UDP sockets on the loopback, connected to each other, non-blocking."""
        near, far = self.new_socket(kind=socket.SOCK_DGRAM), self.new_socket(kind=socket.SOCK_DGRAM)
        for end in (near, far):
            end.bind(("127.0.0.1", 0))
        near.connect(far.getsockname())
        far.connect(near.getsockname())
        return near, far

    def _pair(self, near: socket.socket, far: socket.socket) -> Pair:
        for end in (near, far):
            self.keep(end).setblocking(False)
        return near, far

    def pair(self, kind: str) -> Tuple[Any, Any]:
        """Two ends by the kind's name: tcp, unix, udp, unix-datagrams, pipe (the reading end is near)."""
        return {"tcp": self.tcp, "unix": self.unix, "udp": self.udp, "unix-datagrams": self.unix_datagrams,
                "pipe": self.pipe}[kind]()

    def pipe(self) -> Tuple[int, int]:
        """The reading and the writing descriptor of a pipe, non-blocking."""
        ends = os.pipe()
        for fd in ends:
            self.keep(fd)
            _os.set_blocking(fd, False)
        return ends

    def eventfd(self, count: int = 0) -> int:
        """A non-blocking eventfd with that count."""
        return int(self.keep(_os.eventfd(count, _os.EFD_NONBLOCK | _os.EFD_CLOEXEC)))

    def pty(self) -> Tuple[int, int]:
        """Master and slave of a pseudo-terminal in canonical mode, non-blocking."""
        ends: Tuple[int, int] = _os.openpty()
        for fd in ends:
            self.keep(fd)
            _os.set_blocking(fd, False)
        return ends

    def directory(self) -> str:
        """A new directory, removed at the end. Its name is short enough for a unix socket."""
        made = tempfile.mkdtemp(prefix="lab")
        self._stack.callback(shutil.rmtree, made, True)
        return made

    def file(self, content: bytes = b"", flags: int = os.O_RDWR) -> int:
        """A descriptor of a new regular file, at its beginning."""
        path = os.path.join(self.directory(), "file")
        with open(path, "wb") as made:
            made.write(content)
        return int(self.keep(os.open(path, flags)))

    def duplicate(self, thing: Any, at: Optional[int] = None) -> int:
        """A second descriptor for the same open file, at that number if given (which is closed first). On Windows a
        socket is no descriptor of the C library: it has a way of its own, and its numbers are not ours to choose."""
        if not has("winsock"):
            return int(self.keep(os.dup(number(thing)) if at is None else os.dup2(number(thing), at, False)))
        if at is not None or isinstance(thing, int):
            raise Unsupported("Windows duplicates no socket by its number, nor to a number of our choice")
        return int(self.keep(thing.dup()).fileno())

    def closed_number(self) -> int:
        """The number of a descriptor that was open a moment ago, and is not."""
        fd = self.new_socket().detach()
        socket.close(fd)
        return fd

    # What is done to it.

    def write(self, thing: Any, data: bytes = b"x") -> int:
        """One non-blocking write or send; how many bytes were taken."""
        return os.write(thing, data) if isinstance(thing, int) else int(thing.send(data))

    def read(self, thing: Any, size: int = 1 << 16) -> bytes:
        """One non-blocking read or recv."""
        return os.read(thing, size) if isinstance(thing, int) else bytes(thing.recv(size))

    def found(self, thing: Any) -> str:
        """What one read finds, in words: ``4 bytes``, ``end``, or the name of what it raised."""
        return attempt(self.read, thing, ok=lambda data: "%d bytes" % len(data) if data else "end")

    def fill(self, thing: Any, piece: int = 1 << 16) -> int:
        """Write until nothing more is taken, by one byte in the end; how many bytes that were. After each piece the
        largest is tried again: gVisor makes room for megabytes meanwhile, and keeps each write as a segment."""
        total, size = 0, piece
        while size:
            try:
                total += self.write(thing, b"x" * size)
                size = piece
            except BlockingIOError:
                size //= 4
        return total

    def drain(self, thing: Any) -> int:
        """Read until there is nothing, or the end; how many bytes that were."""
        total = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self.read(thing)
                if not data:
                    break
                total += len(data)
        return total

    def reset(self, sock: socket.socket) -> None:
        """Close with RST instead of FIN (socket(7), SO_LINGER of zero seconds)."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if has("winsock") else "ii", 1, 0))
        sock.close()

    # Waiting for the situation, through an API that is not the one observed.

    def arrived(self, thing: Any, want: str = "r") -> None:
        """Return when it is readable (or ``w``: writable). Raises ``SetUpFailed`` after patience."""
        if not self._reference(thing, want, self.patience):
            raise SetUpFailed("nothing came within %g s of what must come" % self.patience)

    def settle(self, thing: Any, want: str = "r") -> bool:
        """Wait until it is readable (or ``w``: writable, ``""``: in error or hung up), up to quiet; whether it is."""
        return self._reference(thing, want, self.quiet)

    def _reference(self, thing: Any, want: str, timeout: float) -> bool:
        fd = number(thing)
        if has("poll"):
            reference = _select.poll()
            reference.register(fd, sum({"r": 0x1, "w": 0x4}[letter] for letter in want))
            return bool(reference.poll(timeout * 1000))
        return any(select.select([fd] if "r" in want else [], [fd] if "w" in want else [], [fd], timeout))

    def until(self, condition: Callable[[], Any]) -> Any:
        """Return what ``condition`` returns as soon as that is true; it is asked again and again, a breath apart.
        Raises ``SetUpFailed`` after patience."""
        deadline = time.monotonic() + self.patience
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                raise SetUpFailed("what must come true did not within %g s" % self.patience)
            time.sleep(0.0005)  # the breath; nothing depends on its length

    # Threads, signals, children, limits.

    def thread(self, function: Callable[..., Any], *arguments: Any) -> Running:
        """Run it in another thread, from now on."""
        made = Running(function, arguments, self.patience, self.quiet)
        self._stack.callback(made.join)
        return made

    def later(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> None:
        """Call it in another thread after so many seconds, unless the rig is closed before."""
        timer = threading.Timer(seconds, function, arguments)
        self._stack.callback(timer.join)
        self._stack.callback(timer.cancel)
        timer.start()

    def handle(self, signal_number: int, handler: Any) -> None:
        """Set a signal handler, until the end."""
        self._stack.callback(signal.signal, signal_number, signal.signal(signal_number, handler))

    def alarm(self, after: float, handler: Any, every: float = 0.0) -> None:
        """Call ``handler(number, frame)`` by SIGALRM after so many seconds, and then at every interval."""
        self.handle(_signal.SIGALRM, handler)
        self._stack.callback(_signal.setitimer, _signal.ITIMER_REAL, 0)
        _signal.setitimer(_signal.ITIMER_REAL, after, every)

    def fork(self, function: Callable[[], Any]) -> int:
        """Run it in a forked child, which ends with exit code 0, or 1 where it raised; its process id. Killed and
        reaped at the end, unless ``reap`` was called."""
        pid = int(_os.fork())
        if pid == 0:
            code = 1
            try:
                function()
                code = 0
            finally:
                os._exit(code)
        self._stack.callback(self._bury, pid)
        return pid

    def reap(self, pid: int) -> int:
        """Wait for that child, up to patience, and return its exit code, negative for a signal's number."""
        def ended() -> Optional[Tuple[int, int]]:
            found = _os.waitpid(pid, _os.WNOHANG)
            return found if found[0] else None
        return exit_code(self.until(ended)[1])

    def _bury(self, pid: int) -> None:
        with contextlib.suppress(ChildProcessError, ProcessLookupError):  # reaped by the probe
            if _os.waitpid(pid, _os.WNOHANG)[0] == 0:
                os.kill(pid, _signal.SIGKILL)
                _os.waitpid(pid, 0)

    def limit_descriptors(self, soft: int) -> None:
        """Set the soft limit on open files, until the end. Raises ``Unsupported`` where the hard limit is lower."""
        import resource
        limits: Any = resource
        before = limits.getrlimit(limits.RLIMIT_NOFILE)
        try:
            limits.setrlimit(limits.RLIMIT_NOFILE, (soft, before[1]))
        except (ValueError, OSError) as error:
            raise Unsupported("the hard limit on open files is %s, this needs %d" % (before[1], soft)) from error
        self._stack.callback(limits.setrlimit, limits.RLIMIT_NOFILE, before)

    @contextlib.contextmanager
    def timed(self) -> Iterator[Dict[str, float]]:
        """Measure a block: ``["seconds"]`` of what it yields, once it has ended."""
        taken: Dict[str, float] = {}
        began = time.perf_counter()
        try:
            yield taken
        finally:
            taken["seconds"] = round(time.perf_counter() - began, 6)
