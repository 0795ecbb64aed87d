"""What strangers see of the service: the same strict headers on every answer, no token in any log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message

from connector.errors import ConfigError
from connector.secretlink.service.answers import BODY_TIME, UniformAnswers
from connector.secretlink.service.store.database import open_engine, writing
from connector.secretlink.service.web import create_app
from tests.secretlink.support import Answer, Browser, FakeClock, encode, make_alarm, make_link, new_nonce, options_for
from tests.secretlink.test_wire import Hurried

STRICT = {
    "cache-control": "no-store, max-age=0",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "clipboard-write=(self), camera=(), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow, noarchive, nosnippet",
}


def strict_part(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name in STRICT}


def test_every_kind_of_answer_carries_the_same_strict_headers(app: Starlette, browser: Browser) -> None:
    link = make_link()
    new, token = make_alarm()
    app.state.vault.arm(new)
    alarm = f"/n/{encode(token)}"
    answers = {
        "created": browser.create(link),
        "conflict": browser.create(link, ref="other"),
        "invalid": browser.create(link, surprise=1),
        "no key": browser.send("GET", "/api/v1/events"),
        "events": browser.api("GET", "/events"),
        "api 404": browser.api("GET", "/nothing"),
        "api 405": browser.api("DELETE", "/events"),
        "page": browser.get(link.path),
        "head": browser.send("HEAD", link.path),
        "options": browser.send("OPTIONS", link.path),
        "page 405": browser.send("POST", link.path),
        "prefetch": browser.get(link.path, headers={"sec-purpose": "prefetch"}),
        "refused": browser.post_json(f"{link.path}/reveal", {}),
        "too large": browser.send(
            "POST", f"{link.path}/reveal", body=bytes(5000), headers={"content-type": "application/json"}
        ),
        "revealed": browser.reveal(link),
        "last": browser.reveal(link),
        "gone": browser.get(link.path),
        "unknown": browser.get(make_link().path),
        "404": browser.get("/nothing"),
        "robots": browser.get("/robots.txt"),
        "static 404": browser.get("/static/link.js"),
        "health": browser.get("/healthz"),
        "alarm": browser.get(alarm),
        "alarm step": browser.post_json(f"{alarm}/step", {}),
        "alarm refused": browser.post_json(f"{alarm}/raise", {}),
        "alarm 405": browser.send("PUT", alarm),
        "alarm unknown": browser.get("/n/unknown"),
        "report": browser.get(f"{link.path}/not-me"),
        "braked": [browser.get(make_link().path) for _ in range(31)][-1],
    }
    assert {name: answer.status for name, answer in answers.items()} == {
        "created": 201, "conflict": 409, "invalid": 422, "no key": 401, "events": 200, "api 404": 404, "api 405": 405,
        "page": 200, "head": 200, "options": 405, "page 405": 405, "prefetch": 503, "refused": 403, "too large": 413,
        "revealed": 200, "last": 200, "gone": 410, "unknown": 404, "404": 404, "robots": 404, "static 404": 404,
        "health": 200, "braked": 429, "alarm": 200, "alarm step": 403, "alarm refused": 403, "alarm 405": 405,
        "alarm unknown": 404, "report": 200,
    }  # fmt: skip
    for name, answer in answers.items():
        assert strict_part(answer) == STRICT, name
        assert "set-cookie" not in answer.headers
        assert "server" not in answer.headers
        assert "location" not in answer.headers


def test_static_files_are_kept_for_ever_and_nothing_else_is(app: Starlette, browser: Browser) -> None:
    link = make_link()
    browser.create(link)
    kept = make_link()
    browser.create(kept, mode="fragment")
    new, token = make_alarm()
    app.state.vault.arm(new)
    pages = [browser.get(path).text for path in (link.path, f"/s/{kept.terms.link_id}", f"/n/{encode(token)}")]
    paths = {part.split('"', 1)[0] for page in pages for part in page.split('"/static/')[1:]}
    assert {re.sub("-.*", "", name) for name in paths} == {"brand", "link", "texts", "common", "fragment", "alarm"}
    assert len(paths) == 7
    for name in paths:
        answer = browser.get(f"/static/{name}")
        assert answer.status == 200
        assert strict_part(answer) == STRICT | {"cache-control": "public, max-age=31536000, immutable"}
        assert answer.headers["content-type"].split(";")[0] in ("text/css", "text/javascript")
        # Nothing from elsewhere, and nothing that the policy would stop.
        assert not re.search(r"https?://\w", answer.text)
        assert "innerHTML" not in answer.text
    for page in pages:
        assert "style=" not in page
        assert "onclick" not in page


@pytest.mark.parametrize("name", ["link.css", "brand-12345.css", "brand-GGGGGG.css", "..%2fseal.py", "../seal.py", ""])
def test_nothing_else_of_the_disk_is_served(browser: Browser, name: str) -> None:
    assert browser.get(f"/static/{name}").status == 404


async def break_down(request: Request) -> Response:
    """Fails like a bug of ours would, with the token in its message."""
    raise RuntimeError(f"cannot work with {request.url.path}")


@pytest.fixture
def records() -> Iterator[list[str]]:
    """Every line of every log, standard or structured, down to debug."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
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


