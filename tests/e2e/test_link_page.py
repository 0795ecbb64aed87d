"""The link page in a real Chromium: what people see and can do. Machines: `test_scanners.py`."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.link_desk import (
    LEAST_AGE_MS,
    PHONE,
    TICKET,
    Desk,
    Sent,
    fresh_page,
    link_desk,
    proceed,
    reveal,
    uncover,
)
from tests.own_venv import make_venv, run_in
from tests.secretlink.support import make_link

pytestmark = pytest.mark.e2e


# ---------------------------------------------------------------- people


def test_a_person_with_a_mouse_sees_the_password_after_two_steps_and_show(page: Any, desk: Desk) -> None:
    link = desk.make(views=2)
    password = link.password
    page.goto(link.address)
    assert page.get_by_role("heading", level=1).inner_text().split("\n") == ["Temporary password for", "Anna Example"]
    assert "2 of 2 times" in page.locator("main").inner_text()
    assert "60 minutes" in page.locator("main").inner_text()
    assert password not in page.content()
    reveal(page)
    # Hidden: the password is not in the page at all, whoever looks at its source or its picture.
    assert password not in page.content()
    show = page.locator("#uncover")
    assert show.get_attribute("aria-expanded") == "false"
    show.click()
    assert show.get_attribute("aria-expanded") == "true"
    assert page.locator("#password").inner_text() == password
    show.click()
    assert password not in page.content()
    assert "once more" in page.locator("main").inner_text()
    assert desk.views_of(link) == 1
    assert desk.kinds_of(link) == ["created", "page_opened", "step_opened", "revealed"]


def test_a_person_with_a_keyboard_alone_gets_the_password(page: Any, desk: Desk) -> None:
    link = desk.make()
    page.goto(link.address)
    page.wait_for_timeout(600)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "proceed"
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Show password").wait_for()
    assert page.evaluate("document.activeElement.id") == "show"
    page.wait_for_timeout(500)
    page.keyboard.press("Space")
    page.get_by_role("heading", name="The password").wait_for()
    assert page.evaluate("document.activeElement.id") == "secret-title"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#password").inner_text() == link.password
    assert desk.views_of(link) == 1


def test_a_person_with_a_phone_gets_the_password_by_touch(chromium: Any, desk: Desk) -> None:
    link = desk.make(views=1)
    with fresh_page(chromium, **PHONE) as page:
        page.goto(link.address)
        page.wait_for_timeout(600)
        page.get_by_role("button", name="Continue").tap()
        page.get_by_role("button", name="Show password").wait_for()
        page.wait_for_timeout(500)
        page.get_by_role("button", name="Show password").tap()
        page.get_by_role("button", name="Show", exact=True).tap()
        assert page.locator("#password").inner_text() == link.password
        assert "This was the last view" in page.locator("main").inner_text()
    assert desk.views_of(link) == 1


def test_a_person_without_scripts_types_a_word(chromium: Any, desk: Desk) -> None:
    link = desk.make(views=1)
    with fresh_page(chromium, java_script_enabled=False) as page:
        page.goto(link.address)
        assert not page.get_by_role("button", name="Continue").is_visible()
        page.wait_for_timeout(900)
        page.get_by_label("The word SHOW").fill("wrong")
        page.get_by_role("button", name="Show the password").click()
        assert "was not SHOW" in page.locator("main").inner_text()
        assert desk.views_of(link) == 0
        page.wait_for_timeout(900)
        page.get_by_label("The word SHOW").fill("show")
        page.get_by_role("button", name="Show the password").click()
        assert page.locator("output").inner_text() == link.password
        assert "This was the last view" in page.locator("main").inner_text()
    assert desk.views_of(link) == 1


def page_without(chromium: Any, script: str, answer: dict[str, Any]) -> Any:
    """A page with JavaScript, to which one of the scripts comes like this."""
    page = chromium.new_context().new_page()
    page.set_default_timeout(10_000)
    page.route(f"**/static/{script}-*.js", lambda route: route.fulfill(content_type="text/javascript", **answer))
    return page


GONE, OF_ANOTHER_TIME = {"status": 404, "body": ""}, {"status": 200, "body": "const from = the future?;"}


@pytest.mark.parametrize(
    ("script", "answer"), [("texts", GONE), ("common", GONE), ("common", OF_ANOTHER_TIME), ("link", GONE)]
)
def test_where_a_script_does_not_come_or_does_not_run_a_person_types_a_word(
    chromium: Any, desk: Desk, script: str, answer: dict[str, Any]
) -> None:
    link = desk.make(views=1)
    page = page_without(chromium, script, answer)
    page.goto(link.address)
    page.get_by_label("The word SHOW").fill("show")
    page.get_by_role("button", name="Show the password").click()
    page.locator("output").wait_for()
    assert page.locator("output").inner_text() == link.password
    page.context.close()
    assert desk.views_of(link) == 1


def test_a_wrong_answer_without_scripts_is_said_though_they_come_after_it_and_no_reload_sends_it_again(
    chromium: Any, desk: Desk
) -> None:
    link = desk.make(checked=True)
    page = page_without(chromium, "link", GONE)
    page.goto(link.address)
    page.get_by_label("Ticket number").last.fill("1111")
    page.unroute_all()
    page.get_by_role("button", name="Show the password").click()
    page.get_by_role("button", name="Continue").wait_for()
    assert page.get_by_role("alert").get_by_text("You have 4 tries left").is_visible()
    page.route("**/step?*", lambda route: route.fulfill(status=403, json={"error": "challenge"}))
    page.wait_for_timeout(900)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url(link.address)
    page.get_by_role("button", name="Continue").wait_for()
    page.context.close()
    assert [event["kind"] for event in desk.events() if event["link_id"] == link.id].count("check_failed") == 1


def test_scripts_that_come_late_take_nothing_from_whoever_types_already(page: Any, desk: Desk) -> None:
    link = desk.make(views=1)
    waiting = hold(page, "**/static/*.js")
    page.goto(link.address, wait_until="commit")
    page.get_by_label("The word SHOW").fill("sho")
    for route in waiting:
        route.continue_()
    page.wait_for_timeout(500)
    assert not page.get_by_role("button", name="Continue").is_visible()
    page.get_by_label("The word SHOW").press_sequentially("w")
    page.get_by_role("button", name="Show the password").click()
    page.locator("output").wait_for()
    assert page.locator("output").inner_text() == link.password
    assert desk.views_of(link) == 1


def test_where_a_script_of_the_alarm_does_not_come_a_person_types_the_words(chromium: Any, desk: Desk) -> None:
    alarm = desk.arm()
    page = page_without(chromium, "alarm", GONE)
    page.goto(alarm.address)
    page.get_by_label("The words NOT ME").fill("not me")
    page.get_by_role("button", name="Raise the alarm").click()
    page.get_by_role("heading", name="The alarm was raised").wait_for()
    page.context.close()
    assert desk.alarms_of(alarm) == 1


def test_what_is_to_be_typed_without_scripts_is_not_seen_while_these_are_on_their_way(page: Any, desk: Desk) -> None:
    waiting = hold(page, "**/static/*.js")
    page.goto(desk.make().address, wait_until="commit")
    page.locator("#plain").wait_for(state="attached")
    page.wait_for_timeout(1000)
    assert waiting
    assert not page.get_by_label("The word SHOW").is_visible()
    for route in waiting:
        route.continue_()
    page.get_by_role("button", name="Continue").wait_for()
    assert page.get_by_label("The word SHOW").count() == 0


def test_copy_takes_the_password_while_it_stays_hidden_and_says_so(chromium: Any, desk: Desk) -> None:
    link = desk.make()
    with fresh_page(chromium, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(link.address)
        reveal(page)
        page.get_by_role("button", name="Copy").click()
        page.get_by_role("status").get_by_text("Copied.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == link.password
        assert link.password not in page.content()


def reveal_on_a_clock(page: Any, link: Sent) -> None:
    """Both steps on a page whose time the test makes."""
    page.clock.install()
    page.goto(link.address)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Show password").wait_for()
    page.clock.fast_forward(1000)
    page.wait_for_timeout(900)  # the server has a clock of its own
    page.get_by_role("button", name="Show password").click()


def test_the_password_hides_itself_again_after_twenty_seconds(page: Any, desk: Desk) -> None:
    link = desk.make()
    reveal_on_a_clock(page, link)
    page.get_by_role("button", name="Show", exact=True).click()
    page.clock.fast_forward(19_000)
    assert page.locator("#password").inner_text() == link.password
    page.clock.fast_forward(1_500)
    page.get_by_role("button", name="Show", exact=True).wait_for()
    assert link.password not in page.content()


def letters_on(page: Any) -> str:
    return "".join(item.text_content() for item in page.locator("#spelled b").all())


def open_letters_and_picture(page: Any) -> None:
    page.get_by_text("Spell it out").click()
    page.get_by_text("QR code for").click()
    page.locator("#qr-picture path:not([d=''])").wait_for(state="attached")


def test_letters_and_picture_stay_for_reading_out_and_then_hide_with_the_password(page: Any, desk: Desk) -> None:
    link = desk.make()
    reveal_on_a_clock(page, link)
    page.get_by_role("button", name="Show", exact=True).click()
    page.clock.fast_forward(19_000)
    open_letters_and_picture(page)
    page.clock.fast_forward(170_000)
    assert letters_on(page) == link.password
    page.clock.fast_forward(11_000)
    page.get_by_text("The password is hidden again.").wait_for()
    assert link.password not in page.content()
    assert letters_on(page) == ""
    assert page.locator("#qr-picture path").get_attribute("d") == ""
    assert page.locator("details[open]").count() == 0


def test_letters_alone_hide_too_and_what_is_closed_by_hand_brings_the_short_time_back(page: Any, desk: Desk) -> None:
    link = desk.make()
    reveal_on_a_clock(page, link)
    page.get_by_text("Spell it out").click()
    page.locator("#spelled b").first.wait_for()
    page.clock.fast_forward(181_000)
    page.get_by_text("The password is hidden again.").wait_for()
    assert letters_on(page) == ""
    page.get_by_role("button", name="Show", exact=True).click()
    open_letters_and_picture(page)
    page.get_by_text("Spell it out").click()
    page.get_by_text("QR code for").click()
    page.locator("#spelled:empty").wait_for(state="attached")
    page.locator("#qr-picture path[d='']").wait_for(state="attached")
    page.clock.fast_forward(21_000)
    page.get_by_role("button", name="Show", exact=True).wait_for()
    assert link.password not in page.content()


def test_hide_hides_the_letters_and_the_picture_as_well(page: Any, desk: Desk) -> None:
    page.goto(desk.make().address)
    reveal(page)
    uncover(page)
    open_letters_and_picture(page)
    page.get_by_role("button", name="Hide", exact=True).click()
    assert letters_on(page) == ""
    assert page.locator("#qr-picture path").get_attribute("d") == ""


def test_the_password_is_spelled_out_on_request(page: Any, desk: Desk) -> None:
    link = desk.make()
    page.goto(link.address)
    reveal(page)
    assert page.locator("#spelled li").count() == 0
    page.get_by_text("Spell it out").click()
    page.locator("#spelled li").first.wait_for()
    letters = [item.locator("b").text_content() for item in page.locator("#spelled li").all()]
    assert "".join(letters) == link.password


def test_after_the_last_view_the_address_is_dropped_and_going_back_shows_nothing(page: Any, desk: Desk) -> None:
    link = desk.make(views=1)
    page.goto(link.address)
    reveal(page)
    page.get_by_role("button", name="Show", exact=True).click()
    assert link.made.token.reveal() not in page.url
    page.goto(f"{desk.url}/healthz")
    page.go_back()
    page.get_by_role("heading", name="This link cannot be opened").wait_for()
    assert link.password not in page.content()
    page.goto(link.address)
    assert "the password was shown once" in page.locator("main").inner_text()
    assert desk.views_of(link) == 1


def test_an_answer_lost_on_the_way_is_asked_for_again_without_a_second_view(page: Any, desk: Desk) -> None:
    link = desk.make()
    lost: list[int] = []

    def lose_the_first(route: Any) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch().status)  # the service has answered; nobody hears it
        route.abort()

    page.route(re.compile("/reveal[?]"), lose_the_first)
    page.goto(link.address)
    page.wait_for_timeout(600)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Show password").wait_for()
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Show password").click()
    page.get_by_role("alert").get_by_text("connection was lost").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("button", name="Show", exact=True).click()
    assert page.locator("#password").inner_text() == link.password
    assert lost == [200]
    assert desk.views_of(link) == 1


class AheadClock:
    """The time, and how far the service is ahead of it."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def test_an_answer_that_comes_too_late_to_be_repeated_is_told_with_the_view_that_it_cost(
    page: Any, tmp_path: Path
) -> None:
    clock = AheadClock()
    with link_desk(tmp_path, clock=clock) as desk:
        link = desk.make(views=2)
        page.route("**/reveal?*", lambda route: (route.fetch(), route.abort()), times=1)
        page.goto(link.address)
        proceed(page)
        page.locator("#show").click()
        page.get_by_role("alert").get_by_text("connection was lost").wait_for()
        clock.ahead = timedelta(seconds=61)
        page.get_by_role("button", name="Try again").click()
        page.get_by_role("alert").get_by_text("One view was used for it").wait_for()
        assert "no view was used" not in page.locator("main").inner_text()
        assert page.locator("#views-left").inner_text() == "1 of 2 times"
        page.get_by_role("button", name="Try again").click()
        page.get_by_role("heading", name="This link was opened before").wait_for()
        assert desk.views_of(link) == 1


