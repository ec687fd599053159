"""`python -m tools.daemon start`: install and start a container engine on a machine that has none, and stop it again.

    python -m tools.daemon start | stop | status | emulate        (`make engine` runs `start`)

If an engine answers, `start` uses it as it is. If none answers, and you are root on Debian or Ubuntu, `start` installs
the packages, starts dockerd in the background with gVisor as a second runtime, and registers emulators for foreign
architectures. It prints each step before it takes it. ENGINE=require forbids installing and starting. We start dockerd
ourselves, because a container or a CI job has no systemd. dockerd inherits none of our descriptors, so a program that
reads our output does not wait for dockerd to end.
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
from lab.text import one_line
from tools import emulators, gvisor, install

RUN = Path("/run/muxlab")
"""The folder in which we note the process id of the dockerd that we started."""
SOCKET = "unix:///var/run/docker.sock"
PATIENCE = 60.0
"""Seconds within which dockerd must answer, or end. Before it ends, it ends its containers."""
_PAUSE = 0.1


class Started(NamedTuple):
    """The dockerd that we started: its process id, and ``engine.owner`` of it."""

    pid: int
    owner: str


def say(text: str) -> None:
    """Print one line and flush it, because the next step may take a minute."""
    print("engine: " + text, flush=True)


def policy() -> str:
    """The environment variable ENGINE: empty (install and start an engine if there is none), ``require`` (never install
    or start one) or ``none`` (do without one). Raises ``Usage``."""
    wanted = os.environ.get("ENGINE", "")
    if wanted not in ("", "require", "none"):
        raise Usage("ENGINE=%s: use `require` (never install or start an engine) or `none` (do without one)"
                    % one_line(wanted))
    return wanted


def answer() -> str:
    """The version and the runtimes of the engine that answers. Raises ``NotHere`` if none answers."""
    client = engine.connect(timeout=10.0)
    try:
        with engine.errors_as_broken("the engine"):
            return "%s, with %s" % (client.version()["Version"], ", ".join(engine.runtimes(client)))
    finally:
        client.close()


def start(run: Path, more: Sequence[str]) -> None:
    """Make sure that an engine answers: start one if needed. ``run``: the folder for our notes. ``more``: arguments for
    dockerd. Raises ``NotHere`` or ``Broken``."""
    wanted = policy()
    if wanted == "none":
        say("not starting one (ENGINE=none)")
        return
    try:
        say("using the one that answers: %s" % answer())
        return
    except NotHere as error:
        if wanted == "require":
            raise NotHere("%s; ENGINE=require forbids installing or starting one" % error) from None
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
    """The arguments for dockerd that add gVisor. If gVisor cannot be installed, the engine starts without it."""
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
        raise Broken("cannot start dockerd: %s" % reason(error)) from error
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            engine.connect(timeout=PATIENCE).close()
        except NotHere:
            time.sleep(_PAUSE)
            continue
        process.returncode = 0  # dockerd goes on, and Popen would warn about a running child
        say("dockerd has pid %d and listens at %s; `python -m tools.daemon stop` ends it" % (process.pid, socket))
        return
    why = "did not answer within %.0f s" % PATIENCE if process.poll() is None else "ended"
    if process.poll() is None:
        process.terminate()
        process.wait()
    (run / "started").unlink()
    raise Broken("dockerd %s: %s" % (why, _last_words(log)))


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "%s (%s)" % (one_line(lines[-1]) if lines else "its log is empty", log)


def started(run: Path = RUN) -> Optional[Started]:
    """The dockerd that we started; None if it has ended, even if another process has its process id now."""
    try:
        pid, _, owner = (run / "started").read_text(encoding="ascii").strip().partition(" ")
    except FileNotFoundError:
        return None
    return Started(int(pid), owner) if pid.isdigit() and engine.owner(int(pid)) == owner else None


def stop(run: Path) -> None:
    """End the dockerd that we started, and wait until it has ended. Leave any other engine alone. Raises ``Broken`` if
    it does not end."""
    found = started(run)
    if found is None:
        say("nothing to stop: we started no dockerd, or it has ended")
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
    """Print which engine answers, and whether we started it. Raises ``NotHere`` if none answers."""
    found = started(run)
    say("%s; %s" % (answer(), "started by us, pid %d" % found.pid if found is not None else "not started by us"))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one of the four commands. Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    at = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(prog="python -m tools.daemon", description="Start a container engine on a "
                                     "machine that has none, and stop it again.",
                                     epilog="Arguments after -- go to dockerd.")
    parser.add_argument("what", choices=("start", "stop", "status", "emulate"), help="start an engine if none "
                        "answers, stop the one that we started, show which one answers, or register emulators for "
                        "foreign architectures")
    parser.add_argument("--run", type=Path, default=RUN, metavar="DIR", help="the folder in which to note the engine "
                        "that we start; default: %(default)s")
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
