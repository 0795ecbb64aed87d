"""Common ground of the link service's tests: a clock, a web client without a network, the connector's half."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from sqlalchemy import func, select, text
from starlette.types import ASGIApp, Message

from connector.core.secret import Secret
from connector.migrations import upgrade
from connector.secretlink.seal import Pepper, Terms, decode_token, lookup_of, new_link_id, new_token, seal
from connector.secretlink.service.options import LinkServiceOptions
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.database import open_engine
from connector.secretlink.service.store.events import EventKind, Visitor
from connector.secretlink.service.store.links import LinkRecord, NewAlarm, NewLink
from connector.secretlink.service.store.vault import Vault

START = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
VISITOR_IP = "203.0.113.9"


class FakeClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)


@dataclass(frozen=True)
class Made:
    """A link as the connector has it: everything, the token and the password too."""

    terms: Terms
    token: Secret
    password: Secret
    lookup: bytes
    sealed: bytes

    @property
    def key(self) -> bytes:
        return decode_token(self.token.reveal())

    @property
    def path(self) -> str:
        return f"/s/{self.token.reveal()}"

    def to_new_link(self, **changes: Any) -> NewLink:
        values: dict[str, Any] = {
            "terms": self.terms,
            "lookup": self.lookup,
            "sealed": self.sealed,
            "ref": "halo/4242",
            "mode": "path",
            "display_name": "Anna Example",
            "ticket": "4242",
            "time_zone": "Europe/London",
            "brand": None,
        }
        return NewLink(**(values | changes))

    def to_body(self, **changes: Any) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": self.terms.link_id,
            "lookup": encode(self.lookup),
            "sealed": encode(self.sealed),
            "max_views": self.terms.max_views,
            "expires_at": self.terms.expires_at,
            "ref": "halo/4242",
            "mode": "path",
            "display_name": "Anna Example",
            "ticket": "4242",
            "time_zone": "Europe/London",
        }
        return body | changes


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode("ascii")


def make_link(
    *, views: int = 2, lifetime: timedelta = timedelta(minutes=60), now: datetime = START, password: str | None = None
) -> Made:
    """Do the connector's half: token, id, seal."""
    token = new_token()
    terms = Terms(new_link_id(), views, int((now + lifetime).timestamp()))
    hidden = Secret(password or secrets.token_urlsafe(15))
    key = decode_token(token.reveal())
    return Made(terms, token, hidden, lookup_of(key), seal(hidden, token=key, terms=terms))


def make_alarm(now: datetime = START, **changes: Any) -> tuple[NewAlarm, bytes]:
    """An alarm as the connector makes it, and its token."""
    token = secrets.token_bytes(24)
    values: dict[str, Any] = {
        "id": new_link_id(),
        "lookup": lookup_of(token),
        "about": "case-4242",
        "link_id": None,
        "source": "accessed",
        "display_name": "Anna Example",
        "ticket": "4242",
        "time_zone": "Europe/London",
        "locale": "en",
        "brand": None,
        "expires_at": int((now + timedelta(days=7)).timestamp()),
    }
    return NewAlarm(**(values | changes)), token


def new_nonce() -> str:
    return secrets.token_urlsafe(18)


@cache
def _empty_database() -> bytes:
    """What the migrations make of nothing: running them takes a hundred times as long as writing it down again."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "links.db"
        upgrade(f"sqlite:///{file.as_posix()}", "links")
        return file.read_bytes()


def make_database(folder: Path) -> str:
    """An up-to-date SQLite database in this folder; one that is there already stays as it is."""
    file = folder / "links.db"
    if not file.exists():
        file.write_bytes(_empty_database())
    return f"sqlite:///{file.as_posix()}"


def empty_tables(database: str) -> None:
    """Take every row out of a PostgreSQL database of the link service."""
    engine = open_engine(database)
    names = ", ".join(table.name for table in tables.metadata.sorted_tables)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names}"))
    engine.dispose()


def open_vault(database: str, clock: FakeClock, pepper: bytes) -> Vault:
    return Vault(database, Pepper(pepper), clock=clock)


@contextmanager
def full_disk(*, room: int) -> Iterator[None]:
    """No file can grow beyond so many bytes. Not on Windows."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def written_before(vault: Vault, clock: FakeClock, age: timedelta) -> int:
    """The number of the newest event that says it is so old; for a clock that was always right."""
    cutoff = (clock.now - age).timestamp() * 1000
    with vault.engine.connect() as connection:
        seq = connection.execute(select(func.max(tables.event.c.seq)).where(tables.event.c.at_ms < cutoff)).scalar_one()
    return seq or 0


