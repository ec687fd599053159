"""The catalogue: every probe, found in the topic modules of this package.

A topic is a module whose name does not begin with an underscore; nothing lists them. ``catalogue`` imports all.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import List

from lab.errors import Usage
from lab.probes._base import REGISTRY, Probe

__all__ = ["Probe", "catalogue", "find", "topics"]

_NOT_TOPICS = ("command",)


def topics() -> List[str]:
    """The topics by name, in order: ``accept``, ``concurrency``, ..."""
    return sorted(_topic(module.name) for module in pkgutil.iter_modules(__path__)
                  if not module.name.startswith("_") and module.name not in _NOT_TOPICS)


def catalogue() -> List[Probe]:
    """Every probe, by topic, and in a topic as they stand in its file."""
    for topic in topics():
        importlib.import_module("lab.probes." + topic.replace("-", "_"))
    return sorted(REGISTRY, key=lambda probe: probe.topic)


def find(name: str) -> List[Probe]:
    """The probes that a name stands for: an id, new or old, or a topic. Raises ``Usage`` for any other."""
    everything = catalogue()
    found = [probe for probe in everything if name == probe.topic or name == probe.id or name in probe.aliases]
    if found:
        return found
    alike = [probe.id for probe in everything if name.rpartition("/")[2] in probe.id]
    hint = "did you mean %s?" % ", ".join(alike[:3]) if alike else "topics: %s" % ", ".join(topics())
    raise Usage('no probe or topic "%s"; %s' % (ascii(name)[1:-1], hint))


def _topic(module: str) -> str:
    return module.replace("_", "-")
