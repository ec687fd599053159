"""How a server of `lab up` is confined: by what the engine says, and, more important, as seen from inside."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
from typing import Any, Callable, Dict, Iterator

import pytest

from lab import address, health
from lab.errors import EXIT_OK, EXIT_USAGE
from lab.harness.server_variants import Variant

USER = 10001
ROW = "trixie"


@contextlib.contextmanager
def up(name: str) -> Iterator[Any]:
    """A server started by `lab up`, as a container of the docker SDK; removed at the end."""
    from lab.harness import engine
    from lab.harness.server_containers import starting

    client = engine.connect()
    try:
        server, = starting.start(client, starting.LineUp([(name, Variant("multiplexing", "epoll"))], base=ROW),
                                 lambda text: None)
        try:
            yield server.container
        finally:
            engine.remove(server.container)
    finally:
        client.close()


@pytest.fixture(scope="module", name="confined")
def one_server_for_all(server_image: Callable[[str], str]) -> Iterator[Any]:
    """One container for all tests, none of which ends its server. ``server_image`` skips if the row is not
    available."""
    server_image(ROW)
    with up("hardened") as container:
        yield container


@pytest.fixture
def server(client: Any, confined: Any) -> Any:
    """The same container through a client of this test, with its present state."""
    return client.containers.get(confined.id)


def inside(container: Any, script: str) -> Any:
    """The JSON that a script prints, run inside by the container's own Python as the user of the server."""
    from tests.engine.serving import python

    code, said = python(container, "import json, os\n" + script)
    assert code == 0, said
    return json.loads(said)


def status(container: Any) -> Dict[str, str]:
    """/proc/1/status of the server itself, not of another process in the container."""
    text = inside(container, "print(json.dumps(open('/proc/1/status').read()))")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def is_serving(container: Any) -> bool:
    from tests.engine.serving import where

    return health.ask(where(container), 10.0) == health.REQUEST


def test_it_is_not_root_and_cannot_become_root(server: Any) -> None:
    said = inside(server, """
try:
    os.setuid(0)
    became = "root"
except OSError as error:
    became = error.errno
print(json.dumps([os.getuid(), os.getgid(), became]))""")
    assert server.attrs["Config"]["User"] == "%d:%d" % (USER, USER)
    assert said == [USER, USER, errno.EPERM]
    assert status(server)["Uid"].split() == status(server)["Gid"].split() == [str(USER)] * 4


def test_it_has_no_capability_and_can_gain_none(server: Any) -> None:
    has = status(server)
    assert server.attrs["HostConfig"]["CapDrop"] == ["ALL"]
    assert not server.attrs["HostConfig"]["CapAdd"] and not server.attrs["HostConfig"]["Privileged"]
    assert {name: int(value, 16) for name, value in has.items() if name.startswith("Cap")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)


