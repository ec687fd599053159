"""One row an architecture, and every user's name for it is in the row."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.architectures import ARCHITECTURES, emulated, foreign, is_x86, native, of_engine, of_machine


@pytest.mark.parametrize("machine, debian", [
    ("x86_64", "amd64"), ("AMD64", "amd64"), ("i686", "i386"), ("x86", "i386"), ("aarch64", "arm64"),
    ("ARM64", "arm64"), ("armv7l", "armhf"), ("ppc64le", "ppc64el"), ("riscv64", "riscv64"), ("s390x", "s390x")])
def test_a_machine_is_known_by_whatever_uname_or_windows_call_it(machine: str, debian: str) -> None:
    found = of_machine(machine)
    assert found is not None and found.debian == debian
    assert is_x86(machine) == (debian in ("amd64", "i386"))


@pytest.mark.parametrize("engine, debian", [("386", "i386"), ("arm", "armhf"), ("ppc64le", "ppc64el")])
def test_an_engines_name_is_translated(engine: str, debian: str) -> None:
    found = of_engine(engine)
    assert found is not None and found.debian == debian


def test_no_name_stands_for_two() -> None:
    rows = ARCHITECTURES.values()
    assert len({each.oci for each in rows}) == len({each.qemu for each in rows}) == len(rows)
    machines = [name for each in rows for name in each.machines]
    assert len(set(machines)) == len(machines) and all(name == name.lower() for name in machines)
    assert {name for each in rows for name in each.also} <= set(ARCHITECTURES)


def test_what_is_native_needs_no_emulator() -> None:
    assert native(of_machine("x86_64")) == ("amd64", "i386")
    assert foreign(of_machine("x86_64")) == ["arm64", "armhf", "ppc64el", "riscv64", "s390x"]
    assert foreign(of_machine("aarch64")) == ["amd64", "i386", "armhf", "ppc64el", "riscv64", "s390x"]


def test_of_an_unknown_machine_nothing_is_native() -> None:
    assert (of_machine("vax"), of_engine("mips64le"), is_x86("vax")) == (None, None, False)
    assert native(None) == () and foreign(None) == list(ARCHITECTURES)


def test_an_emulator_counts_where_it_is_enabled_and_needs_no_file_in_the_container(tmp_path: Path) -> None:
    for name, text in (("aarch64", "enabled\ninterpreter /x\nflags: POF\n"), ("s390x", "disabled\nflags: F\n"),
                       ("riscv64", "enabled\ninterpreter /F\nflags: PO\n")):
        (tmp_path / ("qemu-" + name)).write_text(text)
    assert emulated(tmp_path) == ["arm64"]
    assert emulated(tmp_path / "not mounted") == []
