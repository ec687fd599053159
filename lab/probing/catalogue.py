"""The catalogue: finds every probe in ``lab.probes``, where each module or package is a topic. Nothing lists them."""

from __future__ import annotations

import importlib
import pkgutil
from typing import List

from lab.errors import Usage
from lab.probing.probe import REGISTRY, TOPICS, Probe
from lab.text import shown


def topics() -> List[str]:
    """The topics by name, in order: ``accept``, ``concurrency``, ..."""
    package = importlib.import_module(TOPICS)  # by its name, because its modules import lab.probing
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(package.__path__))


def catalogue() -> List[Probe]:
    """Every probe, ordered by topic, in a topic by module, and in a module as they are written."""
    for topic in topics():  # importing a module enters its probes
        module = importlib.import_module(TOPICS + "." + topic.replace("-", "_"))
        for part in sorted(each.name for each in pkgutil.iter_modules(getattr(module, "__path__", ()))):
            importlib.import_module(module.__name__ + "." + part)
    return sorted(REGISTRY, key=lambda probe: probe.topic)


def promised(*promises: str) -> List[Probe]:
    """The probes that belong to any of these sets of promises (``probe.PROMISES``), in the order of the catalogue."""
    return [probe for probe in catalogue() if set(promises) & set(probe.promises)]


def find(name: str) -> List[Probe]:
    """The probes that a name stands for: a topic, an id, or an alias. Raises ``Usage`` for any other name."""
    everything = catalogue()
    found = [probe for probe in everything if name == probe.topic or name == probe.id or name in probe.aliases]
    if found:
        return found
    alike = [probe.id for probe in everything if name.rpartition("/")[2] in probe.id]
    hint = "did you mean %s?" % ", ".join(alike[:3]) if alike else "topics: %s" % ", ".join(topics())
    raise Usage('no probe or topic "%s"; %s' % (shown(name), hint))
