"""The connector's side: keys, limits, repeats, and events that nobody misses."""

from __future__ import annotations

import asyncio
import json
import secrets
from datetime import timedelta
from typing import Any

import pytest
from starlette.applications import Starlette

from connector.secretlink.web import create_app
from tests.secretlink.support import START, Answer, Browser, FakeClock, ask, encode, make_link, new_nonce, options_for


def test_without_the_right_key_nothing_is_said_or_done(browser: Browser, api_key: str) -> None:
    link = make_link()
    browser.create(link)
    for key in ("", "x", api_key[:-1], api_key + "x", secrets.token_urlsafe(32)):
        for method, path, content in (
            ("POST", "/links", make_link().to_body()),
            ("GET", f"/links/{link.terms.link_id}", None),
            ("POST", f"/links/{link.terms.link_id}/revoke", None),
            ("GET", "/events", None),
        ):
            answer = browser.api(method, path, content, key=key)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert browser.send("GET", "/api/v1/events", headers={"authorization": f"Basic {api_key}"}).status == 401
    assert browser.send("GET", "/api/v1/events").status == 401
    assert [event["kind"] for event in browser.events()] == ["created"]


def test_either_of_two_keys_works_while_they_are_rotated(
    database: str, clock: FakeClock, pepper: bytes, api_key: str
) -> None:
    other = secrets.token_urlsafe(32)
    app = create_app(options_for(database, pepper, api_key, api_keys=(api_key, other)), clock=clock)
    for key in (api_key, other):
        assert Browser(app, clock, key).api("GET", "/events").status == 200
    app.state.vault.close()


def test_a_repeated_create_changes_nothing_and_a_clash_is_refused(browser: Browser) -> None:
    link = make_link()
    first = browser.create(link)
    assert first.status == 201
    assert first.json() == {
        "id": link.terms.link_id,
        "state": "active",
        "views": 0,
        "max_views": 2,
        "expires_at": link.terms.expires_at,
        "created_at": "2026-11-22T10:00:00.000Z",
        "first_view_at": None,
        "last_view_at": None,
        "ended_at": None,
        "ref": "halo/4242",
    }
    assert browser.create(link).status == 200
    assert browser.create(link, display_name="Somebody Else").status == 409
    assert browser.create(link, max_views=3).status == 409
    assert len(browser.events()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"id": "x"},
        {"id": "has spaces in it"},
        {"lookup": encode(b"short")},
        {"lookup": "not base64!"},
        {"sealed": "*"},
        {"sealed": encode(bytes(2049))},
        {"max_views": 0},
        {"max_views": 21},
        {"max_views": "2"},
        {"max_views": 2.5},
        {"max_views": True},
        {"expires_at": int(START.timestamp())},
        {"expires_at": int((START + timedelta(days=32)).timestamp())},
        {"expires_at": 10**18},
        {"expires_at": -1},
        {"mode": "fragment"},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../../etc/passwd"},
        {"display_name": "two\nlines"},
        {"display_name": "x" * 201},
        {"ticket": None},
        {"brand": {"colour": "red"}},
        {"brand": {"url": "javascript:alert(1)"}},
        {"brand": {"logo": "x"}},
        {"surprise": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_create_that_is_wrong_anywhere_is_refused_and_makes_nothing(browser: Browser, change: dict[str, Any]) -> None:
    link = make_link()
    answer = browser.create(link, **change)
    assert answer.status == 422
    assert answer.json()["error"] == "invalid"
    assert encode(link.sealed) not in answer.text
    assert browser.events() == []


def test_a_missing_field_is_named(browser: Browser) -> None:
    body = make_link().to_body()
    del body["lookup"]
    answer = browser.api("POST", "/links", body)
    assert answer.status == 422
    assert "lookup" in answer.json()["message"]


@pytest.mark.parametrize("path", ["/api/v1/links", "/s/{token}/step", "/s/{token}/reveal"])
def test_bodies_above_four_kilobytes_are_not_read(browser: Browser, api_key: str, path: str) -> None:
    link = make_link()
    browser.create(link)
    headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json", "x-reveal": "1"}
    path = path.format(token=link.token.reveal())
    body = json.dumps({"x": "y" * 4096}).encode()
    assert browser.send("POST", path, body=body, headers=headers).status == 413
    # Neither a lie about the length nor none at all gets further.
    assert browser.send("POST", path, body=body, headers=headers | {"content-length": "10"}).status == 413
    assert browser.send("POST", path, body=b"{}", headers=headers | {"content-length": "nonsense"}).status == 413
    assert [event["kind"] for event in browser.events()] == ["created"]


def test_a_form_above_four_kilobytes_is_not_read_either(browser: Browser) -> None:
    link = make_link()
    browser.create(link)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert browser.send("POST", f"{link.path}/reveal", body=b"word=" + b"x" * 5000, headers=headers).status == 413


def test_a_link_can_be_looked_at_and_revoked_by_its_id_only(browser: Browser) -> None:
    link = make_link()
    browser.create(link)
    browser.reveal(link)
    shown = browser.api("GET", f"/links/{link.terms.link_id}")
    assert (shown.json()["state"], shown.json()["views"]) == ("active", 1)
    assert shown.json()["first_view_at"] == "2026-11-22T10:00:02.000Z"
    for _ in range(2):
        revoked = browser.api("POST", f"/links/{link.terms.link_id}/revoke")
        assert (revoked.status, revoked.json()["state"]) == (200, "revoked")
    assert browser.api("POST", "/links/lnk_never-made/revoke").status == 404
    assert browser.api("GET", f"/links/{link.token.reveal()}").status == 404


def test_events_come_in_order_with_everything_the_ticket_needs(browser: Browser) -> None:
    link = make_link()
    browser.create(link)
    browser.reveal(link)
    page = browser.api("GET", "/events?after=1&limit=2").json()
    assert [event["kind"] for event in page["events"]] == ["page_opened", "step_opened"]
    assert (page["next"], page["more"]) == (3, True)
    page = browser.api("GET", f"/events?after={page['next']}&limit=2").json()
    assert page["events"] == [
        {
            "seq": 4,
            "link_id": link.terms.link_id,
            "ref": "halo/4242",
            "kind": "revealed",
            "at": "2026-11-22T10:00:02.000Z",
            "view": 1,
            "views_left": 1,
            "reason": None,
            "ip": "203.0.113.9",
            "location": None,
            "user_agent": None,
            "agent": None,
            "suspect": "no_name",
        }
    ]
    assert (page["next"], page["more"], page["head"]["seq"]) == (4, False, 4)
    empty = browser.api("GET", "/events?after=4").json()
    assert (empty["events"], empty["next"], empty["anchor"]) == ([], 4, page["head"]["mac"])


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=501", "wait=31", "after=1e3", "after=" + "9" * 5000, "after=²"]
)
def test_a_wrong_cursor_is_refused(browser: Browser, query: str) -> None:
    assert browser.api("GET", f"/events?{query}").status == 422


