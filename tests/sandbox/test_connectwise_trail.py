"""ConnectWise's audit trail names who changed what, in every wording that a reader has to bear; the control side."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.connectwise_audit import WORDINGS
from tests.sandbox.conftest import ANNA, BEN, Stage

PATH = "connectwise/tickets"


def trail(stage: Stage, number: int) -> Any:
    answer = stage.connectwise("GET", "system/audittrail", params={"type": "Ticket", "id": number})
    assert answer.ok
    return answer.json()


def test_a_status_change_says_from_what_to_what_and_who(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    stage.clock.forward(seconds=30)
    stage.control("POST", f"{PATH}/{number}/approve", actor="OlgaO")
    assert trail(stage, number)[0] == {
        "text": 'Status has been changed from "Waiting Approval" to "Approved".',
        "enteredDate": "2026-11-22T09:00:30Z",
        "enteredBy": "OlgaO",
        "auditType": "Ticket",
        "auditSubType": "Status",
        "auditSource": "PSA",
    }
    assert stage.connectwise("GET", f"service/tickets/{number}").json()["_info"]["updatedBy"] == "OlgaO"


@pytest.mark.parametrize(
    ("actor", "who", "source"),
    [
        ({"actor": "anna@contoso.com"}, "AnnaA", "PSA"),
        ({"actor": "AnnaA", "by": "member"}, "AnnaA", "PSA"),
        ({"actor": "anna@contoso.com", "by": "contact"}, "anna@contoso.com", "Customer Portal"),
        ({"by": "workflow"}, "zAdmin", "Workflow Rule"),
        ({"by": "email"}, "EmailConnector", "Email Connector"),
        ({}, "AnnaA", "PSA"),
    ],
)
def test_everybody_who_can_change_a_status_is_named(stage: Stage, actor: dict[str, str], who: str, source: str) -> None:
    number = stage.connectwise_ticket()
    stage.control("POST", f"{PATH}/{number}/approve", **actor)
    assert (trail(stage, number)[0]["enteredBy"], trail(stage, number)[0]["auditSource"]) == (who, source)


def test_the_connector_s_own_changes_stand_there_too(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    body = [{"op": "replace", "path": "status", "value": {"id": 504}}]
    assert stage.connectwise("PATCH", f"service/tickets/{number}", json=body).ok
    assert (trail(stage, number)[0]["enteredBy"], trail(stage, number)[0]["auditSubType"]) == (
        "ResetConnector",
        "Status",
    )


@pytest.mark.parametrize(
    ("change", "text", "kind"),
    [
        ({"subject": "emil@contoso.com"}, 'Reset account has been changed from "dana@contoso.com" to', "Custom Field"),
        ({"approval": "Approved"}, 'Approval has been changed from "" to "Approved".', "Custom Field"),
        ({"type": "MFA Reset"}, 'Type has been changed from "Password Reset" to "MFA Reset".', "Type"),
        ({"company": "Fabrikam"}, 'Company has been changed from "Contoso" to "Fabrikam".', "Company"),
        ({"requester": ANNA}, 'Contact has been changed from "Ben Requester" to "Anna Approver".', "Contact"),
        ({"summary": "New"}, 'Summary has been changed from "Password Reset" to "New".', "Summary"),
        ({"owner": "TinaT"}, 'Owner has been changed from "" to "TinaT".', "Owner"),
    ],
)
def test_every_change_leaves_an_entry(stage: Stage, change: dict[str, str], text: str, kind: str) -> None:
    number = stage.connectwise_ticket()
    stage.control("PATCH", f"{PATH}/{number}", **change)
    row = trail(stage, number)[0]
    assert row["text"].startswith(text)
    assert (row["auditSubType"], row["enteredBy"]) == (kind, "TinaT")
    assert (row["auditType"] == "Resource") == (kind == "Owner")


def test_a_change_to_the_same_leaves_none(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    stage.control("PATCH", f"{PATH}/{number}", status="Waiting Approval", summary="Password Reset")
    assert [row["auditSubType"] for row in trail(stage, number)] == ["Create"]


@pytest.mark.parametrize("wording", sorted(WORDINGS))
def test_the_wording_can_be_any(stage: Stage, wording: str) -> None:
    number = stage.connectwise_ticket()
    stage.control("POST", f"{PATH}/{number}/approve")
    stage.control("POST", "connectwise/habits", audit_wording=wording)
    rows = trail(stage, number)
    assert len(rows) == (1 if wording == "missing" else 2)
    assert ("Approved" in rows[0]["text"]) == (wording not in ("missing", "unreadable"))
    told = stage.control("GET", f"{PATH}/{number}")["audit"][-1]
    assert told["text"] == 'Status has been changed from "Waiting Approval" to "Approved".', "the control port knows"


@pytest.mark.parametrize(
    ("habit", "who"), [("identifier", "AnnaA"), ("name", "Anna Approver"), ("unknown", "zAdmin"), ("missing", None)]
)
def test_the_actor_can_be_shown_in_any_way(stage: Stage, habit: str, who: str | None) -> None:
    number = stage.connectwise_ticket()
    stage.control("POST", f"{PATH}/{number}/approve")
    stage.control("POST", "connectwise/habits", audit_actor=habit)
    assert trail(stage, number)[0].get("enteredBy") == who


@pytest.mark.parametrize(
    ("habit", "texts"),
    [("none", []), ("mention", ["A note has been added."]), ("text", ["A note has been added: hello"])],
)
def test_the_trail_may_quote_notes(stage: Stage, habit: str, texts: list[str]) -> None:
    stage.control("POST", "connectwise/habits", audit_notes=habit)
    number = stage.connectwise_ticket()
    stage.control("POST", f"{PATH}/{number}/notes", text="hello", actor=BEN, by="contact")
    rows = [row for row in trail(stage, number) if row["auditType"] == "Notes"]
    assert [row["text"] for row in rows] == texts
    assert {row["enteredBy"] for row in rows} <= {BEN}


def test_the_trail_can_be_late_and_in_either_order(stage: Stage) -> None:
    stage.control("POST", "connectwise/habits", audit_late_seconds=10, audit_order="oldest_first")
    number = stage.connectwise_ticket()
    stage.clock.forward(seconds=9)
    assert trail(stage, number) == []
    stage.control("POST", f"{PATH}/{number}/approve")
    stage.clock.forward(seconds=10)
    assert [row["auditSubType"] for row in trail(stage, number)] == ["Create", "Status"]


@pytest.mark.parametrize("query", [{}, {"type": "Ticket"}, {"id": 7600}])
def test_a_trail_of_nothing_is_refused(stage: Stage, query: dict[str, Any]) -> None:
    stage.connectwise_ticket()
    assert stage.connectwise("GET", "system/audittrail", params=query).status_code == 400


def test_a_trail_of_no_ticket_is_404_and_other_types_are_empty(stage: Stage) -> None:
    missing = {"type": "Ticket", "id": 1}
    assert stage.connectwise("GET", "system/audittrail", params=missing).status_code == 404
    assert stage.connectwise("GET", "system/audittrail", params=missing | {"type": "Member"}).json() == []


# -- the control side -------------------------------------------------------------------------------------------


def test_denying_closing_and_approving_by_field(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    denied = stage.control("POST", f"{PATH}/{number}/deny", comment="ask me first")
    assert (denied["status"], denied["notes"][-1]["text"]) == ("Denied", "ask me first")
    assert stage.control("POST", f"{PATH}/{number}/reject")["status"] == "Denied", "the same under HaloPSA's word"
    by_field = stage.control("POST", f"{PATH}/{number}/approve", via="field")
    assert (by_field["status"], by_field["approval"]) == ("Denied", "Approved")
    both = stage.control("POST", f"{PATH}/{number}/approve", via="both", status="In Progress")
    assert (both["status"], both["approval"]) == ("In Progress", "Approved")
    closed = stage.control("POST", f"{PATH}/{number}/close", actor="BenR")
    assert (closed["closed"], closed["closed_by"]) == (True, "BenR")


def test_a_quiet_change_keeps_the_date(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    stage.clock.forward(minutes=1)
    after = stage.control("PATCH", f"{PATH}/{number}", subject="emil@contoso.com", team="Escalations", quiet=True)
    assert (after["subject"], after["team"]) == ("emil@contoso.com", "Escalations")
    assert after["updated_at"] == after["created_at"]
    emptied = stage.control("PATCH", f"{PATH}/{number}", subject=None, requester=None, owner=None)
    assert (emptied["subject"], emptied["requester"]) == (None, None)


def test_people_can_be_registered_and_changed(stage: Stage) -> None:
    made = stage.control(
        "POST", "connectwise/people", name="New Person", email="new@contoso.com", company="Contoso", types=["VIP"]
    )
    changed = stage.control("PATCH", f"connectwise/contacts/{made['id']}", types=["Approver"], manager=ANNA)
    assert changed["types"] == [2]
    assert stage.connectwise("GET", f"company/contacts/{made['id']}").json()["types"][0]["name"] == "Approver"
    member = stage.control("POST", "connectwise/people", member="NewM", name="New Member", email="m@msp.example")
    stage.control("PATCH", f"connectwise/members/{member['id']}", inactive=True)
    assert stage.connectwise("GET", f"system/members/{member['id']}").json()["inactiveFlag"] is True
    assert stage.connectwise_ticket(requester=made["id"])


def test_tickets_are_listed_by_type_and_the_desk_is_its_own(stage: Stage) -> None:
    number, other = stage.connectwise_ticket(), stage.connectwise_ticket(type="MFA Reset")
    assert [one["id"] for one in stage.control("GET", PATH)] == [other, number]
    assert [one["id"] for one in stage.control("GET", f"{PATH}?type=MFA%20Reset")] == [other]
    assert stage.control("GET", "tickets") == [], "HaloPSA knows nothing of them"
    stage.control("POST", "reset")
    assert stage.control("GET", PATH) == []
    assert stage.connectwise_ticket() == number


def test_bulk_tickets_are_old_unless_wanted_fresh(stage: Stage) -> None:
    stage.control("POST", "connectwise/bulk-tickets", count=3)
    fresh = stage.control(
        "POST", "connectwise/bulk-tickets", count=2, type="Password Reset", days_old=0, subject="x", status="Approved"
    )["ids"]
    query = {"conditions": "lastUpdated >= [2026-11-21T09:00:01Z]"}
    rows = stage.connectwise("GET", "service/tickets", params=query).json()
    assert [row["id"] for row in rows] == fresh
    assert {row["status"]["name"] for row in rows} == {"Approved"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", PATH, {"requester": "nobody@example.com"}),
        ("POST", PATH, {"board": "Moon"}),
        ("POST", PATH, {"type": "Moon"}),
        ("PATCH", f"{PATH}/7600", {"colour": "red"}),
        ("PATCH", f"{PATH}/7600", {"status": "Moon"}),
        ("PATCH", f"{PATH}/7600", {"owner": "Moon"}),
        ("PATCH", f"{PATH}/7600", {"team": "Moon"}),
        ("PATCH", f"{PATH}/7600", {"team": "Projects Team"}),
        ("PATCH", f"{PATH}/7600", {"what": "Everything"}),
        ("POST", f"{PATH}/7600/approve", {"via": "moon"}),
        ("POST", f"{PATH}/7600/approve", {"actor": "moon"}),
        ("POST", f"{PATH}/7600/approve", {"by": "moon"}),
        ("POST", f"{PATH}/7600/approve", {"actor": BEN, "by": "member", "status": "Moon"}),
        ("POST", f"{PATH}/7600/notes", {"text": "x", "place": "moon"}),
        ("POST", f"{PATH}/7600/notes", {}),
        ("POST", f"{PATH}/1/close", {}),
        ("POST", "connectwise/people", {"member": "TinaT", "name": "x"}),
        ("PATCH", "connectwise/members/999", {}),
        ("POST", "connectwise/habits", {"audit_wording": "moon"}),
        ("POST", "connectwise/habits", {"moon": 1}),
        ("POST", "connectwise/habits", {"note_moves_ticket": "yes"}),
        ("POST", "connectwise/deliveries", {"ticket": 7600}),
        ("POST", "connectwise/deliveries", {"ticket": 7600, "forged": "moon"}),
    ],
)
def test_a_mistake_is_answered_in_words_and_changes_nothing(
    stage: Stage, method: str, path: str, body: dict[str, Any]
) -> None:
    number = stage.connectwise_ticket()
    before = (stage.control("GET", f"{PATH}/{number}"), stage.control("GET", "connectwise/habits"))
    answer = stage.http.request(method, f"{stage.addresses.control}/control/{path}", json=body, timeout=10)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]
    assert (stage.control("GET", f"{PATH}/{number}"), stage.control("GET", "connectwise/habits")) == before
    assert len(stage.control("GET", PATH)) == 1
