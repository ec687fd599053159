"""`lab verify --selector PKG.MOD:CLASS`: the class of somebody else is held to what selectors promise.

The classes are made here, one that does as it must and several that do not, as thin covers over SelectSelector.
"""

from __future__ import annotations

import os
import selectors
import sys
from pathlib import Path
from typing import List

import pytest

from lab.errors import EXIT_DEVIATION, EXIT_NOT_HERE, EXIT_OK
from lab.probing.catalogue import promised
from tests.host.cli.program import ROOT, Result, command, environment, finish

pytestmark = pytest.mark.needs("harness")

MODULE = """\
import os, selectors, socket, warnings

warnings.simplefilter("always")
warnings.warn("this module is old", DeprecationWarning)
print("and it talks")

def loop():
    global _loop
    _loop = socket.socketpair()  # kept for ever, as an event loop is

class Good(selectors.SelectSelector):
    def register(self, *arguments):
        if "_loop" not in globals():
            loop()
        return super().register(*arguments)

class Deaf(selectors.SelectSelector):
    def select(self, timeout=None):
        return [each for each in super().select(timeout) if not self.is_end(each[0].fileobj)]

    def is_end(self, sock):
        try:
            sock = socket.socket(fileno=os.dup(sock if isinstance(sock, int) else sock.fileno()))
            with sock:
                return sock.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return False

class Lenient(selectors.SelectSelector):
    def register(self, fileobj, events, data=None):
        if fileobj in self.get_map():
            self.unregister(fileobj)
        return super().register(fileobj, events, data)

class Leaky(selectors.SelectSelector):
    def __init__(self):
        super().__init__()
        os.dup(0)

class Crashing(selectors.SelectSelector):
    def select(self, timeout=None):
        os.abort()

class Raising(selectors.SelectSelector):
    def __init__(self):
        raise RuntimeError("no [loop] here")

class Bare:
    pass

thing = selectors.EVENT_READ
"""

KEPT = ("lifecycle/register-twice", "selectors-select/unwanted", "hangup/half-close", "contract/closed-hides-nobody")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    (tmp_path / "theirs.py").write_text(MODULE)
    (tmp_path / "unfinished.py").write_text("import no_such_thing\n")
    return tmp_path


def verify(folder: Path, name: str, *options: str) -> Result:
    """Run it where that folder is importable, and no backend is switched off."""
    env = dict(environment(), PYTHONPATH=os.pathsep.join([ROOT, str(folder)]))
    env.pop("LAB_BACKENDS", None)
    return finish(command("verify", "--selector", name, *options), env=env)


def only(*names: str) -> List[str]:
    """The options that narrow it to these."""
    return [word for name in names for word in ("--only", name)]


def test_it_asks_what_selectors_and_our_backends_promise_whatever_the_topic() -> None:
    asked = {probe.id for probe in promised("selectors", "backend")}
    assert asked >= {"lifecycle/register-twice", "selectors-select/several", "timeouts/none", "contract/duplicate"}
    assert not asked & {"hangup/half-close", "timeouts/nan", "selectors/default"}


def test_a_class_that_does_as_it_must_passes_whatever_its_module_prints_and_keeps(theirs: Path) -> None:
    result = verify(theirs, "theirs:Good", *only(*KEPT), "--junit", str(theirs / "junit.xml"))
    assert result.code == EXIT_OK, result
    assert "4 probes, 4 observations: all as expected." in result.out
    assert "register-twice on selectors:theirs:Good" in (theirs / "junit.xml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name, probe, said", [
    ("Deaf", "hangup/half-close", ["deviation", "WRITE"]),
    ("Lenient", "lifecycle/register-twice", ["deviation", "expected  KeyError", "observed  WRITE"]),
    ("Leaky", "lifecycle/register-twice", ["leak", "descriptors: 1 left open"]),
    ("Crashing", "selectors-select/unwanted", ["crash"]),
])
def test_one_that_does_not_fails_with_the_probe_that_found_it(theirs: Path, name: str, probe: str, said: List[str]
                                                              ) -> None:
    if name == "Leaky" and os.name == "nt":
        pytest.skip("no descriptors are listed on Windows")
    result = verify(theirs, "theirs:" + name, *only(probe))
    assert result.code == EXIT_DEVIATION, result
    assert "%s  %s" % (said[0], probe) in result.out
    for text in said[1:]:
        assert text in result.out, result
    assert "selectors:theirs:%s of here" % name in result.out


@pytest.mark.slow
@pytest.mark.parametrize("name, complaint", [
    ("no_such_module:Selector", "no_such_module cannot be imported: No module named 'no_such_module'; run in"),
    ("unfinished:Selector", "unfinished cannot be imported: No module named 'no_such_thing'"),
    ("theirs:Nothing", "theirs has no Nothing"),
    ("theirs:thing", "it is no class, but of type int"),
    ("theirs:Bare", "it is no selector: it has no register()"),
    ("theirs:Raising", "it cannot be made without arguments: RuntimeError: no [loop] here"),
])
def test_what_is_no_selector_is_one_line(theirs: Path, name: str, complaint: str) -> None:
    result = verify(theirs, name, *only("selectors-contract"))
    assert result.code == EXIT_NOT_HERE, result
    assert complaint in result.complaint()
    assert "selectors:%s is not here" % name in result.complaint()


def test_a_class_of_python_s_own_is_the_backend_of_that_name(tmp_path: Path) -> None:
    result = verify(tmp_path, "selectors:DefaultSelector", *only("lifecycle/register-twice"), "--out",
                    str(tmp_path))
    assert result.code == EXIT_OK, result
    assert '"selectors:%s"' % selectors.DefaultSelector.__name__ in (tmp_path / "here.jsonl").read_text()


def test_one_that_this_platform_lacks_is_one_line(tmp_path: Path) -> None:
    lacking = "DevpollSelector" if sys.platform != "sunos5" else "KqueueSelector"
    result = verify(tmp_path, "selectors:" + lacking, *only("lifecycle/register-twice"))
    assert result.code == EXIT_NOT_HERE, result
    assert "Python's selectors module has no %s here" % lacking in result.complaint()
