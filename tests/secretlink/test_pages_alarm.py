"""That was not me: an alarm is raised by two deliberate steps of a person, once, and by nothing else."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from starlette.applications import Starlette

from connector.secretlink.service.store.links import NewAlarm
from tests.secretlink.support import Answer, Browser, FakeClock, Made, encode, make_alarm, make_link, new_nonce

EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0"


class Alarm:
    """An alarm and where it is."""

    def __init__(self, new: NewAlarm, path: str, act: str = "/raise") -> None:
        self.new = new
        self.path = path
        self.act = path + act


def arm(app: Starlette, clock: FakeClock, **changes: object) -> Alarm:
    new, token = make_alarm(clock.now, **changes)
    app.state.vault.arm(new)
    return Alarm(new, f"/n/{base64.urlsafe_b64encode(token).decode()}")


@pytest.fixture
def link(browser: Browser) -> Made:
    made = make_link(views=2)
    assert browser.create(made).status == 201
    return made


@pytest.fixture
def alarm(app: Starlette, clock: FakeClock, link: Made) -> Alarm:
    return arm(app, clock, link_id=link.terms.link_id)


@pytest.fixture
def used(browser: Browser, link: Made) -> Alarm:
    """The page that reports a link which was opened."""
    assert browser.reveal(link).status == 200
    new, _ = make_alarm(browser.clock.now, about="halo/4242", link_id=link.terms.link_id, source="page")
    return Alarm(new, f"{link.path}/not-me", "")


def reports(browser: Browser) -> list[tuple[str | None, str | None, str | None]]:
    return [
        (event["ref"], event["link_id"], event["reason"]) for event in browser.events() if event["kind"] == "reported"
    ]


def step(browser: Browser, alarm: Alarm) -> str:
    page = browser.get(alarm.path).text
    browser.clock.advance(seconds=1)
    challenge = page.split('data-challenge="', 1)[1].split('"', 1)[0]
    answer = browser.post_json(f"{alarm.path}/step", {"challenge": challenge})
    assert answer.status == 200, answer.text
    browser.clock.advance(seconds=1)
    return str(answer.json()["challenge"])


def press(browser: Browser, alarm: Alarm, **headers: str) -> Answer:
    return browser.post_json(alarm.act, {"challenge": step(browser, alarm)}, headers=headers)


def typed(browser: Browser, alarm: Alarm, words: str, *, wait: float = 1, **headers: str) -> Answer:
    challenge = browser.get(alarm.path).text.split('name="challenge" value="', 1)[1].split('"', 1)[0]
    browser.clock.advance(seconds=wait)
    body = urlencode({"challenge": challenge, "words": words}).encode()
    sent = {"content-type": "application/x-www-form-urlencoded"} | headers
    return browser.send("POST", alarm.act, body=body, headers=sent)


# ---------------------------------------------------------------- the alarm of a mail


def test_the_page_says_whose_account_which_ticket_and_what_will_happen(browser: Browser, alarm: Alarm) -> None:
    page = browser.get(alarm.path)
    assert page.status == 200
    for words in ("Anna Example", "4242", "one-time link ends", "password is made useless", "signed out", "is alarmed",
                  "Nothing has happened"):  # fmt: skip
        assert words in page.text
    assert reports(browser) == []


def test_a_person_who_goes_on_and_presses_raises_it_and_the_link_ends_at_once(
    browser: Browser, alarm: Alarm, link: Made
) -> None:
    answer = press(browser, alarm, **{"user-agent": EDGE})
    assert answer.status == 200
    assert answer.json() == {"state": "raised", "when": "10:00 GMT on Sunday 22 November"}
    assert reports(browser) == [("case-4242", link.terms.link_id, "accessed")]
    reported = next(event for event in browser.events() if event["kind"] == "reported")
    assert (reported["ip"], reported["agent"]) == ("203.0.113.9", "Edge 156 on Windows")
    gone = browser.get(link.path)
    assert gone.status == 410
    assert "somebody raised the alarm" in gone.text
    assert browser.views_of(link) == 0


def test_doing_it_again_changes_nothing_and_says_when_it_was_done(browser: Browser, alarm: Alarm) -> None:
    late = step(browser, alarm)
    assert press(browser, alarm).status == 200
    browser.clock.advance(minutes=5)
    again = browser.post_json(alarm.act, {"challenge": late})
    assert (again.status, again.json()["when"]) == (200, "10:00 GMT on Sunday 22 November")
    page = browser.get(alarm.path)
    assert page.status == 200
    assert "It was raised at 10:00 GMT" in page.text
    assert "call <a" in page.text
    assert len(reports(browser)) == 1
    assert browser.post_json(f"{alarm.path}/step", {"challenge": late}).status == 410


def test_it_works_when_the_link_was_used_up_before(
    app: Starlette, clock: FakeClock, browser: Browser, link: Made
) -> None:
    for _ in range(2):
        assert browser.reveal(link).status == 200
    raised = arm(app, clock, link_id=link.terms.link_id)
    assert press(browser, raised).status == 200
    assert len(reports(browser)) == 1
    page = browser.get(link.path).text
    assert "used up" in page
    assert "The alarm was raised" in page


def test_a_notice_without_a_link_has_an_alarm_too(app: Starlette, clock: FakeClock, browser: Browser) -> None:
    notice = arm(app, clock, source="notice", ticket="")
    page = browser.get(notice.path).text
    assert "were reset" in page
    assert "one-time link ends" not in page
    assert press(browser, notice).status == 200
    assert reports(browser) == [("case-4242", None, "notice")]


def test_an_expired_alarm_and_one_that_never_was_look_the_same_and_say_whom_to_call(
    browser: Browser, alarm: Alarm
) -> None:
    challenge = step(browser, alarm)
    browser.clock.advance(days=8)
    unknown = f"/n/{secrets.token_urlsafe(24)}"
    answers = [browser.get(path) for path in (alarm.path, unknown, "/n/short", "/n/%00", unknown + "x")]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert "+44 20 7946 0000" in answers[0].text
    assert "Nothing has happened" in answers[0].text
    for path in (alarm.path, unknown):
        assert browser.post_json(f"{path}/raise", {"challenge": challenge}).status == 404
    assert reports(browser) == []


def test_unknown_alarms_are_braked_like_unknown_links(browser: Browser, alarm: Alarm) -> None:
    statuses = [browser.get(f"/n/{secrets.token_urlsafe(24)}").status for _ in range(32)]
    assert statuses == [404] * 30 + [429] * 2
    assert browser.get(alarm.path).status == 200


# ---------------------------------------------------------------- what raises nothing


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_no_other_method_raises_it(browser: Browser, alarm: Alarm, used: Alarm, method: str) -> None:
    for one in (alarm, used):
        for path in (one.path, f"{one.path}/step", one.act):
            browser.send(method, path, headers={"x-reveal": "1"})
    assert reports(browser) == []


@pytest.mark.parametrize(
    "change",
    [{"x-reveal": ""}, {"content-type": "text/plain"}, {"sec-fetch-site": "cross-site"}, {"sec-purpose": "prefetch"}],
    ids=["no header", "not JSON", "another site", "ahead"],
)
def test_what_our_page_would_not_send_raises_nothing(
    browser: Browser, alarm: Alarm, used: Alarm, change: dict[str, str]
) -> None:
    for one in (alarm, used):
        challenge = step(browser, one)
        assert browser.post_json(one.act, {"challenge": challenge}, headers=change).status in (403, 503)
        assert reports(browser) == []
        assert browser.get(one.path).status == 200


def test_a_page_loaded_ahead_is_refused(browser: Browser, alarm: Alarm) -> None:
    assert browser.get(alarm.path, headers={"sec-purpose": "prefetch;prerender"}).status == 503


@pytest.mark.parametrize(
    ("wait", "pause", "error"), [(0.5, 0.1, "too_fast"), (1, 0.3, "too_fast"), (1, 3601, "challenge_old")]
)
def test_a_press_at_a_pace_that_no_person_has_raises_nothing(
    browser: Browser, alarm: Alarm, wait: float, pause: float, error: str
) -> None:
    challenge = browser.get(alarm.path).text.split('data-challenge="', 1)[1].split('"', 1)[0]
    browser.clock.advance(seconds=wait)
    fresh = browser.post_json(f"{alarm.path}/step", {"challenge": challenge}).json()["challenge"]
    browser.clock.advance(seconds=pause)
    answer = browser.post_json(alarm.act, {"challenge": fresh})
    assert (answer.status, answer.json()["error"]) == (403, error)
    assert reports(browser) == []


def test_a_challenge_for_one_thing_is_good_for_nothing_else(
    app: Starlette, clock: FakeClock, browser: Browser, alarm: Alarm, used: Alarm, link: Made
) -> None:
    other = arm(app, clock)
    reveal = browser.step_of(link)
    tokens = {
        "reveal": reveal,
        "alarm": step(browser, alarm),
        "other": step(browser, other),
        "report": step(browser, used),
    }
    for name, one in (("alarm", alarm), ("report", used)):
        for stolen in tokens.keys() - {name}:
            assert browser.post_json(one.act, {"challenge": tokens[stolen]}).status == 403
    for stolen in ("alarm", "report"):
        content = {"challenge": tokens[stolen], "nonce": new_nonce()}
        assert browser.post_json(f"{link.path}/reveal", content).status == 403
    assert reports(browser) == []
    assert browser.views_of(link) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"challenge": 7}', b"\xff", b"x" * 5000])
def test_a_body_that_makes_no_sense_raises_nothing(browser: Browser, alarm: Alarm, body: bytes) -> None:
    headers = {"content-type": "application/json", "x-reveal": "1"}
    for path in (f"{alarm.path}/step", alarm.act):
        assert browser.send("POST", path, body=body, headers=headers).status in (403, 413)
    assert reports(browser) == []


# ---------------------------------------------------------------- without JavaScript


@pytest.mark.parametrize("words", ["NOT ME", " not   me ", "nicht ich"])
def test_without_scripts_the_typed_words_raise_it(browser: Browser, alarm: Alarm, words: str) -> None:
    answer = typed(browser, alarm, words)
    assert answer.status == 200
    assert "The alarm was raised" in answer.text
    assert len(reports(browser)) == 1
    page = browser.get(alarm.path).text
    assert "It was raised at" in page
    assert "<form" not in page


@pytest.mark.parametrize("words", ["", "NOTME", "NOT", "yes", "SHOW", "john.doe@example.com"])
def test_other_words_raise_nothing(browser: Browser, alarm: Alarm, words: str) -> None:
    answer = typed(browser, alarm, words)
    assert answer.status == 403
    assert "were not NOT ME" in answer.text
    assert reports(browser) == []


def test_the_right_words_in_a_hurry_or_from_another_site_raise_nothing(browser: Browser, alarm: Alarm) -> None:
    assert "too quick" in typed(browser, alarm, "NOT ME", wait=0.2).text
    assert typed(browser, alarm, "NOT ME", **{"sec-fetch-site": "cross-site"}).status == 403
    assert reports(browser) == []


# ---------------------------------------------------------------- from the page of a used link


def test_the_page_of_a_used_link_leads_to_the_alarm(browser: Browser, link: Made, used: Alarm) -> None:
    assert f'href="{used.path}' in browser.get(link.path).text  # one view is left
    assert browser.reveal(link).status == 200
    assert f'action="{used.path}"' in browser.get(link.path).text
    page = browser.get(used.path).text
    assert "Anna Example" in page
    assert press(browser, used).status == 200
    assert reports(browser) == [("halo/4242", link.terms.link_id, "page")]
    gone = browser.get(link.path).text
    assert "The alarm was raised" in gone
    assert f'action="{used.path}"' not in gone


def test_reporting_a_link_that_still_lives_ends_it(browser: Browser, link: Made, used: Alarm) -> None:
    assert typed(browser, used, "NOT ME").status == 200
    assert browser.get(link.path).status == 410
    assert browser.views_of(link) == 1
    assert "It was raised at" in browser.get(used.path).text
    assert len(reports(browser)) == 1


def test_a_link_that_nobody_opened_has_nothing_to_report(browser: Browser, link: Made) -> None:
    unknown = browser.get("/s/nothing-at-all")
    answer = browser.get(f"{link.path}/not-me")
    assert (answer.status, answer.body) == (404, unknown.body)
    assert browser.post_json(f"{link.path}/not-me", {"challenge": browser.step_of(link)}).status == 404
    assert reports(browser) == []


def test_a_link_that_is_long_over_leads_to_no_alarm(browser: Browser, link: Made, used: Alarm) -> None:
    assert browser.reveal(link).status == 200
    browser.clock.advance(days=8)
    gone = browser.get(link.path)
    assert gone.status == 410
    assert used.path not in gone.text
    assert browser.get(used.path).status == 404
    assert reports(browser) == []


def test_what_was_reported_in_time_is_still_told_when_it_is_long_over(
    browser: Browser, link: Made, used: Alarm
) -> None:
    assert browser.reveal(link).status == 200
    assert press(browser, used).status == 200
    browser.clock.advance(days=8)
    assert "It was raised at" in browser.get(used.path).text
    assert len(reports(browser)) == 1


def test_a_link_in_fragment_mode_is_reported_with_its_proof(browser: Browser) -> None:
    made = make_link(views=1)
    browser.create(made, mode="fragment")
    base = f"/s/{made.terms.link_id}"
    page = browser.get(base).text
    challenge = page.split('data-challenge="', 1)[1].split('"', 1)[0]
    browser.clock.advance(seconds=1)
    proof = {"lookup": encode(made.lookup)}
    fresh = browser.post_json(f"{base}/step", {"challenge": challenge, **proof}).json()["challenge"]
    browser.clock.advance(seconds=1)
    shown = browser.post_json(f"{base}/reveal", {"challenge": fresh, "nonce": new_nonce(), **proof})
    assert shown.status == 200
    form = {"content-type": "application/x-www-form-urlencoded"}
    stranger = urlencode({"lookup": encode(secrets.token_bytes(32))}).encode()
    assert browser.send("POST", f"{base}/not-me/page", body=stranger, headers=form).status == 404
    assert browser.get(f"{base}/not-me").status == 404
    page = browser.send("POST", f"{base}/not-me/page", body=urlencode(proof).encode(), headers=form).text
    challenge = page.split('data-challenge="', 1)[1].split('"', 1)[0]
    browser.clock.advance(seconds=1)
    fresh = browser.post_json(f"{base}/not-me/step", {"challenge": challenge, **proof}).json()["challenge"]
    browser.clock.advance(seconds=1)
    assert browser.post_json(f"{base}/not-me", {"challenge": fresh}).status == 404
    assert reports(browser) == []
    assert browser.post_json(f"{base}/not-me", {"challenge": fresh, **proof}).status == 200
    assert reports(browser) == [("halo/4242", made.terms.link_id, "page")]


# ---------------------------------------------------------------- whose desk, which language


def test_an_alarm_has_the_desk_and_the_language_of_its_customer(
    app: Starlette, clock: FakeClock, browser: Browser
) -> None:
    brand = json.dumps({"name": "Fabrikam IT", "phone": "+49 30 123456"})
    german = arm(app, clock, locale="de", brand=brand)
    page = browser.get(german.path).text
    assert '<html lang="de"' in page
    assert "Waren Sie das nicht?" in page
    assert "Fabrikam IT" in page
    assert "+49 30 123456" in page
    assert "Contoso" not in page
    english = browser.get(f"{german.path}?lang=en").text
    assert "Was that not you?" in english
    assert press(browser, german).json()["when"] == "10:00 Uhr (GMT) am Sonntag, 22. November"


def test_an_alarm_lives_for_as_long_as_it_was_asked_for(app: Starlette, clock: FakeClock, browser: Browser) -> None:
    short = arm(app, clock, expires_at=int((clock.now + timedelta(minutes=10)).timestamp()))
    clock.advance(minutes=9, seconds=59)
    assert browser.get(short.path).status == 200
    clock.advance(seconds=1)
    assert browser.get(short.path).status == 404
