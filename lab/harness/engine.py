"""Connect to the container engine, create things in it, and remove them again.

Everything that the lab creates in an engine (containers, networks, volumes) has the labels of ``labels``: a role, the
process that owns it, and a scope. By these labels the lab recognises what a killed run left: ``sweep`` removes
everything whose owner is gone, and `lab down --all` everything of its scope. This works in every engine.
testcontainers' reaper does the same, but it is an image of a registry, which may be out of reach. LAB_SCOPE names a
scope other than the common one: if you share an engine with others, or test the lab itself, you then remove nothing
of theirs.

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
from lab.text import one_line, shown

LABEL = "org.muxlab"
OWNER = LABEL + ".owner"
ROLE = LABEL + ".role"
SCOPE = LABEL + ".scope"
SERVER = "server"
"""The role of the containers that `lab up` starts: they stay after the command that started them has ended."""

NOT_HERE = "; start one (`make engine` can, as root on Debian and Ubuntu), or set DOCKER_HOST"


def connect(timeout: float = 60.0) -> DockerClient:
    """Connect to the engine that DOCKER_HOST names, or to the one on this machine. Returns a client, which the caller
    closes. ``timeout``: seconds that an answer may take. Raises ``NotHere`` if no engine answers."""
    where = os.environ.get("DOCKER_HOST", "the default socket")
    try:
        client = from_env(timeout=timeout)  # requests the engine's version, so an unreachable engine fails here
    except (DockerException, RequestException, OSError, ValueError) as error:  # ValueError: DOCKER_HOST is malformed
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
    """The engine's own error text, without the words of the HTTP library."""
    return str(error.explanation or error)


def root_cause(error: BaseException) -> str:
    """The system's error text, out of the exceptions in which urllib3, requests and docker have wrapped it."""
    found: Optional[BaseException] = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        inner = [each for each in getattr(found, "args", ()) if isinstance(each, BaseException)]
        found = found.__cause__ or found.__context__ or (inner[0] if inner else None)
    return one_line(str(error)) or type(error).__name__


def runtimes(client: DockerClient) -> List[str]:
    """The names of the engine's OCI runtimes, such as runc and runsc; the default one first."""
    info = client.info()
    default = info.get("DefaultRuntime", "runc")
    return [default, *sorted(name for name in info.get("Runtimes", {}) if name != default and "." not in name)]


def check_runtime(client: DockerClient, runtime: Optional[str], what: str) -> str:
    """The runtime to use: ``runtime``, or the engine's default if it is None. Raises ``NotHere``, whose text begins
    with ``what``."""
    here = runtimes(client)
    if runtime is not None and runtime not in here:
        raise NotHere("%s: the engine has no runtime %s; here: %s%s" % (what, shown(runtime), ", ".join(here),
                      "; " + KNOWN[runtime].install if runtime in KNOWN else ""))
    return runtime or here[0]


def nofile(soft: int = 1024, hard: int = 4096) -> Ulimit:
    """The limit of descriptors of a container, for ``ulimits``. Without it a container gets the engine's own, which is
    from 1,024 to a thousand million. These are the limits with which most systems start a process, and they are high
    enough to reach select's."""
    return Ulimit(name="nofile", soft=soft, hard=hard)


def runtime_version(client: DockerClient, runtime: str) -> Optional[str]:
    """The version of a runtime, such as ``20240729.0`` or ``1.1.5``, from the output of its program. The engine does
    not report it, and a program inside gVisor cannot find it out. None if the program is not on this machine."""
    path = (client.info().get("Runtimes", {}).get(runtime) or {}).get("path", "")
    try:
        done = subprocess.run([path, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):  # ENOENT, EACCES: the engine is on another machine; or it hangs
        return None
    text = done.stdout.decode("utf-8", "replace")
    found = re.search(r"\d{8}\.\d+", text) or re.search(r"\d+(\.\d+)+", text)  # runsc version 0.0~20240729.0
    return found.group() if found else None


def create(client: DockerClient, *arguments: Any, **more: Any) -> Any:
    """Call ``client.containers.create`` so that Ctrl-C leaves no container behind. If the client hangs up, the engine
    still creates the container, and nobody would know of it. So on Ctrl-C wait for the answer, then remove the
    container. Raises as ``client.containers.create``."""
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(client.containers.create, *arguments, **more)
        try:
            return job.result()
        except BaseException:
            if job.exception() is None:
                remove(job.result())
            raise


# Labels and owners.

def labels(role: str) -> Dict[str, str]:
    """The labels of everything that this process creates in an engine."""
    return {LABEL: "1", ROLE: role, OWNER: owner(os.getpid()), SCOPE: scope()}


def scope() -> str:
    """The scope of this process: `lab ps` shows its servers, and `lab down --all` removes everything in it."""
    return os.environ.get("LAB_SCOPE", "common")


def owner(pid: int) -> str:
    """A string that identifies a process among those of all machines, and among later ones with the same number."""
    return "%s:%d:%s" % (_machine(), pid, _born(pid) or "")


def _machine() -> str:
    """A string that identifies this machine since its last boot. It is a hash, so that a shared engine learns nothing
    about the host."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            text = file.read()
    except OSError:  # ENOENT: not Linux
        text = str(uuid.getnode())
    return hashlib.sha256(text.strip().encode("ascii")).hexdigest()[:16]


def _born(pid: int) -> Optional[str]:
    """The start time of a process in ticks since the machine's boot (proc(5), field 22); None if it is not known."""
    try:
        with open("/proc/%d/stat" % pid, encoding="latin-1") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:  # ENOENT: no such process, or no /proc
        return None
    return None if fields[0] in "ZX" else fields[19]  # a zombie runs nothing any more


def is_orphan(found: Mapping[str, str]) -> bool:
    """Whether a thing with these labels has lost its owner. False for a thing of another machine, whose processes we
    cannot see."""
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
    except OSError:  # EPERM: another user's process, so it is alive; on Windows any error
        return True
    return True


def ours(client: DockerClient) -> Iterator[Any]:
    """Everything in the engine that has the lab's label: containers, then networks, then volumes."""
    wanted = {"filters": {"label": LABEL}}
    yield from client.containers.list(all=True, ignore_removed=True, **wanted)
    yield from client.networks.list(**wanted)
    yield from client.volumes.list(**wanted)


def labels_of(thing: Any) -> Dict[str, str]:
    """The labels of a container, a network or a volume."""
    return dict(thing.attrs.get("Labels") or (thing.attrs.get("Config") or {}).get("Labels") or {})


def sweep(client: DockerClient, everything: bool = False) -> List[str]:
    """Remove what killed runs left, in any scope; with ``everything``, also everything in this scope. Returns the names
    of what it removed. Raises APIError."""
    removed = []
    for thing in ours(client):
        found = labels_of(thing)
        if is_orphan(found) or (everything and found.get(SCOPE) == scope()):
            remove(thing)
            removed.append(str(thing.name))
    return removed


def remove(thing: Any) -> None:
    """Remove a container (running or not, with its volumes), a network or a volume. Does nothing if it is gone."""
    kind = type(thing).__name__
    try:
        if kind == "Container":
            thing.remove(force=True, v=True)
        elif kind == "Network":
            thing.remove()
        else:
            thing.remove(force=True)
    except APIError as error:
        if error.status_code not in (404, 409):  # it is gone, or another process is removing it
            raise


