"""Images from a registry, through the engine: whether it can be reached, pulled, and pinned by digest.

A machine without a way out learns that once, in seconds: the first look-up that fails for want of a network answers
for all references of that registry.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any, Dict, Optional

from docker.errors import APIError
from requests.exceptions import RequestException

from lab.errors import Broken, NotHere, Usage, reason
from lab.harness import engine, images
from lab.harness.images import Row, recipe

PATIENCE = 8.0
"""Seconds until a registry that says nothing counts as out of reach."""

_unreachable: Dict[str, str] = {}  # why, by registry
_lock = threading.Lock()


def host(reference: str) -> str:
    """The registry that a reference names; empty for the engine's default one."""
    first = reference.partition("/")[0]
    return first if "/" in reference and (re.search(r"[.:]", first) or first == "localhost") else ""


def digest(reference: str) -> str:
    """The digest that a tag stands for now. Raises ``NotHere`` where the registry cannot be reached or lacks it."""
    where = host(reference)
    with _lock:  # one asks, the others wait for what it learns
        if where in _unreachable:
            raise NotHere(_unreachable[where])
        client = engine.connect(timeout=PATIENCE)
        try:
            return str(client.images.get_registry_data(reference).id)
        except (APIError, RequestException) as error:
            text = engine.one_line(engine.explanation(error) if isinstance(error, APIError) else str(error))
            if re.search(r"denied|not found|unauthorized|unknown|no such image", text, re.IGNORECASE) \
                    and "no such host" not in text:
                raise NotHere("the registry has no %s: %s" % (engine.one_line(reference), text)) from None
            _unreachable[where] = "no registry can be reached%s: %s" % (" at " + where if where else "", text)
            raise NotHere(_unreachable[where]) from None
        finally:
            client.close()


def unpinned(reference: str) -> str:
    """The reference without its digest."""
    return reference.partition("@")[0]


def pull(client: Any, row: Row, say: recipe.Say) -> None:
    """Pull the row's image, install Python where the row says how, and give it its tag. Raises ``NotHere`` or
    ``Broken``."""
    assert row.registry is not None
    found = row.registry.partition("@")[2] or digest(row.registry)
    if "@" in row.registry:
        digest(row.registry)  # out of reach is to be known in seconds
    say("pulling %s" % unpinned(row.registry))
    name, _, _ = _split(unpinned(row.registry))
    with engine.told("%s: %s" % (row.id, unpinned(row.registry))):
        image = client.images.pull("%s@%s" % (name, found))
        repository, _, tag = row.tag.partition(":")
        if row.install is None:
            image.tag(repository, tag)
        else:
            _install(client, row, "%s@%s" % (name, found), say)


def _install(client: Any, row: Row, base: str, say: recipe.Say) -> None:
    say("installing Python")
    container = client.containers.create(base, ["sh", "-c", row.install], labels=engine.labels("build"))
    try:
        container.start()
        code = container.wait()["StatusCode"]
        if code != 0:
            last = container.logs(tail=1).decode("utf-8", "replace")
            raise Broken("%s: `%s` ended with exit code %d: %s" % (row.id, row.install, code, engine.one_line(last)))
        repository, _, tag = row.tag.partition(":")
        container.commit(repository, tag, conf={"Cmd": [row.program], "Labels": recipe.labels(row, "registry")})
    finally:
        engine.remove(container)


def _split(reference: str) -> Any:
    """Name, colon, tag; a colon before the last slash is a port."""
    match = re.match(r"^(.*?)(?:(:)([^:/]+))?$", reference)
    assert match is not None
    return match.group(1), match.group(2) or "", match.group(3) or "latest"


def pin(path: Path = images.PATH, only: Optional[str] = None) -> Dict[str, str]:
    """Write the digests that the tags stand for now into the file. Returns them by id. Raises ``NotHere`` where a
    registry cannot be reached: then nothing is written."""
    rows = images.load(path)
    found = {row.id: digest(unpinned(row.registry)) for row in rows.values()
             if row.registry is not None and only in (None, row.id)}
    if not found:
        raise Usage("%s: nothing in it comes from a registry" % path)
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        match = re.search(r'\bid = "([^"]+)"', line)
        if match is not None and match.group(1) in found and not line.lstrip().startswith("#"):
            line = re.sub(r'(registry = "[^"@]+)(?:@[^"]*)?"', r'\g<1>@%s"' % found[match.group(1)],  # noqa: PLW2901
                          line)
        lines.append(line)
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise Broken("%s cannot be written: %s" % (path, reason(error))) from error
    return found
