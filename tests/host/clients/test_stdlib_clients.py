"""Clients of Python's own library, which know nothing of ours: asyncio streams, http.client, urllib, makefile."""

from __future__ import annotations

import asyncio
import http.client
import socket
import urllib.error
import urllib.request
from typing import Any, List

import pytest

from lab.address import UNIX, resolve
from tests.core.conformance.peers import pattern
from tests.core.conformance.serving import KINDS, SERVICES, Server, Service, directory, each, needs_unix
from tests.waits import PATIENCE

BODY = b"Hello from muxlab.\n"


def port(server: Server) -> int:
    return int(server.where[0].where[1])


async def stream(server: Server, data: bytes) -> bytes:
    """What a stock asyncio client gets back for ``data`` and a half-close."""
    where = server.where[0]
    if where.family == UNIX:
        connect: Any = getattr(asyncio, "open_unix_connection")  # noqa: B009 - type checkers know it on POSIX only
        reader, writer = await connect(where.where)
    else:
        reader, writer = await asyncio.open_connection(*where.where[:2])

    async def send() -> None:
        for at in range(0, len(data), 50_000):
            writer.write(data[at:at + 50_000])
            await writer.drain()
        writer.write_eof()

    sending = asyncio.ensure_future(send())
    got: bytes = await reader.read()
    await sending
    writer.close()
    await writer.wait_closed()
    return got


async def streams(server: Server, datas: List[bytes]) -> List[bytes]:
    return list(await asyncio.wait_for(asyncio.gather(*(stream(server, data) for data in datas)), 4 * PATIENCE))


@each(SERVICES)
def test_asyncio_streams_get_their_own_bytes_back(service: Service) -> None:
    datas = [pattern(100_000, number) for number in range(20)]
    with Server(service) as server:
        assert asyncio.run(streams(server, datas)) == datas
        stats = server.end()
    assert (stats.accepted, stats.bytes_in, stats.bytes_out, stats.resets) == (20, 2_000_000, 2_000_000, 0)


@needs_unix
@each(KINDS)
def test_asyncio_streams_over_a_unix_socket(service: Service) -> None:
    with directory() as where, Server(service, where=[resolve("unix:%s/s" % where, 0)]) as server:
        assert asyncio.run(streams(server, [pattern(1_000_000)])) == [pattern(1_000_000)]


@each(KINDS)
def test_http_client_keeps_its_connection(service: Service) -> None:
    with Server(service, "http") as server:
        client = http.client.HTTPConnection("127.0.0.1", port(server), timeout=PATIENCE)
        for method, body in (("GET", None), ("POST", b"x" * 200_000), ("HEAD", None), ("PUT", b""), ("GET", None)):
            client.request(method, "/any?path", body)
            response = client.getresponse()
            assert (response.status, response.version) == (200, 11)
            assert response.read() == (b"" if method == "HEAD" else BODY)
            assert not response.will_close
        client.close()
        stats = server.end()
    assert (stats.accepted, stats.resets) == (1, 0)


@each(KINDS)
def test_http_client_sees_why_it_is_refused(service: Service) -> None:
    with Server(service, "http") as server:
        client = http.client.HTTPConnection("127.0.0.1", port(server), timeout=PATIENCE)
        client.request("POST", "/", iter([b"one", b"two"]), encode_chunked=True)
        response = client.getresponse()
        assert (response.status, response.will_close) == (400, True)
        assert response.read() == b"400: this server accepts no chunked bodies\n"
        client.close()


@each(KINDS)
def test_urllib_opens_it(service: Service) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    address = "http://127.0.0.1:%d/"
    with Server(service, "http") as server:
        with opener.open(address % port(server), timeout=PATIENCE) as response:
            assert (response.status, response.read()) == (200, BODY)
        request = urllib.request.Request(address % port(server), headers={"X": "x" * 9000})
        with pytest.raises(urllib.error.HTTPError) as refusal:
            opener.open(request, timeout=PATIENCE)
        assert refusal.value.code == 400
        refusal.value.close()


@each(KINDS)
def test_a_buffered_file_over_the_socket_reads_lines(service: Service) -> None:
    with Server(service) as server, socket.create_connection(server.where[0].where, PATIENCE) as sock, \
            sock.makefile("rwb") as file:
        for number in range(50):
            file.write(b"line %d\n" % number)
            file.flush()
            assert file.readline() == b"line %d\n" % number
