"""Starting an engine: with a dockerd of our own making, which answers two questions and is ended like the real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from lab.errors import Broken, NotHere
from lab.harness import engine
from tests.waits import PROGRAM
from tools import emulators, install

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="dockerd is started on Linux only")

DOCKERD = '''#!%s
import http.server, json, socketserver, sys
if "--fail" in sys.argv:
    sys.exit("no such option")
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = json.dumps({"Version": "1.2.3", "ApiVersion": "1.41", "Runtimes": {"runc": {}, "runsc": {}},
                           "DefaultRuntime": "runc"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(text)
    def address_string(self):
        return "unix"
socketserver.ThreadingUnixStreamServer(sys.argv[sys.argv.index("-H") + 1][7:], Answer).serve_forever()
'''

AS_ROOT = '''
import os, sys
from lab.errors import NotHere
from tools import daemon, emulators, gvisor
def none(say):
    raise NotHere("no network")
os.geteuid, gvisor.install, emulators.wanted = (lambda: 0), none, (lambda: [])
sys.exit(daemon.main())
'''


@pytest.fixture
def place(tmp_path: Path) -> Dict[str, str]:
    """An environment in which that dockerd is the one on PATH."""
    program = tmp_path / "dockerd"
    program.write_text(DOCKERD % sys.executable)
    program.chmod(0o755)
    return {**{name: value for name, value in os.environ.items() if name != "ENGINE"},
            "PATH": "%s:%s" % (tmp_path, os.environ["PATH"]), "DOCKER_HOST": "unix://%s/s" % tmp_path}


def run(place: Dict[str, str], what: str, *more: str, **env: str) -> Any:
    """One command, as root would run it. It ends although dockerd stays: nothing of its output is held open."""
    where = str(Path(place["DOCKER_HOST"][7:]).parent / "run")
    return subprocess.run([sys.executable, "-c", AS_ROOT, what, "--run", where, *more], env={**place, **env},
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=PROGRAM, encoding="utf-8",
                          cwd=Path(__file__).parents[3])


def test_it_is_started_used_as_it_is_and_ended(place: Dict[str, str]) -> None:
    first = run(place, "start")
    try:
        assert first.returncode == 0, first.stderr
        assert "without gVisor: no network" in first.stdout and "1.2.3, with runc, runsc" in first.stdout
        assert "using the one that answers" in run(place, "start").stdout
        assert "started by us, pid" in run(place, "status").stdout
    finally:
        ended = run(place, "stop")
    assert "has ended" in ended.stdout and ended.returncode == 0
    assert "we started no dockerd" in run(place, "stop").stdout
    assert run(place, "status").returncode == NotHere.exit_code


def test_a_process_that_only_has_the_number_by_now_is_left_alone(place: Dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "started").write_text("%d %s\n" % (os.getpid(), engine.owner(os.getpid()) + "0"))
    assert "it has ended" in run(place, "stop").stdout  # and this process is alive


@pytest.mark.parametrize("word, code, said", [("require", 3, "forbids installing or starting one"), ("none", 0, ""),
                                              ("maybe", 2, "ENGINE=maybe")])
def test_the_policy_is_kept(place: Dict[str, str], tmp_path: Path, word: str, code: int, said: str) -> None:
    done = run(place, "start", ENGINE=word)
    assert done.returncode == code and said in done.stderr and done.stderr.count("\n") == (code != 0)
    assert not (tmp_path / "run").exists()


def test_an_engine_that_does_not_start_is_one_line_with_its_last_words(place: Dict[str, str]) -> None:
    done = run(place, "start", "--", "--fail")
    assert done.returncode == Broken.exit_code
    assert done.stderr.startswith("engine: dockerd ended: no such option (") and done.stderr.count("\n") == 1


def test_a_host_elsewhere_is_not_replaced_by_an_engine_here(place: Dict[str, str], tmp_path: Path) -> None:
    done = run(place, "start", DOCKER_HOST="tcp://127.0.0.1:1")
    assert done.returncode == NotHere.exit_code and "starting" not in done.stdout


def test_who_is_not_root_is_told_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotHere, match=r"^no engine; you are not root: try `sudo make engine`$"):
        install.check(NotHere("no engine; start one"))


def test_apt_is_no_use_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(install, "facts", lambda: {"distribution": {"id": "alpine", "version": "3"}})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotHere, match="this is not Debian"):
        install.check(NotHere("no engine"))


def test_services_are_forbidden_to_start_only_while_packages_are_installed(tmp_path: Path,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """apt-get is a script here that tells what it was asked, and whether the policy is in force."""
    monkeypatch.setattr(install, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.defpath))
    apt = tmp_path / "apt-get"
    apt.write_text('#!/bin/sh\ncd "%s"\ntest -x policy-rc.d || exit 1\necho "$@" >>asked\ncase "$*" in\n'
                   '*docker.io*) printf "#!/bin/sh\\n" >dockerd; chmod +x dockerd;;\n'
                   '*tini*) echo none >&2; exit 100;;\nesac\n' % tmp_path)
    apt.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path / name) if (tmp_path / name).exists()
                        else None)
    said: List[str] = []
    assert install.dockerd(said.append) == str(tmp_path / "dockerd")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0] == "update -qq" and asked[1].endswith("docker.io iptables") and len(asked) == 5
    assert said[0].startswith("there is none: installing docker.io iptables") and len(said) == 2
    assert "without tini: apt-get" in said[1] and not (tmp_path / "policy-rc.d").exists()


def test_emulators_are_registered_as_their_package_says(tmp_path: Path) -> None:
    (tmp_path / "qemu-s390x.conf").write_text(":qemu-s390x:M::magic:mask:/qemu:F\n")
    (tmp_path / "register").write_text("")
    said: List[str] = []
    emulators.register(["s390x"], said.append, lines=tmp_path, misc=tmp_path)
    assert (tmp_path / "register").read_text() == ":qemu-s390x:M::magic:mask:/qemu:F" and len(said) == 1
    with pytest.raises(NotHere, match="no emulator for arm64; on Debian: apt-get install"):
        emulators.register(["arm64"], said.append, lines=tmp_path, misc=tmp_path)
