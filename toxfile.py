"""A tox environment for each image that can be made from Debian's packages: `tox -e image-trixie`. And which Python is
the newest here, which tox.ini cannot say.

tox reads this file as a plugin. The rows of docker/images.toml are the only list: whoever adds an image adds its
environment. None of them is in tox.ini's env_list, because they need a container engine; `make test-all` names them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Iterator, List

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet, EnvConfigSet
from tox.config.types import Command
from tox.plugin import impl
from tox.session.state import State
from tox.tox_env.python.pip.req_file import PythonDeps
from tox.tox_env.python.virtual_env.runner import VirtualEnvRunner
from tox.tox_env.register import ToxEnvRegister

ROOT = Path(__file__).parent
if str(ROOT) not in sys.path:  # a tox that was installed elsewhere knows nothing of the lab
    sys.path.append(str(ROOT))

from lab import interpreters  # noqa: E402
from lab.harness import images  # noqa: E402

NEWEST = ("host", "select-only", "winsock")
"""The environments that have the newest CPython. Not a list in tox.ini: tox-uv 1.37 takes its first or none."""


class ImageRunner(VirtualEnvRunner):
    """The environment of the host's half: whatever Python runs tox. The other half has the Python of its image."""

    @staticmethod
    def id() -> str:
        """What `runner =` calls it."""
        return "image"

    @classmethod
    def extract_base_python(cls, env_name: str) -> None:
        """Nothing: in image-forky-3.15 or image-trixie-pypy tox would see a Python that the host must have."""


def ids() -> List[str]:
    """The images that need no registry."""
    return [row.id for row in images.load().values() if row.debian is not None]


@impl
def tox_register_tox_env(register: ToxEnvRegister) -> None:
    """Make the runner known."""
    register.add_run_env(ImageRunner)


@impl
def tox_extend_envs() -> Iterator[str]:
    """The names of the environments."""
    yield from ("image-%s" % each for each in ids())


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """What each does; the rest is as in [testenv]. ``core_conf`` is not looked at."""
    del core_conf
    for each in ids():
        words = ["python", "-m", "tools.in_image", each, *(state.conf.pos_args(None) or ())]
        what: Any = {
            "description": "the portable tests inside the image %s" % each, "runner": ImageRunner.id(),
            "base_python": [sys.executable], "package": "skip", "deps": PythonDeps(".[harness]", ROOT),
            "commands": [Command(words)],
        }
        state.conf.memory_seed_loaders["image-%s" % each].append(MemoryLoader(**what))


def newest() -> str:
    """The newest CPython of this machine, without a special build's flags; the one that runs tox is one, or will do."""
    found = [each.path for each in interpreters.find() if each.usable and each.implementation == "CPython"
             and each.version[-1] not in "td"]
    return found[-1] if found else sys.executable


@impl
def tox_add_env_config(env_conf: EnvConfigSet, state: State) -> None:
    """Asked when the environment is made, so that no other waits for it. ``state`` is not looked at."""
    del state
    if env_conf.name in NEWEST:
        newest_first: Any = {"base_python": [newest()]}
        env_conf.loaders.insert(0, MemoryLoader(**newest_first))
