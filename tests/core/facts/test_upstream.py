"""The version of kernel.org's source behind what uname(2) says, for the kernels of distributions."""

from __future__ import annotations

from typing import Optional

import pytest

from lab.facts import upstream


@pytest.mark.parametrize("release, version, source", [
    ("5.10.0-32-cloud-amd64", "#1 SMP Debian 5.10.223-1 (2024-08-10)", "5.10.223"),
    ("6.1.0-50-cloud-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.170-1 (2026-05-02)", "6.1.170"),
    ("6.1.0-0.deb11.21-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.90-1~bpo11+1 (2024-05-10)", "6.1.90"),
    ("6.10-rc7-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.10~rc7-1~exp1 (2024-07-08)", "6.10"),
    ("6.6.31+rpt-rpi-v8", "#1 SMP PREEMPT Debian 1:6.6.31-1+rpt1 (2024-05-29)", "6.6.31"),
    ("5.15.0-91-generic", "#101-Ubuntu SMP Tue Nov 14 13:30:08 UTC 2023", "5.15.0"),
    ("6.18.44", "#1 SMP PREEMPT_DYNAMIC", "6.18.44"),
    ("5.15.90.1-microsoft-standard-WSL2", "#1 SMP Fri Jan 27 02:56:13 UTC 2023", "5.15.90.1"),
    ("6.7.0-rc1", "#1 SMP compiled on Debian", "6.7.0"),
    ("unknown", "#1 SMP", None), ("", "", None),
])
def test_the_source_of_a_kernel(release: str, version: str, source: Optional[str]) -> None:
    assert upstream(release, version) == source
