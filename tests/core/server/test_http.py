"""The HTTP handler: which requests it accepts and which it rejects, however they are cut into pieces."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Tuple

import pytest
from hypothesis import given, settings, strategies as st

from lab.server.http import MAX_HEAD, Http, judge

BODY = b"Hello from muxlab.\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
STABLE = settings(max_examples=200, deadline=None, derandomize=True)


class Answer(NamedTuple):
    """One parsed response."""

    status: int
    close: bool
    body: bytes


def talk(*segments: bytes) -> Tuple[bytes, bool]:
    """The output for this input, and whether the connection is then closed. Input after the close counts too, because a
    model may have read it already."""
    http = Http()
    output = b""
    for segment in segments:
        buffer = bytearray(segment)
        output += http.received(memoryview(buffer))
        buffer[:] = b"\0" * len(buffer)
    return output, http.finished


def answers(output: bytes, heads_only: bool = False) -> List[Answer]:
    """Parse the output as a client does; fails if it is not a sequence of responses. ``heads_only``: the requests were
    HEAD."""
    found = []
    while output:
        head, separator, output = output.partition(b"\r\n\r\n")
        assert separator
        status, *lines = head.split(b"\r\n")
        match = re.match(rb"HTTP/1\.1 (\d{3}) [A-Z][A-Za-z ]+\Z", status)
        assert match is not None, status
        fields = dict(line.lower().split(b": ") for line in lines)
        if match.group(1) == b"100":
            continue
        length = 0 if heads_only else int(fields[b"content-length"])
        body, output = output[:length], output[length:]
        assert len(body) == length
        found.append(Answer(int(match.group(1)), {b"close": True, b"keep-alive": False}[fields[b"connection"]], body))
    return found


def request(*lines: bytes, first: bytes = b"GET / HTTP/1.1", host: bool = True) -> bytes:
    """A request head with these header lines."""
    return b"\r\n".join([first, *([b"Host: a"] if host else []), *lines, b"", b""])


def is_refused(data: bytes) -> bool:
    """Whether the first answer is a 400, and the connection is closed."""
    output, finished = talk(data)
    found = answers(output)
    return finished and len(found) == 1 and found[0].status == 400 and found[0].close


def is_kept(data: bytes) -> bool:
    """Whether the answer is 200, and a further request is answered too."""
    found = answers(talk(data, GET)[0])
    return [(each.status, each.close) for each in found] == [(200, False)] * 2


def is_last(data: bytes) -> bool:
    """Whether the answer is 200, and nothing after the request is answered."""
    output, finished = talk(data, GET)
    found = answers(output)
    return finished and [(each.status, each.close) for each in found] == [(200, True)]


# Valid requests.

def test_a_request_is_answered_and_the_connection_kept() -> None:
    assert is_kept(GET)
    assert answers(talk(GET)[0])[0].body == BODY


def test_pipelined_requests_are_answered_in_order_and_those_after_close_are_not() -> None:
    close = request(b"Connection: close")
    output, finished = talk(GET * 3 + close + GET * 2)
    assert [each.close for each in answers(output)] == [False, False, False, True]
    assert finished


def test_head_is_answered_as_get_without_the_body() -> None:
    get, _ = talk(GET)
    head, _ = talk(GET.replace(b"GET", b"HEAD"))
    assert get == head + BODY
    assert len(answers(talk(request(first=b"HEAD / HTTP/1.1") * 2)[0], heads_only=True)) == 2


@pytest.mark.parametrize("first, lines, kept", [
    (b"GET / HTTP/1.1", [], True),
    (b"GET / HTTP/1.1", [b"Connection: keep-alive"], True),
    (b"GET / HTTP/1.1", [b"Connection: close"], False),
    (b"GET / HTTP/1.1", [b"connection:CLOSE"], False),
    (b"GET / HTTP/1.1", [b"Connection: Upgrade , Close"], False),
    (b"GET / HTTP/1.1", [b"Connection: close", b"Connection: upgrade"], False),
    (b"GET / HTTP/1.1", [b"Connection: closed"], True),
    (b"GET / HTTP/1.1", [b"X-Connection: close"], True),
    (b"GET / HTTP/1.0", [], False),
    (b"GET / HTTP/1.0", [b"Connection: close"], False),
    (b"GET / HTTP/1.0", [b"Connection: Keep-Alive"], True),
    (b"GET / HTTP/1.0", [b"Connection: keep-alive, close"], False),
])
def test_the_connection_is_kept_as_version_and_header_say(first: bytes, lines: List[bytes], kept: bool) -> None:
    assert (is_kept if kept else is_last)(request(*lines, first=first))


@pytest.mark.parametrize("line", [b"", b"X:", b"X: \t ", b"X-Empty:  v\t", b"X: a:b", b"X: \xe9\xff",
                                  b"!#$%&'*+.^_`|~: v",
                                  b"Content-Length: 0", b"Content-Length: 000"])
def test_strange_but_valid_header_lines_pass(line: bytes) -> None:
    assert is_kept(request(*([line] if line else [])))


@pytest.mark.parametrize("first", [b"GET * HTTP/1.1", b"G / HTTP/1.1", b"DELETE http://a:1/?b#c%20 HTTP/1.1",
                                   b"M-SEARCH / HTTP/1.1"])
def test_any_method_and_target_pass(first: bytes) -> None:
    assert is_kept(request(first=first))


def test_http_1_0_needs_no_host() -> None:
    assert is_last(request(first=b"GET / HTTP/1.0", host=False))


def test_empty_lines_before_a_request_count_for_nothing() -> None:
    assert is_kept(b"\r\n" + GET)
    assert talk(GET + b"\r\n\r\n" + GET) == talk(GET * 2)


# Bodies.

@pytest.mark.parametrize("size", [1, 2, 19, 5000, 100_000])
@pytest.mark.parametrize("step", [1, 7, 4096, 200_000])
def test_a_body_is_skipped_across_any_split(size: int, step: int) -> None:
    if size // step > 20_000:
        step = 4096
    data = request(b"Content-Length: %d" % size, first=b"POST / HTTP/1.1") + b"\r" * size + GET
    output, finished = talk(*(data[at:at + step] for at in range(0, len(data), step)))
    assert [(each.status, each.close) for each in answers(output)] == [(200, False)] * 2
    assert not finished


def test_a_body_that_looks_like_requests_is_none() -> None:
    data = request(b"Content-Length: %d" % (3 * len(GET))) + 3 * GET
    assert len(answers(talk(data)[0])) == 1
    assert len(answers(talk(data + GET)[0])) == 2


def test_the_answer_comes_after_the_body() -> None:
    """With Connection: close, an earlier answer would leave only LINGER seconds for the upload."""
    http = Http()
    assert http.received(memoryview(request(b"Content-Length: 3", b"Connection: close") + b"ab")) == b""
    assert not http.finished
    assert answers(http.received(memoryview(b"c")))[0].status == 200
    assert http.finished


def test_a_request_that_expects_100_continue_gets_it() -> None:
    http = Http()
    head = request(b"Content-Length: 3", b"Expect: 100-Continue", first=b"PUT / HTTP/1.1")
    assert http.received(memoryview(head)) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answers(http.received(memoryview(b"abc" + GET))) == [Answer(200, False, BODY)] * 2


@pytest.mark.parametrize("data", [
    request(b"Content-Length: 1", b"Expect: 100-continue", first=b"PUT / HTTP/1.0"), request(b"Expect: 100-continue"),
    request(b"Content-Length: 0", b"Expect: 100-continue"), request(b"Content-Length: 1", b"Expect: tea")])
def test_no_other_request_is_answered_with_100_continue(data: bytes) -> None:
    assert b" 100 " not in talk(data)[0]


def test_a_body_of_many_terabytes_takes_no_memory() -> None:
    http = Http()
    http.received(memoryview(request(b"Content-Length: 999999999999999")))
    for _ in range(3):
        assert http.received(memoryview(b"x" * 60_000)) == b""
    assert http._head == b""


# Invalid requests.

@pytest.mark.parametrize("first", [
    b"GET /", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET / HTTP/1.2", b"GET / HTTP/2.0",
    b"GET / HTTP/1.10", b"GET / http/1.1", b"GET /\t/ HTTP/1.1", b"GET / / HTTP/1.1", b"G@T / HTTP/1.1", b"/ HTTP/1.1",
    b"GET \xe9 HTTP/1.1", b"GET /\0 HTTP/1.1", b"hello", b"\x16\x03\x01", b"GET / HTTP/1.1\r", b"GET\r / HTTP/1.1"])
def test_malformed_request_lines_are_refused(first: bytes) -> None:
    assert is_refused(request(first=first))


@pytest.mark.parametrize("lines", [
    [b"no colon"], [b": no name"], [b"Space : before"], [b" Leading: space"], [b"X: \0"], [b"X: a\x7fb"], [b"X: \x01"],
    [b"X: a\rb"], [b"\xe9: v"], [b"X(: v"], [b"X: fold", b" ed"], [b"X: fold", b"\ted"], [b"Host: b"], [b"host: a"]])
def test_malformed_header_lines_are_refused(lines: List[bytes]) -> None:
    assert is_refused(request(*lines))


def test_a_missing_host_is_refused() -> None:
    assert is_refused(request(host=False))


@pytest.mark.parametrize("values", [[b"-1"], [b"+1"], [b"0x1"], [b"1_0"], [b"1.0"], [b""], [b"1 1"], [b"1,1"],
                                    [b"9" * 16], [b"9" * 5000], [b"\xb2"], [b"1", b"2"], [b"1", b"01"]])
def test_content_lengths_that_are_no_plain_number_are_refused(values: List[bytes]) -> None:
    assert is_refused(request(*(b"Content-Length: " + value for value in values)))


def test_the_same_content_length_twice_is_one() -> None:
    assert answers(talk(request(b"Content-Length: 2", b"content-length: 2") + b"ab" + GET)[0])[1:] == [
        Answer(200, False, BODY)]


@pytest.mark.parametrize("value", [b"chunked", b"identity", b"", b"gzip, chunked"])
def test_transfer_encodings_are_refused_beside_a_length_too(value: bytes) -> None:
    assert is_refused(request(b"Transfer-Encoding: " + value))
    assert is_refused(request(b"Content-Length: 3", b"Transfer-Encoding: " + value) + b"0\r\n\r\n")


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.0\n\n", b"GET / HTTP/1.1\r\nHost: a\n\r\n", b"\n" + GET,
    b"GET / HTTP/1.1\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\n"])
def test_lines_that_end_with_lf_alone_are_refused_rather_than_waited_on(data: bytes) -> None:
    assert is_refused(data)
    assert talk(*(data[at:at + 1] for at in range(len(data)))) == talk(data)


def padded(size: int) -> bytes:
    """A valid head of exactly this many bytes, the empty line included."""
    fixed = len(request(b"X: ")) - 4
    return request(b"X: " + b"x" * (size - fixed))


@pytest.mark.parametrize("before", [b"", GET, request(b"Content-Length: 5") + b"a\r\n\r\n"])
@pytest.mark.parametrize("step", [1, 4096, 8192, 100_000])
def test_a_head_may_have_8192_bytes_and_no_more(before: bytes, step: int) -> None:
    def status(data: bytes) -> int:
        return answers(talk(*(data[at:at + step] for at in range(0, len(data), step)))[0])[-1].status

    assert MAX_HEAD == 8192
    assert len(padded(MAX_HEAD)) == MAX_HEAD + 4
    assert status(before + padded(MAX_HEAD)) == 200
    assert status(before + padded(MAX_HEAD + 1)) == 400


def test_a_head_without_an_end_is_refused_as_soon_as_it_is_too_long() -> None:
    endless = b"GET /" + b"x" * (MAX_HEAD - 2)
    assert talk(endless) == (b"", False)
    assert is_refused(endless + b"x")
    http = Http()
    http.received(memoryview(endless + b"x"))
    assert http._head == b""
    assert http.received(memoryview(GET)) == b""


def test_many_different_heads_are_not_all_remembered() -> None:
    for number in range(1000):
        talk(request(b"X: %d" % number))
    info = judge.cache_info()
    assert info.maxsize is not None and info.currsize <= info.maxsize <= 1000


# Any split of any input.

def cut(data: bytes, cuts: List[int]) -> List[bytes]:
    edges = [0, *sorted({each % (len(data) + 1) for each in cuts}), len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:])]


NAMES = st.sampled_from([b"Host", b"Content-Length", b"Connection", b"Expect", b"Transfer-Encoding", b"X", b"x y", b""])
VALUES = st.sampled_from([b"a", b"0", b"5", b"9000", b"close", b"keep-alive", b"100-continue", b"", b"\0", b"\r"])
FIRSTS = st.sampled_from([b"GET / HTTP/1.1", b"HEAD / HTTP/1.0", b"POST /x HTTP/1.1", b"GET /", b""])
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n "])


@st.composite
def nearly_http(draw: st.DrawFn) -> bytes:
    """Bytes that look like a request, but mostly are not."""
    lines = [draw(FIRSTS)] + [b"%s: %s" % (draw(NAMES), draw(VALUES)) for _ in range(draw(st.integers(0, 4)))]
    return b"".join(line + draw(ENDS) for line in lines) + draw(ENDS)


@st.composite
def valid_http(draw: st.DrawFn) -> bytes:
    """A request after which the connection is kept, with its body."""
    body = draw(st.binary(max_size=60)) * draw(st.sampled_from([1, 1, 200]))
    lines = [b"Content-Length: %d" % len(body)] if body or draw(st.booleans()) else []
    others = st.sampled_from([b"X: y", b"Expect: 100-continue", b"Accept: */*"])
    lines += draw(st.lists(others, max_size=3, unique=True))
    return request(*lines, first=draw(st.sampled_from([b"GET / HTTP/1.1", b"POST / HTTP/1.1"]))) + body


GARBAGE = st.one_of(st.binary(max_size=300), st.binary(min_size=1, max_size=3).map(lambda data: data * 5000))
CUTS = st.lists(st.integers(0, 20_000), max_size=30)


@given(parts=st.lists(st.one_of(nearly_http(), valid_http(), GARBAGE), max_size=5), cuts=CUTS)
@STABLE
def test_any_split_of_anything_is_answered_the_same(parts: List[bytes], cuts: List[int]) -> None:
    data = b"".join(parts)
    assert talk(*cut(data, cuts)) == talk(data)
    answers(talk(data.replace(b"HEAD", b"GET"))[0])  # the output must be a sequence of responses


@given(parts=st.lists(st.one_of(nearly_http(), valid_http()), max_size=3))
@settings(STABLE, max_examples=60)
def test_byte_by_byte_is_answered_the_same(parts: List[bytes]) -> None:
    data = b"".join(parts)[:6000]
    assert talk(*(data[at:at + 1] for at in range(len(data)))) == talk(data)


@given(requests=st.lists(valid_http(), max_size=8), cuts=CUTS)
@STABLE
def test_each_request_of_a_valid_pipeline_is_answered(requests: List[bytes], cuts: List[int]) -> None:
    output, finished = talk(*cut(b"".join(requests), cuts))
    assert answers(output) == [Answer(200, False, BODY)] * len(requests)
    assert not finished
