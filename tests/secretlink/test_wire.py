"""Connections: what slow, endless and malformed requests come to, by the real parser and over real sockets.

Time is the event loop's, which a test moves on; nobody waits for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from connector.secretlink.service.answers import UNIFORM_HEADERS
from connector.secretlink.service.web import open_listener
from connector.secretlink.service.wire import BoundedHttp, Bounds, bounded_http
from tests.secretlink.support import Browser, make_link

BOUNDS = Bounds()
HEAD_SECONDS = BOUNDS.head_time.total_seconds()
BODY_SECONDS = BOUNDS.body_time.total_seconds()
SEND_SECONDS = BOUNDS.send_time.total_seconds()
KEPT_SECONDS = 5  # uvicorn's
PATIENCE = 20  # real seconds until a test gives up
A_MOMENT = 0.1

GET = b"GET /page HTTP/1.1\r\nHost: links.example\r\n\r\n"
POST = b"POST /page HTTP/1.1\r\nHost: links.example\r\n"


class Hurried(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


@dataclass
class Application:
    """Answers when it is let, and remembers what it was asked."""

    asked: list[tuple[Scope, bytes]] = field(default_factory=list)
    reads: bool = True
    until_it_leaves: bool = False
    """Answers nothing, and waits for its client to go."""
    answer: bytes = b"well"
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while self.reads:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.asked.append((scope, b"<gone>"))
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.asked.append((scope, body))
        if self.until_it_leaves:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.asked.append((scope, b"<gone>"))
            return
        await self.go.wait()
        length = str(len(self.answer)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": self.answer})

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, body in self.asked]


class Client:
    """One connection. Whoever still sends when the service ends it may find an answer lost: so TCP is."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.address = writer.get_extra_info("sockname")

    async def send(self, data: bytes) -> None:
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def end(self) -> None:
        """Say that nothing more is sent, and go on listening."""
        self._writer.write_eof()

    async def some(self) -> bytes:
        with suppress(ConnectionError):
            return await self._reader.read(65536)
        return b""

    async def rest(self) -> bytes:
        """Everything until the service ends the connection."""
        with suppress(ConnectionError):
            async with asyncio.timeout(KEPT_SECONDS - 1):  # by itself every kept connection ends after some seconds
                return await self._reader.read()
        return b""

    @property
    def untaken(self) -> int:
        """Bytes that wait here because the service does not read them."""
        return self._writer.transport.get_write_buffer_size()

    @property
    def is_open(self) -> bool:
        return not self._reader.at_eof() and self._reader.exception() is None

    def close(self) -> None:
        self._writer.transport.abort()


