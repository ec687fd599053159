"""The platform in one line, for people: above a table, or beside one."""

from __future__ import annotations

from typing import Any, Mapping

from lab.text import shown


def platform_line(facts: Mapping[str, Any]) -> str:
    """``PyPy 7.3.11, Linux 6.1.0, x86_64, musl 1.2.5, perhaps docker``: interpreter, system and kernel, machine, C
    library, and what stands between us and the kernel.

    ``facts`` may be those of somebody else's records: parts that are missing or of another type are left out, and every
    value is escaped.
    """
    interpreter, runtime, libc = _part(facts, "interpreter"), _part(facts, "runtime"), _part(facts, "libc")
    words = [
        (interpreter.get("implementation"), interpreter.get("release") or interpreter.get("version")),
        (facts.get("system"), _part(facts, "kernel").get("release")),
        (_part(facts, "architecture").get("machine"),),
        (libc.get("name"), libc.get("version") if libc.get("name") else None),
        ("" if runtime.get("certain") or not runtime.get("name") else "perhaps", runtime.get("name")),
    ]
    parts = [" ".join(shown(each, 80) for each in some if each) for some in words]
    return ", ".join(each for each in parts if each)


def _part(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = facts.get(name)
    return value if isinstance(value, Mapping) else {}
