"""The format of records for other programs: records.schema.json, and the check that the lab itself keeps to it.

``lab.records`` refuses whatever the schema refuses, and more, without any package. So nobody needs this to read
records; it is for whoever publishes them or changes the format, and finds the two at odds.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, Optional, Tuple, Union

from jsonschema import Draft202012Validator
from jsonschema.exceptions import relevance

from lab import records
from lab.errors import Usage

AT_ODDS = "the lab and its schema are at odds: report it"

PATH = Path(__file__).with_name("records.schema.json")

SCHEMA: Dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))

_BY_KIND = {kind: Draft202012Validator({**SCHEMA["$defs"][kind], "$defs": SCHEMA["$defs"]})
            for kind in ("platform", "observation")}
"""The two sides of the schema's oneOf: of one that fails as a whole nobody can say which field is wrong."""


def validate(path: Union[str, os.PathLike[str]]) -> int:
    """The number of lines of a file that both the lab and the schema accept. Raises ``Usage`` for the first other."""
    source = records.load(path).source
    number = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            wrong = complaint(json.loads(line))
            if wrong is not None:
                raise Usage(records.LINE % (records.escaped(source), number, *wrong, AT_ODDS))
    return number


def complaint(values: Any) -> Optional[Tuple[str, str]]:
    """None for the JSON value of a line that the schema accepts, else a field and which word of the schema it breaks.

    Quotes nothing but names of fields that the schema has.
    """
    kind = values.get("kind") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in _BY_KIND:
        return "kind", "is not platform or observation"
    error = max(_BY_KIND[kind].iter_errors(values), key=relevance, default=None)
    if error is None:
        return None
    field = error.absolute_path[0] if error.absolute_path else "the line"
    return str(field), "breaks %s of the schema" % error.validator
