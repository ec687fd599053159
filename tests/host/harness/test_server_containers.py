"""`lab up`, `ps`, `logs` and `down` without an engine: what is refused before one is asked, and what is made of its
answers. How servers then behave is for tests/engine."""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any, Dict, List, Optional

import pytest
from docker.errors import APIError
from rich.console import Console

from lab.cli import Parser
from lab.errors import EXIT_BROKEN, EXIT_NOT_HERE, EXIT_USAGE, Broken, LabError, NotHere, Usage
from lab.harness import engine
from lab.harness.server_containers import (
    NAME,
    PORT,
    Server,
    all_servers,
    find,
    hardening,
    logs,
    netem,
    ps,
    server_of,
    starting,
    up,
    watching,
)
from lab.harness.server_variants import Variant


def wanted(*words: str) -> argparse.Namespace:
    parser = Parser(prog="lab up")
    up.arguments(parser)
    return parser.parse_args(words)


def container(name: str = "one", status: str = "running", **more: Any) -> Any:
    """What the engine would say of a server."""
    state = {"Status": status, "ExitCode": 0, "Health": {"Status": "starting"}, **more}
    ports = {PORT: [{"HostIp": "127.0.0.1", "HostPort": "32768"}]} if status in ("running", "paused") else {}
    labels = {**engine.labels(engine.SERVER), NAME: name}
    return SimpleNamespace(name="muxlab-" + name, id=name, status=status, attrs={
        "Created": name, "State": state, "NetworkSettings": {"Ports": ports}, "HostConfig": {"Runtime": "runc"},
        "Config": {"Labels": labels}})


class Client:
    """An engine with these containers, which notes what it was asked for."""

    def __init__(self, *here: Any) -> None:
        self.containers = self
        self.here = here
        self.filters: Dict[str, Any] = {}

    def list(self, filters: Dict[str, Any], **more: Any) -> List[Any]:
        self.filters = filters
        return list(self.here)


# What netem takes.


@pytest.mark.parametrize("text", ["delay 20ms", "delay 100ms 20ms distribution normal", "loss 1%", "rate 1mbit",
                                  "loss 0.3% 25%", "delay 10ms reorder 25% 50%", "limit 1000"])
def test_netem_is_words_of_tc(text: str) -> None:
    assert netem.parse(text) == text.split()


@pytest.mark.parametrize("text", ["", " ", "20ms", "nonsense", "delay 20ms; reboot", "delay $(id)", "delay -20ms",
                                  "delay 20ms --help", "delay /etc/passwd", "loss 1%%", "delay 2\x1b[31m", "-h"])
def test_what_is_no_netem_is_refused_before_any_engine_is_asked(text: str) -> None:
    with pytest.raises(Usage) as refused:
        netem.parse(text)
    assert str(refused.value).isprintable() and "delay 20ms loss 1%" in str(refused.value)


@pytest.mark.parametrize("said, kind", [
    ("Error: Specified qdisc kind is unknown.", NotHere), ("RTNETLINK answers: qdisc not found", NotHere),
    ('Illegal "latency"\nUsage: ...', Usage), ("What is \"x\"?", Usage),
    ("RTNETLINK answers: Operation not permitted", Broken), ("", Broken)])
def test_what_tc_says_is_a_wrong_option_or_a_kernel_without_it_or_a_failure(said: str, kind: type) -> None:
    error = netem._refused(["netem", "delay", "20ms"], said)
    assert type(error) is kind
    assert "\n" not in str(error)


# What the command line takes.


def check(options: argparse.Namespace) -> None:
    limits = hardening.Limits(options.nofile, options.memory, options.cpus)
    up.check(limits, options.port, options.name, len(up.services_of(options.model, options.backend)))


@pytest.mark.parametrize("words", [["--memory", "8M"], ["--memory", "31M"], ["--port", "0"], ["--port", "65536"],
                                   ["--port", "65535", "--backend", "epoll", "--backend", "poll"], ["--port", "-1"],
                                   ["--name", "a b"], ["--name", ""], ["--name", "v/.."], ["--name", "é"],
                                   ["--name", "a\n"], ["--backend", "abacus"], ["--backend", "epoll\x1b"],
                                   ["--model", "blocking", "--backend", "epoll"]])
