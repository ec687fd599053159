"""The catalogue: every probe, found in the modules of ``lab.probes``, each of which is a topic. Nothing lists them."""

from __future__ import annotations

import importlib
import pkgutil
from typing import List

from lab.errors import Usage
from lab.probing.probe import REGISTRY, Probe

PROBES = "lab.probes"
"""The package of the topics: imported by name, because each of its modules imports us."""


def topics() -> List[str]:
    """The topics by name, in order: ``accept``, ``concurrency``, ..."""
    package = importlib.import_module(PROBES)
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(package.__path__))


def catalogue() -> List[Probe]:
    """Every probe, by topic, and in a topic as they stand in its file."""
    for topic in topics():  # importing a module enters its probes
        importlib.import_module(PROBES + "." + topic.replace("-", "_"))
    return sorted(REGISTRY, key=lambda probe: probe.topic)


def promised(*promises: str) -> List[Probe]:
    """The probes that belong to any of these sets of promises (``probe.PROMISES``), in the order of the catalogue."""
    return [probe for probe in catalogue() if set(promises) & set(probe.promises)]


def find(name: str) -> List[Probe]:
    """The probes that a name stands for: an id, new or old, or a topic. Raises ``Usage`` for any other."""
    everything = catalogue()
    found = [probe for probe in everything if name == probe.topic or name == probe.id or name in probe.aliases]
    if found:
        return found
    alike = [probe.id for probe in everything if name.rpartition("/")[2] in probe.id]
    hint = "did you mean %s?" % ", ".join(alike[:3]) if alike else "topics: %s" % ", ".join(topics())
    raise Usage('no probe or topic "%s"; %s' % (ascii(name)[1:-1], hint))
