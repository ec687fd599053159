"""Where probes run. A kind of target is one module of this package; nothing lists them.

    here                  this interpreter
    python:3.8            an interpreter of this machine, by version or path; python:all for every one
    docker:IMAGE@RUNTIME  an image, by its id in docker/images.toml or as the engine calls it; @RUNTIME may be left out
    recorded:FILE         what was observed before, or elsewhere

A module offers ``TARGET``, a subclass of ``Target`` (``_base``).
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Dict, List, Sequence, Type

from lab.errors import Usage
from lab.harness.targets._base import Request, Target, unique

__all__ = ["Request", "Target", "kinds", "parse"]


def kinds() -> Dict[str, Type[Target]]:
    """Every kind of target by the word that it is spelled with."""
    modules = [importlib.import_module("%s.%s" % (__name__, found.name)) for found in pkgutil.iter_modules(__path__)
               if not found.name.startswith("_")]
    return {module.TARGET.kind: module.TARGET for module in modules}


def parse(texts: Sequence[str]) -> List[Target]:
    """The targets that these spellings stand for, each once. Raises ``Usage`` for an unknown kind, and what the kind
    raises."""
    known = kinds()
    found: List[Target] = []
    for text in texts:
        kind, _, rest = text.partition(":")
        if kind not in known:
            raise Usage('no target "%s"; targets: %s' % (
                ascii(text)[1:-1], ", ".join(each.spelling for each in known.values())))
        found += known[kind].parse(rest)
    return unique(found)
