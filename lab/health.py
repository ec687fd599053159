"""`lab health`: checks that a server serves, by what it sends back.

An open port proves nothing: the proxy of a container engine accepts connections before the server listens, and the
kernel's backlog accepts them while the server hangs. So we send a request, close our sending side, and wait for the
reply that the handler gives:

    echo                      the request itself
    http, chargen, daytime    some bytes
    discard                   no bytes, then the end of the stream

The check connects as any other client does. So a server that is full, with others waiting, fails it.
"""

from __future__ import annotations

import argparse
import socket
import time

from lab.address import Address, resolve
from lab.errors import EXIT_OK, Broken, reason
from lab.quantities import format_seconds, seconds

REQUEST = b"GET / HTTP/1.0\r\n\r\n"
"""A request that the http handler answers. For all other handlers it is just some bytes."""


def ask(where: Address, timeout: float) -> bytes:
    """Send the request, and return the first bytes of the reply, at most as many as we sent; empty if the stream ended
    without a byte. ``timeout`` is in seconds.

    Raises OSError if the connection is refused or reset, or the timeout has passed.
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
    """Check the server and print one line. Raises ``Broken`` if it does not serve."""
    where = resolve(options.host, options.port)
    began = time.monotonic()
    try:
        got = ask(where, max(0.001, options.timeout))
    except OSError as error:  # any: with each of them the server does not serve
        raise Broken("%s does not serve: %s; see its log" % (where, reason(error))) from None
    said = "echoes" if got == REQUEST else "answers" if got else "takes all and says nothing"
    print("%s %s (%s)" % (where, said, format_seconds(time.monotonic() - began)))
    return EXIT_OK