def test_a_link_that_was_changed_where_it_is_kept_leads_to_a_new_request_and_to_no_further_try(
    page: Any, tmp_path: Path
) -> None:
    with link_desk(tmp_path) as desk:
        link = desk.make()
        with sqlite3.connect(tmp_path / "links.db") as database:
            database.execute("UPDATE link SET blob = zeroblob(length(blob))")
        database.close()
        page.goto(link.address)
        proceed(page)
        page.locator("#show").click()
        page.get_by_role("alert").get_by_text("Raise a new request").wait_for()
        assert page.evaluate("document.activeElement.id") == "trouble-text"
        assert not page.get_by_role("button", name="Try again").is_visible()
        assert desk.views_of(link) == 0


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (429, "Wait a minute"),
        *((status, "cannot be reached right now") for status in (413, 502, 503, 504)),
        (200, "connection was lost"),
    ],
)
def test_what_a_proxy_answers_in_its_own_words_is_told_in_ours(page: Any, desk: Desk, status: int, words: str) -> None:
    page.route(
        "**/step?*",
        lambda route: route.fulfill(status=status, body="<h1>Sorry</h1>", content_type="text/html"),
        times=1,
    )
    page.goto(desk.make().address)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("alert").get_by_text(words).wait_for()
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("button", name="Show password").wait_for()


