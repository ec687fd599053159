"""The container engine: found, spoken to, and left without a trace of us.

Whatever the lab makes in an engine (containers, networks, volumes) carries the labels of ``labels``: its role, the
process that owns it, and a scope. So what a killed run left is known for what it is: ``sweep`` removes what has lost
its owner, and `lab down --all` all of its scope. That works in any engine, also where testcontainers' reaper, which is
an image in a registry, cannot be had. LAB_SCOPE names another scope than the common one: who shares an engine with
others, or tests the lab itself, takes down nothing of theirs.

What goes wrong here is foreseen: ``errors_as_broken`` turns every engine error into one line.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterator, List, Mapping, Optional

from docker.client import DockerClient, from_env
from docker.errors import APIError, BuildError, DockerException, ImageLoadError
from docker.types import Ulimit
from requests.exceptions import RequestException

from lab.errors import Broken, NotHere
from lab.harness.runtimes import KNOWN

LABEL = "org.muxlab"
OWNER = LABEL + ".owner"
ROLE = LABEL + ".role"
SCOPE = LABEL + ".scope"
SERVER = "server"
"""The role of what `lab up` starts: it stays when the command that started it is gone."""

NOT_HERE = "; start one (`make engine` can, as root on Debian and Ubuntu), or set DOCKER_HOST"


def connect(timeout: float = 60.0) -> DockerClient:
    """A client of the engine that DOCKER_HOST names, or of the one on this machine. ``timeout``: seconds an answer may
    take. Raises ``NotHere`` where none answers. Close it."""
    where = os.environ.get("DOCKER_HOST", "the default socket")
    try:
        client = from_env(timeout=timeout)  # asks for the version: what cannot be reached fails here
    except (DockerException, RequestException, OSError, ValueError) as error:  # ValueError: DOCKER_HOST is no address
        raise NotHere("no container engine answers at %s: %s%s" % (where, root_cause(error), NOT_HERE)) from None
    return client


@contextlib.contextmanager
def errors_as_broken(what: str) -> Iterator[None]:
    """What the engine refuses in here, or that it went away, is ``Broken``: ``WHAT: REASON``, in one line."""
    try:
        yield
    except APIError as error:
        raise Broken("%s: the engine says: %s" % (what, one_line(explanation(error)))) from None
    except (ImageLoadError, BuildError) as error:  # told in the middle of an answer that began well
        raise Broken("%s: the engine says: %s" % (what, one_line(str(error)))) from None
    except (RequestException, DockerException, OSError) as error:
        raise Broken("%s: the engine does not answer any more: %s; is it running?" % (what, root_cause(error))
                     ) from None


def explanation(error: APIError) -> str:
    """What the engine said, without what the HTTP library adds."""
    return str(error.explanation or error)


def one_line(text: str) -> str:
    """A text of the engine, fit for a message of ours."""
    return ascii(" ".join(text.split()))[1:-1][:400]


def root_cause(error: BaseException) -> str:
    """The system's words, which urllib3, requests and docker have each wrapped once more."""
    found: Optional[BaseException] = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        inner = [each for each in getattr(found, "args", ()) if isinstance(each, BaseException)]
        found = found.__cause__ or found.__context__ or (inner[0] if inner else None)
    return one_line(str(error)) or type(error).__name__


def runtimes(client: DockerClient) -> List[str]:
    """The OCI runtimes that can be named, such as runc and runsc; the default one first."""
    info = client.info()
    default = info.get("DefaultRuntime", "runc")
    return [default, *sorted(name for name in info.get("Runtimes", {}) if name != default and "." not in name)]


def check_runtime(client: DockerClient, runtime: Optional[str], what: str) -> str:
    """The runtime that is meant: this one, or the engine's default. Raises ``NotHere``."""
    here = runtimes(client)
    if runtime is not None and runtime not in here:
        raise NotHere("%s: the engine has no runtime %s; here: %s%s" % (what, one_line(runtime), ", ".join(here),
                      "; " + KNOWN[runtime].install if runtime in KNOWN else ""))
    return runtime or here[0]


def nofile(soft: int = 1024, hard: int = 4096) -> Ulimit:
    """The limit on descriptors of a container, for ``ulimits``. Engines hand on their own, from 1,024 to a thousand
    million; this is what most systems start a process with, and enough to show select its limit."""
    return Ulimit(name="nofile", soft=soft, hard=hard)


