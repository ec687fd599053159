"""`lab serve`: turn the options into a running server, and report when it listens and what it did."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

from lab import address, quantities
from lab.backends import find, names, preferred
from lab.errors import EXIT_OK, Usage
from lab.server import workers
from lab.server.handlers import HANDLERS
from lab.server.limits import Limits, Stats
from lab.server.log import Log, pairs
from lab.server.models import Model, Plan
from lab.server.models.asynchronous import Asynchronous
from lab.server.models.blocking import Blocking
from lab.server.models.multiplexing import Multiplexing
from lab.server.models.nonblocking import Nonblocking
from lab.server.signals import NAMES, StopSignals

MODELS = {model.name: model for model in (Blocking, Nonblocking, Multiplexing, Asynchronous)}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab serve`."""
    parser.epilog = ("SIGTERM or Ctrl-C stops the server, on Windows Ctrl-C or Ctrl-Break: it accepts no new "
                     "connections, sends the output that is left, and exits with code 0. A second signal ends it at "
                     "once, with exit code 128 + the signal's number.")
    add = parser.add_argument
    add("--model", choices=list(MODELS), default=Multiplexing.name, help="how the server waits for I/O; default: "
        "%(default)s")
    add("--backend", metavar="NAME", help="the interface that the multiplexing model waits on, one of: %s; default: "
        "the first of them that this platform has" % ", ".join(names()))
    add("--handler", choices=list(HANDLERS), default="echo", help="the protocol to serve; default: %(default)s")
    add("--host", default="127.0.0.1", help="the address to listen on, or unix:/path; default: %(default)s")
    add("--port", type=int, default=10000, help="the port to listen on; 0 chooses a free one; default: %(default)s")
    add("--expose", action="store_true", help="allow an address that other machines can reach")
    add("--dual-stack", action="store_true", help="accept IPv4 and IPv6 clients")
    add("--workers", type=quantities.positive, default=1, metavar="N", help="serve the port with N processes; "
        "default: 1")
    add("--max-connections", type=quantities.positive, metavar="N", help="keep at most N connections open; further "
        "peers wait; default: no limit")
    add("--idle-timeout", type=quantities.seconds, metavar="S", help="close a connection in which no byte moved for S "
        "seconds; default: never")
    add("--max-buffer", type=quantities.byte_count, default=1024 * 1024, metavar="BYTES", help="stop reading from a "
        "peer while more than BYTES of output wait for it; default: 1M")
    add("--drain", type=quantities.seconds, default=5.0, metavar="S", help="send the output that is left for up to S "
        "seconds when stopped; default: 5")
    add("--trace", action="store_true", help="log each wait: watched, how long, ready, read, written")
    add("--log", choices=["text", "json"], default="text", help="the form of all output; default: %(default)s")


def run(options: argparse.Namespace) -> int:
    """Serve until a signal stops the server. Returns the exit code. Raises ``LabError``."""
    log = Log(as_json=options.log == "json")
    _check(options)
    where = _addresses(options)
    if options.workers == 1:
        with _listening(options, where) as (listeners, bound):
            return _serve(options, log, listeners, lambda said: _say_ready(log, bound, said))
    workers.check(where)
    kind = find(options.backend) if options.backend else preferred()
    said = {"backend": kind.name, "trigger": str(kind.trigger)} if MODELS[options.model].takes_backend else {
        "model": options.model}
    with _listening(options, where, backlog=False) as (_, reserved):  # so that --port 0 chooses one port for all

        def serve(ready: Callable[[], None]) -> int:
            with _listening(options, reserved) as (listeners, _):
                return _serve(options, log, listeners, lambda said: ready(), (workers.STOP,))

        return workers.supervise(options.workers, serve, lambda pids: _say_ready(
            log, reserved, dict(said, handler=options.handler, workers=len(pids))))


def _check(options: argparse.Namespace) -> None:
    """Raise ``Usage`` for options that contradict each other or would have no effect. Raises as ``find``, too."""
    model = MODELS[options.model]
    if options.backend is not None and not model.takes_backend:
        raise Usage("--backend %s: the %s model waits on no backend; use --model multiplexing"
                    % (options.backend, model.name))
    if options.backend is not None:
        find(options.backend)  # raise before we bind any address
    if options.trace and not model.can_trace:
        raise Usage("--trace: the %s model does not wait in our code, so there is nothing to trace; use multiplexing "
                    "or nonblocking" % model.name)
    if options.max_buffer < 1:
        raise Usage("--max-buffer 0: the server must be able to queue some output; give at least 1")
    if options.idle_timeout == 0:
        raise Usage("--idle-timeout 0: every connection would end at once; leave the option out for no timeout")


