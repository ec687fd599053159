"""What a probe is: a function that observes one behaviour, and data beside it for those who run and judge it.

A probe never judges. It builds a situation, asks, and returns a token for what it observed, with raw detail. The
decorator takes the rest as data: what a source promises (``claim``, ``source``, ``expect``), where the question makes
sense (``on``, ``needs``), and how the observation can be made to change (``control``), without which a probe that
always says the same would go unnoticed. The catalogue, the runner and the tests read this data without running a probe.

    @probe(
        claim="the peer's close of a unix stream is a hang-up",
        source="unix(7); poll(2) POLLHUP",
        on=RAW,
        expect={"select": "r+w", "poll": "IN+OUT+HUP", "epoll": "IN+OUT+HUP"},
        control=setup(closes=False),
    )
    def unix_peer_closed(rig: Rig, closes: bool = True) -> Seen:
        \"\"\"Close one end of a unix stream pair; ask for both directions on the other.\"\"\"

The docstring tells the steps. The id is made of the topic and the name: ``hangup/unix-peer-closed``. A probe that is
renamed, or replaces another, lists the old id in ``aliases``, so that old records and expectations can still be read.
"""

from __future__ import annotations

import inspect
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from lab.backends import LADDER, BackendType, spelling
from lab.events import Trigger

_CLASSES = [kind for kind in LADDER if spelling.is_class(kind.name)]
_INTERFACES = list(dict.fromkeys(kind.interface for kind in (*_CLASSES, *LADDER)))
"""What Python's select module offers, in the order in which its selectors module has a class over each. Probes ask in
this order."""

_ASKED = sorted((kind for kind in LADDER if kind.is_raw), key=lambda kind: _INTERFACES.index(kind.interface)) + _CLASSES
"""The backends that can be asked through Python's own objects, in the order of cells."""


def over(*interfaces: str, raw: Optional[bool] = None, edge: Optional[bool] = None) -> Tuple[str, ...]:
    """The names of the backends that wait with one of these interfaces of Python's select module, or with any.

    raw: True for the interfaces themselves, False for the classes over them. edge: True for edge trigger, False for
    level. Raises ``ValueError`` for an interface that no backend waits with.
    """
    if set(interfaces) - set(_INTERFACES):
        raise ValueError("no backend waits with %s" % ", ".join(sorted(set(interfaces) - set(_INTERFACES))))

    def fits(kind: BackendType) -> bool:
        return ((not interfaces or kind.interface in interfaces) and raw in (None, kind.is_raw)
                and edge in (None, kind.trigger is Trigger.EDGE))
    return tuple(kind.name for kind in _ASKED if fits(kind))


RAW = over(raw=True)
"""The kernel's interfaces, as Python's select module offers them."""

SELECTORS = over(raw=False)
"""Every class of Python's selectors module."""

EVERY = over()
"""Both: all that a probe can ask through Python's own objects."""

EPOLLS = over("epoll", raw=True)

OURS = EVERY + tuple(kind.name for kind in LADDER if not kind.is_alias and kind not in _ASKED)
"""Every backend of the ladder, for probes that ask our own classes: all of EVERY first, then any backend that only
these probes can ask, because it is neither raw nor a class of Python's selectors module."""

NONE = ("none",)
"""For what happens to a socket whoever waits for it."""

PROMISES = {
    "selectors": "what every class of the selectors module is held to, and a foreign one that claims to be one",
    "backend": "what lab.backends promises of every backend",
}
"""The sets of promises that a probe may belong to: `lab verify --selector` asks the probes of both."""


TOPICS = "lab.probes"
"""The package of the topics: each of its modules is one, and each of its packages is one in several modules."""


class Seen(NamedTuple):
    """What a probe observed: a short stable text, and its raw detail, in values that JSON can hold."""

    token: str
    detail: Dict[str, Any]


def seen(token: str, **detail: Any) -> Seen:
    """The observation that a probe returns."""
    return Seen(token, detail)


class Unsupported(Exception):
    """Raised in a probe if the question makes no sense on this platform; the text is the reason."""


class SetUpFailed(Exception):
    """Raised in a probe, mostly by the rig, if the situation to be observed did not come about."""


class Control(NamedTuple):
    """How the observation is made to change: on another backend, with another set-up, or through a fault."""

    kind: str  # backend, setup, fault
    name: str
    keywords: Dict[str, Any]

    def __str__(self) -> str:
        if self.kind == "setup":
            return ", ".join("%s=%r" % item for item in self.keywords.items())
        return "%s %s" % (self.kind, self.name)


def backend(name: str) -> Control:
    """On that backend the probe observes something else than on every other one."""
    return Control("backend", name, {})


def setup(**keywords: Any) -> Control:
    """Called with these keyword arguments, the probe observes something else."""
    return Control("setup", "", keywords)


def fault(name: str) -> Control:
    """Through a watcher with that fault (``faults``), the probe observes something else."""
    return Control("fault", name, {})


Expected = Union[None, str, Mapping[str, Optional[str]]]
Function = Callable[..., Seen]


class Probe(NamedTuple):
    """One entry of the catalogue."""

    id: str
    claim: str
    source: str
    on: Tuple[str, ...]
    expect: Mapping[str, Optional[str]]
    control: Control
    needs: Tuple[str, ...]
    trials: int
    alone: bool
    promises: Tuple[str, ...]
    aliases: Tuple[str, ...]
    run: Function

    @property
    def topic(self) -> str:
        """The part of the id before the slash: the module."""
        return self.id.partition("/")[0]

    @property
    def steps(self) -> str:
        """What the probe does, in words."""
        return inspect.cleandoc(self.run.__doc__ or "")

    def expected(self, name: str) -> Optional[str]:
        """The token that the source promises on that backend; None if it promises nothing."""
        for key in (name, spelling.family(name), "*"):
            if key in self.expect:
                return self.expect[key]
        return None


REGISTRY: List[Probe] = []
"""Every probe, in the order in which the topics are imported and written."""


def _topic(module: str) -> str:
    """The topic of the probes in that module: below ``TOPICS`` the name that follows, elsewhere the module's own."""
    if module.startswith(TOPICS + "."):
        name = module[len(TOPICS) + 1:].partition(".")[0]
    else:
        name = module.rpartition(".")[2]
    return name.replace("_", "-")


def probe(*, claim: str, source: str, control: Control, on: Tuple[str, ...] = NONE, expect: Expected = None,
          needs: Tuple[str, ...] = (), trials: int = 1, alone: bool = False, promises: Tuple[str, ...] = (),
          aliases: Tuple[str, ...] = ()) -> Callable[[Function], Function]:
    """Enter a function into the catalogue.

    claim: one sentence, true or not, that people believe or a source promises.
    source: where the claim is made: man page and section, POSIX, an issue.
    control: ``backend``, ``setup`` or ``fault``: what makes the observation change.
    on: the backends to ask.
    expect: the token that the source promises: one for all, or by backend or family (``selectors``, ``*`` for the
        rest; None promises nothing).
    needs: names of needs (module ``needs``) without which the probe is unsupported.
    trials: how often to repeat a timing-sensitive observation; the majority counts.
    alone: run it while no other probe runs.
    promises: the sets of promises that it belongs to, from ``PROMISES``.
    aliases: ids that it had before, and those of probes that it has replaced.
    """
    def enter(function: Function) -> Function:
        name = "%s/%s" % (_topic(function.__module__), function.__name__.replace("_", "-"))
        REGISTRY.append(Probe(
            name, claim, source, on,
            expect if isinstance(expect, Mapping) else {"*": expect}, control, needs, trials, alone, promises, aliases,
            function))
        return function
    return enter
