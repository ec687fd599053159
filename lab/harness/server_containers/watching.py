"""What a server does at the moment, seen from outside: its connections, and what it takes of CPU and memory.

Connections are counted in /proc/net/tcp of the container's own network, by its own Python: that works under every
runtime and on an engine far away. CPU and memory are what the engine's control groups say.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from docker.errors import APIError

from lab.harness import engine
from lab.harness.server_containers import PORT, Server

_COUNT = """
import sys
found = 0
for name in ("tcp", "tcp6"):
    try:
        with open("/proc/net/" + name) as file:
            rows = [line.split() for line in file.readlines()[1:]]
    except FileNotFoundError:
        continue
    found += sum(row[1].endswith(":%04X") and row[3] == "01" for row in rows)
sys.stdout.write(str(found))
""" % int(PORT.partition("/")[0])
"""Established ones of the server's port (01: include/net/tcp_states.h), accepted or still in the backlog."""


class Activity(NamedTuple):
    """One look. None is what could not be told; ``why`` says the reason.

    cpu: of one processor, in percent, over the last second.
    """

    connections: Optional[int] = None
    cpu: Optional[float] = None
    memory_bytes: Optional[int] = None
    why: str = ""


def look(servers: Sequence[Server]) -> List[Activity]:
    """What each of them does now. Takes one or two seconds, over which CPU is measured, however many they are."""
    if not servers:
        return []
    with ThreadPoolExecutor(len(servers)) as pool:
        return list(pool.map(_look, servers))


def _look(server: Server) -> Activity:
    if server.address is None or server.state == "paused":
        return Activity()
    client = engine.connect()  # one a thread: nobody promises that a client may be shared
    try:
        container = client.containers.get(server.container.id)
        count, why = connections(container)  # first: it would count as the server's own CPU time
        usage = container.stats(stream=False)  # the engine takes two samples, a second apart
        return Activity(count, _cpu(usage), _memory(usage), why)
    except APIError as error:  # 404, 409: removed or stopped meanwhile; the next look says so
        return Activity(why=engine.one_line(engine.explanation(error)))
    finally:
        client.close()


def connections(container: Any) -> Tuple[Optional[int], str]:
    """How many it has now; or None, and why not."""
    program = container.attrs["Config"]["Entrypoint"][0]
    code, said = container.exec_run([program, "-I", "-S", "-c", _COUNT])
    text = said.decode("utf-8", "replace").strip()
    if code == 0 and text.isdigit():
        return int(text), ""
    return None, engine.one_line(text.splitlines()[-1]) if text else "its Python ended with exit code %s" % code


def _cpu(usage: Dict[str, Any]) -> Optional[float]:
    """Of one processor: both clocks are nanoseconds, the system's one summed over all processors."""
    now, before = usage.get("cpu_stats", {}), usage.get("precpu_stats", {})
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    if passed <= 0:
        return None
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    return float(100.0 * used / passed * (now.get("online_cpus") or 1))


def _memory(usage: Dict[str, Any]) -> Optional[int]:
    """Without what the kernel can drop at once, as `docker stats` counts; cgroup v1 and v2 call that differently."""
    memory = usage.get("memory_stats", {})
    if "usage" not in memory:
        return None
    more = memory.get("stats", {})
    return int(memory["usage"] - more.get("total_inactive_file", more.get("inactive_file", 0)))
