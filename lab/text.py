"""Text from elsewhere, made fit to print: names, values and messages that a file, a peer or another program gave us.

Whatever the lab did not write itself may hold escape sequences that move a terminal's cursor, bidirectional marks that
reorder a line, or newlines that forge one. All code that shows such text calls one of these functions:

    shown       a value inside a message: one line of ASCII, of bounded length
    escaped     longer text, and names of files: all of it, in any script
    one_line    what another program said: its lines joined, then as ``shown``
    last_line   the last line of what another program said

What they do not keep they write as Python's escapes: ``\\x1b``, ``\\u202e``. A value is shown in ASCII because a
message about it should tell look-alikes apart: a backend whose first letter is a Cyrillic one, a path that Hebrew
letters reorder. Longer text keeps whatever Unicode calls printable (``str.isprintable``). That includes no control or
format character, no line separator, no blank but the ordinary one, and no half of a surrogate pair, so that terminals
obey nothing in it and XML accepts it.
"""

from __future__ import annotations

from typing import Optional

LIMIT = 200
"""Characters of a value inside a message, before the dots that stand for the rest."""
SAID = 400
"""Characters of what another program said."""


def escaped(text: str, keep: str = "") -> str:
    """The whole text, with an escape for each character that is not printable and not in ``keep``."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else ascii(each)[1:-1] for each in text)


def shown(value: object, limit: int = LIMIT) -> str:
    """A value in one line of at most ``limit`` ASCII characters; ``...`` at its end stands for the rest."""
    text = str(value)[:limit + 1]
    whole = "".join(each if " " <= each <= "~" else ascii(each)[1:-1] for each in text)
    return whole if len(whole) <= limit else whole[:limit - 3] + "..."


def one_line(text: str, limit: int = SAID) -> str:
    """What another program said, its words joined by single blanks, in at most ``limit`` characters."""
    return shown(" ".join(text.split()), limit)


def last_line(text: str) -> Optional[str]:
    """The last line of what another program said that is not blank, as ``one_line``; None where there is none."""
    lines = [line for line in text.splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else None
