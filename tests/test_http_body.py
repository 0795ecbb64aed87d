"""Bodies of answers, from a server that really sends them: whole, packed, in pieces, and without an end."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from connector.errors import TemporaryError
from connector.http import LONGEST_BODY, WAITS_OF_A_BODY, Http

TEXT = '{"größe": "' + "ä" * 70_000 + '"}'
Send = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Sends what its server is told to, over connections that it keeps."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        self.server.requests += 1
        with suppress(OSError):  # the client had enough
            self.server.send(self)

    def head(self, **headers: object) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """Counts what it is asked."""

    daemon_threads = True
    connections = requests = 0
    send: Send
    over: Event


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.over = Event()
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join(5)


def get(server: Server, http: Http | None = None) -> str:
    http = http or Http(system="HaloPSA", scope="psa.halo", timeout=timedelta(seconds=5), sleep=lambda _: None)
    return http.call("GET", f"http://127.0.0.1:{server.server_port}/api/tickets").body


def in_chunks(handler: Handler, content: bytes, *, each: int) -> None:
    for start in range(0, len(content), each):
        piece = content[start : start + each]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


def plain(handler: Handler) -> None:
    handler.head(Content_Type="application/json", Content_Length=len(TEXT.encode()))
    handler.wfile.write(TEXT.encode())


def packed(handler: Handler) -> None:
    content = gzip.compress(TEXT.encode())
    handler.head(Content_Type="application/json", Content_Encoding="gzip", Content_Length=len(content))
    handler.wfile.write(content)


def chunked(handler: Handler) -> None:
    handler.head(Content_Type="application/json", Transfer_Encoding="chunked")
    in_chunks(handler, TEXT.encode(), each=999)


def chunked_and_packed(handler: Handler) -> None:
    handler.head(Content_Type="application/json", Content_Encoding="gzip", Transfer_Encoding="chunked")
    in_chunks(handler, gzip.compress(TEXT.encode()), each=7)


def packed_in_two(handler: Handler) -> None:
    content = gzip.compress(TEXT.encode()[:1000]) + gzip.compress(TEXT.encode()[1000:])
    handler.head(Content_Type="application/json", Content_Encoding="gzip", Content_Length=len(content))
    handler.wfile.write(content)


def deflated(handler: Handler) -> None:
    content = zlib.compress(TEXT.encode())
    handler.head(Content_Type="application/json", Content_Encoding="deflate", Content_Length=len(content))
    handler.wfile.write(content)


def in_no_encoding_of_bodies(handler: Handler) -> None:
    handler.head(Content_Type="application/json; charset=idna", Content_Length=len(TEXT.encode()))
    handler.wfile.write(TEXT.encode())


def until_the_end(handler: Handler) -> None:
    handler.close_connection = True
    handler.head(Content_Type="application/json")
    handler.wfile.write(TEXT.encode())


def in_latin(handler: Handler) -> None:
    content = TEXT.encode("latin-1")
    handler.head(Content_Type="application/json; charset=ISO-8859-1", Content_Length=len(content))
    handler.wfile.write(content)


def in_no_encoding_that_exists(handler: Handler) -> None:
    handler.head(Content_Type="application/json; charset=klingon", Content_Length=len(TEXT.encode()))
    handler.wfile.write(TEXT.encode())


@pytest.mark.parametrize(
    "send",
    [
        plain,
        packed,
        packed_in_two,
        deflated,
        chunked,
        chunked_and_packed,
        until_the_end,
        in_latin,
        in_no_encoding_that_exists,
        in_no_encoding_of_bodies,
    ],
)
def test_a_body_is_taken_whole_however_it_comes(server: Server, send: Send) -> None:
    server.send = send
    assert get(server) == TEXT


def test_what_is_not_of_its_encoding_is_an_answer_all_the_same(server: Server) -> None:
    def send(handler: Handler) -> None:
        handler.head(Content_Type="text/plain; charset=utf-8", Content_Length=3)
        handler.wfile.write(b"a\xffb")

    server.send = send
    assert get(server) == "a\ufffdb"


@pytest.mark.parametrize("send", [plain, packed, chunked, chunked_and_packed])
def test_one_connection_serves_for_many_bodies(server: Server, send: Send) -> None:
    server.send = send
    http = Http(system="HaloPSA", scope="psa.halo")
    for _ in range(5):
        get(server, http)
    assert (server.requests, server.connections) == (5, 1)


def dripping(handler: Handler) -> None:
    handler.head(Content_Type="application/json", Content_Length=10_000)
    while not handler.server.over.wait(0.02):
        handler.wfile.write(b" ")


def dripping_in_chunks(handler: Handler) -> None:
    handler.head(Content_Type="application/json", Transfer_Encoding="chunked")
    while not handler.server.over.wait(0.02):
        handler.wfile.write(b"1\r\n \r\n")


def dripping_packed(handler: Handler) -> None:
    """The name of a file, in the head of what is packed: nothing is unpacked before it ends."""
    handler.head(Content_Type="application/json", Content_Encoding="gzip")
    handler.wfile.write(b"\x1f\x8b\x08\x08" + bytes(6))
    while not handler.server.over.wait(0.02):
        handler.wfile.write(b"a")


@pytest.mark.parametrize("send", [dripping, dripping_in_chunks, dripping_packed])
def test_a_body_that_drips_is_not_waited_for_for_ever(server: Server, send: Send) -> None:
    server.send = send
    limit = timedelta(seconds=0.2)
    started = time.monotonic()
    with pytest.raises(TemporaryError, match=r"GET http://127\.0\.0\.1:\d+/api/tickets that takes longer than 0\.8 s"):
        get(server, Http(system="HaloPSA", scope="psa.halo", timeout=limit, sleep=lambda _: None))
    assert time.monotonic() - started >= WAITS_OF_A_BODY * limit.total_seconds()
    assert server.requests == 1, "nobody waits for it again in the same call"


def test_a_body_that_comes_slowly_but_in_time_is_taken(server: Server) -> None:
    def send(handler: Handler) -> None:
        handler.head(Content_Type="application/json", Content_Length=8)
        for letter in b'{"a": 1}':
            handler.server.over.wait(0.05)
            handler.wfile.write(bytes([letter]))

    server.send = send
    assert get(server) == '{"a": 1}'


def endless(handler: Handler) -> None:
    handler.head(Content_Type="application/json")
    while True:
        handler.wfile.write(b" " * 1_000_000)


def a_bomb(handler: Handler) -> None:
    content = gzip.compress(bytes(LONGEST_BODY + 1))
    handler.head(Content_Type="application/json", Content_Encoding="gzip", Content_Length=len(content))
    handler.wfile.write(content)


def packed_nothing(handler: Handler) -> None:
    handler.head(Content_Type="application/json", Content_Encoding="gzip")
    nothing = gzip.compress(b"") * 50_000
    while True:
        handler.wfile.write(nothing)


@pytest.mark.parametrize("send", [endless, a_bomb, packed_nothing])
def test_a_body_without_an_end_is_not_taken(server: Server, send: Send) -> None:
    server.send = send
    with pytest.raises(TemporaryError, match="longer than 32 MB, so it was not taken"):
        get(server)
    assert server.requests == 1


def test_a_body_that_breaks_off_or_cannot_be_unpacked_is_asked_for_again(server: Server) -> None:
    def send(handler: Handler) -> None:
        match handler.server.requests:
            case 1:
                handler.close_connection = True
                handler.head(Content_Type="application/json", Content_Length=100)
                handler.wfile.write(b"{")
            case 2:
                handler.head(Content_Type="application/json", Content_Encoding="gzip", Content_Length=8)
                handler.wfile.write(b"not gzip")
            case _:
                plain(handler)

    server.send = send
    assert get(server) == TEXT
    assert server.requests == 3
