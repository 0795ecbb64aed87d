"""The page of a link: only a deliberate act shows the password, and nothing else costs a view."""

from __future__ import annotations

import json
import re
import secrets
from datetime import timedelta
from html import unescape
from urllib.parse import urlencode

import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from connector.secretlink.service.web import create_app
from tests.secretlink.support import Answer, Browser, FakeClock, Made, make_link, new_nonce, options_for


@pytest.fixture
def link(browser: Browser) -> Made:
    made = make_link(views=2)
    assert browser.create(made).status == 201
    return made


def reasons(browser: Browser) -> list[str | None]:
    return [event["reason"] for event in browser.events() if event["kind"] == "refused"]


def typed(
    browser: Browser,
    link: Made,
    *,
    challenge: str,
    word: str,
    nonce: str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send the form of the page without JavaScript."""
    form = urlencode({"challenge": challenge, "nonce": nonce or new_nonce(), "word": word}).encode()
    sent = {"content-type": "application/x-www-form-urlencoded"} | (headers or {})
    return browser.send("POST", f"{link.path}/reveal", body=form, headers=sent)


def words_of(answer: Answer) -> str:
    """What is read on a page: a password is set in pieces there."""
    return unescape(re.sub(r"<[^>]*>", "", answer.text))


def test_a_person_who_opens_proceeds_and_shows_gets_the_password(browser: Browser, link: Made) -> None:
    answer = browser.reveal(link)
    assert answer.status == 200
    content = answer.json()
    assert content["password"] == link.password.reveal()
    assert (content["views_left"], content["last_view"]) == (1, False)
    assert content["expires_at"] == link.terms.expires_at
    assert browser.views_of(link) == 1
    assert browser.reveal(link).json()["last_view"] is True
    assert [event["kind"] for event in browser.events()] == [
        "created", *["page_opened", "step_opened", "revealed"] * 2
    ]  # fmt: skip


def test_the_page_says_whose_password_it_is_and_how_long_but_holds_no_secret(browser: Browser, link: Made) -> None:
    page = browser.get(link.path)
    for words in ("Anna Example", "Ticket 4242", "60 minutes", "2 of 2 times", "11:00 GMT on Sunday 22 November"):
        assert words in page.text
    assert link.password.reveal() not in page.text


def test_names_from_the_ticket_cannot_become_markup(browser: Browser) -> None:
    made = make_link()
    assert browser.create(made, display_name='<img src=x onerror="alert(1)">', ticket="<b>1</b>").status == 201
    page = browser.get(made.path).text
    assert "<img" not in page
    assert "<b>1" not in page


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_no_other_method_ever_counts_or_shows(browser: Browser, link: Made, method: str) -> None:
    for path in (link.path, f"{link.path}/step", f"{link.path}/reveal"):
        answer = browser.send(method, path, headers={"x-reveal": "1"})
        assert link.password.reveal().encode() not in answer.body
    assert browser.views_of(link) == 0


def test_a_robot_that_follows_every_address_of_the_page_uses_no_view(browser: Browser, link: Made) -> None:
    page = browser.get(link.path).text
    found = {
        part.split('"', 1)[0] for name in ("href", "src", "action", "data-path") for part in page.split(f'{name}="')[1:]
    }
    own = sorted(path for path in found if path.startswith("/"))
    assert own
    for path in own:
        browser.get(path)
    assert browser.views_of(link) == 0


def test_a_robot_that_submits_the_form_as_it_stands_uses_no_view(browser: Browser, link: Made) -> None:
    challenge = browser.challenge_of(link)
    browser.clock.advance(seconds=5)
    for word in ("", "test", "show me"):
        answer = typed(browser, link, challenge=challenge, word=word)
        assert answer.status == 403
        assert link.password.reveal() not in words_of(answer)
    assert browser.views_of(link) == 0
    assert reasons(browser) == ["word", "word", "word"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x-reveal": ""}, "no_header"),
        ({"content-type": "text/plain"}, "not_json"),
        ({"sec-fetch-site": "cross-site"}, "other_site"),
        ({"sec-fetch-site": "none"}, "other_site"),
    ],
)
def test_a_reveal_that_our_page_would_not_send_is_refused_uncounted(
    browser: Browser, link: Made, change: dict[str, str], reason: str
) -> None:
    content = {"challenge": browser.step_of(link), "nonce": new_nonce()}
    answer = browser.post_json(f"{link.path}/reveal", content, headers=change)
    assert answer.status == 403
    assert browser.views_of(link) == 0
    assert reasons(browser) == ["body" if reason == "not_json" else reason]
    assert browser.post_json(f"{link.path}/reveal", content).status == 200


def test_a_browser_that_sends_no_fetch_headers_is_judged_by_the_other_signs(browser: Browser, link: Made) -> None:
    content = {"challenge": browser.step_of(link), "nonce": new_nonce()}
    assert browser.post_json(f"{link.path}/reveal", content, headers={"sec-fetch-site": ""}).status == 200


def test_a_reveal_without_the_step_is_refused(browser: Browser, link: Made) -> None:
    challenge = browser.challenge_of(link)
    browser.clock.advance(seconds=5)
    answer = browser.post_json(f"{link.path}/reveal", {"challenge": challenge, "nonce": new_nonce()})
    assert (answer.status, answer.json()["error"]) == (403, "no_step")
    assert browser.views_of(link) == 0


@pytest.mark.parametrize(
    ("before_step", "before_reveal", "status"), [(0, 800, 200), (400, 400, 200), (0, 799, 403), (3000, 399, 403)]
)
def test_a_reveal_at_a_pace_that_no_person_has_is_refused(
    browser: Browser, link: Made, before_step: int, before_reveal: int, status: int
) -> None:
    page = browser.challenge_of(link)
    browser.clock.advance(milliseconds=before_step)
    step = browser.post_json(f"{link.path}/step", {"challenge": page}).json()["challenge"]
    browser.clock.advance(milliseconds=before_reveal)
    answer = browser.post_json(f"{link.path}/reveal", {"challenge": step, "nonce": new_nonce()})
    assert answer.status == status
    assert browser.views_of(link) == (1 if status == 200 else 0)
    assert reasons(browser) == ([] if status == 200 else ["too_fast"])


def test_a_page_left_open_for_over_an_hour_must_be_opened_again(browser: Browser) -> None:
    made = make_link(lifetime=timedelta(hours=3))
    browser.create(made)
    page = browser.challenge_of(made)
    step = browser.step_of(made)
    browser.clock.advance(minutes=60)
    late = browser.post_json(f"{made.path}/step", {"challenge": page})
    assert (late.status, late.json()["error"]) == (403, "challenge_old")
    made_up = browser.post_json(f"{made.path}/step", {"challenge": page[:-4] + "AAA="})
    assert (made_up.status, made_up.json()["error"]) == (403, "challenge")
    answer = browser.post_json(f"{made.path}/reveal", {"challenge": step, "nonce": new_nonce()})
    assert (answer.status, answer.json()["error"]) == (403, "challenge_old")
    assert browser.views_of(made) == 0
    assert browser.reveal(made).status == 200


def test_a_challenge_of_another_link_or_made_up_is_refused(browser: Browser, link: Made) -> None:
    other = make_link()
    browser.create(other)
    stolen = browser.step_of(other)
    tampered = ("B" if stolen[0] == "A" else "A") + stolen[1:]
    for challenge in (stolen, tampered, secrets.token_urlsafe(60), "", "é", None, 7, ["x"]):
        answer = browser.post_json(f"{link.path}/reveal", {"challenge": challenge, "nonce": new_nonce()})
        assert answer.status == 403
    assert browser.views_of(link) == 0


@pytest.mark.parametrize("nonce", ["", "short", "x" * 65, "has spaces in the middle", "ümlaut-is-not-allowed", None, 1])
def test_a_reveal_without_a_proper_nonce_is_refused(browser: Browser, link: Made, nonce: object) -> None:
    answer = browser.post_json(f"{link.path}/reveal", {"challenge": browser.step_of(link), "nonce": nonce})
    assert answer.status == 403
    assert browser.views_of(link) == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"[" * 4000, b"\xff\xfe"])
def test_a_body_that_is_no_json_object_is_refused_uncounted(browser: Browser, link: Made, body: bytes) -> None:
    headers = {"content-type": "application/json", "x-reveal": "1"}
    for step in ("step", "reveal"):
        assert browser.send("POST", f"{link.path}/{step}", body=body, headers=headers).status == 403
    assert browser.views_of(link) == 0


def test_a_lost_answer_can_be_asked_for_again_without_a_second_view(browser: Browser, link: Made) -> None:
    content = {"challenge": browser.step_of(link), "nonce": new_nonce()}
    first = browser.post_json(f"{link.path}/reveal", content)
    again = browser.post_json(f"{link.path}/reveal", content)
    assert first.json() == again.json()
    assert browser.views_of(link) == 1
    browser.clock.advance(seconds=61)
    late = browser.post_json(f"{link.path}/reveal", content)
    assert (late.status, late.json()["error"]) == (403, "repeated")


def test_an_answer_asked_for_again_too_late_says_that_a_view_was_used(browser: Browser, link: Made) -> None:
    content = {"challenge": browser.step_of(link), "nonce": new_nonce()}
    assert browser.post_json(f"{link.path}/reveal", content).status == 200
    browser.clock.advance(seconds=61)
    late = browser.post_json(f"{link.path}/reveal", content).json()
    assert "a view was used" in late["message"]
    assert (late["views_left"], late["max_views"]) == (1, 2)
    refused = browser.post_json(f"{link.path}/reveal", {**content, "challenge": ""}).json()
    assert "no view was used" in refused["message"]
    assert browser.views_of(link) == 1


@pytest.mark.parametrize(
    "headers", [{"sec-purpose": "prefetch"}, {"sec-purpose": "prefetch;prerender"}, {"purpose": "prefetch"}]
)
def test_a_browser_that_loads_ahead_is_sent_away(browser: Browser, link: Made, headers: dict[str, str]) -> None:
    assert browser.get(link.path, headers=headers).status == 503
    content = {"challenge": browser.step_of(link), "nonce": new_nonce()}
    assert browser.post_json(f"{link.path}/reveal", content, headers=headers).status == 503
    assert browser.views_of(link) == 0
    assert reasons(browser) == ["prefetch", "prefetch"]
    assert browser.post_json(f"{link.path}/reveal", content).status == 200


def test_without_scripts_the_typed_word_shows_the_password(browser: Browser, link: Made) -> None:
    challenge = browser.challenge_of(link)
    browser.clock.advance(seconds=3)
    nonce = new_nonce()
    answer = typed(
        browser, link, challenge=challenge, word=" show ", nonce=nonce, headers={"sec-fetch-site": "same-origin"}
    )
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert link.password.reveal() in words_of(answer)
    assert "once more" in answer.text
    assert browser.views_of(link) == 1
    reloaded = typed(browser, link, challenge=challenge, word="SHOW", nonce=nonce)
    assert link.password.reveal() in words_of(reloaded)
    assert browser.views_of(link) == 1
    browser.clock.advance(seconds=61)
    late = typed(browser, link, challenge=challenge, word="SHOW", nonce=nonce)
    assert late.status == 403
    assert link.password.reveal() not in words_of(late)
    last = typed(browser, link, challenge=challenge, word="SHOW")
    assert "last view" in last.text
    assert typed(browser, link, challenge=challenge, word="SHOW").status == 410


@pytest.mark.parametrize(("tag", "words"), [("en", "This link is damaged"), ("de", "Dieser Link ist beschädigt")])
def test_without_scripts_a_link_that_does_not_decrypt_is_said_to_be_damaged(
    app: Starlette, browser: Browser, tag: str, words: str
) -> None:
    damaged, whole = make_link(), make_link()
    for made in (damaged, whole):
        assert browser.create(made, locale=tag).status == 201
    with app.state.vault.engine.begin() as connection:
        change = "UPDATE link SET blob = (SELECT blob FROM link WHERE id = :other) WHERE id = :id"
        connection.execute(text(change), {"id": damaged.terms.link_id, "other": whole.terms.link_id})
    challenge = browser.challenge_of(damaged)
    browser.clock.advance(seconds=3)
    answer = typed(browser, damaged, challenge=challenge, word="SHOW")
    assert answer.status == 403
    assert words in answer.text
    assert browser.views_of(damaged) == 0
    assert reasons(browser) == ["damaged"]


def test_the_typed_word_does_not_help_another_site_or_a_robot_in_a_hurry(browser: Browser, link: Made) -> None:
    challenge = browser.challenge_of(link)
    assert typed(browser, link, challenge=challenge, word="SHOW").status == 403
    browser.clock.advance(seconds=3)
    answer = typed(browser, link, challenge=challenge, word="SHOW", headers={"sec-fetch-site": "cross-site"})
    assert answer.status == 403
    assert browser.views_of(link) == 0
    assert reasons(browser) == ["too_fast", "other_site"]


def test_unknown_foreign_and_broken_tokens_all_get_the_same_page(browser: Browser, link: Made) -> None:
    unknown = make_link().path
    answers = [
        browser.get(path) for path in (unknown, link.path[:-1], link.path + "x", "/s/used", "/nothing", "/s/%00", "/")
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert len({json.dumps(sorted(answer.headers.items())) for answer in answers}) == 1
    posts = [
        browser.post_json(f"{path}/{step}", {"challenge": "x", "nonce": new_nonce()})
        for path in (unknown, link.path[:-1]) for step in ("step", "reveal")
    ]  # fmt: skip
    assert {answer.status for answer in posts} == {404}
    assert len({answer.body for answer in posts}) == 1
    assert browser.views_of(link) == 0


def test_the_holder_of_a_used_link_is_told_when_and_roughly_from_where(browser: Browser) -> None:
    made = make_link(views=1)
    browser.create(made)
    browser.clock.advance(minutes=2)
    content = {"challenge": browser.step_of(made), "nonce": new_nonce()}
    edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0"
    assert browser.post_json(f"{made.path}/reveal", content, headers={"user-agent": edge}).status == 200
    page = browser.get(made.path)
    assert page.status == 410
    for words in (
        "used up",
        "10:02 GMT on Sunday 22 November",
        "an unknown place",
        "Edge 156 on Windows",
        "Was that not you?",
    ):
        assert words in page.text
    assert made.password.reveal() not in page.text
    assert "Anna" not in page.text


def test_a_link_that_ran_out_unopened_says_that_nobody_saw_the_password(browser: Browser, link: Made) -> None:
    browser.clock.advance(minutes=60)
    page = browser.get(link.path)
    assert page.status == 410
    assert "Its time was over at 11:00 GMT" in page.text
    assert "Nobody saw the password" in page.text
    assert [event["kind"] for event in browser.events()] == ["created", "expired", "refused"]


def test_a_page_never_forgets_that_the_password_was_seen_though_the_record_of_it_is_gone(
    app: Starlette, browser: Browser
) -> None:
    expired, used = make_link(views=2), make_link(views=1, lifetime=timedelta(minutes=50))
    for made in (expired, used):
        browser.create(made)
        assert browser.reveal(made).status == 200
    newest = browser.events()[-1]["seq"]
    browser.clock.advance(days=60)
    for made in (expired, used):
        browser.get(made.path)  # somebody finds the old mail: that is younger than what is forgotten now
    browser.clock.advance(days=31)
    app.state.vault.purge(up_to=newest, over_up_to=newest)
    assert app.state.vault.views_of(used.terms.link_id) == ()
    assert "Its time was over at" in browser.get(expired.path).text
    assert "Nobody saw the password" not in browser.get(expired.path).text
    assert "the password was shown once" in browser.get(used.path).text


def test_a_withdrawn_link_says_to_look_for_a_newer_mail(browser: Browser, link: Made) -> None:
    step = browser.step_of(link)
    assert browser.api("POST", f"/links/{link.terms.link_id}/revoke").status == 200
    assert "newer mail" in browser.get(link.path).text
    answer = browser.post_json(f"{link.path}/reveal", {"challenge": step, "nonce": new_nonce()})
    assert (answer.status, answer.json()["error"]) == (410, "gone")


def test_many_unknown_tokens_are_braked_and_reported_but_known_links_still_open(browser: Browser, link: Made) -> None:
    statuses = [browser.get(make_link().path).status for _ in range(40)]
    assert statuses == [404] * 30 + [429] * 10
    assert [event["kind"] for event in browser.events()] == ["created", "unknown_token_burst"]
    assert browser.get(link.path).status == 200
    assert browser.get(make_link().path, peer="198.51.100.7").status == 404
    browser.clock.advance(seconds=60)
    assert browser.get(make_link().path).status == 404


def test_a_clock_that_is_set_back_makes_nobody_wait_longer_than_a_minute(browser: Browser) -> None:
    assert [browser.get(make_link().path).status for _ in range(31)][-1] == 429
    browser.clock.advance(hours=-1)
    assert browser.get(make_link().path).status == 404
    assert [browser.get(make_link().path).status for _ in range(30)][-1] == 429
    browser.clock.advance(minutes=1)
    assert browser.get(make_link().path).status == 404


def test_events_name_the_visitor_behind_a_trusted_proxy_only(
    database: str, clock: FakeClock, pepper: bytes, api_key: str
) -> None:
    claimed = {"x-forwarded-for": "8.8.8.8, 81.2.69.160", "user-agent": "Slackbot-LinkExpanding 1.0"}
    for trusted, ip, words in (
        ((), "203.0.113.9", None),
        (("203.0.113.0/24",), "81.2.69.160", "United Kingdom (approx.)"),
    ):
        app: Starlette = create_app(options_for(database, pepper, api_key, trusted_proxies=trusted), clock=clock)
        browser = Browser(app, clock, api_key)
        made = make_link()
        browser.create(made)
        browser.get(made.path, headers=claimed)
        event = browser.events()[-1]
        assert (event["kind"], event["ip"], event["suspect"]) == ("page_opened", ip, "robot_name")
        assert (event["location"]["words"] if event["location"] else None) == words
        assert not words or event["location"]["precision"] == "registry-country", "no table of where people are"
        app.state.vault.close()


def test_a_link_that_names_nobody_has_no_gap_where_the_name_would_be(browser: Browser) -> None:
    made = make_link()
    browser.create(made, display_name="")
    challenge = browser.challenge_of(made)
    browser.clock.advance(seconds=2)
    for page in (browser.get(made.path), typed(browser, made, challenge=challenge, word="SHOW")):
        assert page.status == 200
        assert "<h1" in page.text
        assert not re.search(r"Temporary password for|Sign in as", page.text)
        assert "Sign in with this password" in page.text


def test_the_brand_of_a_link_replaces_the_services_own(browser: Browser) -> None:
    made = make_link()
    brand = {"name": "Fabrikam Desk", "phone": "+49 30 1234", "url": "https://fabrikam.example", "colour": "#FFCC00"}
    assert browser.create(made, brand=brand).status == 201
    page = browser.get(made.path).text
    assert "Fabrikam Desk" in page
    assert 'href="tel:+49301234"' in page
    assert "Contoso" not in page
    css = browser.get("/static/brand-ffcc00.css")
    assert css.text == ":root{--brand:#ffcc00;--on-brand:#101418}\n"
