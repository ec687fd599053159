"""The base of the server tests: every way to serve as a parameter, a server in a thread, and one in a process.

The ``with`` block of a ``Server`` or a ``Process`` ends it, and fails if it does not end, or ends with an error.
Clients come from ``server.connect()`` and are closed before the server is stopped, so that neither waits for the other.
tests/conftest.py checks after every test that nothing is left open."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from types import TracebackType
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Type, Union

import pytest

import lab
from lab import address
from lab.backends import find, here, select
from lab.errors import EXIT_OK
from lab.events import Trigger
from lab.server.command import MODELS
from lab.server.handlers import HANDLERS, Factory
from lab.server.limits import Limits, Stats
from lab.server.log import Log
from lab.server.models import Model, Plan
from lab.server.models.asynchronous import Asynchronous
from lab.server.models.multiplexing import Multiplexing
from tests.core.conformance.peers import children_of, nothing_listens, pattern, ping, rest_of, settled, stuff, unread
from tests.core.conformance.rig import LINUX, WINDOWS, slow_by_name
from tests.waits import PATIENCE, PROGRAM, QUIET

_os: Any = os  # typed loosely: type checkers know all of it only on POSIX

HAS_UNIX = address.UNIX is not None


class Service(NamedTuple):
    """One way to serve: an I/O model and, where it takes one, a backend."""

    name: str
    model: str
    backend: Optional[str] = None

    @property
    def options(self) -> List[str]:
        """The command-line options of `lab serve` that select it."""
        return ["--model", self.model] + (["--backend", self.backend] if self.backend else [])

    @property
    def spins(self) -> bool:
        return self.model == "nonblocking"

    @property
    def is_edge(self) -> bool:
        """Whether its backend is edge-triggered."""
        return self.backend is not None and find(self.backend).trigger is Trigger.EDGE

    @property
    def is_loop(self) -> bool:
        """Whether it is the lab's own event loop, which counts its bytes as they pass."""
        return self.model in ("multiplexing", "nonblocking")


PLAYED = select.WINDOWS and not WINDOWS
"""Whether Windows' select is played here (`pytest --winsock`): asyncio has a Proactor on Windows, so there is none."""

_MODELS = [Service(name, name) for name in MODELS if name not in (["multiplexing", *["asynchronous"] * PLAYED])]

SERVICES = [Service(kind.name, "multiplexing", kind.name) for kind in here()] + _MODELS
"""Every way to serve that this platform has."""

_FIRST_OF: Dict[Trigger, Service] = {}
for _kind, _service in zip(here(), SERVICES):
    _FIRST_OF.setdefault(_kind.trigger, _service)

KINDS = [*_FIRST_OF.values(), *_MODELS]
"""One service for each path through the server's code, for tests that take long or cannot depend on the backend."""

TIMED = [service for service in KINDS if not service.is_edge]
"""Those without edge trigger, for tests that mostly wait."""


def each(services: Sequence[Service], fast: Optional[Sequence[Service]] = None) -> Any:
    """Run a test for each of these services; for those that are not in ``fast`` (see ``slow_by_name``) it is a slow
    test."""
    if not services:
        return pytest.mark.skip(reason="every service that this test is about is missing or switched off")
    if fast is None:
        fast = [service for service in services if not slow_by_name(service.name)]
    return pytest.mark.parametrize("service", [
        pytest.param(service, id=service.name, marks=[] if service in fast else [pytest.mark.slow])
        for service in services])


