"""What has to be typed before a password is shown: five tries, and nothing on the page that tells it."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from connector.secretlink.seal import check_of
from tests.secretlink.support import Answer, Browser, Made, encode, make_link, new_nonce

TICKET = "INC-4242"


@pytest.fixture
def link(browser: Browser) -> Made:
    made = make_link(views=2)
    # As the connector does: a link that asks for the number does not come with it.
    assert browser.create(made, ticket="", human_check=encode(check_of(made.key, TICKET))).status == 201
    return made


def answer_with(browser: Browser, link: Made, **fields: object) -> Answer:
    content = {"challenge": browser.step_of(link), "nonce": new_nonce(), **fields}
    return browser.post_json(f"{link.path}/reveal", content)


def type_in_form(browser: Browser, link: Made, **fields: str) -> Answer:
    challenge = browser.challenge_of(link)
    browser.clock.advance(seconds=1)
    body = urlencode({"challenge": challenge, "nonce": new_nonce(), **fields}).encode()
    return browser.send(
        "POST", f"{link.path}/reveal", body=body, headers={"content-type": "application/x-www-form-urlencoded"}
    )


def reasons(browser: Browser) -> list[tuple[str, str | None]]:
    return [(event["kind"], event["reason"]) for event in browser.events() if event["kind"] != "created"]


def test_the_page_asks_for_the_number_and_does_not_show_it(browser: Browser, link: Made) -> None:
    page = browser.get(link.path).text
    assert 'data-checked="yes"' in page
    assert TICKET not in page
    assert 'name="answer"' in page
    assert 'name="word"' not in page


def test_a_ticket_that_was_sent_along_is_not_shown_either(browser: Browser) -> None:
    made = make_link()
    browser.create(made, ticket=TICKET, human_check=encode(check_of(made.key, TICKET)))
    assert TICKET not in browser.get(made.path).text


@pytest.mark.parametrize("typed", [TICKET, " inc 4242 ", "#INC-4242", "ＩＮＣ４２４２"])
def test_the_right_number_shows_the_password_however_it_is_written(browser: Browser, link: Made, typed: str) -> None:
    answer = answer_with(browser, link, answer=typed)
    assert (answer.status, answer.json()["password"]) == (200, link.password.reveal())
    assert browser.views_of(link) == 1


def test_a_wrong_number_shows_nothing_uses_no_view_and_says_how_many_tries_are_left(
    browser: Browser, link: Made
) -> None:
    answer = answer_with(browser, link, answer="4243")
    assert (answer.status, answer.json()["error"], answer.json()["tries_left"]) == (403, "check", 4)
    assert browser.views_of(link) == 0
    assert ("check_failed", "wrong") in reasons(browser)
    assert answer_with(browser, link, answer=TICKET).status == 200


@pytest.mark.parametrize(
    "fields",
    [{}, {"answer": ""}, {"answer": "test"}, {"answer": 4242}, {"check": "x" * 43}, {"answer": "\u0664\u0662"}],
    ids=["nothing", "empty", "a word", "no text", "a proof", "Arabic digits"],
)
def test_what_cannot_be_a_number_is_refused_but_is_no_try(
    browser: Browser, link: Made, fields: dict[str, object]
) -> None:
    """A robot that fills every field with words must not lock the person out."""
    for _ in range(6):
        answer = answer_with(browser, link, **fields)
        assert (answer.status, answer.json()["error"]) == (403, "answer")
    assert browser.views_of(link) == 0
    assert answer_with(browser, link, answer=TICKET).status == 200


def test_after_five_wrong_numbers_the_link_is_closed_for_good(browser: Browser, link: Made) -> None:
    statuses = [answer_with(browser, link, answer=f"{number}").status for number in range(5)]
    assert statuses == [403, 403, 403, 403, 410]
    page = browser.get(link.path)
    assert page.status == 410
    assert "a wrong ticket number was typed too often" in page.text
    assert "Nobody saw the password" in page.text
    assert ("revoked", "check_failed") in reasons(browser)
    content = {"challenge": "x", "nonce": new_nonce(), "answer": TICKET}
    assert browser.post_json(f"{link.path}/reveal", content).status == 403 or browser.views_of(link) == 0
    assert link.password.reveal() not in browser.post_json(f"{link.path}/reveal", content).text
    assert browser.views_of(link) == 0


def test_a_hasty_guess_is_refused_before_it_is_looked_at(browser: Browser, link: Made) -> None:
    challenge = browser.challenge_of(link)
    content = {"challenge": challenge, "nonce": new_nonce(), "answer": "1"}
    assert browser.post_json(f"{link.path}/reveal", content).json()["error"] == "no_step"
    assert ("check_failed", "wrong") not in reasons(browser)


def test_without_scripts_the_number_is_typed_into_the_form(browser: Browser, link: Made) -> None:
    wrong = type_in_form(browser, link, answer="1")
    assert wrong.status == 403
    assert "You have 4 tries left" in wrong.text
    empty = type_in_form(browser, link, answer="test")
    assert empty.status == 403
    assert "cannot be a ticket number" in empty.text
    word = type_in_form(browser, link, word="SHOW")
    assert word.status == 403
    assert browser.views_of(link) == 0
    assert type_in_form(browser, link, answer=TICKET).status == 200
    assert browser.views_of(link) == 1


def test_a_link_without_a_check_ignores_what_is_sent_for_one(browser: Browser) -> None:
    made = make_link()
    browser.create(made)
    assert answer_with(browser, made, answer="anything").status == 200
