"""Whatever is sent to whatever address: no failure of ours, the same headers on every answer, nothing given away."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import pytest
import structlog
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.types import Message

from connector.secretlink.service.answers import UNIFORM_HEADERS
from connector.secretlink.service.api.keys import new_key
from connector.secretlink.service.web import create_app
from tests.secretlink.running import running
from tests.secretlink.support import Browser, FakeClock, Made, encode, make_link, new_nonce, options_for

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "G\x7fT"]
PATHS = [
    "/s/{}", "/s/{}/step", "/s/{}/reveal", "/s/{}/not-me", "/n/{}", "/n/{}/step", "/n/{}/raise", "/static/{}",
    "/healthz", "/api/v1/links", "/api/v1/links/{}", "/api/v1/links/{}/revoke", "/api/v1/alarms", "/api/v1/events",
    "/api/v1/openapi.json", "/api/v1/{}", "/{}", "/",
]  # fmt: skip
WAYS = [
    ("GET", "/s/{}"), ("POST", "/s/{}/step"), ("POST", "/s/{}/reveal"), ("POST", "/s/{}/not-me"), ("GET", "/n/{}"),
    ("POST", "/n/{}/step"), ("POST", "/n/{}/raise"), ("GET", "/static/{}"), ("GET", "/healthz"),
    ("POST", "/api/v1/links"), ("GET", "/api/v1/links"), ("GET", "/api/v1/links/{}"),
    ("POST", "/api/v1/links/{}/revoke"), ("POST", "/api/v1/alarms"), ("GET", "/api/v1/events"),
    ("GET", "/api/v1/openapi.json"),
]  # fmt: skip
CONTENT_TYPES = [
    "application/json", "application/json; charset=utf-16", "APPLICATION/JSON;x", "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-7", "multipart/form-data; boundary=x", "text/plain",
    "", "\xff", ",",
]  # fmt: skip
FIELDS = [
    "id", "lookup", "sealed", "max_views", "expires_at", "ref", "mode", "locale", "human_check", "display_name",
    "ticket", "time_zone", "brand", "about", "link_id", "source", "challenge", "nonce", "word", "answer",
]  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """One request, as bytes on the way to the application."""

    method: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    parts: list[bytes] = field(repr=False)


@dataclass
class Targets:
    """What exists, so that requests get beyond the door; and a word that must not come back."""

    link: Made
    key: str
    canary: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def names(self) -> st.SearchStrategy[str]:
        token = self.link.token.reveal()
        known = [
            token, self.link.terms.link_id, encode(self.link.lookup), f"{self.link.terms.link_id}%23{token}",
            f"{self.link.terms.link_id}%2523{token}", token[:-1], "..", ".", "%00", "%ff", "%2e%2e%2f", "",
            quote(self.canary), f"{self.canary[:32]:A<32}", "link.css",
        ]  # fmt: skip
        return st.one_of(st.sampled_from(known), st.text(max_size=60).map(lambda text: quote(text, errors="replace")))

    def values(self) -> st.SearchStrategy[Any]:
        known = [
            self.canary, self.link.terms.link_id, encode(self.link.lookup), encode(self.link.sealed), "active", "path",
            "fragment", "Europe/London", "SHOW", "4242", "0", "\ud800", "\x00", 0, 1, 2, -1, 10**30, 1e400, True, None,
            self.link.terms.expires_at, {}, [], {"name": self.canary}, {"colour": "#000000"}, new_nonce(),
        ]  # fmt: skip
        return st.one_of(st.sampled_from(known), st.text(max_size=40), st.integers(), st.floats(), st.booleans())

    def bodies(self) -> st.SearchStrategy[bytes]:
        objects = st.dictionaries(st.sampled_from([*FIELDS, self.canary]), self.values(), max_size=14)
        whole = st.dictionaries(st.sampled_from(FIELDS), self.values(), max_size=2).map(
            lambda change: {**self.link.to_body(), **change}
        )
        as_json = st.one_of(objects, whole).map(lambda content: json.dumps(content).encode("utf-8", "surrogatepass"))
        encoded = st.tuples(as_json, st.sampled_from(["utf-8", "utf-16", "utf-32", "latin-1"])).map(
            lambda pair: pair[0].decode("utf-8", "replace").encode(pair[1], "replace")
        )
        form = objects.map(
            lambda content: "&".join(f"{k}={quote(str(v), errors='replace')}" for k, v in content.items())
        )
        deep = st.sampled_from([b"[" * 4000, b'{"a":' * 700, b"{}" * 3000, b'"' + b"\\ud800" * 600 + b'"', b"9" * 4000])
        return st.one_of(as_json, encoded, form.map(str.encode), st.binary(max_size=300), deep)

    def header(self) -> st.SearchStrategy[tuple[bytes, bytes]]:
        numbers = st.sampled_from([b"0", b"-1", b"x", b"9" * 5000, b"4096", b"4097", b"1e3", "²".encode(), b" 5", b""])
        authorization = st.sampled_from(
            [f"Bearer {self.key}", f"bearer {self.key}", f"Basic {self.canary}", f"Bearer {self.canary}",
             f"Bearer {self.canary}\xff", "Bearer", "Bearer  ", "", f"Bearer sl_{self.canary.lower()}_{self.canary}"]
        ).map(lambda text: text.encode("latin-1"))  # fmt: skip
        content_type = st.sampled_from(CONTENT_TYPES).map(lambda text: text.encode("latin-1"))
        language = st.sampled_from([b"de", b"xx;q=nan", b"*;q=" + b"9" * 400, b",;=,", b"de;q=1e999", b"-"])
        forwarded = st.sampled_from([b"10.0.0.1", b"x, , [::1]:x", b"," * 500, b"\xff", b"::ffff:1.2.3.4%eth0"])
        return st.one_of(
            st.tuples(st.just(b"authorization"), authorization),
            st.tuples(st.just(b"content-type"), content_type),
            st.tuples(st.just(b"content-length"), numbers),
            st.tuples(st.just(b"x-reveal"), st.sampled_from([b"1", b"2", b""])),
            st.tuples(st.just(b"sec-fetch-site"), st.sampled_from([b"same-origin", b"cross-site", b"\xff"])),
            st.tuples(st.just(b"sec-purpose"), st.sampled_from([b"\xff", b"x"])),
            st.tuples(st.just(b"accept-language"), language),
            st.tuples(st.just(b"x-forwarded-for"), forwarded),
            st.tuples(st.just(b"cookie"), st.just(self.canary.encode())),
            st.tuples(st.just(b"user-agent"), st.binary(max_size=400)),
            st.tuples(st.sampled_from([b"host", b"origin", b"referer", b"range", b"if-none-match", b"content-encoding",
                                       b"transfer-encoding", b"expect", b"upgrade", b"accept"]),
                      st.binary(max_size=40)),
        )  # fmt: skip

    def requests(self) -> st.SearchStrategy[Sent]:
        path = st.one_of(
            st.tuples(st.sampled_from(PATHS), self.names()).map(lambda pair: pair[0].format(pair[1]).encode()),
            st.binary(max_size=80).map(lambda content: b"/" + quote(content).encode()),
        )
        query = st.one_of(
            st.just(b""),
            st.lists(
                st.tuples(
                    st.sampled_from(["after", "limit", "state", "lang", self.canary]),
                    st.one_of(st.sampled_from(["0", "5", "-1", "9" * 30, "active", "", "%00", self.canary]), st.text()),
                ),
                max_size=4,
            ).map(lambda pairs: "&".join(f"{name}={quote(text, errors='replace')}" for name, text in pairs).encode()),
            st.binary(max_size=60),
        )
        wild = st.builds(
            Sent,
            st.sampled_from(METHODS),
            path,
            query,
            st.lists(self.header(), max_size=8),
            st.lists(self.bodies(), max_size=2),
        )
        good = [
            (b"authorization", f"Bearer {self.key}".encode()), (b"content-type", b"application/json"),
            (b"x-reveal", b"1"), (b"sec-fetch-site", b"same-origin"),
        ]  # fmt: skip
        almost = st.builds(
            lambda way, name, query, more, body: Sent(
                way[0],
                way[1].format(name).encode(),
                query,
                [*(pair for pair in good if pair[0] not in {other for other, _ in more}), *more],
                body,
            ),
            st.sampled_from(WAYS),
            self.names(),
            query,
            st.lists(self.header(), max_size=2),
            st.lists(self.bodies(), max_size=1),
        )
        return st.one_of(wild, almost, almost, almost)


async def send(app: Starlette, request: Sent) -> tuple[int, dict[str, str], bytes]:
    """Hand a request to the application as the server does: the path decoded, everything else as bytes."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method, "scheme": "http",
        "path": unquote(request.path.decode("ascii", "replace")), "raw_path": request.path,
        "query_string": request.query, "root_path": "", "headers": request.headers, "client": ("203.0.113.9", 50000),
        "server": ("127.0.0.1", 8081),
    }  # fmt: skip
    parts: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in request.parts]
    parts.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Message] = []

    async def receive() -> Message:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def answer(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, answer)
    headers = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
