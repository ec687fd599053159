"""`lab health`: whether a server serves, told by what comes back from it.

That a port is open says nothing: a container engine's proxy accepts before the server listens, and a kernel's backlog
while the server hangs. So a request is sent, its end too, and something must come back:

    echo                      the request itself
    http, chargen, daytime    bytes
    discard                   nothing, then the end of the stream, which is all that it ever says

It opens a connection as any other client does: a server that is full, and has others waiting, does not pass.
"""

from __future__ import annotations

import argparse
import socket
import time

from lab.address import Address, resolve
from lab.errors import EXIT_OK, Broken, reason
from lab.quantities import format_seconds, seconds

REQUEST = b"GET / HTTP/1.0\r\n\r\n"
"""What the http handler answers; to all others it is a few bytes like any."""


def ask(where: Address, timeout: float) -> bytes:
    """What comes back first, at most as much as was sent; empty where the stream ended without a byte.

    Raises OSError where the connection is refused or reset, or the timeout has passed.
    """
    deadline = time.monotonic() + timeout
    got = b""
    with socket.socket(where.family, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(where.where)
        sock.sendall(REQUEST)
        sock.shutdown(socket.SHUT_WR)
        while len(got) < len(REQUEST):
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            piece = sock.recv(len(REQUEST) - len(got))
            if not piece:
                break
            got += piece
    return got


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lab health`."""
    parser.epilog = "Exit codes: 0 it serves, 4 it does not."
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="an address, a name or unix:/path; default: %(default)s")
    add("--port", type=int, default=10000, help="the port; default: %(default)s")
    add("--timeout", type=seconds, default=5.0, metavar="S", help="seconds for all of it; default: 5")


def run(options: argparse.Namespace) -> int:
    """Ask, and tell in one line. Raises ``Broken`` where nothing comes back."""
    where = resolve(options.host, options.port)
    began = time.monotonic()
    try:
        got = ask(where, max(0.001, options.timeout))
    except OSError as error:  # any: whatever the reason is, it does not serve
        raise Broken("%s does not serve: %s; see its log" % (where, reason(error))) from None
    said = "echoes" if got == REQUEST else "answers" if got else "takes all and says nothing"
    print("%s %s (%s)" % (where, said, format_seconds(time.monotonic() - began)))
    return EXIT_OK
