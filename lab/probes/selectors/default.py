"""Which class DefaultSelector is on this platform."""

from __future__ import annotations

import errno
import importlib.util
import os
import select
from typing import Any, Tuple, cast

from lab.probes.selectors import DOCS
from lab.probing.probe import Seen, SetUpFailed, probe, seen, setup
from lab.probing.rig import Rig


def _default_class(**replaced: Any) -> str:
    """The DefaultSelector of a new copy of the selectors module, which we load while these names of the select module
    are replaced, or removed if the value is None."""
    spec = importlib.util.find_spec("selectors")
    if spec is None or spec.loader is None:
        raise SetUpFailed("the selectors module cannot be loaded a second time")
    before = {name: getattr(select, name) for name in replaced if hasattr(select, name)}
    code: Any = cast(Any, spec.loader).get_code("selectors")  # zipimporter had no exec_module before 3.10
    copy: Any = importlib.util.module_from_spec(spec)
    try:
        for name in before:
            if replaced[name] is None:
                delattr(select, name)
            else:
                setattr(select, name, replaced[name])
        exec(code, copy.__dict__)
    finally:
        for name, value in before.items():
            setattr(select, name, value)
    return str(copy.DefaultSelector.__name__)


@probe(
    claim="DefaultSelector is the most efficient class that the platform has",
    source=DOCS + "#selectors.DefaultSelector",
    expect="EpollSelector",
    control=setup(gone=("kqueue", "epoll", "devpoll")),
)
def default(rig: Rig, gone: Tuple[str, ...] = ()) -> Seen:
    """Load a new copy of the selectors module, and name its DefaultSelector."""
    return seen(_default_class(**dict.fromkeys(gone)))


@probe(
    claim="if the kernel refuses epoll, DefaultSelector is another class",
    source="bpo-41182; selectors.py, _can_use, since 3.9",
    expect="PollSelector",
    control=setup(refuses=False),
    needs=("epoll",),
)
def default_refused(rig: Rig, refuses: bool = True) -> Seen:
    """Load a new copy of the selectors module while select.epoll() fails with ENOSYS, and name its DefaultSelector."""
    def refuse(*arguments: Any) -> Any:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return seen(_default_class(epoll=refuse) if refuses else _default_class())
