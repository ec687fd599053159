"""Paths with blanks and a letter that is not ASCII, as ``C:\\Program Files`` and users' names make them: for the
interpreter, for temporary files, for what is read and written, for a socket.

tests/pyz/test_pyz_paths.py does the same with lab.pyz.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

from lab import records
from lab.address import UNIX
from lab.capabilities import has
from lab.errors import EXIT_OK
from tests.core.conformance.serving import Process, directory
from tests.host.cli.program import environment, finish, run

NAME = "a folder \u015b"

STARTS = pytest.mark.parametrize("start", ["fork", "spawn"] if has("fork") else ["spawn"])


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of that name, in a place short enough for unix sockets."""
    with directory() as where:
        made = Path(where, NAME)
        made.mkdir()
        yield made


@pytest.fixture
def python(folder: Path) -> str:
    """This interpreter, by a path of that name."""
    if sys.platform == "win32":
        pytest.skip("programs are no symbolic links there")
    link = folder / "python3"
    link.symlink_to(os.path.realpath(sys.executable))
    return str(link)


def surroundings(folder: Path, **more: str) -> Dict[str, str]:
    """An environment in which temporary files are made there."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return environment(**dict(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)), **more))


@STARTS
def test_probes_are_observed_by_an_interpreter_and_in_a_directory_of_that_name(folder: Path, python: str, start: str
                                                                              ) -> None:
    result = finish([python, "-m", "lab", "probe", "hangup/half-close", "readiness", "--jsonl"],
                    env=surroundings(folder, LAB_PROBE_START=start))
    assert (result.code, result.err) == (EXIT_OK, "")
    found = records.parse(result.out.encode("ascii").splitlines(True), "probe")
    assert {each.outcome for each in found.observations} <= {"observed", "unsupported"}
    assert NAME not in result.out
    assert os.listdir(str(folder / "tmp")) == []


@pytest.mark.needs("harness")
@pytest.mark.parametrize("target", ["here", "python"])
def test_verify_reads_and_writes_there(folder: Path, python: str, target: str) -> None:
    out, junit, exclude = folder / "out put", folder / "j unit.xml", folder / "ex clude.toml"
    exclude.write_text('[[exclude]]\nprobe = "hangup/reset"\nbackend = "select"\nreason = "x"\n', encoding="utf-8")
    options = ["--only", "hangup/half-close", "--out", str(out), "--junit", str(junit), "--exclude", str(exclude)]
    result = run("verify", "--target", "here" if target == "here" else "python:" + python, *options,
                 **{name: value for name, value in surroundings(folder).items() if name in ("TMPDIR", "TEMP", "TMP")})
    assert (result.code, result.err) == (EXIT_OK, "")
    kept: List[Path] = list(out.iterdir())
    assert len(kept) == 1 and junit.read_text(encoding="utf-8").startswith("<?xml")
    assert records.load(str(kept[0])).observations
    again = run("verify", "--target", "recorded:%s" % kept[0])
    assert (again.code, again.err) == (EXIT_OK, "")
    assert run("diff", str(kept[0]), str(kept[0])).code == EXIT_OK


@pytest.mark.skipif(UNIX is None, reason="no unix sockets here")
def test_server_and_load_meet_at_a_socket_of_that_name(folder: Path) -> None:
    where = "unix:%s" % (folder / "so cket")
    with Process("--host", where) as server:
        for words in (["load", "--count", "10"], ["health"]):
            result = run(*words, "--host", where)
            assert (result.code, result.err) == (EXIT_OK, "")
        assert server.stop(signal.SIGTERM)[0] == EXIT_OK
    assert not (folder / "so cket").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="programs are no symbolic links there")
def test_doctor_finds_an_interpreter_of_that_name_and_breaks_no_line_in_it(folder: Path, python: str) -> None:
    path = str(folder) + os.pathsep + os.environ["PATH"]
    result = finish([python, "-m", "lab", "doctor"], env=surroundings(folder, PATH=path, PYTHONIOENCODING="utf-8"))
    assert (result.code, result.err) == (EXIT_OK, "")
    assert "%s%spython3\n" % (folder, os.sep) in result.out
