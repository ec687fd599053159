"""What the name of a backend says. Names are taken apart here and nowhere else.

    epoll                     a backend of the ladder
    epoll-et                  the same interface, edge-triggered: it belongs to the family epoll
    selectors                 the best class of Python's selectors module
    selectors:PollSelector    one class of that module: it belongs to the family selectors
    selectors:pkg.mod:Class   a class of somebody else, imported from pkg.mod: of the family selectors too

A name says nothing of whether this platform has the backend, and a record of a newer lab may hold names that are in
no ladder of ours. So everything below works on the text alone.
"""

from __future__ import annotations

import re
from typing import List, Sequence, Tuple

SELECTORS = "selectors"
"""The family of all classes that implement ``selectors.BaseSelector``, and the name of its best one."""

FOREIGN = "selectors:PKG.MOD:CLASS"
"""How help and messages write the name of somebody else's class."""

RECORDED = r"[a-z][a-z0-9-]*|selectors(:[A-Za-z_][A-Za-z0-9_.]*){1,2}"
"""What a record may call a backend, as a regular expression. It is wider than what may be asked for: another lab has
written the record."""

_EDGE = "-et"
_CLASS = SELECTORS + ":"
_WELL_FORMED = re.compile(r"selectors:[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)


def family(name: str) -> str:
    """The family of a backend, by which probes and expectations speak of several at once: ``epoll`` of ``epoll-et``,
    ``selectors`` of each of its classes, and the name itself of any other."""
    head = name.partition(":")[0]
    return head[:-len(_EDGE)] if head.endswith(_EDGE) else head


def is_class(name: str) -> bool:
    """Whether it names one class, of Python's selectors module or of somebody else."""
    return name.startswith(_CLASS)


def is_foreign(name: str) -> bool:
    """Whether it names somebody else's class. Its parts may still be no identifiers: see ``is_well_formed``."""
    return is_class(name) and name.count(":") == 2


def is_well_formed(name: str) -> bool:
    """Whether somebody else's class could be imported by that name."""
    return _WELL_FORMED.fullmatch(name) is not None


def class_of(name: str) -> Tuple[str, str]:
    """The module and the class that ``selectors:CLASS`` or ``selectors:PKG.MOD:CLASS`` names."""
    module, _, kind = name[len(_CLASS):].rpartition(":")
    return module or SELECTORS, kind


def of_class(module: str, kind: str) -> str:
    """The name of the backend over that class of that module: the inverse of ``class_of``."""
    return _CLASS + (kind if module == SELECTORS else "%s:%s" % (module, kind))


def short(names: Sequence[str], asked: Sequence[str]) -> List[str]:
    """Names of backends for a table: ``all`` for all that were asked, ``selectors`` for all the classes of Python's
    that were asked, and such a class without its module."""
    if len(names) == len(asked) > 2:
        return ["all"]
    own = [name for name in asked if is_class(name) and not is_foreign(name)]
    if len(own) > 1 and set(own) <= set(names):
        return [name for name in names if name not in own] + [SELECTORS]
    return [class_of(name)[1] if name in own else name for name in names]
