"""Every way in which `lab serve` can serve on this machine: an I/O model, and a backend where the model takes one.

`lab verify --serve` checks all of them; `lab up` starts a container for each one that the user chooses.
"""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Optional

from lab.backends import LADDER, why_missing
from lab.server.command import MODELS


class Variant(NamedTuple):
    """An I/O model, and the backend that it waits on; None for a model that takes no backend."""

    model: str
    backend: Optional[str]

    @property
    def name(self) -> str:
        """The backend's name, or the model's where there is no backend."""
        return self.backend or self.model

    @property
    def options(self) -> List[str]:
        """The options of `lab serve` that select this variant."""
        return ["--model", self.model] + (["--backend", self.backend] if self.backend else [])


def variants() -> Iterator[Variant]:
    """Every backend that this platform has, the best first, then the models that take no backend."""
    for name, model in sorted(MODELS.items(), key=lambda item: not item[1].takes_backend):
        if model.takes_backend:
            for kind in LADDER:
                if why_missing(kind) is None:
                    yield Variant(name, kind.name)
        else:
            yield Variant(name, None)
