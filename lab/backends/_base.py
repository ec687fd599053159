"""The contract that every backend keeps, and the bookkeeping that all of them share.

A backend is a way to wait until descriptors are ready. It has five verbs:

    register(fd, interest, data)   start watching; one registration a descriptor
    modify(fd, interest)           watch it for something else; the data stays
    unregister(fd)                 stop watching, also when ``fd`` was closed meanwhile
    wait(timeout)                  block until something is ready; (data, event) pairs
    close()                        release the backend itself; the descriptors stay yours

What is promised, on every platform (``tests/core/conformance/test_backends.py`` holds each to it):

* An error or hang-up reaches the owner whatever the interest was. A backend that can tell them apart (feature
  SEES_ERROR) reports ERROR and HANGUP; any other reports READ or WRITE, whichever was asked for, and the next read or
  write then raises the error.
* A limit is refused by ``register``, where the caller can still answer the peer, not by ``wait``, where it
  would take the whole loop down with it.
* A descriptor that is closed while registered neither breaks ``wait`` nor hides the others. Most backends report
  it as INVALID, or as ready so that the next read raises EBADF (feature SEES_CLOSED). In the others the kernel removes
  it, and they report nothing.
* One pair a descriptor in each ``wait``; no pair for a descriptor that is not registered.
* ``wait(None)`` blocks for ever, and ``wait(0)`` or a negative timeout returns at once. No timeout is rounded down:
  a wait of 0.1 ms may take longer, but a loop of such waits does not spin.
* A signal handler that returns does not end the wait (PEP 475).
* ``modify`` on an edge-triggered backend reports a state that still holds once more, so that a reader may
  stop early and ask again.
* Another thread may register and unregister in the middle of a wait; whether that wait notices is feature LIVE.
* After ``close`` every verb but ``close`` raises ValueError.

What is not promised: the order of the pairs; that a ready descriptor is still ready when you come to it; that
``wait`` returns something when it returns before its timeout (it may be a spurious wakeup).
"""

from __future__ import annotations

import enum
from typing import Any, ClassVar, Dict, FrozenSet, List, Optional, Tuple, Type, TypeVar

from lab.errors import LabError, NotHere
from lab.events import BOTH, Trigger
from lab.waits import LONGEST_WAIT

Ready = List[Tuple[Any, int]]
_Self = TypeVar("_Self", bound="Backend")


class Feature(enum.Enum):
    """What one backend can do and another cannot, as data; each is proven both ways by the contract test."""

    EDGE = "reports a change once, and again only after modify or another change"
    NO_FD_LIMIT = "takes descriptors of any number, in any count that the process may open"
    ANY_FD = "takes regular files and /dev/null too, and calls them ready"
    SEES_ERROR = "reports ERROR and HANGUP as such, not as READ or WRITE"
    SEES_CLOSED = "reports a descriptor that was closed while registered"
    LIVE = "notices in the middle of a wait what another thread registers"

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")


class Refused(LabError):
    """This backend will not watch this descriptor. ``errno`` is the system's number, or None for a limit of
    the API itself."""

    def __init__(self, message: str, errno: Optional[int] = None) -> None:
        super().__init__(message)
        self.errno = errno


class AlreadyRegistered(ValueError):
    """The descriptor is watched already: ``modify`` changes the interest, ``unregister`` ends it."""


class NotRegistered(KeyError):
    """The descriptor is not watched, so it can be neither modified nor unregistered."""


