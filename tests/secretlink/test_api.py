"""The connector's side: keys, limits, repeats, and events that nobody misses."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event as sql_event
from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

from connector.secretlink.seal import new_link_id
from connector.secretlink.service.news import MOST_WAITING_PER_KEY
from connector.secretlink.service.web import create_app
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
        "mode": "path",
        "checked": False,
    }
    assert browser.create(link).status == 200
    assert browser.create(link, display_name="Somebody Else").status == 409
    assert browser.create(link, max_views=3).status == 409
    assert len(browser.events()) == 1


def test_a_link_needs_no_more_than_who_calls_can_know_of_it(browser: Browser) -> None:
    link = make_link()
    terms = {"id": link.terms.link_id, "max_views": 2, "expires_at": link.terms.expires_at}
    sealed = {"lookup": encode(link.lookup), "sealed": encode(link.sealed)}
    told = {"ref": "halo/t1/4242", "mode": "path", "locale": "en-GB", "human_check": None, "brand": "acme"}
    made = browser.api("POST", "/links", {**terms, **sealed, **told})
    assert made.status == 201
    assert {name: made.json()[name] for name in (*terms, "state", "views")} == {**terms, "state": "active", "views": 0}
    page = browser.get(link.path)
    assert page.status == 200
    assert "acme" in page.text
    assert browser.reveal(link).json()["password"] == link.password.reveal()
    least = make_link()
    body = {name: value for name, value in least.to_body().items() if name in {*terms, *sealed, "ref"}}
    assert browser.api("POST", "/links", body).status == 201
    assert browser.reveal(least).json()["password"] == least.password.reveal()


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
        {"mode": "elsewhere"},
        {"locale": "e"},
        {"locale": "../en"},
        {"human_check": encode(bytes(31))},
        {"human_check": "4242"},
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


def test_a_body_that_is_not_declared_as_json_is_not_read(browser: Browser, api_key: str) -> None:
    body = json.dumps(make_link().to_body()).encode()
    for kind in ("text/plain", "", "application/x-www-form-urlencoded", "application/jsonp"):
        headers = {"authorization": f"Bearer {api_key}"} | ({"content-type": kind} if kind else {})
        for path in ("/api/v1/links", "/api/v1/alarms"):
            answer = browser.send("POST", path, body=body, headers=headers)
            assert (answer.status, answer.json()["error"]) == (415, "content_type")
    assert browser.events() == []


def test_whatever_the_schema_allows_fits_into_a_body_in_every_script_and_spelling(browser: Browser) -> None:
    letter = "\U00020000"  # twelve letters when it is escaped
    brand = {"name": letter * 80, "phone": letter * 40, "url": f"https://{letter * 192}", "colour": "#123456"}
    words = {"display_name": letter * 200, "ticket": letter * 64, "brand": brand, "locale": "en-abcdefgh-abcd"}
    link = make_link()
    made = browser.create(
        link,
        sealed=encode(secrets.token_bytes(2048)),
        human_check=encode(secrets.token_bytes(32)),
        ref=letter * 200,
        **words,
    )
    assert made.status == 201, made.text
    assert made.json()["ref"] == letter * 200
    alarm = make_alarm() | words | {"about": letter * 200}
    assert browser.api("POST", "/alarms", alarm).status == 201


@pytest.mark.parametrize("path", ["/links", "/alarms"])
def test_a_key_that_is_there_twice_is_refused_and_makes_nothing(browser: Browser, api_key: str, path: str) -> None:
    headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
    content = make_link().to_body() if path == "/links" else make_alarm()
    for twice in ('"expires_at": 1, ', '"brand": {"name": "Contoso", "name": "Fabrikam"}, '):
        body = "{" + twice + json.dumps(content).removeprefix("{")
        answer = browser.send("POST", f"/api/v1{path}", body=body.encode(), headers=headers)
        assert (answer.status, answer.json()["message"]) == (422, "the body has a key twice")
    assert browser.events() == []


def test_an_unknown_field_is_refused_and_not_repeated(browser: Browser) -> None:
    secret = secrets.token_urlsafe(20)
    answer = browser.create(make_link(), brand={secret: "x"}, **{secret: "x"})
    assert answer.status == 422
    assert "unknown field" in answer.json()["message"]
    assert secret not in answer.text


@pytest.mark.parametrize(
    ("path", "size"), [("/api/v1/links", 16_384), ("/api/v1/alarms", 16_384), ("/s/{token}/step", 4096),
                       ("/s/{token}/reveal", 4096)],
)  # fmt: skip
def test_bodies_above_their_limit_are_not_read(browser: Browser, api_key: str, path: str, size: int) -> None:
    link = make_link()
    browser.create(link)
    headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json", "x-reveal": "1"}
    path = path.format(token=link.token.reveal())
    body = json.dumps({"x": "y" * size}).encode()
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
    assert empty["next_mac"] == page["next_mac"] == page["head"]["mac"]
    part = browser.api("GET", "/events?after=1&limit=1").json()
    assert browser.api("GET", f"/events?after={part['next']}").json()["anchor"] == part["next_mac"]


def make_alarm(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": new_link_id(),
        "lookup": encode(secrets.token_bytes(32)),
        "about": "case-17",
        "link_id": None,
        "source": "notice",
        "display_name": "Anna Example",
        "ticket": "4242",
        "time_zone": "Europe/London",
        "locale": "de",
        "brand": {"name": "Contoso Service Desk"},
        "expires_at": int((START + timedelta(days=7)).timestamp()),
    }
    return body | changes


def test_a_repeated_arming_changes_nothing_and_a_clash_is_refused(browser: Browser) -> None:
    alarm = make_alarm()
    first = browser.api("POST", "/alarms", alarm)
    assert (first.status, first.json()) == (
        201, {"id": alarm["id"], "state": "armed", "expires_at": alarm["expires_at"]}
    )  # fmt: skip
    again = browser.api("POST", "/alarms", alarm)
    assert (again.status, again.json()) == (200, first.json())
    for change in ({"about": "case-18"}, {"lookup": encode(secrets.token_bytes(32))}, {"source": "accessed"}):
        assert browser.api("POST", "/alarms", alarm | change).status == 409
    assert browser.api("POST", "/alarms", make_alarm(lookup=alarm["lookup"])).status == 409
    assert browser.events() == []


@pytest.mark.parametrize(
    "change",
    [
        {"id": "x"},
        {"lookup": encode(bytes(31))},
        {"about": "two\nlines"},
        {"link_id": "x"},
        {"source": "elsewhere"},
        {"expires_at": int(START.timestamp())},
        {"expires_at": int((START + timedelta(days=32)).timestamp())},
        {"surprise": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_alarm_that_is_wrong_anywhere_is_refused_and_makes_nothing(browser: Browser, change: dict[str, Any]) -> None:
    alarm = make_alarm()
    assert browser.api("POST", "/alarms", alarm | change).status == 422
    assert browser.api("POST", "/alarms", alarm).status == 201


def test_links_are_listed_in_parts_and_by_state(browser: Browser) -> None:
    links = [make_link() for _ in range(5)]
    for link in links:
        assert browser.create(link).status == 201
    ids = sorted(link.terms.link_id for link in links)
    browser.api("POST", f"/links/{ids[1]}/revoke")

    def listed(query: str) -> tuple[list[str], str, bool]:
        answer = browser.api("GET", f"/links{query}").json()
        return [link["id"] for link in answer["links"]], answer["next"], answer["more"]

    assert listed("") == (ids, ids[4], False)
    assert listed("?limit=2") == (ids[:2], ids[1], True)
    assert listed(f"?limit=2&after={ids[1]}") == (ids[2:4], ids[3], True)
    assert listed(f"?limit=2&after={ids[3]}") == (ids[4:], ids[4], False)
    assert listed(f"?after={ids[4]}") == ([], ids[4], False)
    assert listed("?state=revoked") == ([ids[1]], ids[1], False)
    assert listed("?state=active&limit=1") == ([ids[0]], ids[0], True)
    browser.clock.advance(minutes=60)
    assert listed("?state=active") == ([], "", False)
    assert listed("?state=expired&limit=4")[0] == [ids[0], *ids[2:]]


@pytest.mark.parametrize(
    "query", ["state=", "state=open", "after=%00", "after=a%20b", "after=" + "x" * 65, "limit=201"]
)
def test_a_wrong_wish_for_a_list_is_refused(browser: Browser, query: str) -> None:
    assert browser.api("GET", f"/links?{query}").status == 422


@pytest.mark.parametrize(
    "path", ["/events?afer=1", "/links?sate=active", "/links/lnk_never-made?after=1", "/events?after=1&after=2"]
)
def test_a_parameter_that_is_unknown_or_there_twice_is_refused_and_not_repeated(browser: Browser, path: str) -> None:
    answer = browser.api("GET", path)
    assert answer.status == 422
    assert "afer" not in answer.text
    assert "sate" not in answer.text.replace("state", "")


def test_a_wrong_method_is_answered_with_the_right_ones(browser: Browser) -> None:
    for path, right in (
        ("/links", "GET, HEAD, POST"),
        ("/links/lnk_never-made", "GET, HEAD"),
        ("/links/lnk_never-made/revoke", "POST"),
        ("/alarms", "POST"),
        ("/events", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
    ):
        for method in ("DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"):
            answer = browser.api(method, path)
            assert answer.status == 405
            assert ", ".join(sorted(answer.headers["allow"].split(", "))) == right
    assert browser.events() == []


def test_what_is_no_link_id_is_unknown_without_asking_the_database(browser: Browser) -> None:
    for name in ("%00", "a%2Fb", "%ff%fe", "x" * 65, "short", "%F0%9F%94%91%F0%9F%94%91"):
        for method, path in (("GET", f"/links/{name}"), ("POST", f"/links/{name}/revoke")):
            assert browser.api(method, path).status == 404


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


async def until(fact: Callable[[], bool]) -> None:
    """Let everything else run until something is so."""
    for _ in range(10_000):
        if fact():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be")


def test_a_crowd_that_waits_is_woken_at_once_and_holds_nobody_up(
    app: Starlette, clock: FakeClock, api_key: str
) -> None:
    link = make_link()
    headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
    places = app.state.api.places

    reads: list[str] = []
    engine = app.state.vault.engine
    sql_event.listen(engine, "before_cursor_execute", lambda *call: reads.append(call[2]))

    async def story() -> tuple[list[Answer], int]:
        crowd = [
            asyncio.create_task(ask(app, "GET", "/api/v1/events?after=0&wait=30", headers=headers))
            for _ in range(MOST_WAITING_PER_KEY)
        ]
        await until(lambda: places.taken == MOST_WAITING_PER_KEY)
        reads.clear()
        await ask(app, "POST", "/api/v1/links", body=json.dumps(link.to_body()).encode(), headers=headers)
        # The news is out and the whole crowd awake: whoever comes now does not have to wait for all of them.
        page = await ask(app, "GET", link.path)
        assert page.status == 200
        served_before = sum(task.done() for task in crowd)
        return await asyncio.gather(*crowd), served_before

    answers, served_before = asyncio.run(story())
    assert all(answer.json()["events"][0]["kind"] == "created" for answer in answers)
    assert served_before < MOST_WAITING_PER_KEY
    assert 0 < len([sql for sql in reads if "FROM event" in sql and "LIMIT" in sql]) < MOST_WAITING_PER_KEY
    assert places.taken == 0


def test_a_reader_hears_of_what_another_process_wrote(
    links_postgres: str, clock: FakeClock, pepper: bytes, api_key: str
) -> None:
    here, there = (create_app(options_for(links_postgres, pepper, api_key), clock=clock) for _ in range(2))
    headers = {"authorization": f"Bearer {api_key}"}

    async def story() -> Answer:
        waiting = asyncio.create_task(ask(here, "GET", "/api/v1/events?wait=30", headers=headers))
        await until(lambda: here.state.api.places.taken == 1)
        there.state.vault.create(make_link().to_new_link())
        return await waiting

    began = time.monotonic()
    assert [event["kind"] for event in asyncio.run(story()).json()["events"]] == ["created"]
    assert time.monotonic() - began < 10
    for app in (here, there):
        app.state.vault.close()


def test_one_key_does_not_take_every_place_to_wait(database: str, clock: FakeClock, pepper: bytes) -> None:
    greedy, other = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    app = create_app(options_for(database, pepper, "", api_keys=(greedy, other)), clock=clock)
    places = app.state.api.places

    def wait(key: str, seconds: int = 30) -> asyncio.Task[Answer]:
        headers = {"authorization": f"Bearer {key}"}
        return asyncio.create_task(ask(app, "GET", f"/api/v1/events?wait={seconds}", headers=headers))

    async def story() -> None:
        crowd = [wait(greedy) for _ in range(MOST_WAITING_PER_KEY)]
        await until(lambda: places.taken == MOST_WAITING_PER_KEY)
        began = asyncio.get_running_loop().time()
        # One too many: it is answered soon, with nothing, and never took a place.
        assert (await wait(greedy)).json()["events"] == []
        assert asyncio.get_running_loop().time() - began < 10
        last = wait(other)
        await until(lambda: places.taken == MOST_WAITING_PER_KEY + 1)
        app.state.news.close()
        answers = await asyncio.gather(*crowd, last)
        assert {answer.status for answer in answers} == {200}

    asyncio.run(story())
    assert places.taken == 0
    app.state.vault.close()


def test_a_reader_that_goes_away_gives_its_place_back_at_once(app: Starlette, api_key: str) -> None:
    places = app.state.api.places
    headers = {"authorization": f"Bearer {api_key}"}

    async def story() -> None:
        away = asyncio.Event()

        async def app_with_an_end(scope: Scope, receive: Receive, send: Send) -> None:
            parts = [receive]

            async def receive_until_away() -> Message:
                if parts:
                    return await parts.pop()()
                await away.wait()
                return {"type": "http.disconnect"}

            await app(scope, receive_until_away, send)

        waiting = asyncio.create_task(ask(app_with_an_end, "GET", "/api/v1/events?wait=30", headers=headers))
        await until(lambda: places.taken == 1)
        away.set()
        await waiting

    began = time.monotonic()
    asyncio.run(story())
    assert places.taken == 0
    assert time.monotonic() - began < 10


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
