"""The console page, driven in a real browser."""

from __future__ import annotations

import os
import shutil
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.sandbox.conftest import BEN, DANA, Stage

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    if not Path(CHROMIUM).exists():
        sentence = "Chromium is not installed (Debian: apt-get install chromium), so the console cannot be tried."
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page()
        yield page
        browser.close()


@pytest.fixture
def page(browser_page: Page, stage: Stage) -> Iterator[Page]:
    browser_page.goto(stage.addresses.control)
    yield browser_page
    browser_page.goto("about:blank")


def test_a_newcomer_raises_a_ticket_and_approves_it(page: Page, stage: Stage) -> None:
    page.get_by_text("Raise a ticket").click()
    page.get_by_label("Whose account").fill(DANA)
    page.get_by_label("Reason").fill("Locked out")
    page.get_by_role("button", name="Raise ticket").click()
    expect(page.get_by_role("status")).to_contain_text("raised")
    number = stage.control("GET", "tickets")[0]["id"]
    page.get_by_label("Words").fill("fine by me")
    page.get_by_role("button", name=f"Approve {number}").click()
    expect(page.get_by_role("status")).to_contain_text(f"Ticket {number} approved by anna@contoso.com")
    ticket = stage.control("GET", f"tickets/{number}")
    assert (ticket["status"], ticket["requester"], ticket["details"]) == ("Approved", BEN, "Locked out")
    assert ticket["approvals"][0]["comment"] == "fine by me"


def test_a_ticket_shows_its_priority(page: Page, stage: Stage) -> None:
    number = stage.ticket()
    card = page.get_by_role("article").filter(has_text=f"{number} ·")
    expect(card).to_contain_text("Low")
    stage.halo("POST", "Tickets", json=[{"id": number, "priority_id": 1}])
    expect(card).to_contain_text("Critical")


def test_what_is_typed_survives_a_refresh(page: Page, stage: Stage) -> None:
    first = stage.ticket()
    words = page.get_by_label("Words").first
    words.fill("not yet sent")
    second = stage.ticket()
    expect(page.get_by_role("button", name=f"Reject {second}")).to_be_visible()
    expect(page.get_by_role("article").filter(has_text=f"{first} ·").get_by_label("Words")).to_have_value(
        "not yet sent"
    )


def test_a_mail_is_shown_without_running_its_scripts(page: Page, stage: Stage) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "support@msp.example", BEN, "Password ready"
    mail.set_content("text")
    mail.add_alternative(
        '<h1>Ready</h1><a href="http://127.0.0.1:9/">Open</a><script>document.body.remove()</script>', subtype="html"
    )
    with smtplib.SMTP(stage.addresses.smtp_host, stage.addresses.smtp_port) as client:
        client.send_message(mail)
    page.get_by_role("button", name="Password ready").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Ready")).to_be_visible()
    assert frame.get_by_role("link", name="Open").get_attribute("href") == "http://127.0.0.1:9/"
    answer = stage.http.get(f"{stage.addresses.control}/control/mails/1/html", timeout=10)
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_text_from_a_ticket_is_never_taken_for_markup(page: Page, stage: Stage) -> None:
    stage.ticket(summary="<img src=x onerror=document.body.remove()>", details="<b>bold</b>")
    expect(page.get_by_text("<img src=x")).to_be_visible()
    assert page.locator("#ticket-list img, #ticket-list b").count() == 0


def test_accounts_show_their_state(page: Page, stage: Stage) -> None:
    row = page.get_by_role("row").filter(has_text="grete@contoso.com")
    expect(row).to_contain_text("synchronised")
    expect(page.get_by_role("row").filter(has_text="karin@contoso.com")).to_contain_text("Global Administrator")