def runtime_version(client: DockerClient, runtime: str) -> Optional[str]:
    """The version of a runtime, such as ``20240729.0`` or ``1.1.5``, as its own program tells it. The engine does not
    tell, and inside gVisor nothing does; None where the program is not on this machine."""
    path = (client.info().get("Runtimes", {}).get(runtime) or {}).get("path", "")
    try:
        done = subprocess.run([path, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):  # ENOENT, EACCES: the engine's machine is another; or it hangs
        return None
    text = done.stdout.decode("utf-8", "replace")
    found = re.search(r"\d{8}\.\d+", text) or re.search(r"\d+(\.\d+)+", text)  # runsc version 0.0~20240729.0
    return found.group() if found else None


def create(client: DockerClient, *arguments: Any, **more: Any) -> Any:
    """``client.containers.create``, which Ctrl-C does not tear apart: the engine goes on making a container whose asker
    has hung up, and nobody would know of it. So it is waited for, and removed. Raises as that does."""
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(client.containers.create, *arguments, **more)
        try:
            return job.result()
        except BaseException:
            if job.exception() is None:
                remove(job.result())
            raise


# Who made what.

def labels(role: str) -> Dict[str, str]:
    """What everything carries that this process makes in an engine."""
    return {LABEL: "1", ROLE: role, OWNER: owner(os.getpid()), SCOPE: scope()}


def scope() -> str:
    """Whose things `lab ps` shows and `lab down --all` removes."""
    return os.environ.get("LAB_SCOPE", "common")


def owner(pid: int) -> str:
    """A process, told from all others on all machines, also from a later one of the same number."""
    return "%s:%d:%s" % (_machine(), pid, _born(pid) or "")


def _machine() -> str:
    """This machine since its last start; engines can be shared, and records show nothing of a host."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            text = file.read()
    except OSError:  # ENOENT: not Linux
        text = str(uuid.getnode())
    return hashlib.sha256(text.strip().encode("ascii")).hexdigest()[:16]


def _born(pid: int) -> Optional[str]:
    """When it was started, in ticks since the machine's start (proc(5), field 22); None where nobody tells."""
    try:
        with open("/proc/%d/stat" % pid, encoding="latin-1") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:  # ENOENT: no such process, or no /proc
        return None
    return None if fields[0] in "ZX" else fields[19]  # a zombie runs nothing any more


def is_orphan(found: Mapping[str, str]) -> bool:
    """Whether these labels are of something whose owner is gone. Of another machine's, nobody can tell."""
    machine, _, rest = found.get(OWNER, "").partition(":")
    pid, _, born = rest.partition(":")
    if found.get(ROLE) == SERVER or machine != _machine() or not pid.isdigit():
        return False
    return _born(int(pid)) != born if born else not _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # EPERM: it is somebody else's, and alive; on Windows any
        return True
    return True


def ours(client: DockerClient) -> Iterator[Any]:
    """Everything in the engine that carries our label: containers, then networks, then volumes."""
    wanted = {"filters": {"label": LABEL}}
    yield from client.containers.list(all=True, ignore_removed=True, **wanted)
    yield from client.networks.list(**wanted)
    yield from client.volumes.list(**wanted)


def labels_of(thing: Any) -> Dict[str, str]:
    """The labels of a container, a network or a volume."""
    return dict(thing.attrs.get("Labels") or (thing.attrs.get("Config") or {}).get("Labels") or {})


def sweep(client: DockerClient, everything: bool = False) -> List[str]:
    """Remove what killed runs left, in any scope; with ``everything`` also all of our own. Returns the names. Raises
    APIError."""
    removed = []
    for thing in ours(client):
        found = labels_of(thing)
        if is_orphan(found) or (everything and found.get(SCOPE) == scope()):
            remove(thing)
            removed.append(str(thing.name))
    return removed


def remove(thing: Any) -> None:
    """Remove a container (running or not, with its volumes), a network or a volume. It may be gone already."""
    kind = type(thing).__name__
    try:
        if kind == "Container":
            thing.remove(force=True, v=True)
        elif kind == "Network":
            thing.remove()
        else:
            thing.remove(force=True)
    except APIError as error:
        if error.status_code not in (404, 409):  # gone, or somebody else is just removing it
            raise


