"""What every class of Python's selectors module promises about its books: register, modify, unregister, map, close.

Each probe asks one clause of the documented contract of BaseSelector; topic ``selectors-select`` asks what select()
promises. Clauses that other interfaces have too are asked of all interfaces at once, in topics such as ``lifecycle``
and ``timeouts``, and carry the same tag, ``promises=("selectors",)``. The probes use the public interface only, so that
a foreign class, which claims the same contract, can be held to it.
"""

from __future__ import annotations

import operator
import selectors
from typing import Any, Dict, Optional

from lab.probing.probe import SELECTORS, Seen, probe, seen, setup
from lab.probing.rig import Rig, attempt
from lab.probing.watchers import SILENT, spell_events

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

_DOCS = "docs.python.org/3/library/selectors.html"
_BASE = _DOCS + "#selectors.BaseSelector"


@probe(
    claim="register returns a SelectorKey: the file object, its number, the events, the data",
    source=_DOCS + "#selectors.SelectorKey; " + _BASE + ".register",
    on=SELECTORS,
    expect="SelectorKey of fileobj, fd, events, data",
    control=setup(by_number=True),
    promises=("selectors",),
)
def register_returns_key(rig: Rig, by_number: bool = False) -> Seen:
    """Register a socket with data; name what of the key that comes back is what was given."""
    near, _ = rig.unix()
    key = rig.selector().register(near.fileno() if by_number else near, READ, "data")
    given = {"fileobj": near, "fd": near.fileno(), "events": READ, "data": "data"}
    same = [name for name, value in given.items() if getattr(key, name, None) == value]
    return seen("%s of %s" % (type(key).__name__, ", ".join(same)))


@probe(
    claim="register refuses an event mask of nothing",
    source=_BASE + ".register: ValueError for an invalid event mask",
    on=SELECTORS,
    expect="ValueError",
    control=setup(events=READ),
    promises=("selectors",),
)
def register_nothing(rig: Rig, events: int = 0) -> Seen:
    """Register a socket for no events."""
    near, _ = rig.unix()
    return seen(attempt(rig.selector().register, near, events))


@probe(
    claim="unregister returns the key as it was at last",
    source=_BASE + ".unregister",
    on=SELECTORS,
    expect="the key of register",
    control=setup(modifies=True),
    promises=("selectors",),
)
def unregister_returns_key(rig: Rig, modifies: bool = False) -> Seen:
    """Register a socket and unregister it; compare the keys."""
    near, _ = rig.unix()
    selector = rig.selector()
    key = selector.register(near, READ, "data")
    if modifies:
        selector.modify(near, WRITE, "data")
    return seen("the key of register" if selector.unregister(near) == key else "another key")


@probe(
    claim="unregister takes an object that was closed while it was registered",
    source="selectors.py, BaseSelector.unregister, note: does not raise OSError if fileobj has since been closed",
    on=SELECTORS,
    expect="ok, 0 left",
    control=setup(registered=False),
    promises=("selectors",),
)
def unregister_closed(rig: Rig, registered: bool = True) -> Seen:
    """Register a socket and close it; unregister the object; count what is left registered."""
    near, _ = rig.unix()
    selector = rig.selector()
    if registered:
        selector.register(near, READ)
    near.close()
    result = attempt(selector.unregister, near)
    return seen("%s, %d left" % (result, len(selector.get_map())))


@probe(
    claim="modify changes events and data",
    source=_BASE + ".modify",
    on=SELECTORS,
    expect="WRITE, new; select WRITE",
    control=setup(modifies=False),
    promises=("selectors",),
)
def modify_updates(rig: Rig, modifies: bool = True) -> Seen:
    """Register a silent, writable socket for READ; modify it to WRITE and new data; look at its key, and select."""
    near, _ = rig.unix()
    selector = rig.selector()
    selector.register(near, READ, "old")
    if modifies:
        selector.modify(near, WRITE, "new")
    key = selector.get_key(near)
    reported = "/".join(spell_events(events) for _, events in selector.select(0)) or SILENT
    return seen("%s, %s; select %s" % (spell_events(key.events), key.data, reported))


@probe(
    claim="modify without data takes the data away",
    source=_BASE + ".modify: data=None",
    on=SELECTORS,
    expect="None",
    control=setup(keywords={"data": "data"}),
    promises=("selectors",),
)
def modify_without_data(rig: Rig, keywords: Optional[Dict[str, Any]] = None) -> Seen:
    """Register a socket with data; modify its events, and do not say data; look at the key."""
    near, _ = rig.unix()
    selector = rig.selector()
    selector.register(near, READ, "data")
    selector.modify(near, WRITE, **(keywords or {}))
    return seen(str(selector.get_key(near).data))