class FarEnd(asyncio.Transport):
    """A client that takes nothing, and is told nothing when the connection ends."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.ended = self.closed = self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class Stage:
    """A server in the test's own event loop."""

    def __init__(self, loop: Hurried, application: Application, bounds: Bounds) -> None:
        self.loop = loop
        self.application = application
        self.state = ServerState()
        self._bounds = bounds
        self._clients: list[Client] = []

    async def open(self) -> None:
        config = uvicorn.Config(
            self.application, proxy_headers=False, access_log=False, server_header=False, log_config=None, ws="none"
        )
        config.load()
        http = bounded_http(self._bounds)
        self._protocol = lambda: http(config, self.state, {}, self.loop)
        self._server = await self.loop.create_server(self._protocol, sock=open_listener("127.0.0.1", 0))
        self.address = self._server.sockets[0].getsockname()

    async def close(self) -> None:
        for client in self._clients:
            client.close()
        self._server.close()
        self.application.go.set()
        await self.until(lambda: not self.state.connections and not self.state.tasks)

    async def connect(self, *, receive_buffer: int = 0) -> Client:
        plain = socket.socket()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.setblocking(False)
        await self.loop.sock_connect(plain, self.address)
        client = Client(*await asyncio.open_connection(sock=plain))
        self._clients.append(client)
        address = plain.getsockname()
        await self.until(lambda: any(line.client == address for line in self.state.connections))
        return client

    def line(self) -> tuple[BoundedHttp, FarEnd]:
        """The service's end of a connection without a network."""
        line, far_end = self._protocol(), FarEnd()
        line.connection_made(far_end)
        return line, far_end

    async def until(self, fact: Callable[[], bool]) -> None:
        ends = time.monotonic() + PATIENCE
        while not fact():
            assert time.monotonic() < ends, "it never came to be"
            await asyncio.sleep(0)

    async def later(self, seconds: float) -> None:
        """Put the clock forward, and let everything happen that is due."""
        await self.settle()
        self.loop.ahead += seconds
        await self.settle()

    async def settle(self) -> None:
        """Let everything happen that can."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def is_open(self, client: Client) -> bool:
        """Whether the service has not ended this connection."""
        await self.settle()
        return client.is_open


def play(
    scene: Callable[[Stage], Awaitable[None]], bounds: Bounds = BOUNDS, *, held: bool = False, **application: Any
) -> None:
    """Play a scene.

    Args:
        held: Whether the application answers only when the scene lets it.
    """

    async def perform() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Hurried)
        stage = Stage(loop, Application(**application), bounds)
        if not held:
            stage.application.go.set()
        await stage.open()
        try:
            await scene(stage)
        finally:
            await stage.close()

    with asyncio.Runner(loop_factory=Hurried) as runner:
        runner.run(perform())


async def is_cut_in_time(stage: Stage, far_end: FarEnd) -> None:
    """From now on: not before what was written had its time, and not after."""
    await stage.later(SEND_SECONDS - A_MOMENT)
    assert not far_end.aborted
    await stage.later(A_MOMENT)
    assert far_end.aborted


def status_of(answer: bytes) -> int:
    return int(answer[9:12])


@pytest.mark.parametrize("sent", [b"G", b"GET /page HTTP/1.1\r\nHos", GET[:-1], b"\r\n" + GET[:-1]])
def test_a_head_that_is_not_whole_after_ten_seconds_is_refused_though_letters_of_it_come(sent: bytes) -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        for letter in sent[:-1]:
            await client.send(bytes([letter]))
        await stage.later(HEAD_SECONDS - A_MOMENT)
        await client.send(sent[-1:])
        assert await stage.is_open(client)
        await stage.later(A_MOMENT)
        assert status_of(await client.rest()) == 408
        assert stage.application.asked == []

    play(scene)


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
def test_a_connection_that_asks_nothing_is_ended_without_a_word(sent: bytes) -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(sent)
        await stage.later(HEAD_SECONDS - A_MOMENT)
        assert await stage.is_open(client)
        await stage.later(A_MOMENT)
        assert await client.rest() == b""

    play(scene)


def test_a_kept_connection_has_as_long_for_each_head_and_less_between_two() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        for _ in range(3):
            await client.send(GET[:20])
            await stage.later(HEAD_SECONDS - A_MOMENT)
            await client.send(GET[20:])
            assert status_of(await client.some()) == 200
            await stage.later(KEPT_SECONDS - A_MOMENT)
        assert await stage.is_open(client)
        await stage.later(2 * A_MOMENT)
        assert await client.rest() == b""

    play(scene)


def test_empty_lines_do_not_keep_a_connection_that_was_answered() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(GET)
        await client.some()
        for _ in range(2):
            await stage.later(KEPT_SECONDS - A_MOMENT)
            await client.send(b"\r\n")
        await stage.later(HEAD_SECONDS)
        assert await client.rest() == b""

    play(scene)


@pytest.mark.parametrize("head", [b"Content-Length: 4\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n4\r\n"])
def test_a_body_that_does_not_come_is_refused_and_the_application_learns_that_the_client_is_gone(head: bytes) -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(POST + head + b"a")
        await stage.later(BODY_SECONDS - A_MOMENT)
        await client.send(b"b")
        assert await stage.is_open(client)
        await stage.later(A_MOMENT)
        answer = await client.rest()
        assert status_of(answer) == 408
        assert answer.count(b"HTTP/1.1") == 1
        await stage.until(lambda: stage.application.bodies == [b"<gone>"])

    play(scene)


def test_a_body_that_nobody_reads_ends_the_connection_all_the_same_and_is_not_answered_twice() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            await client.send(b"1\r\na\r\n")
            await stage.later((BODY_SECONDS - A_MOMENT) / 5)
        assert await stage.is_open(client)
        await stage.later(2 * A_MOMENT)
        answer = await client.rest()
        assert status_of(answer) == 200
        assert answer.count(b"HTTP/1.1") == 1

    play(scene, reads=False)


def test_an_answer_may_take_as_long_as_the_application_likes() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(GET)
        await stage.until(lambda: bool(stage.application.asked))
        await stage.later(10 * (HEAD_SECONDS + BODY_SECONDS + SEND_SECONDS))
        stage.application.go.set()
        assert status_of(await client.some()) == 200

    play(scene, held=True)


@pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
def test_whoever_does_not_take_an_answer_is_cut_off(connection: bytes) -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect(receive_buffer=4096)
        await client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: " + connection + b"\r\n\r\n") * 2)
        await stage.until(lambda: bool(stage.application.asked))
        await stage.later(SEND_SECONDS - A_MOMENT)
        assert await stage.is_open(client)
        await stage.later(2 * A_MOMENT)
        await stage.until(lambda: not stage.state.connections)
        assert len(await client.rest()) < len(stage.application.answer)

    play(scene, answer=bytes(2**24))


def test_whoever_takes_an_answer_slowly_gets_all_of_it() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect(receive_buffer=4096)
        await client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await stage.until(lambda: bool(stage.application.asked))
        await stage.later(SEND_SECONDS / 2)
        assert len(await client.rest()) > len(stage.application.answer)

    play(scene, answer=bytes(2**24))


def test_a_pause_in_taking_an_answer_is_forgiven_once_it_is_taken() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect(receive_buffer=4096)
        await client.send(GET + GET)
        await stage.until(lambda: len(stage.application.asked) == 1)
        stage.application.go.clear()
        await stage.later(SEND_SECONDS / 2)
        taken = await client.some()
        missing = taken.index(b"\r\n\r\n") + 4 + len(stage.application.answer) - len(taken)
        while missing > 0:
            missing -= len(await client.some())
        await stage.later(SEND_SECONDS)
        assert await stage.is_open(client)

    play(scene, answer=bytes(2**24))


@pytest.mark.parametrize("pauses", [0, 1])
def test_a_closed_connection_ends_though_little_of_the_answer_is_left_to_take(pauses: int) -> None:
    async def scene(stage: Stage) -> None:
        line, far_end = stage.line()
        line.data_received(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await stage.until(lambda: far_end.closed)
        for _ in range(pauses):
            line.pause_writing()
            line.resume_writing()
        await is_cut_in_time(stage, far_end)
        line.connection_lost(None)

    play(scene)


@pytest.mark.parametrize("asked", [GET, POST + b"Content-Length: 2\r\n\r\n{}"])
def test_whoever_says_that_it_sends_nothing_more_is_answered_all_the_same(asked: bytes) -> None:
    async def scene(stage: Stage) -> None:
        for _ in range(20):
            client = await stage.connect()
            client.write(asked)
            client.end()
            assert status_of(await client.rest()) == 200

    play(scene)


def test_whoever_sends_nothing_more_and_takes_nothing_is_cut_off() -> None:
    async def scene(stage: Stage) -> None:
        line, far_end = stage.line()
        line.data_received(GET)
        await stage.until(lambda: bool(far_end.written))
        line.eof_received()
        await is_cut_in_time(stage, far_end)
        line.connection_lost(None)

    play(scene)


@pytest.mark.parametrize("behind", [b"", GET, POST + b"Content-Length: 4\r\n\r\n"])
def test_who_waits_for_news_is_known_to_have_left_though_it_asked_for_more(behind: bytes) -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(GET + behind)
        await stage.until(lambda: bool(stage.application.asked))
        await stage.settle()
        client.close()
        await stage.until(lambda: not stage.state.tasks)
        assert stage.application.bodies == [b"", b"<gone>"]

    play(scene, until_it_leaves=True)


# Answered before the body


def test_an_answer_that_waits_for_the_body_lets_the_next_request_come() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        for _ in range(2):
            await client.send(POST + b"Content-Length: 4\r\n\r\n")
            await stage.settle()
            await client.send(b"abcd")
            answer = await client.some()
            assert status_of(answer) == 200
            assert b"connection: close" not in answer
        assert stage.application.bodies == [b"abcd", b"abcd"]

    play(scene)


@pytest.mark.parametrize("frame", [b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"])
def test_an_answer_that_does_not_wait_for_the_body_says_that_it_is_the_last_and_is(
    frame: bytes, expects: bytes
) -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(POST + frame + expects + b"\r\n")
        answer = await client.some()
        assert status_of(answer) == 200
        assert answer.count(b"connection: close\r\n") == 1
        # Neither read as a body, which would be waited for, nor as a request.
        await client.send(GET)
        assert await client.rest() == b""
        assert len(stage.application.asked) == 1

    play(scene, reads=False)


def test_no_line_stays_open_for_a_body_that_was_not_awaited_and_comes_late_or_never() -> None:
    async def scene(stage: Stage) -> None:
        clients = [await stage.connect() for _ in range(2)]
        for client in clients:
            await client.send(POST + b"Content-Length: 4\r\n\r\n")
            assert status_of(await client.some()) == 200
        await clients[0].send(b"abcd")
        await stage.later(SEND_SECONDS - A_MOMENT)
        assert len(stage.state.connections) == 2
        await stage.later(A_MOMENT)
        assert not stage.state.connections

    play(scene, reads=False)


def test_whoever_is_answered_while_it_sends_a_body_is_not_refused_before_it_has_read_the_answer() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(POST + b"Content-Length: 30000\r\n\r\n")
        await stage.until(lambda: bool(stage.application.asked))
        for _ in range(30):
            await client.send(bytes(1000))
            await stage.settle()
        assert len(stage.state.connections) == 1
        assert status_of(await client.rest()) == 200
        client.close()
        await stage.until(lambda: not stage.state.connections)

    play(scene, reads=False)


def test_at_the_end_a_body_has_a_moment_to_come_and_whoever_is_worked_for_has_longer() -> None:
    async def scene(stage: Stage) -> None:
        busy, quick, slow = [await stage.connect() for _ in range(3)]
        await busy.send(GET)
        for client in (quick, slow):
            await client.send(POST + b"Content-Length: 4\r\n\r\nab")
        await stage.until(lambda: len(stage.state.tasks) == 3)
        for line in list(stage.state.connections):
            line.shutdown()
        await quick.send(b"cd")
        await stage.until(lambda: len(stage.application.asked) == 2)
        await stage.later(2.1)
        assert await slow.rest() == b""
        stage.application.go.set()
        assert [status_of(await client.rest()) for client in (busy, quick)] == [200, 200]

    play(scene, held=True)


def test_nothing_follows_a_refusal() -> None:
    async def scene(stage: Stage) -> None:
        line, far_end = stage.line()
        line.data_received(POST + b"Content-Length: 4\r\n\r\n")
        await stage.until(lambda: bool(stage.application.asked))
        await stage.later(BODY_SECONDS)
        assert far_end.closed
        stage.application.go.set()
        await stage.until(lambda: not stage.state.tasks)
        await stage.settle()
        (packet,) = far_end.written
        assert status_of(packet) == 408
        line.connection_lost(None)

    play(scene, held=True, reads=False)


# Large


def in_one_part(data: bytes) -> list[bytes]:
    return [data]


def in_many_parts(data: bytes) -> list[bytes]:
    return [data[start : start + 1000] for start in range(0, len(data), 1000)]


HEADS = [
    pytest.param(b"GET /", b"a", b" HTTP/1.1\r\nHost: x\r\n\r\n", id="a long address"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nA: ", b"a", b"\r\n\r\n", id="a long header"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n", b"a:b\r\n", b"\r\n", id="many headers"),
    pytest.param(b"GET / HTTP/1.1\r\n", b"a", b":b\r\nHost: x\r\n\r\n", id="a long name"),
]


@pytest.mark.parametrize("parts", [in_one_part, in_many_parts])
@pytest.mark.parametrize(("before", "more", "after"), HEADS)
def test_a_head_is_taken_up_to_its_bound_and_not_beyond(
    parts: Callable[[bytes], list[bytes]], before: bytes, more: bytes, after: bytes
) -> None:
    room = BOUNDS.head_bytes - len(before) - len(after)

    async def send(stage: Stage, data: bytes) -> bytes:
        client = await stage.connect()
        for part in parts(data):
            await client.send(part)
            await stage.settle()
        return await client.some()

    async def scene(stage: Stage) -> None:
        assert status_of(await send(stage, before + more * (room // len(more)) + after)) == 200
        assert len(stage.application.asked) == 1
        assert status_of(await send(stage, before + more * (room // len(more) + 1) + after)) == 431
        endless = await send(stage, before + more * 50_000)
        assert endless == b"" or status_of(endless) == 431
        assert len(stage.application.asked) == 1

    play(scene)


def test_empty_lines_for_ever_are_not_read() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(b"\r\n" * BOUNDS.head_bytes)
        assert await client.rest() == b""

    play(scene)


@pytest.mark.parametrize("frame", [b"400\r\n" + bytes(1024) + b"\r\n", b"1;" + b"a" * 1000 + b"\r\na\r\n"])
@pytest.mark.parametrize("reads", [True, False])
def test_a_body_without_end_is_not_read(frame: bytes, reads: bool) -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        await stage.until(lambda: bool(stage.state.tasks) or bool(stage.application.asked))
        sent = 0
        while await stage.is_open(client):
            assert sent < 2 * BOUNDS.body_bytes
            await client.send(frame)
            sent += len(frame)
        assert stage.application.bodies in ([b"<gone>"], [b""])
        assert not stage.state.connections

    play(scene, reads=reads)


# Many


def test_when_there_is_no_room_those_go_who_have_waited_longest_and_it_is_told_once_a_minute() -> None:
    async def scene(stage: Stage) -> None:
        first = await stage.connect()
        await first.send(GET)
        await stage.until(lambda: bool(stage.application.asked))
        waiting = [await stage.connect() for _ in range(39)]
        await stage.later(1)
        with capture_logs() as lines:
            newest = await stage.connect()
            await newest.send(GET)
            for old in waiting[:32]:
                assert await old.rest() == b""
            for young in waiting[32:]:
                assert await stage.is_open(young)
            for _ in range(60):
                await stage.connect()
        assert [line["event"] for line in lines] == ["link_service_full"]
        assert len(stage.state.connections) <= 40
        # Who is being worked for is never dropped.
        stage.application.go.set()
        assert status_of(await first.some()) == 200

    play(scene, Bounds(connections=40), held=True)


def test_a_crowd_that_comes_at_once_is_held_to_the_same_number() -> None:
    async def scene(stage: Stage) -> None:
        lines = [socket.socket() for _ in range(100)]
        for line in lines:
            # Blocking, so that all of them wait to be let in when the service looks.
            line.connect(stage.address)
        await stage.settle()
        # Not more, and not far fewer: 32 go at once.
        assert 40 - 32 < len(stage.state.connections) <= 40
        for line in lines:
            line.close()

    play(scene, Bounds(connections=40))


def test_when_everybody_is_being_worked_for_a_newcomer_is_turned_away_at_once() -> None:
    async def scene(stage: Stage) -> None:
        busy = [await stage.connect() for _ in range(3)]
        for client in busy:
            await client.send(GET)
        await stage.until(lambda: len(stage.application.asked) == 3)
        newcomer = Client(*await asyncio.open_connection(*stage.address))
        assert await newcomer.rest() == b""
        newcomer.close()
        stage.application.go.set()
        assert [status_of(await client.some()) for client in busy] == [200, 200, 200]

    play(scene, Bounds(connections=3), held=True)


def test_whoever_is_being_worked_for_is_not_dropped_for_a_body_that_it_sends_ahead() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(GET + POST + b"Content-Length: 4\r\n\r\nab")
        await stage.until(lambda: bool(stage.application.asked))
        newcomer = Client(*await asyncio.open_connection(*stage.address))
        assert await newcomer.rest() == b""
        newcomer.close()
        stage.application.go.set()
        assert status_of(await client.some()) == 200

    play(scene, Bounds(connections=1), held=True)


@pytest.mark.parametrize("body", [b"", b"a"])
def test_a_body_that_does_not_come_holds_no_place(body: bytes) -> None:
    async def scene(stage: Stage) -> None:
        slow = await stage.connect()
        await slow.send(POST + b"Content-Length: 4\r\n\r\n" + body)
        await stage.settle()
        newcomer = await stage.connect()
        assert await slow.rest() == b""
        await newcomer.send(GET)
        assert status_of(await newcomer.some()) == 200

    play(scene, Bounds(connections=1))


@pytest.mark.parametrize("asked", [GET + GET, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")])
def test_an_answer_that_is_not_taken_holds_no_place(asked: bytes) -> None:
    async def scene(stage: Stage) -> None:
        slow = await stage.connect(receive_buffer=4096)
        await slow.send(asked)
        await stage.until(lambda: len(stage.application.asked) == asked.count(b"GET"))
        await stage.settle()
        newcomer = await stage.connect()
        await stage.settle()
        assert [line.client for line in stage.state.connections] == [newcomer.address]

    play(scene, Bounds(connections=1), answer=bytes(2**24))


def test_whoever_was_just_answered_has_not_waited_long() -> None:
    async def scene(stage: Stage) -> None:
        oldest = await stage.connect()
        await stage.later(1)
        for _ in range(32):
            await stage.connect()
        await oldest.send(GET)
        assert status_of(await oldest.some()) == 200
        await stage.connect()
        assert await stage.is_open(oldest)
        await stage.settle()
        assert len(stage.state.connections) == 2

    play(scene, Bounds(connections=33))


def test_requests_that_did_not_wait_for_an_answer_are_answered_in_order_up_to_a_bound() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        few = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(3)]
        await client.send(b"".join(few))
        await stage.until(lambda: len(stage.application.asked) == 3)
        assert [scope["path"] for scope, _ in stage.application.asked] == ["/0", "/1", "/2"]
        await stage.settle()
        assert (await client.some()).count(b"HTTP/1.1 200 OK") == 3
        await client.send(GET * 1000)
        answers = await client.rest()
        assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"HTTP/1.1") == BOUNDS.pipelined + 1

    play(scene)


BAD_REQUESTS = {
    "malformed": b"NONSENSE\r\n\r\n",
    "a large head": b"GET /" + b"a" * BOUNDS.head_bytes,
    "a slow head": b"GET /slow HTT",
    "a slow body": POST + b"Content-Length: 4\r\n\r\nab",
    "a large body": POST + b"Content-Length: 60000\r\n\r\n" + b"a" * 60_000,
    "a malformed body": POST + b"Transfer-Encoding: chunked\r\n\r\nno length",
}


@pytest.mark.parametrize("before", [1, 3])
@pytest.mark.parametrize("after", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_what_was_asked_before_a_bad_request_is_answered_and_nothing_after_it(before: int, after: bytes) -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(GET * before + after)
        await stage.until(lambda: bool(stage.application.asked))
        await stage.later(BODY_SECONDS + A_MOMENT)
        await client.send(b"more")
        stage.application.go.set()
        answers = await client.rest()
        assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"HTTP/1.1") == before
        assert stage.application.bodies == [b""] * before

    play(scene, held=True)


def test_nothing_is_read_after_a_bad_request_while_the_one_before_it_waits_for_its_answer() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        await client.send(GET + b"NONSENSE\r\n\r\n")
        await stage.until(lambda: bool(stage.application.asked))
        client.write(bytes(2**24))
        await stage.settle()
        assert client.untaken > 2**23

    play(scene, held=True)


# Whole


def test_head_and_body_of_an_answer_leave_together() -> None:
    async def scene(stage: Stage) -> None:
        line, far_end = stage.line()
        line.data_received(GET)
        await stage.until(lambda: bool(far_end.written))
        (packet,) = far_end.written
        assert packet.startswith(b"HTTP/1.1 200 OK\r\n")
        assert packet.endswith(b"\r\n\r\nwell")
        line.connection_lost(None)

    play(scene)


def test_trailers_are_no_headers() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        chunks = b"2\r\n{}\r\n0\r\nX-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer x\r\n\r\n"
        await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        assert status_of(await client.some()) == 200
        ((scope, body),) = stage.application.asked
        assert [name for name, _ in scope["headers"]] == [b"host", b"transfer-encoding"]
        assert body == b"{}"

    play(scene)


def test_an_upgrade_is_not_made_and_what_follows_it_is_not_read() -> None:
    async def scene(stage: Stage) -> None:
        client = await stage.connect()
        upgrade = GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        await client.send(upgrade + GET)
        await stage.settle()
        await client.send(GET)
        await stage.settle()
        stage.application.go.set()
        answer = await client.rest()
        assert status_of(answer) == 200
        assert answer.count(b"HTTP/1.1") == 1
        assert len(stage.application.asked) == 1

    play(scene, held=True)


@contextmanager
def serving(app: Starlette) -> Iterator[int]:
    """Serve an application as the service does, on a port of its own, until the block ends."""
    listener = open_listener("127.0.0.1", 0)
    config = uvicorn.Config(
        app, http=bounded_http(), proxy_headers=False, access_log=False, server_header=False, log_config=None, ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        app.state.news.close()
        server.should_exit = True
        thread.join()
        listener.close()


def ask(port: int, *parts: bytes) -> bytes:
    """Everything that the service says until it ends the connection."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line:
        for part in parts:
            line.sendall(part)
        while more := line.recv(65536):
            said += more
    return said