def test_an_alarm_whose_page_was_open_for_over_an_hour_says_so_and_is_loaded_again(page: Any, tmp_path: Path) -> None:
    clock = AheadClock()
    with link_desk(tmp_path, clock=clock) as desk:
        alarm = desk.arm()
        page.goto(alarm.address)
        clock.ahead = timedelta(minutes=61)
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("alert").get_by_text("This page was open for a long time").wait_for()
        page.get_by_role("button", name="Try again").click()
        page.get_by_role("button", name="Continue").wait_for()
        proceed(page)
        page.locator("#show").click()
        page.locator("#done-title").wait_for()
        assert desk.alarms_of(alarm) == 1


def hold(page: Any, pattern: str) -> list[Any]:
    """Keep the requests to such an address on their way until the test lets them go on."""
    held: list[Any] = []
    page.route(pattern, lambda route: held.append(route))
    return held


def press_back_while_it_is_under_way(page: Any, held: list[Any]) -> None:
    with page.expect_request(lambda request: request.method == "POST"):
        page.locator("#show").click()
    back = page.get_by_role("button", name="Back")
    assert back.get_attribute("aria-disabled") == "true"
    back.click(force=True)
    page.wait_for_timeout(100)
    assert page.locator("#step").is_visible()
    assert not page.locator("#start").is_visible()
    held[0].continue_()


