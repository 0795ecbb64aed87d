"""The whole story with a real Request Tracker: its own approvals, its own history, a real browser at the link.

Only Microsoft and the mail server are imitated. The connector and the link service are the programs that users run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.stage import Stage, link_in, wait_for
from tests.e2e.request_tracker import (
    APPROVER,
    OUTSIDER,
    QUEUE,
    Desk,
    Server,
    address_of,
    request_tracker_or_skip,
    running_request_tracker,
)
from tests.e2e.test_link_page import CHROMIUM, require

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    request_tracker_or_skip()
    with running_request_tracker() as running:
        yield running


@pytest.fixture(scope="module")
def stage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Everything as users have it, with Request Tracker as the only PSA."""
    folder = tmp_path_factory.mktemp("rt")
    mapping = (ROOT / "mappings" / "requesttracker.yaml").read_text(encoding="utf-8")
    (folder / "requesttracker.yaml").write_text(mapping, encoding="utf-8")
    (folder / "rt.secret").write_text(server.tokens["svc-reset"])
    with Stage(folder) as stage:
        stage.start_sandbox()
        tenant = stage.facts["tenants"]["contoso"]
        stage.settings = {
            "poll_every": "1s",
            "tenants": {
                "contoso": {
                    "tenant_id": tenant["tenant_id"],
                    "clients": {"rt": [QUEUE]},
                    "approvers": [address_of(APPROVER)],
                }
            },
        }
        stage.write_files()
        config = json.loads((folder / "connector.yaml").read_text())
        config["tenants"].pop("fabrikam", None)
        config["psa"] = {
            "rt": {
                "kind": "requesttracker",
                "url": server.base_url,
                "token": {"file": "rt.secret"},
                "mapping": "requesttracker.yaml",
            }
        }
        (folder / "connector.yaml").write_text(json.dumps(config))
        stage.start_links()
        stage.start_connector()
        yield stage


@pytest.fixture
def desk(server: Server) -> Desk:
    return server.desk()


def password_shown_by_chromium(url: str) -> str:
    """Open the link as a person does: continue, show, uncover."""
    require(CHROMIUM.exists(), "Chromium is not installed. On Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page()
        page.goto(url)
        page.wait_for_timeout(900)  # a person's pace; the page insists on it
        page.get_by_role("button", name="Continue").click()
        page.locator("#show").wait_for()
        page.wait_for_timeout(900)
        page.locator("#show").click()
        page.get_by_role("button", name="Show", exact=True).click()
        shown = page.locator("#password").inner_text()
        browser.close()
        return str(shown)


def mails_about(stage: Stage, ticket: str) -> list[dict[str, Any]]:
    return stage.mails(int(ticket))


def test_check_is_content_with_the_real_server(stage: Stage) -> None:
    done = stage.connector("check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_password_request_ends_resolved_with_the_password_in_the_requesters_hands(stage: Stage, desk: Desk) -> None:
    ticket = desk.request("Password reset", "dana@contoso.com", reason="locked out")
    wait_for("the confirmation", lambda: mails_about(stage, ticket), seconds=30)
    assert stage.control("GET", "/accounts/dana@contoso.com")["writes"] == 0
    desk.approve(desk.approvals_of(ticket)[0], words="spoke to her")
    [ready] = wait_for("the link", lambda: [mail for mail in mails_about(stage, ticket) if link_in(mail)], seconds=40)
    password = password_shown_by_chromium(link_in(ready))
    assert stage.control("POST", "/accounts/dana@contoso.com/check-password", {"password": password})["opens"]
    wait_for("the end", lambda: desk.status(ticket) == "resolved", seconds=40)
    texts = "\n".join(desk.texts(ticket))
    for words in ("Recognised: password reset for Dana Subject", "Approved by Anna Approver", "was shown (view 1)"):
        assert words in texts
    assert password not in texts
    case = stage.case(int(ticket))["case"]
    assert (case["state"], case["outcome"], case["approver"]) == ("closed", "opened", address_of(APPROVER))
    assert ready["recipients"] == ["rita.requester@contoso.example"]


def test_an_mfa_request_ends_resolved_without_any_method(stage: Stage, desk: Desk) -> None:
    ticket = desk.request("MFA reset", "sam@contoso.com")
    wait_for("the confirmation", lambda: mails_about(stage, ticket), seconds=30)
    desk.approve(desk.approvals_of(ticket)[0])
    wait_for("the end", lambda: desk.status(ticket) == "resolved", seconds=40)
    account = stage.control("GET", "/accounts/sam@contoso.com")
    assert account["methods"] == []
    assert account["password_set_at"] is None


def test_a_rejected_request_changes_nothing(stage: Stage, desk: Desk) -> None:
    ticket = desk.request("Password and MFA reset", "emil@contoso.com")
    wait_for("the confirmation", lambda: mails_about(stage, ticket), seconds=30)
    desk.reject(desk.approvals_of(ticket)[0], words="not without a call")
    wait_for("the mail", lambda: any("not without a call" in mail["text"] for mail in mails_about(stage, ticket)),
             seconds=30)  # fmt: skip
    assert desk.status(ticket) == "rejected" or wait_for("the end", lambda: desk.status(ticket) == "resolved")
    assert stage.control("GET", "/accounts/emil@contoso.com")["writes"] == 0


def test_a_subject_changed_after_the_approval_voids_it(stage: Stage, desk: Desk) -> None:
    assert stage.connector("pause").returncode == 0
    try:
        ticket = desk.request("Password reset", "zoe@contoso.com")
        wait_for("the confirmation", lambda: mails_about(stage, ticket), seconds=30)
        desk.approve(desk.approvals_of(ticket)[0])
        wait_for("the approval", lambda: stage.case(int(ticket))["case"]["state"] == "approved", seconds=30)
        desk.fill(ticket, Target_user="nils@contoso.com")
    finally:
        assert stage.connector("resume").returncode == 0
    wait_for(
        "the change to be noticed",
        lambda: any("request was changed" in text for text in desk.texts(ticket)),
        seconds=90,
    )
    wait_for("the verdict", lambda: stage.case(int(ticket))["case"]["state"] != "approved", seconds=30)
    for name in ("zoe", "nils"):
        assert stage.control("GET", f"/accounts/{name}@contoso.com")["writes"] == 0


def test_an_outage_of_the_psa_loses_nothing(stage: Stage, desk: Desk, server: Server) -> None:
    ticket = desk.request("Password reset", "paul+sales@contoso.com")
    server.stop()
    wait_for("the outage to be noticed", lambda: "system_down" in stage.log("connector"), seconds=30)
    server.start()
    wait_for("the confirmation", lambda: mails_about(stage, ticket), seconds=60)
    wait_for("the recovery to be told", lambda: "system_up" in stage.log("connector"))
    assert OUTSIDER not in "".join(desk.texts(ticket))
