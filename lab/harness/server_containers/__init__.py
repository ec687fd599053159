"""Server containers for experiments: `lab up` starts them, and the other commands find them again.

All state is in labels in the engine; the lab keeps nothing on disk. A server belongs to a scope (``engine.scope``), not
to the process that started it, and runs until `lab down` ends it.

    image        the server image, on any base image
    hardening    how a server's container is confined
    starting     creates and starts a line-up, and waits until each server answers
    netem        adds delay and loss to what a container sends
    watching     connections, CPU and memory of a running server
    up, ps, logs, down    the commands
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from docker.errors import NotFound

from lab.errors import Broken, Usage
from lab.harness import engine
from lab.text import shown

PORT = "10000/tcp"
"""The port at which a server listens inside its container."""
NAME = engine.LABEL + ".name"
SERVICE = engine.LABEL + ".service"
IMAGE = engine.LABEL + ".base"
NETEM = engine.LABEL + ".netem"


class Server(NamedTuple):
    """One server container, in the state that the engine last reported.

    name: the name that the user knows. service: its backend, or its model if that waits on no backend. base: the image
    on which the server image is built. netem: words of tc-netem(8), or empty. address: host and port for clients; None
    while the server does not run. state: the engine's word for it.
    """

    name: str
    service: str
    base: str
    netem: str
    runtime: str
    address: Optional[Tuple[str, int]]
    state: str
    container: Any

    @property
    def where(self) -> str:
        """The address as tables show it."""
        return "%s:%d" % self.address if self.address is not None else "-"


def server_of(container: Any) -> Server:
    """The server in a container that `lab up` created."""
    labels: Dict[str, str] = engine.labels_of(container)
    state, ports = container.attrs["State"], container.attrs["NetworkSettings"].get("Ports") or {}
    published = ports.get(PORT) or []
    health = (state.get("Health") or {}).get("Status")
    words = state["Status"]
    if words == "exited":
        words = "exited %d" % state["ExitCode"]
    elif words == "running" and health in ("healthy", "unhealthy"):
        words = health
    return Server(labels.get(NAME, container.name), labels.get(SERVICE, "-"), labels.get(IMAGE, "-"),
                  labels.get(NETEM, ""), container.attrs["HostConfig"]["Runtime"],
                  (published[0]["HostIp"], int(published[0]["HostPort"])) if published else None, words, container)


def all_servers(client: Any) -> List[Server]:
    """All servers of this scope, running or not, the oldest first. Raises ``Broken``."""
    with engine.errors_as_broken("the servers cannot be listed"):
        found = client.containers.list(all=True, ignore_removed=True, filters={"label": [
            "%s=%s" % (engine.ROLE, engine.SERVER), "%s=%s" % (engine.SCOPE, engine.scope())]})
    return [server_of(each) for each in sorted(found, key=lambda each: str(each.attrs["Created"]))]


def find(client: Any, name: str) -> Server:
    """The server called ``name``. Raises ``Usage`` if there is none."""
    here = all_servers(client)
    for each in here:
        if name in (each.name, each.container.name):
            return each
    raise Usage('no server "%s"; %s' % (shown(name), "the servers are: " + ", ".join(each.name for each in here)
                                        if here else "no server is up: `lab up` starts some"))


def locate(name: str) -> Tuple[str, int]:
    """Host and port of the server called ``name``. Raises ``Usage``, or ``Broken`` if the server does not run."""
    client = engine.connect()
    try:
        server = find(client, name)
        if server.address is None or server.state == "paused":
            raise Broken("%s does not run: its state is %s; see `lab logs %s`" % (
                server.name, server.state, server.name))
        return server.address
    finally:
        client.close()


def is_gone(container: Any) -> bool:
    """Whether the container was removed. If not, its attributes are up to date afterwards."""
    try:
        container.reload()
    except NotFound:
        return True
    return False