def test_there_is_no_way_back_while_the_password_is_on_its_way(page: Any, desk: Desk) -> None:
    link = desk.make()
    held = hold(page, "**/reveal?*")
    page.goto(link.address)
    proceed(page)
    press_back_while_it_is_under_way(page, held)
    page.locator("#secret-title").wait_for()
    assert desk.views_of(link) == 1


def test_there_is_no_way_back_while_the_alarm_is_being_raised_but_one_before(page: Any, desk: Desk) -> None:
    alarm = desk.arm()
    held = hold(page, "**/raise?*")
    page.goto(alarm.address)
    proceed(page)
    page.get_by_role("button", name="Back").click()
    page.get_by_text("Nothing has happened by opening this page").wait_for()
    assert desk.alarms_of(alarm) == 0
    proceed(page)
    press_back_while_it_is_under_way(page, held)
    page.locator("#done-title").wait_for()
    assert desk.alarms_of(alarm) == 1


def test_what_gets_no_answer_is_told_as_a_lost_connection_after_twenty_seconds(page: Any, desk: Desk) -> None:
    page.clock.install()
    held = hold(page, "**/step?*")
    page.goto(desk.make().address)
    with page.expect_request("**/step?*"):
        page.get_by_role("button", name="Continue").click()
    page.clock.fast_forward(19_000)
    assert not page.locator("#trouble").is_visible()
    page.clock.fast_forward(1_500)
    page.get_by_role("alert").get_by_text("connection was lost").wait_for()
    assert len(held) == 1
    page.unroute("**/step?*")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("button", name="Show password").wait_for()