class Server:
    """A model that serves in a thread of this process.

    ``buffers`` is the size in bytes of the kernel's buffer for each direction of an accepted socket: small ones make
    partial writes and back-pressure come early. ``send_buffer`` is the size for output only. The drain time is PATIENCE
    unless ``limits`` sets another. The server listens at once, so clients may connect before ``start``.
    """

    def __init__(self, service: Service, handler: Union[str, Factory] = "echo", where: Sequence[address.Address] = (),
                 buffers: int = 0, send_buffer: int = 0, trace: bool = False, as_json: bool = False, **limits: Any
                 ) -> None:
        self.output = io.StringIO()
        self.listeners = [address.listen(each) for each in where or [address.resolve("127.0.0.1", 0)]]
        for sock in self.listeners:
            _limit(sock, buffers, send_buffer or buffers)  # accepted sockets inherit them, everywhere
        self.where = [address.bound(sock) for sock in self.listeners]
        self.model: Model = MODELS[service.model](Plan(
            self.listeners, HANDLERS[handler] if isinstance(handler, str) else handler,
            Limits(**{"drain": PATIENCE, **limits}), Log(as_json, self.output), service.backend, trace))
        self.expected_bugs = 0
        self._clients: List[socket.socket] = []
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)
        self._stats: Optional[Stats] = None
        self._error: Optional[BaseException] = None

    def _run(self) -> None:
        try:
            self._stats = self.model.run()
        except BaseException as error:  # any: it is raised again in the thread of the test
            self._error = error

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.end()

    def start(self) -> Server:
        """Begin to serve."""
        self._thread.start()
        return self

    def connect(self, which: int = 0, buffers: int = 0) -> socket.socket:
        """A blocking client socket with PATIENCE as its timeout. It is closed at the end."""
        where = self.where[which]
        sock = socket.socket(where.family, socket.SOCK_STREAM)
        self._clients.append(sock)
        sock.settimeout(PATIENCE)
        _limit(sock, buffers, buffers)
        sock.connect(where.where)
        if where.family != address.UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    @property
    def held(self) -> int:
        """Bytes that the server has read and not yet passed on. Only for the models that have a queue."""
        if isinstance(self.model, Asynchronous):
            return sum(peer.held for peer in list(self.model._peers))
        assert isinstance(self.model, Multiplexing)
        return self.model.loop.bytes_in - self.model.loop.bytes_out

    def stop(self) -> None:
        self.model.stop()

    def ended(self) -> Stats:
        """The statistics, once the server has ended, by itself or after ``stop``. Fails if it does not end."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the server does not end; its log: %s" % self.output.getvalue()
        if self._error is not None:
            raise self._error
        assert self._stats is not None
        return self._stats

    def end(self) -> Stats:
        """Close the clients, stop the server, and check that it ended without errors. Its statistics."""
        for sock in self._clients:
            sock.close()
        if self._thread.is_alive():
            self.model.stop()
        stats = self.ended()
        for made in self.where:
            address.remove(made)
        assert stats.errors == self.expected_bugs, self.output.getvalue()
        return stats

    def lines(self) -> List[str]:
        """The lines that it has logged so far."""
        return self.output.getvalue().splitlines()


EARS = """
import os, signal, sys, threading

def listen():
    said = b""
    while said is not None:
        byte = os.read(0, 1)
        said = said + byte if byte else None
        if said and said.endswith(b"\\n"):
            signal.raise_signal(int(said))
            said = b""

threading.Thread(target=listen, daemon=True).start()
from lab.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""`lab` that raises the signals whose numbers it reads from its input. On Windows one process can send another only
Ctrl-Break, and only through a console, which CI and Wine lack. Raised here, the signal arrives in another thread than
the main one, just as one from a console."""


_WAKEUP_NOISE = re.compile(r"^Exception ignored when trying to send to the signal wakeup fd:\r?\n"
                           r"(?: .*\n|Traceback.*\n)*\w+: \[WinError \d+\].*\n", re.MULTILINE)
"""What CPython may print when a signal arrives in another thread than the main one. WSAEWOULDBLOCK: when two threads
send on one socket at once, the Proactor's own included, Wine 8 refuses one. WSAENOTSOCK, WSAECONNRESET: the main thread
has already closed the socket."""


class Process:
    """`lab serve` in a process of its own, listening; it logs JSON.

    ``program`` replaces ``-m lab``: code that ends with a call of lab.cli.main. With ``ready`` false the constructor
    does not wait for the ready line. ``stop`` or ``finish`` end the process; the ``with`` block kills it if it still
    runs.
    """

    def __init__(self, *options: str, program: str = "", log: str = "json", ready: bool = True, **popen: Any) -> None:
        what = ["-c", program] if program else [*(["-c", EARS] if WINDOWS else ["-m", "lab"]), "serve", "--port", "0",
                                                "--log", log, "--drain", "%g" % PATIENCE]
        self._popen = subprocess.Popen([sys.executable, "-W", "error", *what, *options], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), **popen)
        self.pid = self._popen.pid
        self._clients: List[socket.socket] = []
        if not ready:
            return
        try:
            self.first_line = line = self.line()
            self.ready: Dict[str, Any] = json.loads(line) if log == "json" else {"addresses": [line.split()[2]]}
            self.where = [_parse(text) for text in self.ready["addresses"]]
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        for sock in self._clients:
            sock.close()
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait(PATIENCE)
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()

    def line(self) -> str:
        """Its next line of output. Fails with its error output if the process ends instead."""
        watchdog = threading.Timer(PROGRAM, self._popen.kill)
        watchdog.start()
        try:
            assert self._popen.stdout is not None and self._popen.stderr is not None
            line = self._popen.stdout.readline()
            assert line, "no line of output: %r" % self._popen.stderr.read()
            return str(line.decode())
        finally:
            watchdog.cancel()
            watchdog.join()

    def tell(self, text: str) -> None:
        """Write a line to its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(text.encode() + b"\n")
        self._popen.stdin.flush()

    def deafen(self) -> None:
        """Close our end of the pipe that its output goes to."""
        assert self._popen.stdout is not None
        self._popen.stdout.close()

    def connect(self, which: int = 0, buffers: int = 0) -> socket.socket:
        """A blocking client socket with PATIENCE as its timeout. It is closed at the end."""
        sock = socket.socket(self.where[which].family, socket.SOCK_STREAM)
        self._clients.append(sock)
        sock.settimeout(PATIENCE)
        _limit(sock, buffers, buffers)
        sock.connect(self.where[which].where)
        return sock

    def press(self, number: int) -> None:
        """Press a key on the console of its process group, e.g. CTRL_BREAK_EVENT."""
        self._popen.send_signal(number)

    def signal(self, number: int) -> None:
        if WINDOWS:
            self.tell("%d" % number)
        else:
            self._popen.send_signal(number)

    def stop(self, number: int) -> Tuple[int, List[Dict[str, Any]]]:
        """Send a signal, and ``finish``."""
        self.signal(number)
        return self.finish()

    def finish(self, errors: str = "") -> Tuple[int, List[Dict[str, Any]]]:
        """Wait for the end; the exit code, and the events that it logged after the ready line. Fails unless its error
        output begins with ``errors``, or is empty where ``errors`` is."""
        code, out, err = self.result()
        assert err.startswith(errors) and bool(err) == bool(errors), err
        return code, [json.loads(line) for line in out.splitlines()]

    def result(self) -> Tuple[int, str, str]:
        """Wait for the end: exit code, the rest of its output, its error output."""
        assert self._popen.stdout is not None
        if self._popen.stdout.closed:
            self._popen.stdout = None
        out, err = self._popen.communicate(timeout=PROGRAM)
        return self._popen.returncode, (out or b"").decode(), _WAKEUP_NOISE.sub("", err.decode())

    def until_children(self, count: int) -> None:
        """Return when it has forked this many children. Fails if it does not."""
        deadline = time.monotonic() + PROGRAM
        while len(children_of(self.pid)) < count:
            assert time.monotonic() < deadline and self._popen.poll() is None

    def until_stuck(self, sock: socket.socket) -> None:
        """Return when the server can send this peer no more, because the peer does not read. The peer cannot tell a
        server that is stuck from one that the machine has paused. On Linux the kernel can: all threads of a stuck one
        sleep, or, where it polls, it has used processor time and the peer's unread bytes are no more than before."""
        settled(sock)
        if not LINUX:
            return
        deadline, asleep, used, count = time.monotonic() + PATIENCE, 0, self.cpu_seconds(), unread(sock)
        while asleep < 3 and self.cpu_seconds() < used + 0.1:
            assert time.monotonic() < deadline, "the server neither sleeps nor polls"
            if unread(sock) != count:
                asleep, used, count = 0, self.cpu_seconds(), unread(sock)
            asleep = asleep + 1 if all(state in "SD" for state in self._states()) else 0
            time.sleep(QUIET)  # between two looks

    def _states(self) -> Iterator[str]:
        """The state of each of its threads (proc(5), /proc/pid/task/tid/stat): R runs or would, S sleeps."""
        for thread in os.listdir("/proc/%d/task" % self.pid):
            with open("/proc/%d/task/%s/stat" % (self.pid, thread), encoding="latin-1") as file:
                yield file.read().rpartition(")")[2].split()[0]

    def cpu_seconds(self) -> float:
        """Processor time that it has used so far (proc(5), /proc/pid/stat: utime and stime)."""
        with open("/proc/%d/stat" % self.pid) as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / float(_os.sysconf("SC_CLK_TCK"))


