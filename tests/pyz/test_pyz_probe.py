"""lab.pyz alone, with no site-packages: the whole catalogue, in a bare interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab import interpreters, records
from lab.harness.verifying import compare, expectations, judge
from lab.harness.verifying.judge import updated
from tests.pyz.bare import ENVIRONMENT, INTERPRETERS
from tests.waits import ARCHIVE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * ARCHIVE)]


def probe(pyz: Path, python: interpreters.Interpreter, *options: str) -> records.Records:
    done = subprocess.run([python.path, "-I", "-S", str(pyz), "probe", "--jsonl", *options], stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, env=ENVIRONMENT, timeout=ARCHIVE, check=True)
    return records.parse(done.stdout.splitlines(True), python.version)


@pytest.mark.parametrize("python", [pytest.param(each, id=each.version) for each in INTERPRETERS])
def test_two_runs_of_the_catalogue_are_as_known_and_show_no_difference(pyz: Path, python: interpreters.Interpreter
                                                                       ) -> None:
    """Beside the other core, which is busy."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as hog:
        try:
            first, second = probe(pyz, python), probe(pyz, python)
        finally:
            hog.kill()
    for run in (first, second):
        judged = judge.judge("here", updated(run), expectations.load_all())
        assert [each.observation for each in judged if each.failed] == []
    assert first.platform.fingerprint == second.platform.fingerprint
    assert compare.observations({"first": first.observations, "second": second.observations}) == []
    assert compare.platforms([first, second]) == []
