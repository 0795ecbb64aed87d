"""The whole story with a real Request Tracker: its own approvals, its own history, a real browser at the link.

Only Microsoft and the mail server are imitated. The connector and the link service are the programs that users run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from sandbox import stage as stages
from sandbox.stage import Stage, free_port, link_in
from tests.e2e.forking_stage import ForkingStage
from tests.e2e.link_desk import CHROMIUM, require
from tests.e2e.request_tracker import (
    ADMIN,
    APPROVER,
    CONNECTOR,
    HELPDESK,
    LOOK_EVERY_SECONDS,
    OTHER_APPROVER,
    OUTSIDER,
    REQUESTER,
    Desk,
    Server,
    address_of,
    at_request_tracker,
    request_tracker_or_skip,
    running_request_tracker,
)
from tests.e2e.states import state_of, states

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

wait_for = partial(stages.wait_for, every=LOOK_EVERY_SECONDS)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    request_tracker_or_skip()
    with running_request_tracker() as running:
        yield running


MAPPING = {
    "statuses": {"working": "open", "closed": "resolved", "hand_off": "needs technician", "retry": "retry reset"},
    "claim": True,
    "hand_off": {"owner": HELPDESK},
    "time_entry": {"minutes": 5},
    "notes": {"public": ["recognised"]},
}


@pytest.fixture(scope="module")
def stage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Everything as users have it, with Request Tracker as the only PSA."""
    with ForkingStage(tmp_path_factory.mktemp("rt")) as stage:
        at_request_tracker(stage, server, mapping=MAPPING)
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
    assert desk.owner(ticket) == CONNECTOR, "claimed when the work began"
    assert desk.minutes(ticket) == MAPPING["time_entry"]["minutes"]
    public = [
        line for line in desk.history(ticket) if line["Type"] == "Correspond" and line["Creator"]["id"] == CONNECTOR
    ]
    assert len(public) == 1, "the one note that the mapping shows to the requester"


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
        wait_for("the approval", lambda: state_of(stage, ticket) == "approved", seconds=30)
        desk.fill(ticket, Target_user="nils@contoso.com")
    finally:
        assert stage.connector("resume").returncode == 0
    wait_for(
        "the change to be noticed",
        lambda: any("request was changed" in text for text in desk.texts(ticket)),
        seconds=90,
    )
    wait_for("the verdict", lambda: state_of(stage, ticket) != "approved", seconds=30)
    for name in ("zoe", "nils"):
        assert stage.control("GET", f"/accounts/{name}@contoso.com")["writes"] == 0


def writes(stage: Stage, name: str) -> int:
    return int(stage.control("GET", f"/accounts/{name}")["writes"])


def reset_of(stage: Stage, desk: Desk, name: str) -> None:
    """A true request, to its end: the connector has looked at everything else meanwhile."""
    ticket = desk.request("MFA reset", name)
    wait_for("the confirmation", lambda: mails_about(stage, ticket), seconds=60)
    desk.approve(desk.approvals_of(ticket)[0])
    wait_for("the end", lambda: desk.status(ticket) == "resolved", seconds=60)


def test_no_forged_borrowed_or_withdrawn_approval_changes_an_account(stage: Stage, desk: Desk) -> None:
    name = "self.service@contoso.com"
    other = desk.request("MFA reset", "farid@contoso.com")
    borrowed = desk.approvals_of(other)[0]

    forged = desk.request("MFA reset", name)  # an approval of the helpdesk's own, in its own queue
    fake = desk.request("Other", title="Approval", Type="approval", DependedOnBy=int(forged))
    opened = desk.request("MFA reset", name)  # what RT does when a ticket is approved
    unlisted = desk.request("MFA reset", name)  # an approver of RT's, and not of this customer's
    own = desk.request("MFA reset", name, by=APPROVER)  # the approver is who logged it
    asked_by_approver = desk.request("MFA reset", name, requestor=address_of(APPROVER))
    turned = desk.request("Other", name)  # nobody was ever asked about this one
    handmade = desk.request("Other", name)
    merged_into = desk.request("Other", name)
    every = [forged, opened, unlisted, own, asked_by_approver]
    for ticket in every:
        wait_for("the confirmation", lambda ticket=ticket: mails_about(stage, ticket), seconds=60)

    desk.set(fake, Status="resolved")
    desk.set(opened, Status="open")
    desk.approve(desk.approvals_of(unlisted)[0], by=OTHER_APPROVER)
    desk.approve(desk.approvals_of(own)[0])
    desk.approve(desk.approvals_of(asked_by_approver)[0])
    desk.fill(turned, Request_type="MFA reset")
    desk.set(turned, by=ADMIN, DependsOn=int(borrowed))
    desk.fill(handmade, Request_type="MFA reset")
    body = {"Queue": "___Approvals", "Subject": "Fine", "Type": "approval", "DependedOnBy": int(handmade)}
    desk.approve(str(desk.done(ADMIN, "POST", "/ticket", body)["id"]), by=ADMIN)
    desk.fill(merged_into, Request_type="MFA reset")
    desk.approve(borrowed)  # a true yes, about somebody else
    wait_for("the end of the true one", lambda: desk.status(other) == "resolved", seconds=60)
    desk.set(other, MergeInto=int(merged_into))

    doubtful = {*every, turned, handmade, merged_into}
    wait_for("all to be seen", lambda: doubtful <= states(stage).keys(), seconds=60)
    reset_of(stage, desk, "sam@contoso.com")
    assert writes(stage, name) == 0
    cases = json.loads(stage.connector("cases", "--json").stdout)["cases"]
    assert {case["state"] for case in cases if case["ticket"] in doubtful} <= {"waiting", "needs_person"}
    assert doubtful <= {case["ticket"] for case in cases}


