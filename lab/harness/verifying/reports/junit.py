"""Verdicts as JUnit XML, which every CI system can show: a suite for each target, a case for each cell.

A deviation and a healed row are failures, other cells that fail are errors; each contains claim, expected and observed
token, and the command that repeats it. ``unsupported`` and ``excluded`` are skipped, with the reason. An unsteady cell
has passed, and its output says what the first run observed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from lab.errors import Broken, reason
from lab.harness.verifying.findings import Findings
from lab.harness.verifying.judge import BEFORE, JudgedCell
from lab.harness.verifying.reports.words import NOT_REPRODUCED, explain, shorten
from lab.text import escaped


def write(path: Path, found: Findings) -> None:
    """Write the file. Raises ``Broken`` where it cannot be written."""
    xml: Any = JUnitXml("lab verify")  # typed loosely: update_statistics has no types
    for target, cells in found.judged.items():
        suite = TestSuite(escaped(target))
        for each in cells:
            suite.add_testcase(_case(each))
        xml.add_testsuite(suite)
    for target, error in found.errors.items():
        suite = TestSuite(escaped(target))
        case = TestCase("the target itself", escaped(target))
        case.result = [Error(escaped(str(error)), type(error).__name__)]
        suite.add_testcase(case)
        xml.add_testsuite(suite)
    xml.update_statistics()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        xml.write(str(path), pretty=True)
    except OSError as error:
        raise Broken("--junit: %s cannot be written: %s" % (path, reason(error))) from error


def _case(each: JudgedCell) -> TestCase:
    seen = each.observation
    name = seen.probe if seen.backend == "none" else "%s on %s" % (seen.probe, seen.backend)
    case = TestCase(name, "%s.%s" % (escaped(each.target), seen.probe.partition("/")[0]), seen.seconds)
    if each.verdict in ("deviation", "healed"):
        case.result = [Failure(shorten(each), each.verdict)]
    elif each.failed:
        case.result = [Error(shorten(each), each.verdict)]
    elif each.verdict in ("unsupported", "excluded"):
        case.result = [Skipped(shorten(each), each.verdict)]
    for result in case.result if each.failed else []:
        result.text = "\n".join("%-9s %s" % pair for pair in explain(each))
    if each.unsteady:
        case.system_out = escaped("%s; first run: %s" % (NOT_REPRODUCED, seen.detail[BEFORE]))
    return case