def test_an_expiry_shows_in_the_events_even_when_the_timer_is_late(browser: Browser) -> None:
    link = make_link()
    browser.create(link)
    browser.clock.advance(minutes=60)
    assert [event["kind"] for event in browser.events()] == ["created", "expired"]
    assert browser.events()[-1]["view"] == 0


def test_who_waits_for_events_hears_at_once(app: Starlette, clock: FakeClock, api_key: str) -> None:
    link = make_link()
    headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}

    async def story() -> tuple[Answer, float]:
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(ask(app, "GET", "/api/v1/events?after=0&wait=30", headers=headers))
        for _ in range(20):  # lets it run until it waits for news
            await asyncio.sleep(0)
        assert not waiting.done()
        began = loop.time()
        await ask(app, "POST", "/api/v1/links", body=json.dumps(link.to_body()).encode(), headers=headers)
        return await waiting, loop.time() - began

    answer, took = asyncio.run(story())
    assert [event["kind"] for event in answer.json()["events"]] == ["created"]
    assert took < 5


def test_who_waits_in_vain_gets_an_empty_answer(browser: Browser) -> None:
    page = browser.api("GET", "/events?after=0&wait=1").json()
    assert (page["events"], page["next"], page["head"]["seq"]) == ([], 0, 0)


def test_no_secret_is_in_any_answer_of_the_api(browser: Browser, api_key: str) -> None:
    link = make_link()
    answers = [browser.create(link)]
    browser.reveal(link, nonce=(nonce := new_nonce()))
    answers += [browser.api("GET", f"/links/{link.terms.link_id}"), browser.api("GET", "/events")]
    for answer in answers:
        for secret in (
            link.password.reveal(),
            link.token.reveal(),
            encode(link.lookup),
            encode(link.sealed),
            api_key,
            nonce,
        ):
            assert secret not in answer.text