def test_the_time_left_goes_on_while_the_device_sleeps(page: Any, desk: Desk) -> None:
    start = datetime.now(UTC)
    page.clock.install(time=start)
    page.goto(desk.make().address)
    for asleep, words in ((timedelta(minutes=30), "30 minutes"), (timedelta(minutes=-30), "60 minutes")):
        # The time of day alone: no timer runs meanwhile, and the other clock stands still.
        page.clock.set_system_time(start + asleep)
        page.clock.run_for(6_000)
        assert page.locator("#time-left").inner_text() == words


@pytest.mark.parametrize("width", [320, 375, 1100])
def test_nothing_ever_needs_sideways_scrolling(chromium: Any, desk: Desk, width: int) -> None:
    link = desk.make()

    def overflow(page: Any) -> int:
        return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    with fresh_page(chromium, viewport={"width": width, "height": 640}) as page:
        page.goto(link.address)
        assert overflow(page) == 0
        reveal(page)
        page.get_by_role("button", name="Show", exact=True).click()
        page.get_by_text("Spell it out").click()
        assert overflow(page) == 0
        page.goto(f"{desk.url}/s/unknown")
        assert overflow(page) == 0


def test_a_key_that_is_held_down_is_one_wish_and_shows_nothing(page: Any, desk: Desk) -> None:
    link = desk.make()
    page.goto(link.address)
    page.wait_for_timeout(900)
    page.keyboard.press("Tab")
    for _ in range(12):  # without a release in between, each is a repeat
        page.keyboard.down("Enter")
        page.wait_for_timeout(100)
    assert "step_opened" in desk.kinds_of(link)
    page.keyboard.up("Enter")
    assert desk.views_of(link) == 0


