"""`lab up --netem`: delay, loss and more for what a server sends, by the kernel's own queueing discipline, tc-netem(8).

A server's container has no capabilities, and its image has no `tc`. So a second container, which shares the server's
network namespace for a moment, runs `tc`. It has CAP_NET_ADMIN, and its image is made from Debian's iproute2. This
needs no root on this machine, and works if the engine is in a virtual machine, too. It shapes one direction, from
server to client: `delay 20ms` makes a round trip 20 ms longer.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, List, Sequence

from docker.errors import ImageNotFound

from lab.architectures import of_engine
from lab.errors import Broken, NotHere, Usage
from lab.harness import engine
from lab.harness.images import layer
from lab.harness.images.debian import recipe
from lab.text import one_line, shown

KINDS = ("delay", "loss", "duplicate", "corrupt", "reorder", "rate", "limit", "slot")
"""The words with which --netem can begin."""
SUITE = "trixie"


def parse(text: str) -> List[str]:
    """Split a text such as ``delay 20ms loss 1%`` into words. Raises ``Usage`` for a text that tc cannot accept; tc
    itself checks the rest."""
    words = text.split()
    if not words or words[0] not in KINDS:
        raise Usage('--netem "%s": begin with one of %s; for example "delay 20ms loss 1%%"' % (
            shown(text), ", ".join(KINDS)))
    for word in words:
        if not re.match(r"^[a-z0-9][a-z0-9.]*%?$", word, re.IGNORECASE):
            raise Usage('--netem: "%s" is not a word of tc-netem(8); for example "delay 20ms loss 1%%"' % shown(word))
    return words


def apply(client: Any, container: Any, discipline: Sequence[str], say: recipe.Say) -> None:
    """Set the root queueing discipline of a running container's interface.

    Raises ``Usage`` if tc does not understand it, ``NotHere`` if the kernel does not have the discipline, ``Broken``
    for any other error.
    """
    tag = _image(client, say)
    say("shaping the network of %s" % container.name)
    with engine.errors_as_broken("--netem"):
        helper = engine.create(
            client, tag, ["tc", "qdisc", "replace", "dev", "eth0", "root", *discipline], cap_drop=["ALL"],
            cap_add=["NET_ADMIN"], network_mode="container:%s" % container.id, runtime=_runtime(client),
            read_only=True, labels=engine.labels("netem"))
        try:
            helper.start()
            code = helper.wait()["StatusCode"]
            said = helper.logs().decode("utf-8", "replace").strip()
        finally:
            engine.remove(helper)
    if code != 0:
        raise _refused(discipline, said)


def _refused(discipline: Sequence[str], said: str) -> Exception:
    text = " ".join(discipline[1:])
    if re.search("qdisc kind is unknown|qdisc not found", said):
        return NotHere("--netem: the engine's kernel has no sch_%s; `modprobe sch_%s` where the engine runs, or use a "
                       "kernel that has it" % (discipline[0], discipline[0]))
    first = one_line(said.splitlines()[0] if said else "nothing")
    if "Usage:" in said or re.match(r"What is|Illegal|Unknown", said):
        return Usage("--netem: tc does not understand \"%s\": %s; see tc-netem(8)" % (text, first))
    return Broken("--netem: tc cannot set \"%s\": %s" % (text, first))


def _runtime(client: Any) -> str:
    """runc if the engine has it: under gVisor tc would see gVisor's own network stack and not the real interface."""
    here = engine.runtimes(client)
    return "runc" if "runc" in here else here[0]


def _image(client: Any, say: recipe.Say) -> str:
    """Make an image with tc, unless the engine has it. Returns its tag. Raises ``Broken`` or ``NotHere`` if no mirror
    of Debian can be reached."""
    with engine.errors_as_broken("--netem"):
        arch = str(client.version()["Arch"])
    row = of_engine(arch)
    arch = row.debian if row is not None else arch
    made = hashlib.sha256(arch.encode("ascii"))
    for source in (layer.__file__, recipe.__file__, __file__):
        made.update(Path(source).read_bytes())
    tag = "muxlab/netem:%s" % made.hexdigest()[:12]
    with engine.errors_as_broken("--netem"):
        try:
            client.images.get(tag)
        except ImageNotFound:
            root = recipe.root(SUITE, arch, ["iproute2", "base-files"], say)
            client.images.load(layer.archive(tag, [root.finish()], arch, {
                "Env": ["PATH=" + recipe.PATH], "Labels": {engine.LABEL + ".source": "debian"}}))
    return tag