def _addresses(options: argparse.Namespace) -> List[address.Address]:
    """The addresses to listen on. Raises ``Usage`` for one that other machines can reach, unless --expose allows it."""
    where = address.resolve(options.host, options.port)
    if not where.is_loopback and not options.expose:
        raise Usage("other machines can reach %s; add --expose if you want that" % (where,))
    if not options.dual_stack:
        return [where]
    if where.family == address.UNIX:
        raise Usage("--dual-stack: %s is neither IPv4 nor IPv6" % (where,))
    if where.is_loopback:
        return address.both_loopbacks(options.port)
    if where.where[0] not in ("::", "0.0.0.0"):
        raise Usage("--dual-stack: %s is one address of one family; use --host ::" % (where,))
    return [address.resolve("::", options.port)]


@contextlib.contextmanager
def _listening(options: argparse.Namespace, where: List[address.Address], backlog: bool = True
               ) -> Iterator[Tuple[List[socket.socket], List[address.Address]]]:
    """Listening sockets on these addresses, all on the port of the first, and the addresses that they are bound to.
    At the end, close them and remove the files of unix sockets. Without ``backlog`` the sockets are only bound: they
    reserve the port but receive no connections."""
    listeners: List[socket.socket] = []
    bound: List[address.Address] = []
    shared = options.workers > 1
    dual_stack = options.dual_stack and len(where) == 1
    try:
        for wanted in where:
            if bound and wanted.where[1] == 0:  # the first has chosen a free port; use it for the others, too
                wanted = address.resolve(wanted.where[0], bound[0].where[1])  # noqa: PLW2901
            listeners.append(address.listen(wanted, dual_stack, reuse_port=shared, backlog=backlog))
            bound.append(address.bound(listeners[-1]))
        yield listeners, bound
    finally:
        for sock in listeners:
            sock.close()
        for made in bound:
            address.remove(made)


def _plan(options: argparse.Namespace, log: Log, listeners: List[socket.socket]) -> Plan:
    limits = Limits(options.max_connections, options.idle_timeout, options.max_buffer, options.drain)
    return Plan(listeners, HANDLERS[options.handler], limits, log, options.backend, options.trace)


def _serve(options: argparse.Namespace, log: Log, listeners: List[socket.socket],
           ready: Callable[[Dict[str, Any]], None], signals: Sequence[str] = NAMES) -> int:
    """Run the model in this process until one of these signals stops it. Returns the exit code."""
    model: Model = MODELS[options.model](_plan(options, log, listeners))
    with StopSignals(model.stop, model.wakeup_fd(), signals):
        ready(dict(model.describe(), handler=options.handler))
        cpu, wall = time.process_time(), time.monotonic()
        stats = model.run()
        stats.cpu_seconds = time.process_time() - cpu
        stats.wall_seconds = time.monotonic() - wall
    _say_stopped(log, stats)
    return EXIT_OK


def _say_ready(log: Log, bound: List[address.Address], said: Dict[str, Any]) -> None:
    where = [str(each) for each in bound]
    log.event("listening", "listening on %s %s" % (" and ".join(where), pairs(said)), addresses=where, pid=os.getpid(),
              python="%s %s" % (sys.implementation.name, sys.version.split()[0]), **said)


def _say_stopped(log: Log, stats: Stats) -> None:
    fields = dict(vars(stats))
    fields.update(fields.pop("extra"))
    troubles = ["%d %s" % (fields[key], text) for key, text in (
        ("resets", "reset"), ("idle", "idle"), ("refused", "refused"), ("cut_off", "cut off"), ("errors", "bugs"))
        if fields[key]]
    text = "stopped: %d connections (%d at once%s), %s in, %s out, %.2f s of CPU in %.2f s" % (
        stats.accepted, stats.peak, "".join(", " + each for each in troubles), quantities.format_bytes(stats.bytes_in),
        quantities.format_bytes(stats.bytes_out), stats.cpu_seconds, stats.wall_seconds)
    if "empty_reads" in stats.extra:
        text += ", %d waits, %d empty reads" % (stats.waits, stats.extra["empty_reads"])
    log.event("stopped", text, **fields)
