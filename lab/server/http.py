"""Enough of HTTP/1.1 for a load tool: the same 200 answer to every well-formed request. It is not a web server.

Keep-alive, pipelining, HEAD, bodies with a Content-Length and ``Expect: 100-continue`` work, so that curl, wrk and
other clients can drive any backend. Every path gets the same answer, and chunked bodies get 400. So does a head that
is malformed (RFC 9112) or larger than MAX_HEAD; the server then closes the connection.

A load tool sends the same head again and again, so ``judge`` caches its verdicts.
"""

from __future__ import annotations

import functools
import re
from typing import Dict, List, NamedTuple, Optional

from lab.server.handler import Handler

MAX_HEAD = 8192  # bytes before the empty line; nginx and Apache allow as many

_BODY = b"Hello from muxlab.\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BARE_LF_TEXT = "a line ends with LF alone"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(rb"(" + _TOKEN + rb") [!-~]+ HTTP/1\.([01])\Z")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):([ \t!-~\x80-\xff]*)\Z")


class Verdict(NamedTuple):
    """What the server does about one request head: the answer, and whether it then closes the connection."""

    answer: bytes
    close: bool
    body_bytes: int = 0  # length of the request's body; the handler skips it, then answers
    interim: bytes = b""  # the 100 Continue that the client waits for before it sends the body


def _response(status: bytes, body: bytes, close: bool, head_only: bool = False) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n%s" % (
        status, len(body), b"close" if close else b"keep-alive", b"" if head_only else body)


def _has_bare_lf(head: bytes) -> bool:
    return head.count(b"\n") != head.count(b"\r\n")  # ten times faster than a pattern, and one-byte segments repeat it


def _bad(why: str) -> Verdict:
    return Verdict(_response(b"400 Bad Request", b"400: %s\n" % why.encode("ascii"), close=True), True)


@functools.lru_cache(maxsize=64)
def judge(head: bytes) -> Verdict:
    """The verdict on a complete head, given without the empty line that ends it."""
    if _has_bare_lf(head):
        return _bad(_BARE_LF_TEXT)
    first, *lines = head.split(b"\r\n")
    request = _REQUEST.match(first)
    if request is None:
        return _bad("the request line is malformed")
    fields: Dict[bytes, bytes] = {}
    for line in lines:
        field = _FIELD.match(line)
        if field is None:
            return _bad("a header line is malformed")
        name, value = field.group(1).lower(), field.group(2).strip(b" \t")
        if name == b"host" and name in fields:  # RFC 9112 3.2 forbids two, even with the same value
            return _bad("two Host headers")
        if name == b"content-length" and fields.get(name, value) != value:
            return _bad("two different values of Content-Length")
        if name == b"connection" and name in fields:  # repeated list fields form one list (RFC 9110 5.3)
            value = fields[name] + b"," + value
        fields[name] = value
    method, minor = request.group(1), request.group(2)
    if minor == b"1" and b"host" not in fields:
        return _bad("HTTP/1.1 needs a Host header")
    if b"transfer-encoding" in fields:
        return _bad("this server accepts no chunked bodies")
    length = fields.get(b"content-length", b"0")
    if not re.match(rb"[0-9]{1,15}\Z", length):
        return _bad("Content-Length is not a number")
    options = [option.strip() for option in fields.get(b"connection", b"").lower().split(b",")]
    close = b"close" in options or (minor == b"0" and b"keep-alive" not in options)
    waits = minor == b"1" and fields.get(b"expect", b"").lower() == b"100-continue"
    return Verdict(_response(b"200 OK", _BODY, close, head_only=method == b"HEAD"), close, int(length),
                   _CONTINUE if waits else b"")


class Http(Handler):
    """The handler of one connection. Its state is the head that is not complete yet, and the body that it skips.

    It answers a request after the body. If it answered earlier, curl (7.88, with ``Expect: 100-continue``) would not
    send the body but the next request in its place, and a client whose connection ends with that answer would have
    only LINGER seconds to upload the body.
    """

    __slots__ = ("_body_bytes", "_due", "_head", "finished")

    def __init__(self) -> None:
        self._head = b""
        self._due: Optional[Verdict] = None  # on the request whose body is arriving
        self._body_bytes = 0  # of that body, not skipped yet
        self.finished = False

    def received(self, data: memoryview) -> bytes:
        """The answers to all requests that this piece of input completes, in order."""
        answers: List[bytes] = []
        text = self._head + data
        start = 0
        while not self.finished:
            if self._due is not None:
                skipped = min(self._body_bytes, len(text) - start)
                self._body_bytes -= skipped
                start += skipped
                if self._body_bytes:
                    break
                answers.append(self._due.answer)
                self.finished = self._due.close
                self._due = None
                continue
            while text.startswith(b"\r\n", start):  # a server ignores empty lines before a request (RFC 9112 2.2)
                start += 2
            if start == len(text):
                break
            end = text.find(b"\r\n\r\n", start, start + MAX_HEAD + 4)
            verdict = judge(text[start:end]) if end >= 0 else _early_verdict(text[start:start + MAX_HEAD + 4])
            if verdict is None:
                break
            if verdict.body_bytes:
                answers.append(verdict.interim)
                self._due, self._body_bytes = verdict, verdict.body_bytes
            else:
                answers.append(verdict.answer)
                self.finished = verdict.close
            start = end + 4
        self._head = b"" if self.finished else text[start:]
        return b"".join(answers)


def _early_verdict(head: bytes) -> Optional[Verdict]:
    """The verdict on an incomplete head that is wrong already, whatever follows; None if it may still become right."""
    if _has_bare_lf(head):  # this client will never send the \r\n\r\n that we wait for
        return _bad(_BARE_LF_TEXT)
    if len(head) >= MAX_HEAD + 4:
        return _bad("the head has more than %d bytes" % MAX_HEAD)
    return None
