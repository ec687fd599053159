"""What every class of Python's selectors module promises of register, modify, unregister, get_key, get_map, close.

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
    """Register a socket with data; list the fields of the returned key that equal the arguments. Control: register by
    number."""
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
    """Register a socket for no events. Control: for READ."""
    near, _ = rig.unix()
    return seen(attempt(rig.selector().register, near, events))


@probe(
    claim="unregister returns the key that was registered last",
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
    claim="unregister accepts an object that was closed while it was registered",
    source="selectors.py, BaseSelector.unregister, note: does not raise OSError if fileobj has since been closed",
    on=SELECTORS,
    expect="ok, 0 left",
    control=setup(registered=False),
    promises=("selectors",),
)
def unregister_closed(rig: Rig, registered: bool = True) -> Seen:
    """Register a socket, and close it; unregister the object; count the entries of the map."""
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
    """Register a silent, writable socket for READ; modify it to WRITE and new data; read its key, and select."""
    near, _ = rig.unix()
    selector = rig.selector()
    selector.register(near, READ, "old")
    if modifies:
        selector.modify(near, WRITE, "new")
    key = selector.get_key(near)
    reported = "/".join(spell_events(events) for _, events in selector.select(0)) or SILENT
    return seen("%s, %s; select %s" % (spell_events(key.events), key.data, reported))


@probe(
    claim="modify without data sets the data to None",
    source=_BASE + ".modify: data=None",
    on=SELECTORS,
    expect="None",
    control=setup(keywords={"data": "data"}),
    promises=("selectors",),
)
def modify_without_data(rig: Rig, keywords: Optional[Dict[str, Any]] = None) -> Seen:
    """Register a socket with data; modify its events without an argument data; read its key."""
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
    """Call get_map() once; count its entries before a socket is registered, while it is, and after that."""
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
    """Register a socket; delete its entry from the map. Control: delete it from a copy."""
    near, _ = rig.unix()
    selector = rig.selector()
    selector.register(near, READ)
    taken: Any = dict(selector.get_map()) if copies else selector.get_map()
    return seen(attempt(operator.delitem, taken, next(iter(taken))))


@probe(
    claim="get_key returns the key of a registered object, and raises for any other",
    source=_BASE + ".get_key: KeyError if the file object is not registered",
    on=SELECTORS,
    expect="KeyError",
    control=setup(registered=True),
    promises=("selectors",),
)
def get_key_unknown(rig: Rig, registered: bool = False) -> Seen:
    """Call get_key() for a socket that was not registered. Control: register it."""
    near, _ = rig.unix()
    selector = rig.selector()
    if registered:
        selector.register(near, READ)
    return seen(attempt(selector.get_key, near))


@probe(
    claim="get_key and the map still find an object that was closed while it was registered",
    source="selectors.py, _fileobj_lookup: a search by identity; CPython's test_selectors",
    on=SELECTORS,
    expect="ok, True",
    control=setup(registered=False),
    promises=("selectors",),
)
def closed_is_found(rig: Rig, registered: bool = True) -> Seen:
    """Register a socket, and close it; get its key, and look whether it is in the map."""
    near, _ = rig.unix()
    selector = rig.selector()
    if registered:
        selector.register(near, READ)
    near.close()
    found = attempt(operator.contains, selector.get_map(), near, ok=str)
    return seen("%s, %s" % (attempt(selector.get_key, near), found))


@probe(
    claim="looking up a closed object that was never registered in the map raises; it does not return False",
    source="selectors.py, _fileobj_lookup: ValueError; collections.abc.Mapping: in catches KeyError only",
    on=SELECTORS,
    expect={"selectors": "ValueError, ValueError"},
    control=setup(closes=False),
    promises=("selectors",),
)
def closed_unknown_in_map(rig: Rig, closes: bool = True) -> Seen:
    """Close a socket; look it up in the map by `in` and by get()."""
    near, _ = rig.unix()
    known = rig.selector().get_map()
    if closes:
        near.close()
    return seen("%s, %s" % (attempt(operator.contains, known, near, ok=str), attempt(known.get, near, ok=str)))


@probe(
    claim="looking up a number that is not registered in the map returns False, or None",
    source="collections.abc.Mapping; " + _BASE + ".get_map",
    on=SELECTORS,
    expect="False, None",
    control=setup(registered=True),
    promises=("selectors",),
)
def number_unknown_in_map(rig: Rig, registered: bool = False) -> Seen:
    """Look up the number of an open socket in the map, by `in` and by get()."""
    near, _ = rig.unix()
    selector = rig.selector()
    if registered:
        selector.register(near, READ)
    known, fd = selector.get_map(), near.fileno()
    return seen("%s, %s" % (fd in known, "None" if known.get(fd) is None else "a key"))


@probe(
    claim="after close, get_map returns None and get_key raises",
    source=_BASE + ".close; CPython's test_selectors, test_close: RuntimeError",
    on=SELECTORS,
    expect="RuntimeError, None",
    control=setup(closes=False),
    promises=("selectors",),
    aliases=("closing/map-after-close",),
)
def closed_selector(rig: Rig, closes: bool = True) -> Seen:
    """Register a socket; close the selector; call get_key() and get_map()."""
    near, _ = rig.unix()
    selector = rig.selector()
    selector.register(near, READ)
    if closes:
        selector.close()
    return seen("%s, %s" % (attempt(selector.get_key, near), "None" if selector.get_map() is None else "a map"))


@probe(
    claim="a selector is a context manager that returns itself, and is closed at the end of the block",
    source=_DOCS + "#selectors.BaseSelector: supports the context management protocol (PEP 343)",
    on=SELECTORS,
    expect="itself, closed",
    control=setup(leaves=False),
    promises=("selectors",),
)
def context_manager(rig: Rig, leaves: bool = True) -> Seen:
    """Enter a selector; register a socket; leave; call get_key()."""
    near, _ = rig.unix()
    selector = rig.selector()
    entered = selector.__enter__()
    selector.register(near, READ)
    if leaves:
        selector.__exit__(None, None, None)
    state = "open" if attempt(selector.get_key, near) == "ok" else "closed"
    return seen("%s, %s" % ("itself" if entered is selector else "another", state))
