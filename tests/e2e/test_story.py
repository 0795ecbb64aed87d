"""From ticket to closed, by real processes: what each of the people sees."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.stage import Stage, alarm_in, call, link_in, open_link, press_alarm, wait_for
from tests.e2e.conftest import SetUp
from tests.e2e.states import state_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

REQUESTER, APPROVER = "ben@contoso.com", "anna@contoso.com"


def raise_and_answer(stage: Stage, kind: str, subject: str, answer: str, **more: Any) -> int:
    number = stage.raise_ticket(kind, subject, REQUESTER, **more)
    wait_for("the confirmation", lambda: stage.mails(number))
    stage.control("POST", f"/tickets/{number}/{answer}", {"approver": APPROVER, "comment": "spoke to them"})
    return number


def notes_of(stage: Stage, number: int) -> str:
    return "\n".join(action["note"] for action in stage.ticket(number)["actions"] if action["application"])


def subjects(stage: Stage, number: int) -> list[str]:
    return [mail["subject"].partition("] ")[2].split(":")[0] for mail in stage.mails(number)]


def mails_to(stage: Stage, number: int, address: str) -> list[dict[str, Any]]:
    return [mail for mail in stage.mails(number) if mail["recipients"] == [address]]


def closed(stage: Stage, number: int) -> None:
    wait_for(f"the end of {number}", lambda: stage.ticket(number)["status"] == "Closed", seconds=40)


def test_an_approved_password_request_ends_with_the_true_password_in_the_requesters_hands(shared_stage: Stage) -> None:
    stage = shared_stage
    number = raise_and_answer(stage, "Password Reset", "dana@contoso.com", "approve", details="locked out")
    [ready] = wait_for("the link", lambda: [mail for mail in stage.mails(number) if link_in(mail)])
    status, password = open_link(link_in(ready))
    assert status == 200
    assert stage.control("POST", "/accounts/dana@contoso.com/check-password", {"password": password}) == {
        "opens": True,
        "must_change": True,
    }
    closed(stage, number)
    wait_for("the last mail", lambda: len(mails_to(stage, number, REQUESTER)) == 4)
    assert ready["recipients"] == [REQUESTER]
    assert password not in json.dumps(stage.mails()) + notes_of(stage, number)
    notes = notes_of(stage, number)
    for words in ("Recognised", "Approved by Anna Approver", "spoke to them", "was shown (view 1)"):
        assert words in notes
    account = stage.control("GET", "/accounts/dana@contoso.com")
    assert account["sessions_revoked_at"]
    assert account["writes"] == 1 + 1  # the password and the sessions
    case = stage.case(number)
    assert (case["case"]["state"], case["case"]["outcome"]) == ("closed", "opened")
    assert [line["event"] for line in case["timeline"]] == [
        "recognised",
        "approved",
        "setting_password",
        "password_set",
        "link_sent",
        "opened",
        "finished",
    ]


def test_the_owner_is_told_at_another_address_and_can_stop_it(shared_stage: Stage) -> None:
    stage = shared_stage
    private = "zoe.private@home.example"
    stage.control("PATCH", "/accounts/zoe@contoso.com", {"properties": {"otherMails": [private]}})
    number = raise_and_answer(stage, "Password Reset", "zoe@contoso.com", "approve")
    [notice] = wait_for("the notice", lambda: mails_to(stage, number, private))
    text = " ".join(notice["text"].split())
    assert "The password of Zoë Müller (zoe@contoso.com) was reset" in text
    assert "Asked for by: Ben Requester (ben@contoso.com) Approved by: Anna Approver (anna@contoso.com)" in text
    alarm = alarm_in(notice)
    [ready] = [mail for mail in mails_to(stage, number, REQUESTER) if link_in(mail)]
    notes = wait_for("the note", lambda: "is told by mail" in notes_of(stage, number) and notes_of(stage, number))
    assert "z…e@home.example" in notes
    assert private not in notes
    assert not link_in(notice)
    assert alarm not in json.dumps([mail for mail in stage.mails() if mail["id"] != notice["id"]]) + notes

    status, password = open_link(link_in(ready))
    assert status == 200
    assert "Nothing has happened by opening this page." in str(call("GET", alarm))
    assert stage.control("POST", "/accounts/zoe@contoso.com/check-password", {"password": password})["opens"]

    assert press_alarm(alarm) == 200
    wait_for("the account", lambda: "Secured" in notes_of(stage, number), seconds=40)
    assert not stage.control("POST", "/accounts/zoe@contoso.com/check-password", {"password": password})["opens"]
    assert open_link(link_in(ready)) == (410, "")
    case = stage.case(number)
    assert (case["case"]["state"], case["case"]["outcome"]) == ("closed", "not_me")
    assert "reported" in [line["event"] for line in case["timeline"]]
    assert "through the notice to the account" in notes_of(stage, number)
    wait_for("the word to the requester", lambda: "Stopped" in subjects(stage, number))
    assert password not in json.dumps(stage.mails()) + notes_of(stage, number)


def test_an_approved_mfa_request_removes_every_method_and_closes(shared_stage: Stage) -> None:
    stage = shared_stage
    number = raise_and_answer(stage, "MFA Reset", "sam@contoso.com", "approve")
    closed(stage, number)
    account = stage.control("GET", "/accounts/sam@contoso.com")
    assert account["methods"] == []
    assert account["password_set_at"] is None, "an MFA reset leaves the password alone"
    assert not any(link_in(mail) for mail in stage.mails(number))
    assert stage.case(number)["case"]["outcome"] == "mfa_reset"


def test_a_request_for_both_gives_one_link_after_the_methods_are_gone(shared_stage: Stage) -> None:
    stage = shared_stage
    number = raise_and_answer(stage, "Account Reset", "oona.o'neil@contoso.com", "approve", what="Both")
    [ready] = wait_for("the link", lambda: [mail for mail in stage.mails(number) if link_in(mail)], seconds=40)
    assert stage.control("GET", "/accounts/oona.o'neil@contoso.com")["methods"] == []
    assert open_link(link_in(ready))[0] == 200
    closed(stage, number)


def test_a_rejected_request_changes_nothing(shared_stage: Stage) -> None:
    stage = shared_stage
    number = raise_and_answer(stage, "Account Reset", "emil@contoso.com", "reject", what="Both")
    closed(stage, number)
    assert stage.control("GET", "/accounts/emil@contoso.com")["writes"] == 0
    assert stage.case(number)["case"]["outcome"] == "rejected"
    wait_for("the mail", lambda: any("spoke to them" in mail["text"] for mail in stage.mails(number)))


def test_a_link_that_nobody_opens_expires_and_is_dead(set_up: SetUp) -> None:
    stage = set_up(links={"lifetime": "3s"})
    number = raise_and_answer(stage, "Password Reset", "dana@contoso.com", "approve")
    [ready] = wait_for("the link", lambda: [mail for mail in stage.mails(number) if link_in(mail)])
    closed(stage, number)
    assert open_link(link_in(ready)) == (410, "")
    assert stage.case(number)["case"]["outcome"] == "expired"
    assert "nobody saw the password" in notes_of(stage, number)


REFUSED = {
    "mira@contoso.com": "protected by the configuration",
    "karin@contoso.com": "administrator role",
    "lars@contoso.com": "administrator role",
    "grete@contoso.com": "synchronised",
    "henk@partners.contoso.com": "federated",
    "jan@contoso.com": "disabled",
    "ines@example.com": "guest",
    "hana@fabrikam.com": "No account of this customer",
    "ben@contoso.com": "their own account",
    "dana@contoso.com, emil@contoso.com": "2 addresses",
    "": "names no account",
}


def test_what_may_not_be_reset_is_handed_over_before_an_approver_is_bothered(shared_stage: Stage) -> None:
    stage = shared_stage
    before = {account["upn"]: account["writes"] for account in stage.control("GET", "/accounts")}
    tickets = {subject: stage.raise_ticket("Password Reset", subject, REQUESTER) for subject in REFUSED}
    for subject, number in tickets.items():
        wait_for(
            f"the hand-off of {subject}",
            lambda number=number: stage.ticket(number)["status"] == "Needs technician",
            seconds=40,
        )
        assert REFUSED[subject] in notes_of(stage, number)
        stage.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER})
    cases = json.loads(stage.connector("cases", "--needs-person", "--json").stdout)["cases"]
    assert {str(number) for number in tickets.values()} <= {case["ticket"] for case in cases}
    assert {account["upn"]: account["writes"] for account in stage.control("GET", "/accounts")} == before


def test_once_does_the_same_without_a_daemon(set_up: SetUp) -> None:
    stage = set_up(all_parts=False)
    stage.start_links()
    number = stage.raise_ticket("Password Reset", "dana@contoso.com", REQUESTER)
    assert stage.connector("once").returncode == 0
    stage.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER})
    done = stage.connector("once", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failed"] == {}
    assert any(link_in(mail) for mail in stage.mails(number))


def test_a_paused_connector_writes_to_no_account_until_it_is_resumed(set_up: SetUp) -> None:
    stage = set_up()
    assert stage.connector("pause", "--reason", "drill").returncode == 0
    number = raise_and_answer(stage, "Password Reset", "dana@contoso.com", "approve")
    wait_for("the approval", lambda: state_of(stage, number) == "approved")
    assert stage.control("GET", "/accounts/dana@contoso.com")["writes"] == 0
    assert stage.connector("resume").returncode == 0
    wait_for("the link", lambda: any(link_in(mail) for mail in stage.mails(number)), seconds=90)


def test_a_handed_off_case_is_retried_by_the_agent_and_cancelled_by_the_admin(shared_stage: Stage) -> None:
    stage = shared_stage
    number = stage.raise_ticket("Password Reset", "nobody@contoso.com", REQUESTER)
    wait_for("the hand-off", lambda: stage.ticket(number)["status"] == "Needs technician")
    stage.control("PATCH", f"/tickets/{number}", {"subject": "zoe@contoso.com", "status": "Retry reset"})
    wait_for("the new round", lambda: state_of(stage, number) == "waiting")
    done = stage.connector("cancel", str(number))
    assert done.returncode == 0, done.stderr
    wait_for("the end", lambda: state_of(stage, number) == "closed")
    assert stage.connector("cancel", str(number)).returncode == 1
    assert stage.connector("show", "99999").returncode == 1


def test_the_audit_is_whole_and_exported(shared_stage: Stage) -> None:
    stage = shared_stage
    number = raise_and_answer(stage, "Password Reset", "paul+sales@contoso.com", "approve")
    wait_for("the link", lambda: any(link_in(mail) for mail in stage.mails(number)))
    assert stage.connector("audit", "verify").returncode == 0
    lines = [json.loads(line) for line in stage.connector("audit", "export").stdout.splitlines()]
    assert "setting_password" in str(lines)
