"""Runs one cell in this process: checks backend and needs, repeats the trials, and counts their tokens.

Whatever happens becomes an outcome, except a hang, a crash or a leak of this process, which only another process can
notice: that is the runner (``run.runner``).
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Dict, List, NamedTuple, Optional

from lab.probing import needs, watchers
from lab.probing.probe import Probe, Seen, SetUpFailed, Unsupported
from lab.probing.rig import Rig, error_name


class Cell(NamedTuple):
    """One probe on one backend."""

    probe: Probe
    backend: str

    @property
    def name(self) -> str:
        """The cell's name in progress lines and tables."""
        return self.probe.id if self.backend == "none" else "%s on %s" % (self.probe.id, self.backend)


def why_not(cell: Cell) -> Optional[str]:
    """Why this cell cannot be observed here; None if it can."""
    return watchers.why_not(cell.backend) or needs.missing(cell.probe.needs)


def observe(cell: Cell, slow: float = 1.0, as_control: bool = False) -> Dict[str, Any]:
    """Run a cell; return the outcome, as the fields of a record.

    ``as_control``: run the probe's control instead, which must return another token. A control on another backend
    cannot be run this way: it is another cell.
    """
    began = time.perf_counter()
    try:
        outcome = _outcome(cell, slow, as_control)
    except Unsupported as error:
        outcome = {"outcome": "unsupported", "reason": str(error)}
    except SetUpFailed as error:
        outcome = {"outcome": "broken", "reason": str(error)}
    except MemoryError:
        outcome = {"outcome": "broken", "reason": "out of memory"}
    except Exception as error:  # a bug of the probe or of the platform: in any case no observation
        outcome = {"outcome": "broken", "reason": "%s: %s" % (error_name(error), _where(error))}
    outcome["seconds"] = round(time.perf_counter() - began, 6)
    return outcome


def _outcome(cell: Cell, slow: float, as_control: bool) -> Dict[str, Any]:
    why = why_not(cell)
    if why is not None:
        raise Unsupported(why)
    runs: List[Seen] = []
    counts: Counter[str] = Counter()
    while not _settled(counts, cell.probe.trials):
        runs.append(_run(cell, slow, as_control))
        counts[runs[-1].token] += 1
    token, times = counts.most_common(1)[0]
    detail = next(run.detail for run in reversed(runs) if run.token == token)
    if times < len(runs):
        detail = dict(detail, tokens=dict(counts))
    return {"outcome": "observed", "token": token, "expected": cell.probe.expected(cell.backend),
            "trials": "%d/%d" % (times, len(runs)), "detail": detail}


def _settled(counts: Counter[str], trials: int) -> bool:
    """Whether there were enough trials: as many as wanted if all agree, twice as many if they do not."""
    done = sum(counts.values())
    return done >= (trials if len(counts) == 1 else 2 * trials) and done > 0


def _run(cell: Cell, slow: float, as_control: bool) -> Seen:
    control = cell.probe.control if as_control else None
    fault = control.name if control is not None and control.kind == "fault" else None
    keywords = control.keywords if control is not None else {}
    with Rig(cell.backend, slow, fault) as rig:
        made: Any = cell.probe.run(rig, **keywords)
    if not isinstance(made, Seen):
        raise SetUpFailed("the probe returned %s, not seen(token, ...)" % type(made).__name__)
    return made


def _where(error: BaseException) -> str:
    """The text of an exception, and the module and line of the lab that raised it; no path."""
    trace = error.__traceback__
    place = ""
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.startswith(("lab.probes.", "lab.probing.")):
            place = "%s:%d" % (module, trace.tb_lineno)
        trace = trace.tb_next
    return "%s (%s)" % (str(error)[:200], place)
