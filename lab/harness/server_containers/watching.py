"""The activity of a running server: its connections, CPU time and memory, measured from outside the server process.

The container's own Python counts the connections in /proc/net/tcp: that works under every runtime and on an engine on
another machine. CPU time and memory come from the engine's control groups.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from docker.errors import APIError

from lab.harness import engine
from lab.harness.server_containers import PORT, Server
from lab.text import one_line

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
"""The program that counts the established connections of the server's port (01: include/net/tcp_states.h), whether
accepted or still in the backlog."""


class Activity(NamedTuple):
    """The activity of one server at one moment. A value that is not known is None, and ``why`` is the reason.

    cpu: CPU time over the last second, in percent of one processor.
    """

    connections: Optional[int] = None
    cpu: Optional[float] = None
    memory_bytes: Optional[int] = None
    why: str = ""


def look(servers: Sequence[Server]) -> List[Activity]:
    """The activity of each server. This takes one or two seconds for any number of servers, to measure CPU time."""
    if not servers:
        return []
    with ThreadPoolExecutor(len(servers)) as pool:
        return list(pool.map(_look, servers))


def _look(server: Server) -> Activity:
    if server.address is None or server.state == "paused":
        return Activity()
    client = engine.connect()  # one for each thread: no document promises that threads may share a client
    try:
        container = client.containers.get(server.container.id)
        count, why = connections(container)  # first, because its CPU time would count as the server's
        usage = container.stats(stream=False)  # the engine takes two samples, a second apart
        return Activity(count, _cpu(usage), _memory(usage), why)
    except APIError as error:  # 404, 409: it was removed or stopped; the next look shows that
        return Activity(why=one_line(engine.explanation(error)))
    finally:
        client.close()


def connections(container: Any) -> Tuple[Optional[int], str]:
    """The number of connections; or None, and the reason why it is not known."""
    program = container.attrs["Config"]["Entrypoint"][0]
    code, said = container.exec_run([program, "-I", "-S", "-c", _COUNT])
    text = said.decode("utf-8", "replace").strip()
    if code == 0 and text.isdigit():
        return int(text), ""
    return None, one_line(text.splitlines()[-1]) if text else "its Python ended with exit code %s" % code


def _cpu(usage: Dict[str, Any]) -> Optional[float]:
    """Percent of one processor. Both counters are in nanoseconds; the system's is the sum over all processors."""
    now, before = usage.get("cpu_stats", {}), usage.get("precpu_stats", {})
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    if passed <= 0:
        return None
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    return float(100.0 * used / passed * (now.get("online_cpus") or 1))


def _memory(usage: Dict[str, Any]) -> Optional[int]:
    """Bytes in use without page cache that the kernel can drop at once, as `docker stats` counts them. cgroup v1 and v2
    have different names for that part."""
    memory = usage.get("memory_stats", {})
    if "usage" not in memory:
        return None
    more = memory.get("stats", {})
    return int(memory["usage"] - more.get("total_inactive_file", more.get("inactive_file", 0)))