def test_the_typed_check_takes_the_number_by_enter_and_counts_wrong_ones(page: Any, desk: Desk) -> None:
    link = desk.make(checked=True)
    page.goto(link.address)
    assert TICKET not in page.locator("main").inner_text()
    proceed(page)
    for no_number in ("test", "\u0664\u0662\u0664\u0662"):  # the second in Arabic digits
        page.get_by_label("Ticket number").fill(no_number)
        page.locator("#answer-problem").evaluate("(problem) => { problem.textContent = ''; }")
        page.get_by_role("button", name="Show password").click()
        page.get_by_role("alert").get_by_text("none of the digits 0 to 9").wait_for()
    page.get_by_label("Ticket number").fill("1111")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("You have 4 tries left").wait_for()
    assert page.get_by_label("Ticket number").get_attribute("aria-invalid") == "true"
    assert desk.views_of(link) == 0
    page.get_by_label("Ticket number").fill(TICKET)
    page.keyboard.press("Enter")
    page.locator("#secret-title").wait_for()
    assert uncover(page) == link.password


def test_a_link_that_was_opened_before_says_so_and_leads_to_the_alarm(page: Any, desk: Desk) -> None:
    link = desk.make(views=3)
    page.goto(link.address)
    reveal(page)
    page.goto(link.address)
    assert "This link was opened before" in page.locator("main").inner_text()
    page.get_by_role("link", name="That was not me").click()
    proceed(page)
    page.get_by_role("button", name="Raise the alarm").click()
    page.get_by_role("heading", name="The alarm was raised").wait_for()
    assert page.evaluate("document.activeElement.id") == "done-title"
    assert desk.kinds_of(link)[-2:] == ["reported", "revoked"]
    assert desk.state_of(link) == "revoked"


