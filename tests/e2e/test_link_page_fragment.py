"""Links whose token stays in the browser, in a real Chromium: the service hears a proof and never the token."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from connector.secretlink.seal import check_of, decode_token
from tests.e2e.link_desk import TICKET, Desk, fresh_page, proceed, reveal, uncover
from tests.secretlink.support import encode

pytestmark = pytest.mark.e2e


def test_the_browser_decrypts_and_neither_token_nor_password_is_ever_sent(page: Any, desk: Desk) -> None:
    link = desk.make(mode="fragment", views=1)
    heard: list[str] = []
    page.on(
        "request",
        lambda request: heard.append(f"{request.url.partition('#')[0]} {request.post_data} {request.headers}"),
    )
    page.on("response", lambda response: heard.append(response.text() if "/s/" in response.url else ""))
    page.goto(link.address)
    assert "Anna Example" not in page.content(), "nothing is told before the proof"
    reveal(page)
    assert page.get_by_role("heading", level=1).inner_text().split("\n") == ["Temporary password for", "Anna Example"]
    assert page.locator("#ticket").inner_text() == "Ticket 4242"
    assert uncover(page) == link.password
    assert "#" not in page.url
    page.wait_for_timeout(100)
    assert any('"lookup"' in line for line in heard)
    for line in heard:
        assert link.made.token.reveal() not in line
        assert link.password not in line
    assert desk.kinds_of(link) == ["created", "page_opened", "step_opened", "revealed"]


def test_after_the_last_view_the_browser_learns_what_became_of_the_link_and_can_report_it(
    page: Any, desk: Desk
) -> None:
    link = desk.make(mode="fragment", views=1)
    page.goto(link.address)
    reveal(page)
    page.goto(link.address)
    page.wait_for_timeout(300)
    page.locator("#proceed").click()
    page.get_by_text("the password was shown once").wait_for()
    page.get_by_role("button", name="That was not me").click()
    proceed(page)
    page.locator("#show").click()
    page.locator("#done-title").wait_for()
    assert "reported" in desk.kinds_of(link)


def test_the_typed_number_is_proved_and_not_sent(page: Any, desk: Desk) -> None:
    link = desk.make(mode="fragment", checked=True)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or ""))
    page.goto(link.address)
    proceed(page)
    assert page.evaluate("document.activeElement.id") == "answer"
    page.keyboard.type("#9999")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("You have 4 tries left").wait_for()
    assert page.evaluate("document.activeElement.id") == "answer"
    page.keyboard.type(f" #{TICKET} ")
    page.keyboard.press("Enter")
    page.locator("#secret-title").wait_for()
    assert uncover(page) == link.password
    assert not [body for body in sent if "9999" in body or f"#{TICKET}" in body]


@pytest.mark.parametrize("answer", ["inc-7Ä", "ＩＮＣ ７", "Straße 12", "№ 5 ½", "i̇stanbul 3", "ΑΣ9"])
def test_browser_and_service_bring_an_answer_to_the_same_proof(page: Any, desk: Desk, answer: str) -> None:
    link = desk.make(mode="fragment")
    page.goto(link.address)
    proof = page.evaluate("(answer) => { fragment.take(location.hash); return fragment.check(answer); }", answer)
    assert proof == encode(check_of(decode_token(link.made.token.reveal()), answer))


@pytest.mark.parametrize(
    "dress", ["{address}", "  {address}\n", "https://safelinks.example/?url={quoted}&data=05", "{mangled}"]
)
def test_a_link_that_lost_its_second_half_takes_the_whole_one_by_paste(page: Any, desk: Desk, dress: str) -> None:
    link = desk.make(mode="fragment")
    page.goto(link.address.partition("#")[0])
    page.get_by_text("The second half of the link is missing").wait_for()
    field = page.get_by_label("The whole link")
    field.fill("https://links.example.com/s/half")
    page.get_by_role("button", name="Use this link").click()
    page.get_by_role("alert").get_by_text("not the whole link").wait_for()
    field.fill(desk.make(mode="fragment").address)
    page.get_by_role("button", name="Use this link").click()
    page.get_by_role("alert").get_by_text("another link").wait_for()
    quoted, mangled = quote(link.address, safe=""), link.address.replace("#", "%2523")
    field.fill(dress.format(address=link.address, quoted=quoted, mangled=mangled))
    field.press("Enter")
    page.locator("#proceed").wait_for()
    assert link.made.token.reveal() not in page.content()
    reveal(page)
    assert uncover(page) == link.password


@pytest.mark.parametrize("sign", ["%23", "%2523"])
def test_an_address_that_a_mail_gateway_has_rewritten_opens_all_the_same(page: Any, desk: Desk, sign: str) -> None:
    link = desk.make(mode="fragment")
    page.goto(link.address.replace("#", sign))
    reveal(page)
    assert uncover(page) == link.password
    assert desk.views_of(link) == 1


def test_a_whole_link_put_into_the_address_line_of_the_same_page_is_taken(page: Any, desk: Desk) -> None:
    link = desk.make(mode="fragment")
    page.goto(link.address.partition("#")[0])
    page.get_by_label("The whole link").wait_for()
    page.goto(link.address)  # differs in the fragment alone: browsers do not load the page again
    reveal(page)
    assert uncover(page) == link.password


@pytest.mark.parametrize("pasted", [False, True], ids=["from the mail", "pasted"])
def test_another_language_takes_the_token_along(page: Any, desk: Desk, pasted: bool) -> None:
    link = desk.make(mode="fragment")
    page.goto(link.address.partition("#")[0] if pasted else link.address)
    if pasted:
        page.get_by_label("The whole link").fill(link.address)
        page.get_by_role("button", name="Use this link").click()
        page.get_by_role("button", name="Continue").wait_for()
    page.get_by_role("link", name="Deutsch").click()
    page.get_by_role("button", name="Weiter").wait_for()
    reveal(page)
    assert uncover(page) == link.password
    assert page.get_by_role("heading", level=1).inner_text().split("\n") == ["Vorläufiges Kennwort für", "Anna Example"]
    assert " Uhr (GMT) am " in page.locator("#until").inner_text()


def test_a_browser_that_cannot_decrypt_says_so_and_nothing_is_used(chromium: Any, desk: Desk) -> None:
    link = desk.make(mode="fragment")
    with fresh_page(chromium) as page:
        page.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
        page.goto(link.address)
        page.get_by_role("alert").get_by_text("needs an address that begins with https").wait_for()
        assert not page.get_by_role("button", name="Continue").is_visible()
    with fresh_page(chromium, java_script_enabled=False) as page:
        page.goto(link.address)
        assert "This link needs JavaScript" in page.locator("main").inner_text()
    assert desk.views_of(link) == 0


def test_where_the_script_that_decrypts_does_not_come_the_page_says_what_it_needs(chromium: Any, desk: Desk) -> None:
    link = desk.make(mode="fragment")
    page = chromium.new_context().new_page()
    page.route("**/static/fragment-*.js", lambda route: route.fulfill(status=404))
    page.goto(link.address)
    page.get_by_text("This link needs JavaScript").wait_for()
    assert not page.get_by_role("button", name="Continue").is_visible()
    page.context.close()
    assert desk.views_of(link) == 0


def test_bytes_that_do_not_open_are_said_to_be_broken(page: Any, desk: Desk) -> None:
    link = desk.make(mode="fragment")

    def change(route: Any) -> None:
        content = route.fetch().json()
        content["expires_at"] += 1  # as somebody would who can write the answer
        route.fulfill(body=json.dumps(content), content_type="application/json")

    page.route("**/reveal?*", change)
    page.goto(link.address)
    proceed(page)
    page.locator("#show").click()
    page.get_by_role("alert").get_by_text("cannot be decrypted").wait_for()
    assert link.password not in page.content()
