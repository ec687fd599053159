"""The interpreter that runs us, and the processors that it may use."""

from __future__ import annotations

import os
import platform
import re
import sys
import sysconfig
from typing import Any, Dict, Optional


def interpreter() -> Dict[str, Any]:
    """The Python that runs this; see ``facts``."""
    own = sys.implementation.version
    release = "%d.%d.%d" % own[:3]
    is_gil_on = getattr(sys, "_is_gil_enabled", None)  # since 3.13
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "release": release if own[:3] != sys.version_info[:3] else None,
        "compiler": platform.python_compiler() or "".join(re.findall(r"with (.*)\]", sys.version)),  # PyPy: "" at first
        "debug": hasattr(sys, "gettotalrefcount"),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gil": bool(is_gil_on()) if is_gil_on is not None else True,
    }


def cpus() -> Optional[int]:
    """How many CPUs this process may run on. It does not see the quota of a container."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count()