# Each shows a true token, to the page (which would be noted as opened) or to the step. Where there is one, the rest of
# the body is the request that two programs in a row could take for one of its own.
PAGE = b"GET /s/{token} HTTP/1.1\r\n"
STEP = b"POST /s/{token}/step HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
HIDDEN = PAGE + b"Host: x\r\n\r\n"
MALFORMED = {
    "a length beside chunks": STEP + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunks beside a length": STEP + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": STEP + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + HIDDEN,
    "the same length twice": STEP + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "lengths in a list": STEP + b"Content-Length: 0, 0\r\n\r\n" + HIDDEN,
    "a length with a sign": STEP + b"Content-Length: +0\r\n\r\n" + HIDDEN,
    "a negative length": STEP + b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "a length in hexadecimal": STEP + b"Content-Length: 0x0\r\n\r\n" + HIDDEN,
    "an empty length": STEP + b"Content-Length:\r\n\r\n" + HIDDEN,
    "a length beyond all numbers": STEP + b"Content-Length: 99999999999999999999\r\n\r\n" + HIDDEN,
    "an unknown coding": STEP + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a coding after the chunks": STEP + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a coding before the chunks": STEP + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two codings": STEP + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a coding behind a control": STEP + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a space before the colon": STEP + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a folded coding": STEP + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunks in HTTP/1.0": STEP.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a chunk that is longer than it says": STEP + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n" + HIDDEN,
    "a chunk of negative length": STEP + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n" + HIDDEN,
    "a chunk beyond all numbers": STEP + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n{}" + HIDDEN,
    "lines of chunks without CR": STEP + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" + HIDDEN,
    "LF in a chunk's extension": STEP + b"Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\n{}\r\n0\r\n\r\n" + HIDDEN,
    "an upgrade with a body": STEP + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 99\r\n\r\n" + HIDDEN,
    "an upgrade with chunks": STEP
    + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + HIDDEN,
    "lines without CR": b"GET /s/{token} HTTP/1.1\nHost: x\n\n",
    "one line without CR": PAGE + b"Host: x\nA: b\r\n\r\n",
    "CR inside of a value": PAGE + b"Host: x\r\nA: b\rc: d\r\n\r\n",
    "NUL inside of a value": PAGE + b"Host: x\r\nA: b\x00c\r\n\r\n",
    "NUL inside of a name": PAGE + b"Host: x\r\nA\x00: b\r\n\r\n",
    "a name beyond ASCII": PAGE + b"Host: x\r\n\xe9: b\r\n\r\n",
    "no name": PAGE + b"Host: x\r\n: b\r\n\r\n",
    "no colon": PAGE + b"Host: x\r\nA\r\n\r\n",
    "a space before the first header": PAGE + b" A: b\r\nHost: x\r\n\r\n",
    "a folded value": PAGE + b"Host: x\r\nA: b\r\n c\r\n\r\n",
    "no host": PAGE + b"\r\n",
    "two hosts": PAGE + b"Host: x\r\nHost: y\r\n\r\n",
    "HTTP/0.9": b"GET /s/{token}\r\n\r\n",
    "HTTP/0.9 by name": b"GET /s/{token} HTTP/0.9\r\nHost: x\r\n\r\n",
    "HTTP/1.2": b"GET /s/{token} HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/2": b"GET /s/{token} HTTP/2.0\r\nHost: x\r\n\r\n",
    "HTTP/2 as it begins": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "small letters": b"get /s/{token} HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown method": b"OPEN /s/{token} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space after the version": b"GET /s/{token} HTTP/1.1 \r\nHost: x\r\n\r\n",
    "tabs between the words": b"GET\t/s/{token}\tHTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT links.example:443 HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
    "no slash": b"GET s/{token} HTTP/1.1\r\nHost: x\r\n\r\n",
    "an address without a path": b"GET http://links.example HTTP/1.1\r\nHost: x\r\n\r\n",
    "letters beyond ASCII in the path": b"GET /s/{token}\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "letters beyond ASCII in the query": b"GET /s/{token}?\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a control in the path": b"GET /s/{token}\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"{token}",
}