@probe(
    claim="get_map is live: it follows register and unregister",
    source=_BASE + ".get_map: a mapping of file objects to selector keys; CPython's test_selectors, test_get_map",
    on=SELECTORS,
    expect="0, 1, 0",
    control=setup(copies=True),
    promises=("selectors",),
)
def map_is_live(rig: Rig, copies: bool = False) -> Seen:
    """Take the map once; count its entries at first, with a socket registered, and without it again."""
    near, _ = rig.unix()
    selector = rig.selector()
    taken = dict(selector.get_map()) if copies else selector.get_map()
    counts = [len(taken)]
    selector.register(near, READ)
    counts.append(len(taken))
    selector.unregister(near)
    counts.append(len(taken))
    return seen("%d, %d, %d" % tuple(counts))


@probe(
    claim="get_map cannot be written to",
    source="CPython's test_selectors, test_get_map: TypeError; " + _BASE + ".get_map",
    on=SELECTORS,
    expect="TypeError",
    control=setup(copies=True),
    promises=("selectors",),
)
def map_is_readonly(rig: Rig, copies: bool = False) -> Seen:
    """Register a socket, and delete its entry from the map."""
    near, _ = rig.unix()
    selector = rig.selector()
    selector.register(near, READ)
    taken: Any = dict(selector.get_map()) if copies else selector.get_map()
    return seen(attempt(operator.delitem, taken, next(iter(taken))))


@probe(
    claim="get_key finds a registered object, and refuses any other",
    source=_BASE + ".get_key: KeyError if the file object is not registered",
    on=SELECTORS,
    expect="KeyError",
    control=setup(registered=True),
    promises=("selectors",),
)
def get_key_unknown(rig: Rig, registered: bool = False) -> Seen:
    """Ask for the key of a socket that was not registered."""
    near, _ = rig.unix()
    selector = rig.selector()
    if registered:
        selector.register(near, READ)
    return seen(attempt(selector.get_key, near))


@probe(
    claim="get_key and the map find an object that was closed while it was registered",
    source="selectors.py, _fileobj_lookup: a search by identity; CPython's test_selectors",
    on=SELECTORS,
    expect="ok, True",
    control=setup(registered=False),
    promises=("selectors",),
)
def closed_is_found(rig: Rig, registered: bool = True) -> Seen:
    """Register a socket and close it; ask for its key, and whether it is in the map."""
    near, _ = rig.unix()
    selector = rig.selector()
    if registered:
        selector.register(near, READ)
    near.close()
    found = attempt(operator.contains, selector.get_map(), near, ok=str)
    return seen("%s, %s" % (attempt(selector.get_key, near), found))


@probe(
    claim="asking the map for a closed object that was never registered is an error, not a no",
    source="selectors.py, _fileobj_lookup: ValueError; collections.abc.Mapping: in catches KeyError only",
    on=SELECTORS,
    expect={"selectors": "ValueError, ValueError"},
    control=setup(closes=False),
    promises=("selectors",),
)
def closed_unknown_in_map(rig: Rig, closes: bool = True) -> Seen:
    """Close a socket; ask whether it is in the map, by `in` and by get()."""
    near, _ = rig.unix()
    known = rig.selector().get_map()
    if closes:
        near.close()
    return seen("%s, %s" % (attempt(operator.contains, known, near, ok=str), attempt(known.get, near, ok=str)))


@probe(
    claim="asking the map for a number that nobody registered is a no",
    source="collections.abc.Mapping; " + _BASE + ".get_map",
    on=SELECTORS,
    expect="False, None",
    control=setup(registered=True),
    promises=("selectors",),
)
def number_unknown_in_map(rig: Rig, registered: bool = False) -> Seen:
    """Ask whether the number of an open socket is in the map, by `in` and by get()."""
    near, _ = rig.unix()
    selector = rig.selector()
    if registered:
        selector.register(near, READ)
    known, fd = selector.get_map(), near.fileno()
    return seen("%s, %s" % (fd in known, "None" if known.get(fd) is None else "a key"))


@probe(
    claim="a closed selector has no map and no keys",
    source=_BASE + ".close; CPython's test_selectors, test_close: RuntimeError",
    on=SELECTORS,
    expect="RuntimeError, None",
    control=setup(closes=False),
    promises=("selectors",),
    aliases=("closing/map-after-close",),
)
def closed_selector(rig: Rig, closes: bool = True) -> Seen:
    """Register a socket, and close the selector; ask for the key, and for the map."""
    near, _ = rig.unix()
    selector = rig.selector()
    selector.register(near, READ)
    if closes:
        selector.close()
    return seen("%s, %s" % (attempt(selector.get_key, near), "None" if selector.get_map() is None else "a map"))


@probe(
    claim="a selector is a context manager that gives itself, and is closed at the end",
    source=_DOCS + "#selectors.BaseSelector: supports the context management protocol (PEP 343)",
    on=SELECTORS,
    expect="itself, closed",
    control=setup(leaves=False),
    promises=("selectors",),
)
def context_manager(rig: Rig, leaves: bool = True) -> Seen:
    """Enter a selector, register a socket, and leave; ask for the key."""
    near, _ = rig.unix()
    selector = rig.selector()
    entered = selector.__enter__()
    selector.register(near, READ)
    if leaves:
        selector.__exit__(None, None, None)
    state = "open" if attempt(selector.get_key, near) == "ok" else "closed"
    return seen("%s, %s" % ("itself" if entered is selector else "another", state))