def records() -> Iterator[list[str]]:
    """Every line of every log, standard or structured, down to debug."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not record.name.startswith("hypothesis"):
                lines.append(logging.Formatter().format(record))

    handler, root = Keep(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    with structlog.testing.capture_logs() as captured:
        yield lines
        lines.extend(json.dumps(entry, default=str) for entry in captured)
    root.removeHandler(handler)
    root.setLevel(level)


def check(request: Sent, status: int, headers: dict[str, str], body: bytes, targets: Targets) -> None:
    assert status < 500, f"{request.method} {request.path!r}: {status}"
    for name, value in UNIFORM_HEADERS.items():
        if name != "Cache-Control" or not request.path.startswith(b"/static/"):
            assert headers.get(name.lower()) == value
    assert targets.canary not in body.decode("utf-8", "replace")
    assert targets.canary not in str(headers)
    if status == 405:
        assert headers["allow"]
    if request.path.startswith(b"/api/") and request.method != "HEAD":
        assert headers["content-type"] == "application/json"
        assert isinstance(json.loads(body), dict)


def test_nothing_that_is_sent_breaks_it_or_comes_back(
    either_database: str, clock: FakeClock, pepper: bytes, api_key: str, records: list[str]
) -> None:
    app = create_app(options_for(either_database, pepper, api_key), clock=clock)
    browser = Browser(app, clock, api_key)
    link = make_link()
    browser.create(link)
    targets = Targets(link, api_key)
    statuses: set[int] = set()
    with asyncio.Runner() as runner:

        @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
        @given(targets.requests())
        @example(Sent("GET", b"/s/%00", b"", [], []))
        @example(Sent("GET", b"/api/v1/links/%00", b"", [(b"authorization", f"Bearer {api_key}".encode())], []))
        @example(Sent("POST", b"/api/v1/links", b"", [(b"content-length", b"9" * 5000)], [b"{}"]))
        def one(request: Sent) -> None:
            status, headers, body = runner.run(send(app, request))
            statuses.add(status)
            check(request, status, headers, body, targets)

        one()
    # It got through the door, and there was more than one way to be refused.
    assert {200, 401, 404} <= statuses
    assert len(statuses) >= 6
    shown = browser.api("GET", f"/links/{link.terms.link_id}").json()
    assert (shown["state"], shown["views"]) in {("active", 0), ("revoked", 0)}
    for secret in (targets.canary, api_key, link.token.reveal(), link.password.reveal(), encode(link.lookup)):
        assert not [line for line in records if secret in line]
    app.state.vault.close()


RAW = [
    b"GET /healthz HTTP/1.0\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET http://elsewhere.example.com/api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /s/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /s/%c0%ae%c0%ae HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /s/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /s/" + b"A" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT elsewhere.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST /api/v1/links HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"POST /api/v1/links HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST /api/v1/links HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    b"POST /api/v1/links HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /api/v1/links HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST /s/x/reveal HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"1000\r\n" + b"x" * 4096 + b"\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
]  # fmt: skip


def ask_raw(port: int, content: bytes) -> bytes:
    """What comes back for some bytes, until the other side says nothing more."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


def test_bytes_that_are_hardly_http_are_refused_and_nobody_else_is_the_worse(
    database: str, pepper: bytes, clock: FakeClock, records: list[str]
) -> None:
    key, canary = new_key("raw"), secrets.token_urlsafe(24)

    def with_a_cookie(content: bytes) -> bytes:
        return content.replace(b"Host: x", f"Host: x\r\nCookie: {canary}".encode())

    with running(options_for(database, pepper, key), clock=clock) as url:
        port = int(url.rpartition(":")[2])
        for content in [*RAW, *map(with_a_cookie, RAW)]:
            for received in (ask_raw(port, content), ask_raw(port, content[: len(content) // 2])):
                first = received.partition(b"\r\n")[0]
                assert not first.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")), (content[:60], first)
                assert canary.encode() not in received
                if received and b" 400 " not in first and not first.startswith(b"HTTP/1.1 101"):
                    for name in UNIFORM_HEADERS:
                        assert f"\r\n{name.lower()}: ".encode() in received.lower(), (content[:60], name)
        healthy = ask_raw(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b'{"status":"ok"}' in healthy
    assert not [line for line in records if canary in line or key in line]