def test_an_approval_withdrawn_before_the_reset_stops_it(stage: Stage, desk: Desk) -> None:
    assert stage.connector("pause").returncode == 0
    try:
        ticket = desk.request("MFA reset", "quinn@contoso.com")
        wait_for("the confirmation", lambda: mails_about(stage, ticket), seconds=30)
        (approval,) = desk.approvals_of(ticket)
        desk.approve(approval)
        wait_for("the approval", lambda: state_of(stage, ticket) == "approved", seconds=30)
        desk.reopen(approval)  # which the ticket itself does not show
    finally:
        assert stage.connector("resume").returncode == 0
    wait_for("the verdict", lambda: state_of(stage, ticket) != "approved", seconds=60)
    assert writes(stage, "quinn@contoso.com") == 0


def test_an_agent_who_takes_the_ticket_gets_it_and_nothing_is_written(stage: Stage, desk: Desk) -> None:
    assert stage.connector("pause").returncode == 0
    try:
        ticket = desk.request("MFA reset", "every.kind@contoso.com")
        wait_for("the claim", lambda: desk.owner(ticket) == CONNECTOR, seconds=30)
        desk.approve(desk.approvals_of(ticket)[0])
        wait_for("the approval", lambda: state_of(stage, ticket) == "approved", seconds=30)
        desk.set(ticket, by=ADMIN, Owner=HELPDESK)  # the last moment
    finally:
        assert stage.connector("resume").returncode == 0
    wait_for("the hand-off", lambda: desk.status(ticket) == "needs technician", seconds=60)
    assert desk.owner(ticket) == HELPDESK
    assert any("Hanna Helpdesk has taken this ticket over" in text for text in desk.texts(ticket))
    assert writes(stage, "every.kind@contoso.com") == 0


def test_what_is_handed_off_lands_at_its_owner_and_goes_on_from_the_retry_status(stage: Stage, desk: Desk) -> None:
    ticket = desk.request("MFA reset", "nobody@contoso.com")
    wait_for("the hand-off", lambda: desk.status(ticket) == "needs technician", seconds=60)
    assert desk.owner(ticket) == HELPDESK
    assert any("A person must take over" in text for text in desk.texts(ticket))
    assert desk.minutes(ticket) == 0, "a person's time is a person's to book"

    desk.fill(ticket, Target_user="oona.o'neil@contoso.com")
    desk.set(ticket, Status="retry reset")  # hanna still owns it: the status says that she gave it back
    wait_for("the new round", lambda: state_of(stage, ticket) == "waiting", seconds=60)
    wait_for("the claim", lambda: desk.owner(ticket) == CONNECTOR, seconds=30)
    (approval,) = desk.approvals_of(ticket)
    desk.approve(approval)  # the approval's text still shows the old name
    wait_for("the doubt", lambda: any("saw another one" in text for text in desk.texts(ticket)), seconds=60)
    assert writes(stage, "oona.o'neil@contoso.com") == 0
    desk.reopen(approval)
    desk.approve(approval)
    wait_for("the end", lambda: desk.status(ticket) == "resolved", seconds=60)
    assert stage.control("GET", "/accounts/oona.o'neil@contoso.com")["methods"] == []


def test_an_outage_of_the_psa_loses_nothing(stage: Stage, desk: Desk, server: Server) -> None:
    ticket = desk.request("Password reset", "paul+sales@contoso.com")
    server.stop()
    wait_for("the outage to be noticed", lambda: "system_down" in stage.log("connector"), seconds=30)
    server.start()
    wait_for("the confirmation", lambda: mails_about(stage, ticket), seconds=60)
    wait_for("the recovery to be told", lambda: "system_up" in stage.log("connector"))
    assert OUTSIDER not in "".join(desk.texts(ticket))


def test_a_push_from_rt_is_heard_at_once_though_polls_are_far_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    request_tracker_or_skip()
    port = free_port()
    with (
        running_request_tracker(nudge=f"http://127.0.0.1:{port}/nudge/rt") as server,
        ForkingStage(tmp_path_factory.mktemp("push"), inbound_port=port) as stage,
    ):
        push = {"push": {"token": {"file": "rt-push.secret"}}}
        at_request_tracker(stage, server, settings={"poll_every": "10m"}, section=push)
        stage.start_links()
        stage.start_connector()
        desk = server.desk()
        ticket = desk.request("MFA reset", "sam@contoso.com")
        wait_for("the confirmation", lambda: mails_about(stage, ticket), seconds=15)
        desk.approve(desk.approvals_of(ticket)[0])
        wait_for("the end", lambda: desk.status(ticket) == "resolved", seconds=15)
        assert stage.control("GET", "/accounts/sam@contoso.com")["methods"] == []
        assert server.nudge_token not in stage.log("connector")
        assert stage.mails(int(ticket))[-1]["recipients"] == [address_of(REQUESTER)]
