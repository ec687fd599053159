"""A server in a container, started by testcontainers and confined as `lab up` confines it, and what its tests do with
it."""

from __future__ import annotations

import contextlib
import importlib
import socket
import struct
import time
from typing import Any, Callable, Iterator, Optional, Tuple

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import WaitStrategy

from lab import health
from lab.address import Address, resolve
from lab.harness import engine
from lab.harness.server_containers import PORT, hardening
from tests.waits import CONTAINER

_fcntl: Any = importlib.import_module("fcntl")  # typed loosely: type checkers know both only on POSIX
_termios: Any = importlib.import_module("termios")

POLL = 0.05


class Echoed(WaitStrategy):
    """Waits until the server has echoed a byte. Its port is open long before, because the engine's proxy listens
    there."""

    def wait_until_ready(self, container: Any) -> None:
        """Raises if the container ends, or echoes nothing within CONTAINER seconds."""
        def echoed() -> bool:
            inner = container.get_wrapped_container()
            inner.reload()
            assert inner.status == "running", inner.logs().decode()
            try:
                return health.ask(where(inner), 5.0) == health.REQUEST
            except OSError:  # any errno: it does not serve yet
                return False

        until(echoed, "the server to echo")


class Talking(WaitStrategy):
    """Waits until the server logs that it listens, because a network without published ports gives no way to connect to
    it."""

    def wait_until_ready(self, container: Any) -> None:
        """Raises if it logs nothing within CONTAINER seconds."""
        until(lambda: b"listening" in container.get_wrapped_container().logs(), "the server to listen")


def until(happens: Callable[[], Any], what: str) -> Any:
    """Return what the function returns as soon as that is true. Fails after CONTAINER seconds."""
    deadline = time.monotonic() + CONTAINER
    while True:
        found = happens()
        if found:
            return found
        assert time.monotonic() < deadline, "waited in vain for %s" % what
        time.sleep(POLL)  # the engine sends no notification


def where(container: Any) -> Address:
    """The published address of the container's server."""
    published = container.attrs["NetworkSettings"]["Ports"][PORT][0]
    return resolve(published["HostIp"], int(published["HostPort"]))


@contextlib.contextmanager
def serving(image: str, *options: str, runtime: Optional[str] = None, ready: Optional[WaitStrategy] = None,
            network: Any = None, alias: str = "", entrypoint: Any = None, healthcheck: Any = None) -> Iterator[Any]:
    """A running server with these options of `lab serve`, as a container of the docker SDK; removed at the end."""
    confined = hardening.confined(hardening.Limits())
    made: Any = DockerContainer(image).with_command(list(options))
    for path, size in confined.pop("tmpfs").items():
        made = made.with_tmpfs_mount(path, size)
    more = {"entrypoint": entrypoint} if entrypoint is not None else {}
    made = made.with_kwargs(labels=engine.labels("test"), runtime=runtime,
                            healthcheck=healthcheck or {"test": ["NONE"]}, **more, **confined)
    if network is None:
        published: Any = {PORT: ("127.0.0.1", None)}  # with_exposed_ports would publish on every address
        made.ports = published
    else:
        made = made.with_network(network).with_network_aliases(alias)
    if ready is not None:
        made = made.waiting_for(ready)
    try:
        made.start()
        made.get_wrapped_container().reload()
        yield made.get_wrapped_container()
    finally:
        made.stop()
        made.get_docker_client().client.close()


def connect(container: Any, buffer: int = 0, direct: bool = False) -> socket.socket:
    """A connection to the server. ``buffer`` is the size of the kernel's receive buffer. ``direct`` connects to the
    container's own address, without the engine's proxy, which works only on the machine of the engine."""
    to = where(container)
    if direct:
        to = resolve(container.attrs["NetworkSettings"]["IPAddress"], int(PORT.partition("/")[0]))
    sock = socket.socket(to.family, socket.SOCK_STREAM)
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.settimeout(CONTAINER)
    sock.connect(to.where)
    return sock


def unacknowledged(sock: socket.socket) -> int:
    """The number of bytes that were sent and have not arrived in the peer's kernel yet: SIOCOUTQ, tcp(7)."""
    return int(struct.unpack("i", _fcntl.ioctl(sock, _termios.TIOCOUTQ, bytes(4)))[0])


def python(container: Any, script: str) -> Tuple[int, str]:
    """The exit code and the output of a script, run inside the container by the container's own Python."""
    program = container.attrs["Config"]["Entrypoint"][0]
    code, said = container.exec_run([program, "-I", "-S", "-c", script])
    return code, said.decode().strip()
