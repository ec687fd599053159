"""Text from elsewhere, made fit to print: names, values and messages that a file, a peer or another program gave us.

Whatever the lab did not write itself may hold escape sequences that move a terminal's cursor, bidirectional marks that
reorder a line, or newlines that forge one. All code that shows such text calls one of these functions:

    shown       a value inside a message: one line of bounded length
    escaped     longer text: all of it
    one_line    what another program said: its lines joined, bounded
    last_line   the last line of what another program said

They keep every printable character, also outside ASCII, and write all others as Python's escapes: ``\\x1b``,
``\\u202e``. What Unicode calls printable (``str.isprintable``) includes no control or format character, no line
separator, no blank but the ordinary one, and no half of a surrogate pair, so XML accepts the result as well.
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
    """A value in one line of at most ``limit`` characters; ``...`` at its end stands for the rest."""
    text = str(value)
    whole = escaped(text[:limit + 1])
    return whole if len(whole) <= limit else whole[:limit - 3] + "..."


def one_line(text: str, limit: int = SAID) -> str:
    """What another program said, its words joined by single blanks, in at most ``limit`` characters."""
    return shown(" ".join(text.split()), limit)


def last_line(text: str) -> Optional[str]:
    """The last line of what another program said that is not blank, as ``one_line``; None where there is none."""
    lines = [line for line in text.splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else None
