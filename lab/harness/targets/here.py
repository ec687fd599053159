"""``here``: the interpreter that runs `lab verify`."""

from __future__ import annotations

import sys
from typing import List

from lab.errors import Usage
from lab.harness.targets._base import Target
from lab.harness.targets.interpreter import Interpreter
from lab.text import shown


class Here(Interpreter):
    """This interpreter, in a process of its own."""

    kind = "here"
    spelling = "here"

    @property
    def place(self) -> str:
        """There is one."""
        return self.name

    @classmethod
    def parse(cls, text: str) -> List[Target]:
        """The one target of this kind. Raises ``Usage`` for text behind a colon."""
        if text:
            raise Usage("here takes nothing behind a colon; do you mean python:%s?" % shown(text))
        return [cls("here", [sys.executable])]


TARGET = Here