class Backend:
    """A way to wait for readiness. Subclasses fill in ``_add``, ``_change``, ``_remove`` and ``wait``.

    Raises ``NotHere`` on creation where the platform does not have it (see ``missing``).
    """

    name: ClassVar[str]
    trigger: ClassVar[Trigger] = Trigger.LEVEL
    features: ClassVar[FrozenSet[Feature]] = frozenset()

    interface: ClassVar[str] = ""
    """What it waits with, as Python's select module names it: select, poll, epoll, kqueue or devpoll. Empty for
    anything else."""
    is_raw: ClassVar[bool] = False
    """Whether it calls that interface itself, and not through a class over it. Probes ask the raw interfaces as they
    are, each through a watcher (``lab.probing.watchers``)."""
    is_alias: ClassVar[bool] = False
    """Whether it is another backend of the ladder under a second name, so that no probe need ask it."""

    def __init__(self) -> None:
        why = self.missing()
        if why is not None:
            raise NotHere("backend %s is not here: %s; `lab doctor` lists those that are" % (self.name, why))
        self._data: Dict[int, Any] = {}
        self._closed = False

    @classmethod
    def missing(cls) -> Optional[str]:
        """None, or why this platform does not have the backend."""
        return None

    def register(self, fd: int, interest: int, data: Any = None) -> None:
        """Start watching ``fd`` for READ, WRITE or both; ``wait`` hands ``data`` back when it is ready.

        Raises ``AlreadyRegistered``; ``Refused`` for a descriptor beyond this backend's limits or of a kind it
        cannot watch; ``ValueError`` for an impossible number or interest.
        """
        self._check_interest(interest)
        if fd < 0:
            raise ValueError("descriptor %d: it was closed before it was registered" % fd)
        if fd in self._data:
            raise AlreadyRegistered("descriptor %d is registered already; modify() changes the interest" % fd)
        self._data[fd] = data  # before the kernel knows: another thread's wait may report it at once (LIVE)
        try:
            self._add(fd, interest)
        except BaseException:
            del self._data[fd]
            raise

    def modify(self, fd: int, interest: int) -> None:
        """Watch ``fd`` for READ, WRITE or both from now on; the data stays. Raises ``NotRegistered``; ``Refused``
        where the descriptor was closed and the backend looks it up anew."""
        self._check_interest(interest)
        self._check_registered(fd)
        self._change(fd, interest)

    def unregister(self, fd: int) -> None:
        """Stop watching ``fd``, be it open or closed. Raises ``NotRegistered``."""
        self._check_registered(fd)
        del self._data[fd]
        self._remove(fd)

    def wait(self, timeout: Optional[float] = None) -> Ready:
        """Block up to ``timeout`` seconds (None: for ever) and return the ready (data, event) pairs."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the backend's own descriptor, if it has one. May be called twice."""
        self._closed = True
        self._data.clear()

    def __len__(self) -> int:
        """How many descriptors are registered."""
        return len(self._data)

    def __contains__(self, fd: int) -> bool:
        return fd in self._data

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # What a subclass fills in. Each is called with a checked descriptor and interest; in ``_add`` the newcomer is
    # counted already.

    def _add(self, fd: int, interest: int) -> None:
        raise NotImplementedError

    def _change(self, fd: int, interest: int) -> None:
        raise NotImplementedError

    def _remove(self, fd: int) -> None:
        raise NotImplementedError

    def _check_interest(self, interest: int) -> None:
        self._check_open()
        if not interest or interest & ~BOTH:
            raise ValueError("interest %r: it must be READ, WRITE or both; unregister() ends it" % interest)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this %s backend is closed" % self.name)

    def _check_registered(self, fd: int) -> None:
        self._check_open()
        if fd not in self._data:
            raise NotRegistered("descriptor %d is not registered" % fd)


BackendType = Type[Backend]


def span(timeout: float) -> float:
    """A timeout in seconds, cut to what every system call takes: from 0 to LONGEST_WAIT.

    Raises ``ValueError`` for NaN. CPython's calls do so too, but PyPy 7.3.11 takes NaN as 0 in epoll and as for ever in
    select.
    """
    if 0.0 <= timeout <= LONGEST_WAIT:
        return timeout
    if timeout != timeout:
        raise ValueError("a timeout of NaN seconds")
    return LONGEST_WAIT if timeout > 0.0 else 0.0
