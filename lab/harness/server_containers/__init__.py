"""Server containers for experiments: what `lab up` starts, and how the other commands find it again.

The engine remembers all of it, in labels; nothing is kept on disk. A server belongs to a scope (``engine.scope``), not
to the process that started it, and goes when `lab down` says so.

    image        the server image, on any base
    hardening    how its container is confined
    starting     line-ups: created, started, waited for
    netem        delay and loss on the way out of a container
    watching     connections, CPU and memory of one that runs
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from docker.errors import NotFound

from lab.errors import Broken, Usage
from lab.harness import engine

PORT = "10000/tcp"
"""Where a server listens inside its container."""
NAME = engine.LABEL + ".name"
SERVICE = engine.LABEL + ".service"
IMAGE = engine.LABEL + ".base"
NETEM = engine.LABEL + ".netem"


class Server(NamedTuple):
    """One server container, as it was when it was looked at.

    name: what the user calls it. service: its backend, or its model where that waits on none. base: the image below it.
    address: host and port where it can be reached; None while it does not run. state: the engine's word.
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
        """The address in a table."""
        return "%s:%d" % self.address if self.address is not None else "-"


def seen(container: Any) -> Server:
    """What the engine knows of a container that `lab up` made."""
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


def present(client: Any) -> List[Server]:
    """All servers of our scope, running or not, the oldest first. Raises ``Broken``."""
    with engine.errors_as_broken("the servers cannot be listed"):
        found = client.containers.list(all=True, ignore_removed=True, filters={"label": [
            "%s=%s" % (engine.ROLE, engine.SERVER), "%s=%s" % (engine.SCOPE, engine.scope())]})
    return [seen(each) for each in sorted(found, key=lambda each: str(each.attrs["Created"]))]


def find(client: Any, name: str) -> Server:
    """The server of that name. Raises ``Usage`` where there is none."""
    here = present(client)
    for each in here:
        if name in (each.name, each.container.name):
            return each
    raise Usage('no server "%s"; %s' % (ascii(name)[1:-1], "there are: " + ", ".join(each.name for each in here)
                                        if here else "none is up: `lab up` starts some"))


def locate(name: str) -> Tuple[str, int]:
    """Host and port of the server of that name. Raises ``Usage``, or ``Broken`` where it does not run."""
    client = engine.connect()
    try:
        server = find(client, name)
        if server.address is None or server.state == "paused":
            raise Broken("%s does not run: it is %s; see `lab logs %s`" % (server.name, server.state, server.name))
        return server.address
    finally:
        client.close()


def is_gone(container: Any) -> bool:
    """Whether somebody has removed it; looks at it anew otherwise."""
    try:
        container.reload()
    except NotFound:
        return True
    return False
