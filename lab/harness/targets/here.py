"""``here``: the interpreter that runs this."""

from __future__ import annotations

import sys
from typing import List

from lab.errors import Usage
from lab.harness.targets._base import Target
from lab.harness.targets.interpreter import Interpreter


class Here(Interpreter):
    """This interpreter, in a process of its own."""

    kind = "here"
    spelling = "here"

    @classmethod
    def parse(cls, text: str) -> List[Target]:
        """There is one."""
        if text:
            raise Usage("here: it takes nothing behind the colon; python:%s?" % ascii(text)[1:-1])
        return [cls("here", [sys.executable])]


TARGET = Here
