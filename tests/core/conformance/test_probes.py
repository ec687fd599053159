"""The catalogue itself: every probe is complete, observes what is expected on this platform, and has a control that
differs."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime, timezone
from typing import Dict, Iterator, List, NamedTuple, Tuple

import pytest

from lab.backends import here, names, spelling
from lab.facts import uname
from lab.harness.verifying import expectations, judge
from lab.probing.catalogue import catalogue, find
from lab.probing.faults import FAULTS
from lab.probing.needs import NEEDS
from lab.probing.probe import NONE, OURS, PROMISES, SELECTORS, Probe
from lab.records import Observation, Platform, Records, save
from tests.core.conformance.serving import environment
from tests.waits import WHOLE_CATALOGUE

CATALOGUE = catalogue()
LONGEST = 30  # lines that a probe may have below its decorator

BLIND = {"Windows": {"writable/udp": "its control needs unix datagram sockets"},
         "Wine": {"writable/udp": "its control needs unix datagram sockets",
                  "ports/exclusiveaddruse": "nobody takes a live port there, so nothing has to keep it (Wine 8)",
                  "reset/so-error-swallows": "a reset is an end there, whether SO_ERROR was read or not (Wine 8)"}}
"""By system, the probes whose control proves nothing on that system, and why."""


# The data of the probes.


def test_there_are_more_than_110_probes_with_ids_of_their_own() -> None:
    assert len(CATALOGUE) > 110
    ids = Counter(name for probe in CATALOGUE for name in (probe.id, *probe.aliases))
    assert [name for name, times in ids.items() if times > 1] == []


def wrongs(probe: Probe) -> List[str]:
    """What a probe lacks or has wrong."""
    found = []
    parameters = list(inspect.signature(probe.run).parameters.values())[1:]
    defaults = {each.name: each.default for each in parameters}
    families = {spelling.family(name) for name in names()} | {"*"}
    if not probe.claim or probe.claim.endswith(".") or "\n" in probe.claim or not probe.source:
        found.append("a claim is one sentence without its full stop, and a source is named")
    if not probe.steps.rstrip(")").endswith((".", "?")):
        found.append("the docstring tells the steps, in sentences")
    if not probe.on or set(probe.on) - set(OURS + NONE):
        found.append("asked of what is no backend: %s" % (probe.on,))
    if set(probe.expect) - families - set(OURS + NONE):
        found.append("promises something of what is no backend: %s" % sorted(probe.expect))
    if set(probe.needs) - set(NEEDS):
        found.append("needs what nobody knows: %s" % (probe.needs,))
    if set(probe.promises) - set(PROMISES):
        found.append("belongs to promises that nobody makes: %s" % (probe.promises,))
    if probe.on == SELECTORS and "selectors" not in probe.promises:
        found.append("asks every class of selectors and nothing else, and does not say that they promise it")
    if (probe.topic == "contract") != ("backend" in probe.promises):
        found.append("what our own backends promise is topic contract, and nothing else is")
    if probe.control.kind == "backend" and probe.control.name not in probe.on:
        found.append("its control is a backend that it does not ask")
    if probe.control.kind == "fault" and probe.control.name not in FAULTS:
        found.append("its control is a fault that does not exist")
    for name, value in probe.control.keywords.items():
        if defaults.get(name, value) == value:
            found.append("its control does not change %s" % name)
    if len(body(probe)) > LONGEST:
        found.append("it has more than %d lines" % LONGEST)
    return found


def body(probe: Probe) -> List[str]:
    source = inspect.getsource(probe.run)
    function = ast.parse(source).body[0]
    return source.splitlines()[function.lineno - 1:]


def test_every_probe_is_complete() -> None:
    assert {probe.id: wrongs(probe) for probe in CATALOGUE if wrongs(probe)} == {}


def test_an_incomplete_probe_is_found() -> None:
    probe = find("hangup/half-close")[0]
    for change in ({"claim": "It ends."}, {"on": ("epol",)}, {"expect": {"epol": "x"}}, {"needs": ("luck",)},
                   {"promises": ("luck",)}, {"promises": ("backend",)}, {"on": SELECTORS},
                   {"control": probe.control._replace(keywords={"nobody": 1})},
                   {"control": probe.control._replace(kind="fault", name="none")}):
        assert wrongs(probe._replace(**change)), change


# What the probes observe on this platform.


KEEP = "LAB_TEST_RECORDS"
"""The environment variable that names a file for the records of this run; tools/in_image.py reads it."""


class Run(NamedTuple):
    """The results of one run: observations, controls and verdicts, by probe and backend."""

    seen: Dict[Tuple[str, str], Observation]
    controls: Dict[Tuple[str, str], Observation]
    verdicts: Dict[Tuple[str, str], str]


def everything() -> Run:
    """Run the catalogue and its controls, once."""
    program = [sys.executable, "-m", "tests.core.conformance.catalogue_run"]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.pathsep.join([environment()["PYTHONPATH"], root])
    done = subprocess.run(program, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True,
                          timeout=WHOLE_CATALOGUE, env=dict(os.environ, PYTHONPATH=path))
    first, *lines = done.stdout.decode().splitlines()
    seen: Dict[Tuple[str, str], Observation] = {}
    controls: Dict[Tuple[str, str], Observation] = {}
    for as_control, fields in map(json.loads, lines):
        one = Observation(**fields)
        (controls if as_control else seen)[one.probe, one.backend] = one
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    records = Records("here", Platform.of(json.loads(first), 1.0, now), list(seen.values()))
    if os.environ.get(KEEP):
        save(os.environ[KEEP], records)
    judged = judge.judge("here", records, expectations.load_all())
    return Run(seen, controls, {each.cell: each.verdict for each in judged})


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(WHOLE_CATALOGUE + 20)
def test_every_probe_is_observed_here_as_known_and_its_control_comes_out_otherwise() -> None:
    """One test, because one run is enough for all of it."""
    run = everything()
    assert set(run.seen) == {(probe.id, name) for probe in CATALOGUE for name in probe.on}
    assert [one for one in run.seen.values() if one.outcome not in ("observed", "unsupported")] == []
    assert [one for one in run.seen.values() if one.outcome == "unsupported" and not one.reason] == []
    asked = {name for probe, name in run.seen if run.seen[probe, name].outcome == "observed"}
    assert asked >= {kind.name for kind in here() if not kind.is_alias}
    assert [run.seen[cell] for cell, verdict in run.verdicts.items() if verdict in judge.FAILURES] == []
    assert [line for probe in CATALOGUE if probe.id not in BLIND.get(uname().system, ()) for line in blind(probe, run)
            ] == []


def blind(probe: Probe, run: Run) -> Iterator[str]:
    """The cells that do not differ from their control. The control must have been observed too, because one that breaks
    proves nothing. Where the platform has a known deviation, it may well behave as the control does, so that cell
    proves nothing either."""
    observed = {name: run.seen[probe.id, name] for name in probe.on if run.seen[probe.id, name].outcome == "observed"
                and run.verdicts[probe.id, name] != "known-deviation"}
    for name, one in observed.items():
        if probe.control.kind != "backend":
            control = run.controls[probe.id, name]
        elif name != probe.control.name and probe.control.name in observed:
            control = observed[probe.control.name]
        else:
            continue
        if control.outcome != "observed":
            yield "%s on %s: its control is %s: %s" % (probe.id, name, control.outcome, control.reason)
        elif control.token == one.token:
            yield "%s on %s: its control says %s too" % (probe.id, name, one.token)


def test_a_probe_that_cannot_fail_is_found() -> None:
    probe = find("hangup/half-close")[0]
    one = Observation(probe.id, "select", "observed", "r", "r", "1/1", {}, None, 0.0)
    away = one._replace(outcome="unsupported", token=None, reason="none here")
    seen = {(probe.id, name): one if name == "select" else away for name in probe.on}
    verdicts = dict.fromkeys(seen, "as-expected")
    for control, lines in ((one, 1), (away, 1), (one._replace(token="w"), 0)):
        assert len(list(blind(probe, Run(seen, {(probe.id, "select"): control}, verdicts)))) == lines