def test_what_no_server_could_be_is_one_line(words: List[str]) -> None:
    options = wanted(*words)
    with pytest.raises(Usage) as refused:
        check(options)
    text = str(refused.value)
    assert words[0] in text or text.startswith(("no backend ", "--backend "))
    assert text.isprintable()


@pytest.mark.parametrize("words", [[], ["--memory", "32M"], ["--port", "1"], ["--port", "65535"], ["--name", "a.b-c_1"],
                                   ["--port", "65534", "--backend", "epoll", "--backend", "poll"]])
def test_the_ends_of_what_is_allowed_are_allowed(words: List[str]) -> None:
    options = wanted(*words)
    check(options)


@pytest.mark.parametrize("words", [["--cpus", "0"], ["--cpus", "0.001"], ["--cpus", "-1"], ["--cpus", "inf"],
                                   ["--cpus", "nan"], ["--cpus", "1e9"], ["--cpus", "two"], ["--cpus", "2\n"],
                                   ["--nofile", "0"], ["--nofile", "many"], ["--memory", "much"], ["--memory", "-1"],
                                   ["--model", "magic"], ["--handler", "quine"], ["--port", "http"]])
def test_what_is_no_number_or_no_choice_is_one_line(words: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        wanted(*words)
    said = capsys.readouterr().err
    assert ended.value.code == EXIT_USAGE
    assert said.startswith("lab up: argument %s: " % words[0]) and said.count("\n") == 1


def test_processors_are_a_number_that_may_be_a_fraction() -> None:
    assert [wanted("--cpus", text).cpus for text in ("0.01", ".5", "2", "2.")] == [0.01, 0.5, 2.0, 2.0]
    assert hardening.confined(hardening.Limits(cpus=0.5))["nano_cpus"] == 500_000_000
    assert "nano_cpus" not in hardening.confined(hardening.Limits())


# Their names.


def names(client: Client, name: Optional[str], *backends: str) -> List[str]:
    services = [Variant("multiplexing", each) for each in backends]
    return [each for each, _ in up.named(client, name, services)]


def test_servers_are_called_as_their_backends_and_numbered_where_that_is_taken() -> None:
    assert names(Client(), None, "epoll", "select", "epoll") == ["epoll", "select", "epoll-2"]
    here = Client(container("epoll"), container("epoll-2"))
    assert names(here, None, "epoll", "selectors:PollSelector") == ["epoll-3", "selectors-PollSelector"]


def test_a_name_is_that_of_one_and_the_first_part_of_several() -> None:
    assert names(Client(), "mine", "epoll") == ["mine"]
    assert names(Client(), "mine", "epoll", "poll") == ["mine-epoll", "mine-poll"]


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(Usage, match="`lab down one`, or choose another --name"):
        starting._check_names(Client(container("one")), ["two", "one"])


def test_scopes_share_the_names_of_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_SCOPE", raising=False)
    assert starting.container_name("epoll") == "muxlab-epoll"
    monkeypatch.setenv("LAB_SCOPE", "mine")
    assert starting.container_name("epoll") == "muxlab-mine-epoll"


# What is made of the engine's answers.


def test_only_servers_of_our_scope_are_asked_for_and_the_oldest_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SCOPE", "mine")
    client = Client(container("b"), container("a"))
    assert [each.name for each in all_servers(client)] == ["a", "b"]
    assert client.filters == {"label": ["org.muxlab.role=server", "org.muxlab.scope=mine"]}


def test_a_server_is_found_by_its_name_or_that_of_its_container() -> None:
    client = Client(container("one"))
    assert find(client, "one") == find(client, "muxlab-one") == server_of(client.here[0])
    with pytest.raises(Usage, match=r'no server "two\\x1b"; the servers are: one'):
        find(client, "two\x1b")
    with pytest.raises(Usage, match="no server is up: `lab up` starts some"):
        find(Client(), "one")


@pytest.mark.parametrize("status, more, state, where", [
    ("running", {}, "running", "127.0.0.1:32768"), ("paused", {}, "paused", "127.0.0.1:32768"),
    ("running", {"Health": {"Status": "healthy"}}, "healthy", "127.0.0.1:32768"),
    ("running", {"Health": {"Status": "unhealthy"}}, "unhealthy", "127.0.0.1:32768"),
    ("exited", {"ExitCode": 137}, "exited 137", "-"), ("created", {"Health": None}, "created", "-")])
def test_its_state_and_address_are_told(status: str, more: Dict[str, Any], state: str, where: str) -> None:
    server = server_of(container("one", status, **more))
    assert (server.state, server.where) == (state, where)


@pytest.mark.parametrize("state, kind, text", [
    ({"OOMKilled": True, "ExitCode": 137}, EXIT_BROKEN, "give it more --memory"),
    ({"ExitCode": EXIT_NOT_HERE}, EXIT_NOT_HERE, "one: kqueue is not here"),
    ({"ExitCode": EXIT_USAGE}, EXIT_USAGE, "one: kqueue is not here"),
    ({"ExitCode": 1}, EXIT_BROKEN, "one: kqueue is not here")])
def test_why_a_server_ended_is_what_it_said_last(state: Dict[str, Any], kind: int, text: str) -> None:
    ended = container("one", "exited", **state)
    ended.logs = lambda tail: b"lab serve: kqueue is not here\n"
    error: LabError = starting._ended(ended, "one")
    assert error.exit_code == kind and text in str(error)


def test_a_server_that_ended_without_a_word_is_told_by_its_exit_code() -> None:
    ended = container("one", "exited", ExitCode=139)
    ended.logs = lambda tail: b""
    assert str(starting._ended(ended, "one")) == "one: it ended with exit code 139 and printed nothing"


class Refusing(SimpleNamespace):
    """A container that the engine does not start."""

    def start(self) -> None:
        raise APIError("no", explanation=self.why)


@pytest.mark.parametrize("why, port, kind, text", [
    ("error setting rlimits for ready process: rlimit", None, NotHere, "--nofile 16384"),
    ("Bind for 127.0.0.1:80 failed: port is already allocated", 80, Broken, "--port 81: the port is in use"),
    ("listen tcp4 127.0.0.1:81: bind: address already in use", 80, Broken, "--port 81: the port is in use"),
    ("no space left\non device", None, Broken, "one: the engine says: no space left on device")])
def test_why_the_engine_starts_none_is_one_line(why: str, port: Optional[int], kind: type, text: str) -> None:
    made = Refusing(why=why, **vars(container("one")))
    with pytest.raises(kind) as refused:
        starting._start(made, starting.LineUp([], port=port), 1)
    assert text in str(refused.value) and "\n" not in str(refused.value)


def test_use_of_processors_is_that_of_one_and_memory_is_without_what_can_be_dropped() -> None:
    usage = {"precpu_stats": {"system_cpu_usage": 1000, "cpu_usage": {"total_usage": 100}},
             "cpu_stats": {"system_cpu_usage": 3000, "cpu_usage": {"total_usage": 600}, "online_cpus": 2},
             "memory_stats": {"usage": 50, "stats": {"total_inactive_file": 20}}}
    assert (watching._cpu(usage), watching._memory(usage)) == (50.0, 30)
    assert watching._memory({"memory_stats": {"usage": 50, "stats": {"inactive_file": 10}}}) == 40
    assert (watching._cpu({}), watching._memory({})) == (None, None)  # it has just ended


def test_a_table_shows_what_is_known_and_a_dash_for_the_rest() -> None:
    server: Server = server_of(container("one"))._replace(service="epoll", base="[bold]", netem="delay 20ms")
    console = Console(width=120, highlight=False, force_terminal=False)
    with console.capture() as shown:
        console.print(ps._screen([(server, watching.Activity(3, 12.4, 14_300_000)),
                                  (server._replace(name="two", netem=""), watching.Activity(why="no [Python]"))]))
    lines = [line.split() for line in shown.get().splitlines()]
    assert lines[1] == ["one", "epoll", "[bold]", "runc", "127.0.0.1:32768", "running", "3", "12", "%", "14.3", "MB"]
    assert lines[2] == ["two", "epoll", "[bold]", "runc", "127.0.0.1:32768", "running", "-", "-", "-"]
    assert [" ".join(words) for words in lines[3:]] == ["two: no [Python]", "one: netem delay 20ms"]


def test_a_log_cannot_command_the_terminal() -> None:
    assert logs._decoded("a\tb\x1b[2J\r\x00\u202e\n\u00e9".encode()) == "a\tb\\x1b[2J\\r\\x00\\u202e\n\u00e9"