def open_page(vault: Vault, lookup: bytes, visitor: Visitor) -> LinkRecord:
    """Somebody opens the page of a link that is there."""
    found = vault.look(lookup)
    assert found is not None
    return vault.visit(found, EventKind.PAGE_OPENED, visitor=visitor)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    peer: str = VISITOR_IP,
) -> Answer:
    """Send one request straight into the application."""
    parts = urlsplit(path)
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    if body and not any(name == b"content-length" for name, _ in raw):
        raw.append((b"content-length", str(len(body)).encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": raw,
        "client": (peer, 50000),
        "server": ("127.0.0.1", 8081),
    }
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        await asyncio.sleep(3600)
        raise AssertionError("unreachable")

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    return Answer(
        status=start["status"],
        headers={name.decode(): value.decode() for name, value in start["headers"]},
        body=b"".join(message.get("body", b"") for message in sent[1:]),
    )


class Browser:
    """Asks the application as a person's browser, or the connector, would."""

    def __init__(self, app: ASGIApp, clock: FakeClock, api_key: str) -> None:
        self.app = app
        self.clock = clock
        self._api_key = api_key

    def get(self, path: str, *, headers: Mapping[str, str] | None = None, peer: str = VISITOR_IP) -> Answer:
        return asyncio.run(ask(self.app, "GET", path, headers=headers, peer=peer))

    def send(self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        return asyncio.run(ask(self.app, method, path, body=body, headers=headers))

    def post_json(self, path: str, content: object, *, headers: Mapping[str, str] | None = None) -> Answer:
        """As the page's own script does."""
        sent = {"content-type": "application/json", "x-reveal": "1", "sec-fetch-site": "same-origin"} | dict(
            headers or {}
        )
        sent = {name: value for name, value in sent.items() if value}
        return self.send("POST", path, body=json.dumps(content).encode(), headers=sent)

    def api(self, method: str, path: str, content: object | None = None, *, key: str | None = None) -> Answer:
        """As the connector does."""
        headers = {"authorization": f"Bearer {key if key is not None else self._api_key}"}
        if content is not None:
            headers["content-type"] = "application/json"
        return self.send(
            method, f"/api/v1{path}", body=b"" if content is None else json.dumps(content).encode(), headers=headers
        )

    def create(self, link: Made, **changes: Any) -> Answer:
        return self.api("POST", "/links", link.to_body(**changes))

    def challenge_of(self, link: Made) -> str:
        """What the page carries when it is opened now."""
        page = self.get(link.path)
        assert page.status == 200, page.status
        return page.text.split('data-challenge="', 1)[1].split('"', 1)[0]

    def step_of(self, link: Made) -> str:
        """Open the page, wait like a person, take the step, wait again."""
        challenge = self.challenge_of(link)
        self.clock.advance(seconds=1)
        answer = self.post_json(f"{link.path}/step", {"challenge": challenge})
        assert answer.status == 200, answer.status
        self.clock.advance(seconds=1)
        return str(answer.json()["challenge"])

    def reveal(self, link: Made, *, nonce: str | None = None) -> Answer:
        """All that a person does."""
        return self.post_json(f"{link.path}/reveal", {"challenge": self.step_of(link), "nonce": nonce or new_nonce()})

    def views_of(self, link: Made) -> int:
        return int(self.api("GET", f"/links/{link.terms.link_id}").json()["views"])

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("GET", f"/events?after={after}&limit=500").json()["events"]
        return found


def options_for(database: str, pepper: bytes, api_key: str, **changes: Any) -> LinkServiceOptions:
    values: dict[str, Any] = {
        "database": database,
        "listen_host": "127.0.0.1",
        "listen_port": 0,
        "url": "https://links.example.com",
        "pepper": pepper,
        "api_keys": (api_key,),
        "brand_name": "Contoso Service Desk",
        "brand_phone": "+44 20 7946 0000",
        "brand_url": "https://portal.example.com",
    }
    return LinkServiceOptions(**(values | changes))
