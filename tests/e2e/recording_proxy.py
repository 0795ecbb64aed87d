"""An HTTP proxy that remembers what passed: what the connector really sends, credentials and all, seen from outside.

Plain HTTP is read; what goes by `CONNECT` (the https token endpoint) is handed through unread.
"""

from __future__ import annotations

import http.client
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

NOT_HANDED_ON = frozenset({"connection", "proxy-connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True)
class Passed:
    """One request and its answer, with everything in them."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int
    answer: bytes = field(repr=False)

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def sent(self) -> bytes:
        """The whole request as bytes."""
        head = "\n".join([f"{self.method} {self.url}", *(f"{name}: {value}" for name, value in self.headers.items())])
        return head.encode() + b"\n\n" + self.body


class RecordingProxy(ThreadingHTTPServer):
    """Listens on a free loopback port. `passed` grows while it runs."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.passed: list[Passed] = []
        self.tunnels: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def recording_proxy() -> Iterator[RecordingProxy]:
    """A running proxy; it ends with the block."""
    proxy = RecordingProxy()
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RecordingProxy

    def do_CONNECT(self) -> None:
        self.server.tunnels.append(self.path)
        host, _, port = self.path.rpartition(":")
        try:
            other = socket.create_connection((host, int(port)), timeout=10)
        except OSError:
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        with other:
            _tunnel(self.connection, other)
        self.close_connection = True

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_HANDED_ON}
        parts = urlsplit(self.path)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            connection.request(self.command, target, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.server.passed.append(Passed(self.command, self.path, headers, body, 0, b""))
            self.close_connection = True  # as the other side did: the connection is cut
            return
        finally:
            connection.close()
        self.server.passed.append(Passed(self.command, self.path, headers, body, answer.status, content))
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in NOT_HANDED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _hand_on  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def _tunnel(one: socket.socket, other: socket.socket) -> None:
    while True:
        readable, _, _ = select.select([one, other], [], [], 60)
        if not readable:
            return
        for source in readable:
            try:
                data = source.recv(65536)
                (other if source is one else one).sendall(data)
            except OSError:
                return
            if not data:
                return
