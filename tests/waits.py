"""How long tests wait, in seconds. Every span that a test waits is here under a name; no other file defines one.

There are two kinds. What must come gets a long span: a machine with too much to do pauses for seconds, and only a test
that fails spends the span in full. What must not come gets a short one, because every test that passes spends it in
full. The spans for what must come are shorter than the 120 s after which pytest ends a test (pyproject.toml), so that
the test itself reports what did not come.

Spans that are themselves under test, such as an idle timeout of a server, stay with their tests.
"""

from __future__ import annotations

PATIENCE = 30.0
"""For what must come inside this process or over a socket: an event, a byte, the end of a thread."""

QUIET = 0.02
"""For what must not come."""

PROGRAM = 60.0
"""For a program that we start, until it is ready or has ended. Most take a tenth of a second; on a busy machine an
interpreter alone may take ten."""

ARCHIVE = 90.0
"""For one run of lab.pyz on a bare interpreter. The longest took ten seconds on a machine with 2 CPUs (Linux 6.18)."""

TEST_RUN = 110.0
"""For a test that runs pytest itself: just below the limit of one test."""

WHOLE_CATALOGUE = 280.0
"""For all probes and their controls, in one program. The tests that wait so long raise pytest's own limit."""

CONTAINER = 60.0
"""For what must come from a container or an engine. An emulated container takes ten seconds to begin."""