def test_no_program_gives_it_new_privileges(server: Any) -> None:
    assert server.attrs["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    assert status(server)["NoNewPrivs"] == "1"


def test_its_root_is_read_only(server: Any) -> None:
    said = inside(server, """
seen = {}
for path in ("/new", "/opt/lab/new", "/usr/new", "/var/new"):
    try:
        os.mkdir(path)
        seen[path] = "made"
    except OSError as error:
        seen[path] = error.errno
print(json.dumps(seen))""")
    assert server.attrs["HostConfig"]["ReadonlyRootfs"] is True
    assert set(said.values()) == {errno.EROFS}, said


def test_tmp_can_be_written_up_to_its_size_and_nothing_in_it_be_run(server: Any) -> None:
    said = inside(server, """
seen = []
try:
    with open("/tmp/big", "wb", 0) as file:
        for _ in range(17):
            file.write(bytes(1 << 20))
except OSError as error:
    seen.append(error.errno)
finally:
    os.remove("/tmp/big")
with open("/tmp/program", "w") as file:
    file.write("#!/usr/bin/python3")
os.chmod("/tmp/program", 0o755)
try:
    os.execv("/tmp/program", ["program"])
except OSError as error:
    seen.append(error.errno)
finally:
    os.remove("/tmp/program")
print(json.dumps(seen))""")
    assert said == [errno.ENOSPC, errno.EACCES]


def test_processes_are_limited(server: Any) -> None:
    from lab.harness.server_containers import hardening

    assert server.attrs["HostConfig"]["PidsLimit"] == hardening.PIDS
    assert group_limit(server, "pids/pids.max", "pids.max") == hardening.PIDS


def test_memory_is_limited_and_who_takes_more_is_killed(server: Any) -> None:
    from lab.harness.server_containers import hardening
    from tests.engine.serving import python

    limit = hardening.MEMORY_BYTES
    assert (server.attrs["HostConfig"]["Memory"], server.attrs["HostConfig"]["MemorySwap"]) == (limit, limit)
    assert group_limit(server, "memory/memory.limit_in_bytes", "memory.max") == limit
    assert python(server, "open('/proc/self/oom_score_adj', 'w').write('1000'); b'x' * %d" % (limit + (16 << 20)))[0] \
        == 128 + 9
    assert is_serving(server)


def group_limit(container: Any, first: str, second: str) -> int:
    """A limit of its control group, from the first file on version 1, or from the second on version 2."""
    return int(inside(container, """
for name in %r:
    try:
        print(json.dumps(open("/sys/fs/cgroup/" + name).read()))
        break
    except FileNotFoundError:
        pass""" % ((first, second),)))


def test_descriptors_are_limited(server: Any) -> None:
    from lab.harness.server_containers import hardening

    row = next(line for line in inside(server, "print(json.dumps(open('/proc/1/limits').read()))").splitlines()
               if line.startswith("Max open files"))
    assert server.attrs["HostConfig"]["Ulimits"] == [
        {"Name": "nofile", "Soft": hardening.NOFILE, "Hard": hardening.NOFILE}]
    assert row.split()[3:5] == [str(hardening.NOFILE)] * 2


def test_python_itself_is_process_1_and_nothing_runs_beside_it(server: Any) -> None:
    said = inside(server, """
others = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())]
print(json.dumps([open("/proc/1/cmdline").read().split("\\0"), others]))""")
    wanted = ["/usr/bin/python3", "/opt/lab/lab.pyz", "serve"]
    assert server.attrs["Config"]["Entrypoint"][:3] == said[0][:3] == wanted
    assert said[1] == []


def test_only_loopback_reaches_it(server: Any) -> None:
    published = server.attrs["NetworkSettings"]["Ports"]
    assert {name: [each["HostIp"] for each in rows] for name, rows in published.items()} == {
        "10000/tcp": ["127.0.0.1"]}
    port = int(published["10000/tcp"][0]["HostPort"])
    assert health.ask(address.resolve("127.0.0.1", port), 10.0) == health.REQUEST
    with pytest.raises(ConnectionRefusedError):  # the engine's own address, which other containers can reach
        socket.create_connection((server.attrs["NetworkSettings"]["Gateway"], port), 10.0)


def test_sigterm_flushes_and_ends_with_exit_code_0(server_image: Callable[[str], str]) -> None:
    from tests.engine.serving import connect

    server_image(ROW)
    with up("drains") as container, connect(container) as sock:
        sock.sendall(b"before the end")
        assert sock.recv(100) == b"before the end"
        container.kill("SIGTERM")
        assert sock.recv(100) == b""
        assert container.wait()["StatusCode"] == EXIT_OK


def test_a_wrong_option_ends_it_in_one_line(server_image: Callable[[str], str]) -> None:
    from tests.engine.serving import serving

    with serving(server_image(ROW), "--backend", "abacus") as container:
        assert container.wait()["StatusCode"] == EXIT_USAGE
        assert len(container.logs().splitlines()) == 1


def test_the_health_check_tells_who_serves_from_who_hangs(server_image: Callable[[str], str]) -> None:
    """The image's own check, but every second; the image says every half minute."""
    from tests.engine.serving import Talking, serving, until

    often = {"interval": 10 ** 9, "timeout": 3 * 10 ** 9, "retries": 1}
    with serving(server_image(ROW), ready=Talking(), healthcheck=often) as container:
        until(lambda: word(container) == "healthy", "a healthy server")
        container.kill("SIGSTOP")  # the kernel still accepts connections, but no byte comes back
        until(lambda: word(container) == "unhealthy", "an unhealthy server")
        container.kill("SIGCONT")
        until(lambda: word(container) == "healthy", "a server that is well again")


def word(container: Any) -> str:
    """The engine's word for the health of the container."""
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"])
