"""Connections on which nobody asks anything: they must not take the daemon its file handles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.server import ServerState

from connector.inbound import Impatient

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
LONG_ENOUGH = 20.0


class Quick(Impatient):
    patience = 0.05


class Narrow(Impatient):
    most = 2


class Server:
    """The protocol on a port of its own; `/slow` answers when `go` is set."""

    def __init__(self, protocol: type[Impatient]) -> None:
        self.go = asyncio.Event()
        self._protocol = protocol
        app = Starlette(routes=[Route("/", self._at_once), Route("/slow", self._slow)])
        self._config = uvicorn.Config(app, log_config=None, lifespan="off", http=protocol)

    async def _at_once(self, _: Request) -> Response:
        return PlainTextResponse("ok")

    async def _slow(self, _: Request) -> Response:
        await self.go.wait()
        return PlainTextResponse("ok")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        self._config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: self._protocol(config=self._config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        async with server:
            yield server.sockets[0].getsockname()[1]


async def ends(reader: asyncio.StreamReader) -> bool:
    """Whether the other side hangs up without a word."""
    try:
        return await asyncio.wait_for(reader.read(), LONG_ENOUGH) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("sent", [b"", b"POST /nudge/halo HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_a_connection_without_a_whole_request_is_ended(sent: bytes) -> None:
    async def attack() -> None:
        async with Server(Quick).running() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            assert await ends(reader)
            writer.close()

    asyncio.run(attack())


def test_a_half_request_after_a_whole_one_is_ended_too() -> None:
    async def attack() -> None:
        async with Server(Quick).running() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            writer.write(b"GET / HT")
            assert await ends(reader)
            writer.close()

    asyncio.run(attack())


def test_an_answer_that_takes_long_is_waited_for() -> None:
    async def ask() -> None:
        server = Server(Quick)
        async with server.running() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            asyncio.get_running_loop().call_later(6 * Quick.patience, server.go.set)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            writer.close()

    asyncio.run(ask())


def test_more_connections_than_the_daemon_can_spare_are_turned_away() -> None:
    async def attack() -> None:
        async with Server(Narrow).running() as port:
            held: list[Streams] = [await asyncio.open_connection("127.0.0.1", port) for _ in range(Narrow.most)]
            for _, writer in held:
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            for reader, _ in held:
                await reader.readuntil(b"ok")
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await ends(reader)
            for _, one in (*held, (reader, writer)):
                one.close()

    asyncio.run(attack())
