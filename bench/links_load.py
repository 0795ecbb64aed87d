"""People who make and open one-time links as fast as they can, at our service and at SnapPass: the same for both.

Runs in processes of its own, with a client that costs little beside the servers. Making and opening come before a pause
that is not measured: our page wants a person's pace between its opening and the reveal.
"""

from __future__ import annotations

import base64
import json
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from connector.core.secret import Secret
from connector.secretlink.seal import Terms, decode_token, lookup_of, new_link_id, new_token, seal

PAUSE_SECONDS: Final = 0.9
_LIFETIME_SECONDS: Final = 3600

Kind = Literal["ours", "snappass"]


@dataclass(frozen=True)
class Server:
    """Whom to ask.

    Attributes:
        key: What opens our API; empty for SnapPass, which asks for none.
    """

    kind: Kind
    port: int
    key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Opened:
    """A link whose page is open, and all that the reveal needs."""

    path: str = field(repr=False)
    password: str = field(repr=False)
    challenge: str = field(default="", repr=False)


@dataclass(frozen=True)
class Timed:
    """How long something took, by the wall clock of this machine (all processes share it).

    Attributes:
        began, ended: Seconds since 1970.
        requests: How many were answered.
        seconds: Of each reveal, or of each whole opening.
    """

    began: float
    ended: float
    requests: int
    seconds: tuple[float, ...]


class Refusal(RuntimeError):
    """A server did not answer what it should."""


class Line:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = self._connect()

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send and wait for the answer: status and body."""
        try:
            self.send(request)
            return self.answer()
        except ConnectionError:  # the server closed it while we paused
            self._socket.close()
            self._socket = self._connect()
            self.send(request)
            return self.answer()

    def send(self, request: bytes) -> None:
        self._socket.sendall(request)

    def answer(self) -> tuple[int, bytes]:
        """The answer to what was sent. It must say how long it is."""
        got = b""
        while (end := got.find(b"\r\n\r\n")) < 0:
            got += self._more()
        head, body = got[:end].lower(), bytearray(got[end + 4 :])
        status = int(head[9:12])
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._more()
        return status, bytes(body)

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> bytes:
        part = self._socket.recv(65536)
        if not part:
            raise ConnectionResetError("the server closed the connection")
        return part

    def _connect(self) -> socket.socket:
        connected = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected


def make_and_open(server: Server, count: int, views: int, begin_at: float) -> tuple[list[Opened], Timed]:
    """Make links and open each one's page, up to the reveal."""
    orders = [_order(server, views) for _ in range(count)]
    opened, seconds, requests = [], [], 0
    line = Line(server.port)
    time.sleep(max(0.0, begin_at - time.time()))
    began = time.time()
    for password, path, order in orders:
        start = time.perf_counter()
        made = _make(line, server, path, order)
        opened.append(open_page(line, server, made, password))
        seconds.append(time.perf_counter() - start)
        requests += 3 if server.kind == "ours" else 2
    ended = time.time()
    line.close()
    return opened, Timed(began, ended, requests, tuple(seconds))


def reveal_all(server: Server, opened: Sequence[Opened], begin_at: float) -> Timed:
    """Reveal each one; every password must be the right one."""
    asked = [(reveal_request(server, link), _words(server, link)) for link in opened]
    seconds = []
    line = Line(server.port)
    time.sleep(max(0.0, begin_at - time.time()))
    began = time.time()
    for request, words in asked:
        start = time.perf_counter()
        status, body = line.ask(request)
        seconds.append(time.perf_counter() - start)
        if status != 200 or words not in body:
            raise Refusal(f"{server.kind} answered a reveal with {status}")
    ended = time.time()
    line.close()
    return Timed(began, ended, len(asked), tuple(seconds))