def environment() -> Dict[str, str]:
    """Our environment, with the package under test on the path of a new interpreter: the tree, or an installed
    wheel."""
    return dict(os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(os.path.abspath(lab.__file__))))


def _parse(text: str) -> address.Address:
    if text.startswith("unix:"):
        return address.resolve(text, 0)
    host, _, port = text.rpartition(":")
    return address.resolve(host.strip("[]"), int(port))


def _limit(sock: socket.socket, receive: int, send: int) -> None:
    """Set the size in bytes of the kernel's buffer for each direction; 0 keeps the kernel's default."""
    if receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    if send:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send)


@contextlib.contextmanager
def directory() -> Iterator[str]:
    """A directory with a name short enough for a unix socket."""
    made = tempfile.mkdtemp(prefix="lab")
    try:
        yield made
    finally:
        shutil.rmtree(made)


posix_only = pytest.mark.skipif(WINDOWS, reason="POSIX signals, limits and sockets")
linux_only = pytest.mark.skipif(not LINUX, reason="looks into /proc")
needs_unix = pytest.mark.skipif(not HAS_UNIX, reason="no unix sockets here")


def check_that_it_flushes(process: Process, number: int) -> None:
    """Check that this signal stops the server in order: an idle client gets the end of the stream, a slow one all that
    is owed to it, and the exit code is 0. Start it with --max-buffer 5000, so that some output is owed."""
    data = pattern(50_000)
    idle, slow = process.connect(), process.connect(buffers=4096)
    ping(idle)
    assert stuff(slow, data, len(data)) == len(data)
    process.signal(number)
    assert rest_of(idle) == b""  # the end of the stream, and no reset
    idle.close()
    assert rest_of(slow) == data
    slow.close()
    code, events = process.finish()
    assert nothing_listens(process.where[0])
    assert code == EXIT_OK
    assert [event["event"] for event in events] == ["stopped"]
    assert (events[0]["accepted"], events[0]["bytes_in"], events[0]["cut_off"]) == (2, len(data) + 4, 0)