def test_a_bug_answers_500_with_the_strict_headers_and_logs_no_token(app: Starlette, browser: Browser) -> None:
    token = make_link().token.reveal()
    app.router.routes.append(Route("/broken/{token}", break_down, methods=["GET"]))
    with structlog.testing.capture_logs() as logged:
        answer = browser.get(f"/broken/{token}")
    assert answer.status == 500
    assert strict_part(answer) == STRICT
    assert [(entry["event"], entry["error"]) for entry in logged] == [("link_service_bug", "RuntimeError")]
    assert token not in json.dumps(logged)
    assert answer.text == "Something went wrong here. Try again in a moment."


def test_a_bug_of_the_api_is_told_to_programs_as_every_other_error(app: Starlette, browser: Browser) -> None:
    app.router.routes.append(Route("/api/v1/broken", break_down, methods=["GET"]))
    with structlog.testing.capture_logs():
        answer = browser.api("GET", "/broken")
    assert answer.status == 500
    assert strict_part(answer) == STRICT
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"error": "internal", "message": "Something went wrong here. Try again in a moment."}


def test_no_answer_sets_a_strict_header_of_its_own() -> None:
    own = {"X-Frame-Options": "ALLOWALL", "Cache-Control": "max-age=1", "X-Else": "kept"}
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(UniformAnswers(Response("", headers=own))({"type": "http"}, receive, send))
    headers = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    wanted = STRICT | {"cache-control": "max-age=1", "x-else": "kept", "content-length": "0"}
    assert sorted(headers) == sorted(wanted.items())


def test_a_database_that_is_away_answers_503_and_logs_no_token(app: Starlette, browser: Browser) -> None:
    link = make_link()
    browser.create(link)
    with app.state.vault.engine.begin() as connection:
        connection.execute(text("ALTER TABLE link RENAME TO elsewhere"))
    with structlog.testing.capture_logs() as logged:
        answers = [
            browser.get(link.path),
            browser.post_json(f"{link.path}/reveal", {"challenge": "x", "nonce": new_nonce()}),
            browser.api("GET", "/events"),
        ]
    assert [answer.status for answer in answers] == [503, 503, 503]
    assert all(strict_part(answer) == STRICT for answer in answers)
    assert "Nothing was used up" in answers[0].text
    assert link.token.reveal() not in json.dumps(logged)
    assert {entry["event"] for entry in logged} == {"link_database_away"}


def health_of(browser: Browser) -> tuple[int, list[object]]:
    """What `/healthz` answers, and the codes of the database in the log."""
    with structlog.testing.capture_logs() as logged:
        answer = browser.get("/healthz")
    assert {entry["event"] for entry in logged} <= {"link_database_away"}
    return answer.status, [entry["code"] for entry in logged]


def test_a_service_that_lost_its_links_is_not_healthy(app: Starlette, browser: Browser) -> None:
    assert health_of(browser) == (200, [])
    with app.state.vault.engine.begin() as connection:
        connection.execute(text("ALTER TABLE link RENAME TO elsewhere"))
    assert health_of(browser) == (503, ["SQLITE_ERROR"])


