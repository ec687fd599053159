"""What the lab knows of runtimes agrees with what it finds out inside them."""

from __future__ import annotations

import pytest

from lab import facts
from lab.harness import runtimes


def test_a_runtime_that_only_separates_processes_changes_nothing() -> None:
    assert runtimes.slower("runc") == 1.0 and not runtimes.is_native_only("runc")


def test_gvisor_is_slower_and_runs_the_machine_s_own_architecture_only() -> None:
    assert runtimes.slower("runsc") > 1.0 and runtimes.is_native_only("runsc")


@pytest.mark.parametrize("name, kernel", [
    ("gvisor", facts.Kernel("Linux", "4.19.0-gvisor", "#1 SMP", "x86_64")),
    ("wsl1", facts.Kernel("Linux", "4.4.0-19041-Microsoft", "#1 SMP", "x86_64")),
])
def test_what_answers_system_calls_is_spelled_as_the_facts_spell_it(name: str, kernel: facts.Kernel) -> None:
    found = facts.runtime("/", kernel, {})
    assert found is not None and found["name"] == name and name in runtimes.ANSWERS_SYSTEM_CALLS
