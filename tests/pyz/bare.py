"""Interpreters to run lab.pyz on, with nothing installed in them that it could use."""

from __future__ import annotations

import os
from typing import List

from lab import interpreters

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def chosen() -> List[interpreters.Interpreter]:
    """CPython 3.8 and the newest release, as far as they are here; PyPy is left to tox, which tests all of it."""
    found = [each for each in interpreters.find() if each.usable and each.implementation == "CPython"
             and not set(each.version) & set("abrct")]
    oldest = [each for each in found if interpreters.numbers(each.version)[:2] == interpreters.OLDEST]
    return list({each.version: each for each in oldest[-1:] + found[-1:]}.values())


INTERPRETERS = chosen()