def race(server: Server, *, links: int, openers: int, batch: int = 20) -> list[int]:
    """One-view links, each opened by several at the same moment: how often each was handed out."""
    handed: list[int] = []
    lines = [Line(server.port) for _ in range(openers)]
    while len(handed) < links:
        many = min(batch, links - len(handed))
        crowds = [_crowd(lines, server) for _ in range(many)]
        time.sleep(PAUSE_SECONDS)
        for crowd in crowds:
            words = _words(server, crowd[0])
            requests = [reveal_request(server, link) for link in crowd]
            for line, request in zip(lines, requests, strict=True):
                line.send(request)
            answers = [line.answer() for line in lines]
            handed.append(sum(status == 200 and words in body for status, body in answers))
    for line in lines:
        line.close()
    return handed


def open_page(line: Line, server: Server, path: str, password: str) -> Opened:
    """What a person's browser does before the reveal."""
    status, body = line.ask(_request("GET", path))
    if status != 200:
        raise Refusal(f"{server.kind} answered a page with {status}")
    if server.kind == "snappass":
        return Opened(path, password)
    shown = body.partition(b'data-challenge="')[2].partition(b'"')[0].decode()
    status, body = line.ask(_deliberate(f"{path}/step", {"challenge": shown}))
    if status != 200:
        raise Refusal(f"our step answered {status}")
    return Opened(path, password, str(json.loads(body)["challenge"]))


def reveal_request(server: Server, link: Opened) -> bytes:
    """The reveal, ready to be sent. Each call is another person's."""
    if server.kind == "snappass":
        return _request("POST", link.path, "Content-Type: application/x-www-form-urlencoded", body=b"")
    wish = {"challenge": link.challenge, "nonce": secrets.token_urlsafe(18)}
    return _deliberate(f"{link.path}/reveal", wish)


def _crowd(lines: Sequence[Line], server: Server) -> list[Opened]:
    password, path, order = _order(server, 1)
    made = _make(lines[0], server, path, order)
    return [open_page(line, server, made, password) for line in lines]


def _order(server: Server, views: int) -> tuple[str, str, bytes]:
    """A password, the path of its link where we choose it, and the request that makes it."""
    password = secrets.token_urlsafe(15)
    if server.kind == "snappass":
        body = f"password={quote(password)}&ttl=hour".encode()
        headers = ("Accept: application/json", "Content-Type: application/x-www-form-urlencoded")
        return password, "", _request("POST", "/", *headers, body=body)
    token = new_token()
    key = decode_token(token.reveal())
    terms = Terms(new_link_id(), views, int(time.time()) + _LIFETIME_SECONDS)
    sealed = seal(Secret(password), token=key, terms=terms)
    body = json.dumps({
        "id": terms.link_id, "lookup": _text(lookup_of(key)), "sealed": _text(sealed),
        "max_views": terms.max_views, "expires_at": terms.expires_at, "ref": "bench/1", "display_name": "Anna Example",
        "ticket": "4242", "time_zone": "Europe/London",
    }).encode()  # fmt: skip
    headers = ("Content-Type: application/json", f"Authorization: Bearer {server.key}")
    return password, f"/s/{token.reveal()}", _request("POST", "/api/v1/links", *headers, body=body)


def _make(line: Line, server: Server, path: str, order: bytes) -> str:
    status, body = line.ask(order)
    if status != (201 if server.kind == "ours" else 200):
        raise Refusal(f"{server.kind} answered a wish for a link with {status}")
    return path or urlsplit(str(json.loads(body)["link"])).path


def _words(server: Server, link: Opened) -> bytes:
    """How the answer to a reveal says the password; both are of letters that nothing escapes."""
    return f'"password":"{link.password}"'.encode() if server.kind == "ours" else link.password.encode()


def _deliberate(path: str, content: object) -> bytes:
    headers = ("Content-Type: application/json", "X-Reveal: 1", "Sec-Fetch-Site: same-origin")
    return _request("POST", path, *headers, body=json.dumps(content).encode())


def _request(method: str, path: str, *headers: str, body: bytes | None = None) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0",
    ]
    lines += headers
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode("ascii")
