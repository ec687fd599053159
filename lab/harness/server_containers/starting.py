"""Start a line-up of servers, and wait until each has answered with a byte. If anything fails, remove all of them.

An open port does not show that a server serves, because the engine's proxy accepts before the server listens. The
`discard` handler never sends a byte, so for it we run the image's own health check inside the container, where there is
no proxy.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from docker.errors import APIError

from lab import address, health
from lab.errors import EXIT_NOT_HERE, EXIT_USAGE, Broken, LabError, NotHere, Usage
from lab.harness import engine
from lab.harness.images.debian import recipe
from lab.harness.server_containers import (
    IMAGE,
    NAME,
    NETEM,
    PORT,
    SERVICE,
    Server,
    all_servers,
    hardening,
    image,
    is_gone,
    netem,
    server_of,
)
from lab.harness.server_variants import Variant
from lab.text import one_line

PATIENCE = 60.0
"""Seconds within which a server must answer; one of a foreign architecture needs ten."""
ENDING = 30.0
"""Seconds within which the servers of a failed line-up must be gone. The engine lists a container for a moment longer
while it removes it."""
_POLL = 0.05

LOOPBACK = "127.0.0.1"


class LineUp(NamedTuple):
    """The servers to start: services with their names, and the settings that all of them share.

    base: a row of images.toml, or the reference of an image. runtime: the engine's runtime; None: its default. port:
    the port of the first server; each further server has the next port; None: free ports. netem: words of tc-netem(8).
    """

    services: Sequence[Tuple[str, Variant]]
    handler: str = "echo"
    base: str = "trixie"
    runtime: Optional[str] = None
    limits: hardening.Limits = hardening.Limits()
    netem: Sequence[str] = ()
    port: Optional[int] = None


def start(client: Any, wanted: LineUp, say: recipe.Say) -> List[Server]:
    """Start all servers of the line-up, and wait until each has answered. Raises ``Usage``, ``NotHere`` or ``Broken``
    after removing those that it started."""
    runtime = engine.check_runtime(client, wanted.runtime, "--runtime")
    _check_names(client, [name for name, _ in wanted.services])
    reference = image.base(client, wanted.base, say)
    tag = image.ensure(client, reference, say)
    made: List[Any] = []
    try:
        for number, (name, service) in enumerate(wanted.services):
            say("starting %s" % name)
            made.append(_create(client, wanted, tag, runtime, name, service, number))
            _start(made[-1], wanted, number)
            if wanted.netem:
                netem.apply(client, made[-1], ["netem", *wanted.netem], say)
        for container in made:
            say("waiting for %s" % container.name)
            _wait(container, wanted)
        return [server_of(each) for each in made]
    except BaseException:  # also Ctrl-C
        with engine.errors_as_broken("a server that was begun cannot be removed"):
            _remove_begun(client, [name for name, _ in wanted.services])
        raise


def _remove_begun(client: Any, names: Sequence[str]) -> None:
    """Remove those of these servers that this process has created. Find them by their labels: Ctrl-C may come after the
    engine has created one and before we know of it."""
    deadline = time.monotonic() + ENDING
    while True:
        begun = [each.container for each in all_servers(client) if each.name in names
                 and engine.labels_of(each.container).get(engine.OWNER) == engine.owner(os.getpid())]
        if not begun:
            return
        if time.monotonic() >= deadline:
            raise Broken("the engine does not remove %s; try `lab down --all`" % ", ".join(each.name for each in begun))
        for container in begun:
            engine.remove(container)
        time.sleep(_POLL)  # no event reports when the engine's list is up to date, so poll


def container_name(name: str) -> str:
    """The name of a server's container. It contains the scope, because all scopes share the engine's names."""
    scope = engine.scope()
    return "muxlab-%s" % name if scope == "common" else "muxlab-%s-%s" % (scope, name)


def _check_names(client: Any, names: Sequence[str]) -> None:
    taken = {each.name for each in all_servers(client)}
    for name in names:
        if name in taken:
            raise Usage("there is already a server called %s; `lab down %s`, or choose another --name" % (name, name))


def free_names(client: Any, wanted: Sequence[str]) -> List[str]:
    """These names; one that is taken gets a number appended."""
    taken = {each.name for each in all_servers(client)}
    found: List[str] = []
    for name in wanted:
        choice, number = name, 1
        while choice in taken:
            number += 1
            choice = "%s-%d" % (name, number)
        taken.add(choice)
        found.append(choice)
    return found


def _create(client: Any, wanted: LineUp, tag: str, runtime: str, name: str, service: Variant, number: int) -> Any:
    labels: Dict[str, str] = {**engine.labels(engine.SERVER), NAME: name, SERVICE: service.name, IMAGE: wanted.base,
                              NETEM: " ".join(wanted.netem)}
    port = None if wanted.port is None else wanted.port + number
    with engine.errors_as_broken(name):
        try:
            return engine.create(
                client, tag, [*service.options, "--handler", wanted.handler], name=container_name(name), labels=labels,
                ports={PORT: (LOOPBACK, port)}, runtime=runtime, **hardening.confined(wanted.limits))
        except APIError as error:
            if error.status_code == 400:  # a value is out of range; the engine's text names it
                raise Usage("%s: the engine refuses: %s" % (name, one_line(engine.explanation(error)))) from None
            raise


def _start(container: Any, wanted: LineUp, number: int) -> None:
    name = engine.labels_of(container).get(NAME, container.name)
    with engine.errors_as_broken(name):
        try:
            container.start()
        except APIError as error:
            text = engine.explanation(error)
            if "rlimit" in text:
                raise NotHere("--nofile %d: the engine's own limit is lower; choose a smaller number, or a --runtime "
                              "such as runsc, which has limits of its own" % wanted.limits.nofile) from None
            if wanted.port is not None and re.search("already allocated|already in use|failed to bind", text):
                raise Broken("--port %d: the port is in use; choose another, or leave the option out for a free one"
                             % (wanted.port + number)) from None
            raise


def _wait(container: Any, wanted: LineUp) -> None:
    """Wait until the server has answered. If it ends, raises the error in the last line of its log. Raises ``Broken``
    if it does not answer within PATIENCE seconds."""
    name = engine.labels_of(container).get(NAME, container.name)
    deadline = time.monotonic() + PATIENCE
    with engine.errors_as_broken(name):
        while True:
            if is_gone(container):
                raise Broken("%s: its container was removed while the server was starting" % name)
            if container.status != "running":
                raise _ended(container, name)
            if _answers(container, wanted.handler, deadline - time.monotonic()):
                return
            if time.monotonic() >= deadline:
                raise Broken("%s: %s did not answer with a byte within %.0f s; is the engine on another machine, or "
                             "--netem too harsh?" % (name, server_of(container).where, PATIENCE))
            time.sleep(_POLL)  # no event reports that a server serves, so poll


def _answers(container: Any, handler: str, timeout: float) -> bool:
    if handler == "discard":
        test = container.attrs["Config"]["Healthcheck"]["Test"]
        return bool(container.exec_run(test[1:]).exit_code == 0)
    where = server_of(container).address
    if where is None:
        return False
    try:
        got = health.ask(address.resolve(*where), min(5.0, max(_POLL, timeout)))
    except OSError:  # any error: it does not serve yet, or never will
        return False
    return got == health.REQUEST if handler == "echo" else bool(got)


def _ended(container: Any, name: str) -> LabError:
    """The error for a server that has ended: the last line of its log, or its exit code."""
    state = container.attrs["State"]
    if state.get("OOMKilled"):
        return Broken("%s: the server ran out of memory; give it more --memory" % name)
    said = container.logs(tail=1).decode("utf-8", "replace").strip()
    code = state["ExitCode"]
    kinds = {EXIT_USAGE: Usage, EXIT_NOT_HERE: NotHere}
    text = one_line(re.sub(r"^lab serve: ", "", said)) or "it ended with exit code %d and printed nothing" % code
    return kinds.get(code, Broken)("%s: %s" % (name, text))
