"""A container engine for a machine that has none: installed where that is allowed, started, and ended again.

    python -m tools.daemon start | stop | status | emulate        (`make engine` is `start`)

An engine that answers is used as it is. Where none does, root on Debian and Ubuntu gets one: its packages, dockerd in
the background with gVisor as a second runtime, and emulators for foreign architectures. It is said before it is done,
and ENGINE=require forbids it. dockerd is started by hand, because a container or a job of continuous integration has no
systemd; it holds no descriptor of ours, so that nobody who reads our output waits for its end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

from lab.errors import EXIT_OK, Broken, LabError, NotHere, Usage, reason
from lab.harness import engine
from tools import emulators, gvisor, install

RUN = Path("/run/muxlab")
"""Where it is noted who we started."""
SOCKET = "unix:///var/run/docker.sock"
PATIENCE = 60.0
"""Seconds for dockerd to answer, or to end: it ends its containers first."""
_PAUSE = 0.1


class Started(NamedTuple):
    """The dockerd that we started: its number, and who it is (``engine.owner``)."""

    pid: int
    owner: str


def say(text: str) -> None:
    """One line, at once: what follows may take a minute."""
    print("engine: " + text, flush=True)


def policy() -> str:
    """What ENGINE says: ``""`` (install and start one if there is none), ``require`` or ``none``. Raises ``Usage``."""
    wanted = os.environ.get("ENGINE", "")
    if wanted not in ("", "require", "none"):
        raise Usage("ENGINE=%s: it may be `require` (never install or start one) or `none`" % engine.one_line(wanted))
    return wanted


def answer() -> str:
    """Version and runtimes of the engine that answers. Raises ``NotHere``."""
    client = engine.connect(timeout=10.0)
    try:
        with engine.errors_as_broken("the engine"):
            return "%s, with %s" % (client.version()["Version"], ", ".join(engine.runtimes(client)))
    finally:
        client.close()


def start(run: Path, more: Sequence[str]) -> None:
    """Have an engine. ``more``: arguments for dockerd, should one be started. Raises ``NotHere`` or ``Broken``."""
    wanted = policy()
    if wanted == "none":
        say("none is wanted (ENGINE=none)")
        return
    try:
        say("one answers: %s; used as it is" % answer())
        return
    except NotHere as error:
        if wanted == "require":
            raise NotHere("%s; ENGINE=require: none is installed or started" % error) from None
        missing = error
    socket = os.environ.get("DOCKER_HOST", SOCKET)
    if not socket.startswith("unix://"):
        raise missing
    install.check(missing)
    dockerd = install.dockerd(say)
    _launch([dockerd, "-H", socket, *_runtimes(), *more], run, socket)
    say(answer())
    _emulate(say_only=True)


def _runtimes() -> List[str]:
    """gVisor is worth a try, and no reason to have no engine."""
    try:
        return ["--add-runtime", "runsc=%s" % gvisor.install(say)]
    except LabError as error:
        say("without gVisor: %s" % error)
        return []


def _emulate(say_only: bool) -> None:
    try:
        emulators.register(emulators.wanted(), say)
    except LabError as error:
        if not say_only:
            raise
        say("without foreign architectures: %s" % error)


def _launch(command: Sequence[str], run: Path, socket: str) -> None:
    log = run / "dockerd.log"
    say("starting %s, log in %s" % (" ".join(command), log))
    try:
        run.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                                       start_new_session=True, cwd="/")
        (run / "started").write_text("%d %s\n" % (process.pid, engine.owner(process.pid)), encoding="ascii")
    except OSError as error:
        raise Broken("dockerd cannot be started: %s" % reason(error)) from error
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            engine.connect(timeout=PATIENCE).close()
        except NotHere:
            time.sleep(_PAUSE)
            continue
        process.returncode = 0  # it stays, and Popen would warn of that
        say("pid %d at %s; `python -m tools.daemon stop` ends it" % (process.pid, socket))
        return
    why = "does not answer within %.0f s" % PATIENCE if process.poll() is None else "ended"
    if process.poll() is None:
        process.terminate()
        process.wait()
    (run / "started").unlink()
    raise Broken("dockerd %s: %s" % (why, _last_words(log)))


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "%s (%s)" % (engine.one_line(lines[-1]) if lines else "it said nothing", log)


def started(run: Path = RUN) -> Optional[Started]:
    """The dockerd that we started, if it is alive. A number that another process has by now is not it."""
    try:
        pid, _, owner = (run / "started").read_text(encoding="ascii").strip().partition(" ")
    except FileNotFoundError:
        return None
    return Started(int(pid), owner) if pid.isdigit() and engine.owner(int(pid)) == owner else None


def stop(run: Path) -> None:
    """End the dockerd that we started, and wait for it. Any other stays. Raises ``Broken`` where it does not end."""
    found = started(run)
    if found is None:
        say("we started none, or it is gone")
        return
    os.kill(found.pid, 15)
    deadline = time.monotonic() + PATIENCE
    while started(run) is not None:
        if time.monotonic() > deadline:
            raise Broken("dockerd (pid %d) does not end; see %s" % (found.pid, run / "dockerd.log"))
        time.sleep(_PAUSE)
    (run / "started").unlink()
    say("dockerd (pid %d) has ended" % found.pid)


def status(run: Path) -> None:
    """Say what answers, and whether we started it. Raises ``NotHere`` where nothing does."""
    found = started(run)
    say("%s; %s" % (answer(), "started by us, pid %d" % found.pid if found is not None else "not started by us"))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Do one of the four. What follows ``--`` is for dockerd."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    at = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(prog="python -m tools.daemon", description="A container engine for a "
                                     "machine that has none.", epilog="After -- come arguments for dockerd.")
    parser.add_argument("what", choices=("start", "stop", "status", "emulate"))
    parser.add_argument("--run", type=Path, default=RUN, metavar="DIR", help="where to note it; default: %(default)s")
    options = parser.parse_args(arguments[:at])
    try:
        if options.what == "start":
            start(options.run, arguments[at + 1:])
        elif options.what == "emulate":
            _emulate(say_only=False)
        else:
            {"stop": stop, "status": status}[options.what](options.run)
    except LabError as error:
        print("engine: %s" % error, file=sys.stderr)
        return error.exit_code
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
