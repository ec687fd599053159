"""The format of records as a JSON schema, for other programs, and a check that the lab's own records match it.

``lab.records`` rejects everything that the schema rejects, and more, and needs no package. So you do not need this
module to read records. It serves those who publish records or change the format.
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
from lab.text import escaped

AT_ODDS = "the lab and its schema disagree; please report this"

PATH = Path(__file__).with_name("records.schema.json")

SCHEMA: Dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))

_BY_KIND = {kind: Draft202012Validator({**SCHEMA["$defs"][kind], "$defs": SCHEMA["$defs"]})
            for kind in ("platform", "observation")}
"""The two sides of the schema's oneOf. We validate them apart: a failing oneOf does not name the wrong field."""


def validate(path: Union[str, os.PathLike[str]]) -> int:
    """The number of lines in a file of records. Raises ``Usage`` for the first that the lab or the schema rejects."""
    source = records.load(path).source
    number = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            wrong = complaint(json.loads(line))
            if wrong is not None:
                raise Usage(records.LINE % (escaped(source), number, *wrong, AT_ODDS))
    return number


def complaint(values: Any) -> Optional[Tuple[str, str]]:
    """None for the JSON value of a line that the schema accepts, else a field and the keyword of the schema that it
    violates. Quotes only names of fields that the schema has, never the line.
    """
    kind = values.get("kind") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in _BY_KIND:
        return "kind", "is not platform or observation"
    error = max(_BY_KIND[kind].iter_errors(values), key=relevance, default=None)
    if error is None:
        return None
    field = error.absolute_path[0] if error.absolute_path else "the line"
    return str(field), "violates %s of the schema" % error.validator