@pytest.fixture
def noted(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """Every line of every log, down to debug."""
    caplog.set_level("DEBUG")
    with capture_logs() as lines:
        yield lambda: caplog.text + repr(lines)


def test_what_could_be_read_in_two_ways_is_refused_counts_for_nothing_and_is_not_quoted(
    app: Starlette, browser: Browser, noted: Callable[[], str]
) -> None:
    link = make_link()
    browser.create(link)
    token = link.token.reveal()
    before = app.state.vault.events(after=0, limit=100)
    with serving(app) as port:
        # Each asks to stay connected; the service ends it by itself.
        answers = {name: ask(port, sent.replace(b"{token}", token.encode())) for name, sent in MALFORMED.items()}
    assert {name for name, answer in answers.items() if status_of(answer) != 400} == set()
    for name, answer in answers.items():
        head, _, body = answer.decode("ascii").partition("\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        assert {name.lower(): value for name, value in UNIFORM_HEADERS.items()}.items() <= headers.items(), name
        own = headers.keys() - {name.lower() for name in UNIFORM_HEADERS}
        assert own == {"date", "content-type", "content-length", "connection"}, name
        assert headers["connection"] == "close"
        # To the end: nothing answers the request that hides in the body.
        assert body == "This is not a request that this service can read.", name
    app.state.vault.write_openings()
    assert app.state.vault.events(after=0, limit=100) == before
    assert token not in noted()


ODD_BUT_CLEAR = {
    "HTTP/1.0 without a host": (b"GET /s/{token} HTTP/1.0\r\n\r\n", 200),
    "an absolute address": (b"GET http://elsewhere.example/s/{token} HTTP/1.1\r\nHost: x\r\n", 200),
    "empty lines before it": (b"\r\n\r\nGET /s/{token} HTTP/1.1\r\nHost: x\r\n", 200),
    "an upgrade without a body": (PAGE + b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
    "letters of Latin-1 in a value": (PAGE + b"Host: x\r\nUser-Agent: M\xfcller\r\n", 200),
    "a method that is not ours": (b"TRACE /s/{token} HTTP/1.1\r\nHost: x\r\n", 405),
    "a path that is not UTF-8": (b"GET /s/%ff%fe HTTP/1.1\r\nHost: x\r\n", 404),
    "NUL in a path": (b"GET /s/%00 HTTP/1.1\r\nHost: x\r\n", 404),
    "two slashes": (b"GET //elsewhere.example/s/{token} HTTP/1.1\r\nHost: x\r\n", 404),
    "chunks": (STEP + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 403),
}


def test_what_is_odd_but_clear_is_answered_by_the_application(
    app: Starlette, browser: Browser, noted: Callable[[], str]
) -> None:
    link = make_link()
    browser.create(link)
    token = link.token.reveal()
    with serving(app) as port:
        for name, (sent, status) in ODD_BUT_CLEAR.items():
            ended = sent if sent.endswith(b"\r\n\r\n") else sent + b"Connection: close\r\n\r\n"
            answer = ask(port, ended.replace(b"{token}", token.encode()))
            assert (status_of(answer), answer.count(b"HTTP/1.1")) == (status, 1), name
            for header, value in UNIFORM_HEADERS.items():
                assert f"\r\n{header.lower()}: {value}\r\n".encode() in answer, name
            assert b"\r\nserver:" not in answer, name
    assert token not in noted()


def test_uvicorn_is_still_as_the_bounds_need_it() -> None:
    """Fails with a new uvicorn that changed what `wire` stands on: compare the two, then renew what is wrong here."""

    def parameters(method: Callable[..., object]) -> list[str]:
        return list(inspect.signature(method).parameters)

    assert parameters(HttpToolsProtocol) == ["config", "server_state", "app_state", "_loop"]
    for name in ("_unset_keepalive_if_required", "on_response_complete", "on_headers_complete", "on_message_complete",
                 "shutdown", "eof_received"):  # fmt: skip
        assert parameters(getattr(HttpToolsProtocol, name)) == ["self"], name
    assert parameters(HttpToolsProtocol._start_asgi_task) == ["self", "cycle", "app"]
    # The one method that ours replaces instead of going on with it: a repair of theirs would not reach us.
    theirs = hashlib.sha256(inspect.getsource(HttpToolsProtocol.data_received).encode()).hexdigest()
    assert theirs[:16] == "010a7ae59a5d3b1a", f"uvicorn {uvicorn.__version__} changed HttpToolsProtocol.data_received"
    config = uvicorn.Config(Application(), log_config=None, ws="none")
    config.load()
    loop = asyncio.new_event_loop()
    try:
        line = HttpToolsProtocol(config, ServerState(), {}, loop)
        for name in ("cycle", "pipeline", "flow", "parser", "headers", "transport", "loop", "connections"):
            assert hasattr(line, name), name
        assert line.server_state.default_headers == []
        line.headers = []
        cycle = RequestResponseCycle(*[None] * 5, False, [], asyncio.Event(), False, True, lambda: None)  # type: ignore[arg-type]
        assert (cycle.response_started, cycle.response_complete, cycle.keep_alive) == (False, False, True)
        assert (cycle.disconnected, cycle.message_event.is_set()) == (False, False)
    finally:
        loop.close()