def test_a_service_whose_database_another_program_holds_is_not_healthy_until_it_lets_go(
    app: Starlette, browser: Browser, database: str
) -> None:
    """And nobody waits for it meanwhile: requests have ten seconds of patience, which all others would share."""
    with contextlib.closing(sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        assert health_of(browser) == (503, ["SQLITE_BUSY"])
        assert time.monotonic() - started < 5
        other.execute("ROLLBACK")
    assert health_of(browser) == (200, [])
    with app.state.vault.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == 10_000, "the patience is as it was"


def test_looking_at_the_health_changes_nothing(browser: Browser, database: str) -> None:
    link = make_link()
    browser.create(link)
    log = Path(f"{database.removeprefix('sqlite:///')}-wal")
    before = log.read_bytes()
    assert health_of(browser) == (200, [])
    assert log.read_bytes() == before
    assert browser.views_of(link) == 0


def test_a_service_on_a_database_that_can_only_be_read_does_not_start(
    database: str, pepper: bytes, api_key: str, clock: FakeClock
) -> None:
    read_only = f"sqlite:///file:{database.removeprefix('sqlite:///')}?mode=ro&uri=true"
    with contextlib.closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    with pytest.raises(ConfigError, match=r"cannot be written \(SQLITE_READONLY\)\. Check `database`"):
        create_app(options_for(read_only, pepper, api_key), clock=clock)


def test_a_service_on_a_standby_is_not_healthy_and_one_that_waits_for_its_turn_is(
    links_postgres: str, pepper: bytes, api_key: str, clock: FakeClock
) -> None:
    app = create_app(options_for(links_postgres, pepper, api_key), clock=clock)
    browser = Browser(app, clock, api_key)
    other = open_engine(links_postgres)
    with writing(other):
        assert health_of(browser) == (200, [])
    other.dispose()
    with app.state.vault.engine.connect() as connection:
        connection.exec_driver_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        connection.commit()
    assert health_of(browser) == (503, ["25006"])
    app.state.vault.close()


def test_a_whole_story_leaves_no_secret_in_any_log(browser: Browser, api_key: str, records: list[str]) -> None:
    link = make_link()
    browser.create(link)
    browser.reveal(link)
    browser.post_json(f"{link.path}/reveal", {"challenge": "x"})
    browser.reveal(link)
    browser.get(link.path)
    for secret in (link.password.reveal(), link.token.reveal(), api_key):
        assert not [line for line in records if secret in line]


def test_options_show_no_secret(pepper: bytes, api_key: str) -> None:
    password = secrets.token_urlsafe()
    shown = repr(options_for(f"postgresql://links:{password}@db.example.com/links", pepper, api_key))
    for secret in (password, api_key, repr(pepper)):
        assert secret not in shown


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "links.example.com"}, "url"),
        ({"url": "https://links.example.com/path"}, "url"),
        ({"api_keys": ()}, "api_keys"),
        ({"api_keys": ("short",)}, "api_keys"),
        ({"pepper": b"short"}, "pepper"),
        ({"trusted_proxies": ("10.0.0.1/8",)}, "trusted_proxies"),
        ({"mmdb": "/nowhere/at/all.mmdb"}, "geo.mmdb"),
    ],
)
def test_options_that_cannot_work_are_refused_in_words(
    database: str, clock: FakeClock, pepper: bytes, api_key: str, change: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        create_app(replace(options_for(database, pepper, api_key), **change), clock=clock)  # type: ignore[arg-type]
    assert api_key not in str(refusal.value)


@pytest.mark.parametrize("path", ["/s/{token}/step", "/s/{token}/reveal", "/api/v1/links"])
def test_a_body_that_does_not_come_in_time_is_refused_in_words_that_programs_read(
    app: Starlette, api_key: str, path: str
) -> None:
    sent: list[Message] = []

    async def play() -> None:
        loop = asyncio.get_running_loop()

        async def receive() -> Message:
            loop.ahead += BODY_TIME.total_seconds()  # type: ignore[attr-defined]
            await asyncio.sleep(3600)
            raise AssertionError("unreachable")

        async def send(message: Message) -> None:
            sent.append(message)

        headers = {"content-type": "application/json", "content-length": "20", "authorization": f"Bearer {api_key}"}
        scope = {
            "type": "http", "method": "POST", "path": path.format(token="t" * 32), "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("203.0.113.9", 50000),
        }  # fmt: skip
        await app(scope, receive, send)

    with asyncio.Runner(loop_factory=Hurried) as runner:
        runner.run(play())
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["error"] == "too_slow"