def test_a_phones_reader_reads_the_password_off_the_qr_code(
    page: Any, desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("reader")
    python = make_venv(folder / "venv", "zxing-cpp==3.1.0", "pillow==12.3.0")
    link = desk.make()
    page.goto(link.address)
    reveal(page)
    assert page.locator("#qr-picture path").get_attribute("d") in (None, "")
    page.get_by_text("QR code").click()
    page.locator("#qr-picture").screenshot(path=str(folder / "qr.png"))
    (folder / "read.py").write_text(READ_QR, "utf-8")
    assert run_in(python, folder / "read.py", {"picture": str(folder / "qr.png")}) == [link.password]
    page.get_by_text("QR code").first.click()
    from playwright.sync_api import expect

    expect(page.locator("#qr-picture path")).to_have_attribute("d", "")  # asking in words of the page breaks its CSP


READ_QR = """
import json, sys
import zxingcpp
from PIL import Image
print(json.dumps([code.text for code in zxingcpp.read_barcodes(Image.open(json.load(sys.stdin)["picture"]))]))
"""


def test_without_the_option_there_is_no_qr_code(page: Any, tmp_path: Path) -> None:
    with link_desk(tmp_path) as without:
        page.goto(without.make().address)
        reveal(page)
        assert not page.get_by_text("QR code").is_visible()


def test_printing_shows_nothing(page: Any, desk: Desk) -> None:
    page.goto(desk.make().address)
    reveal(page)
    uncover(page)
    page.emulate_media(media="print")
    assert page.locator("body").evaluate("(body) => getComputedStyle(body).display") == "none"


def test_where_colours_are_forced_what_is_hidden_is_not_even_blurred(page: Any, desk: Desk) -> None:
    page.emulate_media(forced_colors="active")
    page.goto(desk.make().address)
    reveal(page)
    assert not page.locator("#password").is_visible()
    assert page.get_by_text("Hidden", exact=True).is_visible()
    uncover(page)
    assert page.locator("#password").is_visible()


def test_a_long_password_breaks_before_a_hyphen_and_is_copied_whole(chromium: Any, desk: Desk) -> None:
    link = desk.make(password="Quiet-Harbour-Lantern-Meadow-704")
    with fresh_page(chromium, **PHONE) as page:
        page.goto(link.address)
        reveal(page)
        uncover(page)
        page.evaluate("getSelection().selectAllChildren(document.getElementById('password'))")
        assert page.evaluate("getSelection().toString()") == link.password
        lines: dict[float, str] = {}
        for piece in page.locator("#password .piece").all():
            top = piece.bounding_box()["y"]
            lines[top] = lines.get(top, "") + piece.inner_text()
        assert len(lines) == 2
        assert not [line for line in lines.values() if line.endswith("-")]


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_the_desks_own_site_opens_beside_a_password_that_cannot_be_shown_again(
    chromium: Any, desk: Desk, scripts: bool
) -> None:
    link = desk.make(views=1, brand={"name": "Fabrikam IT", "url": f"{desk.url}/healthz"})
    with fresh_page(chromium, java_script_enabled=scripts) as page:
        page.goto(link.address)
        if scripts:
            reveal(page)
            uncover(page)
        else:
            page.wait_for_timeout(LEAST_AGE_MS)
            page.get_by_label("The word SHOW").fill("show")
            page.get_by_role("button", name="Show the password").click()
        with page.expect_popup() as beside:
            page.locator("footer").get_by_role("link").click()
        assert beside.value.url == f"{desk.url}/healthz"
        assert page.locator("output").inner_text() == link.password


def test_leaving_the_page_wipes_it(page: Any, desk: Desk) -> None:
    page.goto(desk.make().address)
    reveal(page)
    uncover(page)
    page.get_by_text("Spell it out").click()
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide'))")
    assert page.locator("#password").inner_text() == ""
    assert page.locator("#spelled li").count() == 0


# ---------------------------------------------------------------- the format

OPEN_IN_BROWSER = """
async ({token, sealed, id, maxViews, expiresAt}) => {
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  const utf8 = new TextEncoder();
  const master = await crypto.subtle.importKey('raw', bytes(token), 'HKDF', false, ['deriveBits', 'deriveKey']);
  const hkdf = (info) => ({name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info: utf8.encode(info)});
  const kind = {name: 'AES-GCM', length: 256};
  const key = await crypto.subtle.deriveKey(hkdf(`secretlink/1 enc ${id}`), master, kind, false, ['decrypt']);
  const lookup = await crypto.subtle.deriveBits(hkdf('secretlink/1 lookup'), master, 256);
  const additionalData = utf8.encode(JSON.stringify(['secretlink/1', id, maxViews, expiresAt]));
  const box = bytes(sealed);
  const how = {name: 'AES-GCM', iv: box.slice(0, 12), additionalData};
  const padded = new Uint8Array(await crypto.subtle.decrypt(how, key, box.slice(12)));
  const length = padded[0] * 256 + padded[1];
  return {
    password: new TextDecoder().decode(padded.slice(2, 2 + length)),
    lookup: Array.from(new Uint8Array(lookup), (b) => b.toString(16).padStart(2, '0')).join(''),
  };
}
"""


def test_a_browsers_own_cryptography_opens_what_python_sealed(page: Any, desk: Desk) -> None:
    page.goto(f"{desk.url}/healthz")  # a secure context, because it is this machine
    made = make_link()
    vectors = json.loads((Path(__file__).parents[1] / "secretlink" / "vectors.json").read_text("utf-8"))["vectors"]
    cases = [(vector["token"], bytes.fromhex(vector["sealed_hex"]), vector["id"], vector["max_views"],
              vector["expires_at"], vector["password"], vector["lookup_hex"]) for vector in vectors]  # fmt: skip
    cases.append((made.token.reveal(), made.sealed, made.terms.link_id, made.terms.max_views, made.terms.expires_at,
                  made.password.reveal(), made.lookup.hex()))  # fmt: skip
    for token, sealed, link_id, max_views, expires_at, password, lookup in cases:
        opened = page.evaluate(
            OPEN_IN_BROWSER,
            {"token": token, "sealed": base64.b64encode(sealed).decode(), "id": link_id, "maxViews": max_views,
             "expiresAt": expires_at},
        )  # fmt: skip
        assert opened == {"password": password, "lookup": lookup}
