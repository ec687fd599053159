"""The places where probes can run. Each kind of target is one module of this package; nothing lists them.

    here                  the interpreter that runs `lab verify`
    python:3.8            an interpreter of this machine, by version or path; python:all for every one
    docker:IMAGE@RUNTIME  an image, by its id in docker/images.toml or its name in the engine; @RUNTIME is optional
    wine:PATH/python.exe  a Windows CPython, run by Wine
    recorded:FILE         what was observed earlier, or on another machine

A module offers ``TARGET``, a subclass of ``Target`` (``_base``).
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Dict, List, NamedTuple, Sequence, Tuple, Type

from lab.errors import Usage
from lab.harness.targets._base import Request, Target
from lab.text import escaped, shown

__all__ = ["Chosen", "Request", "Target", "choose", "kinds", "parse"]


class Chosen(NamedTuple):
    """The targets of one run.

    targets: in the order in which the user gave them; their names differ.
    merged: a line for each target that the user gave several times, in one spelling or in several.
    """

    targets: List[Target]
    merged: List[str]


def kinds() -> Dict[str, Type[Target]]:
    """Every kind of target by the word before the colon."""
    modules = [importlib.import_module("%s.%s" % (__name__, found.name)) for found in pkgutil.iter_modules(__path__)
               if not found.name.startswith("_")]
    return {module.TARGET.kind: module.TARGET for module in modules}


def parse(text: str) -> List[Target]:
    """The targets that one spelling stands for. Raises ``Usage`` for an unknown kind, and what the kind raises."""
    known = kinds()
    kind, _, rest = text.partition(":")
    if kind not in known:
        raise Usage('no target "%s"; targets: %s' % (
            shown(text), ", ".join(each.spelling for each in known.values())))
    return known[kind].parse(rest)


def choose(texts: Sequence[str]) -> Chosen:
    """The targets that these spellings stand for. Targets of one class and one ``place`` become one target. Different
    places with the same name are renamed to ``kind:place``, and get a number if even that looks the same once it is
    escaped. Raises as ``parse``."""
    spellings: Dict[Tuple[Type[Target], str], List[str]] = {}
    found: Dict[Tuple[Type[Target], str], Target] = {}
    for text in texts:
        several = parse(text)
        for target in several:
            key = (type(target), target.place)
            found.setdefault(key, target)
            spellings.setdefault(key, []).append(text if len(several) == 1 else target.name)
    merged = [_merged(found[key].noun, texts) for key, texts in spellings.items() if len(texts) > 1]
    names = [target.name for target in found.values()]
    for target in found.values():
        if names.count(target.name) > 1:
            target.name = "%s:%s" % (target.kind, escaped(target.place))
    names = [target.name for target in found.values()]
    for number, target in enumerate(found.values(), 1):
        if names.count(target.name) > 1:
            target.name += " (%d)" % number
    return Chosen(list(found.values()), merged)


def _merged(noun: str, texts: Sequence[str]) -> str:
    different = list(dict.fromkeys(texts))
    if len(different) == 1:
        return "%s was given %d times; it runs once" % (different[0], len(texts))
    return "%s and %s are the same %s; it runs once" % (", ".join(different[:-1]), different[-1], noun)
