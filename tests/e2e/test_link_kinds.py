"""A customer's own kind of links, from the configuration to the person at the page: real processes, a real Chromium."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import create_engine, select

from connector.secretlink.service.store import tables
from sandbox.stage import Stage, open_link, wait_for
from tests.e2e.conftest import SetUp
from tests.e2e.link_desk import proceed, uncover

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

REQUESTER, APPROVER = "ben@contoso.com", "anna@contoso.com"
FRAGMENT = re.compile(r"https?://[^\s\"<>]+/s/(lnk_[0-9a-f]+)#([A-Za-z0-9_-]{32})")


def carry_to_the_link(stage: Stage, subject: str) -> tuple[int, dict[str, Any]]:
    """A ticket, and the mail with its link."""
    number = stage.raise_ticket("Password Reset", subject, REQUESTER)
    wait_for("the confirmation", lambda: stage.mails(number))
    stage.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER})
    [ready] = wait_for("the link", lambda: [mail for mail in stage.mails(number) if "/s/" in mail["text"]])
    return number, ready


def kept_at_the_link_service(stage: Stage) -> str:
    """Every row of its database, as text."""
    engine = create_engine(f"sqlite:///{(stage.folder / 'links.db').as_posix()}")
    with engine.connect() as connection:
        rows = [str(row) for table in tables.metadata.sorted_tables for row in connection.execute(select(table))]
    engine.dispose()
    return "\n".join(rows)


def test_a_fragment_link_that_asks_for_the_number_in_german_gives_the_true_password(set_up: SetUp, page: Any) -> None:
    stage = set_up(links={"mode": "fragment", "human_check": "ticket_number", "locale": "de"})
    number, ready = carry_to_the_link(stage, "dana@contoso.com")
    found = FRAGMENT.search(ready["text"])
    assert found is not None, "the address is whole in the mail"
    link_id, token = found.groups()

    page.goto(found[0])
    assert page.locator("html").get_attribute("lang") == "de"
    proceed(page)
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    page.keyboard.type(f"#{number}")
    page.keyboard.press("Enter")
    page.locator("#secret-title").wait_for()
    password = uncover(page)

    assert stage.control("POST", "/accounts/dana@contoso.com/check-password", {"password": password})["opens"]
    wait_for("the end", lambda: stage.ticket(number)["status"] == "Closed")
    wait_for("the mail about it", lambda: len(stage.mails(number)) >= 4)
    kept = kept_at_the_link_service(stage)
    assert link_id in kept
    for secret in (token, password):
        assert secret not in kept
    assert not re.search(rf"\b{number}\b", kept), "neither link nor alarm tells the number that opens it"
    for name in ("connector", "links", "sandbox"):
        assert token not in stage.log(name)


def test_a_customer_without_a_word_of_its_own_has_the_links_of_everybody(set_up: SetUp) -> None:
    stage = set_up(all_parts=False)
    path = stage.folder / "connector.yaml"
    text = path.read_text(encoding="utf-8")
    assert '"fabrikam": {' in text
    path.write_text(text.replace('"fabrikam": {', '"fabrikam": {"links": {"mode": "fragment"}, ', 1), encoding="utf-8")
    stage.start_links()
    stage.start_connector()
    number, ready = carry_to_the_link(stage, "emil@contoso.com")
    [link] = re.findall(r"https?://\S+/s/[A-Za-z0-9_#-]+", ready["text"])
    assert "#" not in link
    assert open_link(link)[0] == 200
    wait_for("the end", lambda: stage.ticket(number)["status"] == "Closed")
