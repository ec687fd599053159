"""Look up, pull and pin images of registries, through the engine.

On a machine without a network this fails once, within seconds: if the first look-up cannot reach a registry, all later
look-ups in that registry fail at once with the same reason.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any, Dict, Sequence

from docker.errors import APIError
from requests.exceptions import RequestException

from lab.architectures import ARCHITECTURES
from lab.errors import Broken, NotHere, Usage, reason
from lab.harness import engine, images
from lab.harness.images import Row
from lab.harness.images.debian import recipe
from lab.text import one_line, shown

PATIENCE = 8.0
"""Seconds after which a registry that does not answer counts as out of reach."""
INSTALL_PATIENCE = 900.0
"""Seconds that a row's ``install`` command may take: package managers fetch their lists first."""

_IT_LACKS = re.compile(r"denied|not found|unauthorized|unknown|no such image", re.IGNORECASE)
"""Matches the answer of a registry that can be reached but does not have the image, or does not show it to us."""

_unreachable: Dict[str, str] = {}  # why, by registry
_lock = threading.Lock()


def host(reference: str) -> str:
    """The host of the registry that a reference names; empty for the engine's default registry."""
    first = reference.partition("/")[0]
    return first if "/" in reference and (re.search(r"[.:]", first) or first == "localhost") else ""


def unpinned(reference: str) -> str:
    """The reference without its digest."""
    return reference.partition("@")[0]


def by_digest(reference: str, found: str) -> str:
    """The reference with the digest ``found`` in place of the tag, which has no meaning beside a digest. A colon before
    the last slash is a port, not a tag."""
    return "%s@%s" % (re.sub(r":[^:/]+$", "", unpinned(reference)), found)


def digest(reference: str) -> str:
    """The digest that a reference has now. Raises ``NotHere`` if the registry cannot be reached or lacks the image."""
    where = host(reference)
    with _lock:  # one thread looks up; if it fails, the threads that wait find the reason in _unreachable
        if where in _unreachable:
            raise NotHere(_unreachable[where])
        client = engine.connect(timeout=PATIENCE)
        try:
            return str(client.images.get_registry_data(reference).id)
        except (APIError, RequestException) as error:
            text = one_line(engine.explanation(error)) if isinstance(error, APIError) else (
                "no answer in %.0f s" % PATIENCE)
            if _IT_LACKS.search(text) and "dial tcp" not in text:
                raise NotHere("the registry has no %s (%s)" % (one_line(reference), text)) from None
            _unreachable[where] = "no registry can be reached%s: %s" % (" at " + where if where else "", text)
            raise NotHere(_unreachable[where]) from None
        finally:
            client.close()


def pull(client: Any, row: Row, say: recipe.Say) -> None:
    """Pull the row's image, run its ``install`` command if it has one, and tag the result. Raises ``NotHere`` or
    ``Broken``."""
    assert row.registry is not None
    wanted = by_digest(row.registry, digest(row.registry))  # fails within seconds if the registry is out of reach
    say("pulling %s" % unpinned(row.registry))
    system = ARCHITECTURES[row.arch].oci
    repository, _, tag = row.tag.partition(":")
    with engine.errors_as_broken("%s: %s" % (row.id, unpinned(row.registry))):
        for progress in client.api.pull(wanted, stream=True, decode=True, platform="linux/" + system):
            if "error" in progress:
                raise Broken("%s: cannot pull %s: %s" % (row.id, wanted, one_line(str(progress["error"]))))
        pulled = client.images.get(wanted)
        if pulled.attrs["Architecture"] != system:  # an engine may only warn if the registry has another architecture
            raise Broken("%s: %s is an image of %s, and the row is of %s" % (
                row.id, wanted, one_line(pulled.attrs["Architecture"]), system))
        if row.install is None:
            pulled.tag(repository, tag)
        else:
            _install(client, row, wanted, say)


def _install(client: Any, row: Row, base: str, say: recipe.Say) -> None:
    say("installing Python")
    ours = engine.labels("build")
    container = engine.create(client, base, ["sh", "-c", row.install], entrypoint=[""], labels=ours)
    try:
        container.start()
        try:
            code = container.wait(timeout=INSTALL_PATIENCE)["StatusCode"]
        except RequestException:
            raise Broken("%s: `%s` takes longer than %g s" % (row.id, row.install, INSTALL_PATIENCE)) from None
        if code != 0:
            # Not with `tail`, which counts the lines of both streams even if only one is requested.
            said = (container.logs(stdout=False) or container.logs()).decode("utf-8", "replace").strip().splitlines()
            raise Broken("%s: `%s` ended with exit code %d: %s" % (
                row.id, row.install, code, one_line(said[-1] if said else "it said nothing")))
        repository, _, tag = row.tag.partition(":")
        # An image inherits its container's labels. Blank the owner's, or containers of the image would inherit them.
        container.commit(repository, tag, conf={"Cmd": [row.program], "Labels": {
            **dict.fromkeys(ours, ""), **recipe.labels(row, "registry")}})
    finally:
        engine.remove(container)


def pin(path: Path = images.PATH, only: Sequence[str] = ()) -> Dict[str, str]:
    """Look up the digests of these rows' tags (default: of all rows), and write them into the file. Returns them by id.
    Raises ``NotHere`` if a registry cannot be reached; the file is unchanged then."""
    rows = images.load(path)
    for name in only:
        if name not in rows or rows[name].registry is None:
            raise Usage('%s: there is no row "%s" with a registry' % (path.name, shown(name)))
    found = {row.id: digest(unpinned(row.registry)) for row in rows.values()
             if row.registry is not None and (not only or row.id in only)}
    try:
        _rewrite(path.resolve(), rows, found)
    except OSError as error:
        raise Broken("cannot write %s: %s" % (path, reason(error))) from error
    return found


def _rewrite(path: Path, rows: Dict[str, Row], found: Dict[str, str]) -> None:
    """Replace the digests in the file, and keep every other byte. The file changes in one step or not at all. Raises
    OSError, or ``Broken`` if a row has another form than expected."""
    old = path.read_bytes()
    lines = old.decode("utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines):
        named = re.match(r'\s*\{\s*id\s*=\s*"([^"]+)"', line)
        if named is not None and named.group(1) in found:
            lines[number] = re.sub(r'(\bregistry\s*=\s*"[^"@]+)(?:@[^"]*)?"', r'\g<1>@%s"' % found[named.group(1)],
                                   line, count=1)
    new = "".join(lines).encode("utf-8")
    if new == old:
        return
    handle, name = tempfile.mkstemp(dir=str(path.parent), prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(new)
        shutil.copymode(str(path), name)
        wanted = {each.id: each._replace(registry="%s@%s" % (unpinned(each.registry or ""), found[each.id]))
                  if each.id in found else each for each in rows.values()}
        if images.load(Path(name)) != wanted:
            raise Broken("%s: a row is not in one line that begins with its id; the file is unchanged" % path)
        os.replace(name, str(path))
    except BaseException:
        os.unlink(name)
        raise
