"""The imitated ConnectWise answers as ConnectWise does: login, tickets, writes, notes, time and what is configured."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from sandbox.__main__ import ready_document
from tests.sandbox.conftest import ANNA, BEN, DANA, Stage

WHOLE_SECONDS = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
NEW, IN_PROGRESS, WAITING, APPROVED, DENIED, TECHNICIAN, RETRY, CLOSED = range(501, 509)


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def patched(stage: Stage, number: int, *operations: dict[str, Any]) -> requests.Response:
    return stage.connectwise("PATCH", f"service/tickets/{number}", json=list(operations))


def shown(stage: Stage, number: int) -> Any:
    return stage.control("GET", f"connectwise/tickets/{number}")


def detail(stage: Stage, number: int) -> Any:
    return stage.connectwise("GET", f"service/tickets/{number}").json()


# -- login ------------------------------------------------------------------------------------------------------


def test_the_company_information_needs_no_login_and_names_the_codebase(stage: Stage) -> None:
    answer = stage.http.get(f"{stage.addresses.connectwise}/login/companyinfo/MSP", timeout=10)
    assert answer.json()["Codebase"] == "v2026_1/"
    assert stage.connectwise("GET", "system/info", codebase="v2026_1").json()["version"].startswith("v2026.1")


def test_an_unknown_company_is_null_with_200(stage: Stage) -> None:
    answer = stage.http.get(f"{stage.addresses.connectwise}/login/companyinfo/nobody", timeout=10)
    assert (answer.status_code, answer.json()) == (200, None)


def test_an_upgrade_moves_the_codebase_and_the_old_one_is_gone(stage: Stage) -> None:
    assert stage.control("POST", "connectwise/upgrade") == {"codebase": "v2026_2"}
    assert stage.connectwise("GET", "system/info", codebase="v2026_1").status_code == 404
    assert stage.connectwise("GET", "system/info", codebase="v2026_2").ok
    assert stage.connectwise("GET", "system/info").ok, "the alias stays"
    answer = stage.http.get(f"{stage.addresses.connectwise}/login/companyinfo/msp", timeout=10)
    assert answer.json()["Codebase"] == "v2026_2/"


@pytest.mark.parametrize(
    "wrong",
    [
        {"auth": ("msp+someone", "else")},
        {"auth": None},
        {"headers": {"clientId": ""}},
        {"headers": {"clientId": "another"}},
        {"auth": None, "headers": {"Authorization": "Basic not-base64!"}},
    ],
)
def test_without_login_or_client_id_nothing_is_answered_and_nothing_changes(
    stage: Stage, wrong: dict[str, Any]
) -> None:
    number = stage.connectwise_ticket()
    answer = stage.connectwise("PATCH", f"service/tickets/{number}", json=[replace("summary", "x")], **wrong)
    assert answer.status_code == 401
    assert answer.json()["code"]
    assert shown(stage, number)["summary"] == "Password Reset"


def test_a_wrong_login_may_be_answered_as_if_nothing_were_there(stage: Stage) -> None:
    stage.control("POST", "connectwise/habits", wrong_login_status=404)
    assert stage.connectwise("GET", "system/info", auth=("msp+someone", "else")).status_code == 404
    assert stage.connectwise("GET", "system/info").ok


def test_a_role_that_is_too_weak_is_refused(stage: Stage) -> None:
    stage.control("POST", "connectwise/habits", forbidden=["GET /system/audittrail", "PATCH "])
    number = stage.connectwise_ticket()
    assert stage.connectwise("GET", "system/audittrail", params={"type": "Ticket", "id": number}).status_code == 403
    assert patched(stage, number, replace("summary", "x")).status_code == 403
    assert stage.connectwise("GET", f"service/tickets/{number}").json()["summary"] == "Password Reset"


def test_over_the_limit_it_says_when_to_come_back_in_a_shape_of_its_own(stage: Stage) -> None:
    stage.control("POST", "limits", connectwise_requests=2)
    answers = [stage.connectwise("GET", "system/info") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json() == {
        "error": "ConnectWiseAPI",
        "message": "Too many requests. Please try again in 60 seconds.",
    }
    assert answers[2].headers["Retry-After"] == "60"
    stage.clock.forward(seconds=61)
    assert stage.connectwise("GET", "system/info").ok


def test_faults_hit_connectwise_as_they_hit_the_others(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    stage.fault("connectwise", "status", match="GET .*/service/tickets", status=429, headers={"Retry-After": "7"})
    answer = stage.connectwise("GET", "service/tickets")
    assert (answer.status_code, answer.headers["Retry-After"], answer.json()["error"]) == (429, "7", "ConnectWiseAPI")
    stage.fault("connectwise", "status", match="GET", status=500)
    assert stage.connectwise("GET", "service/tickets").json()["code"] == "ConnectWiseApi"
    stage.fault("connectwise", "cut_after", match="POST .*/notes")
    with pytest.raises(requests.ConnectionError):
        stage.connectwise("POST", f"service/tickets/{number}/notes", json={"text": "a", "resolutionFlag": True})
    assert [note["text"] for note in shown(stage, number)["notes"]] == ["locked out", "a"], "it happened"


def test_calls_are_counted_without_the_codebase(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    for codebase in ("v4_6_release", "v2026_1", "V2026_1"):
        stage.connectwise("GET", f"service/tickets/{number}/", codebase=codebase)
    assert stage.control("GET", "calls")["calls"]["GET /service/tickets/{id}"] == 3
    assert stage.control("GET", "calls")["systems"]["connectwise"] == 3


@pytest.mark.parametrize("path", ["nowhere", "service/nowhere", "service/tickets/abc"])
def test_an_unknown_address_has_the_real_refusal(stage: Stage, path: str) -> None:
    answer = stage.connectwise("GET", path)
    assert answer.status_code == 404
    assert answer.json() == {"code": "ConnectWiseApi", "message": "The endpoint does not exist."}


# -- tickets ----------------------------------------------------------------------------------------------------


def test_a_ticket_reads_as_a_real_one(stage: Stage) -> None:
    ticket = detail(stage, stage.connectwise_ticket(what="Password"))
    assert ticket["board"]["name"] == "Service Desk"
    assert (ticket["status"]["id"], ticket["status"]["name"]) == (WAITING, "Waiting Approval")
    assert (ticket["company"]["identifier"], ticket["contactEmailAddress"]) == ("Contoso", BEN)
    assert "dateEntered" not in ticket
    assert WHOLE_SECONDS.match(ticket["_info"]["lastUpdated"])
    assert WHOLE_SECONDS.match(ticket["_info"]["dateEntered"])
    assert {"initialDescription", "closedDate", "owner", "mergedParentTicket"} & set(ticket) == set(), (
        "unset is omitted"
    )
    assert "//apis/3.0//service/boards/1" in ticket["board"]["_info"]["board_href"]
    assert stage.addresses.connectwise not in str(ticket), "links name another host"


def test_approved_is_true_on_every_ticket_and_says_nothing(stage: Stage) -> None:
    waiting, denied = stage.connectwise_ticket(), stage.connectwise_ticket()
    stage.control("POST", f"connectwise/tickets/{denied}/deny")
    assert detail(stage, waiting)["approved"] is True
    assert detail(stage, denied)["approved"] is True


def test_an_unset_custom_field_has_no_value_or_null(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    fields = {one["id"]: one for one in detail(stage, number)["customFields"]}
    assert fields[41]["value"] == DANA
    assert "value" not in fields[42]
    assert fields[44]["caption"].endswith(" "), "as in a real answer"
    stage.control("POST", "connectwise/habits", null_custom_values=True)
    assert {one["id"]: one for one in detail(stage, number)["customFields"]}[42]["value"] is None


def test_a_stranger_s_mail_makes_a_ticket_without_contact(stage: Stage) -> None:
    number = stage.connectwise_ticket(requester="stranger@example.com", company="Contoso")
    ticket = detail(stage, number)
    assert "contact" not in ticket
    assert (ticket["contactEmailAddress"], ticket["source"]["name"]) == ("stranger@example.com", "Email Connector")


def test_a_ticket_of_a_project_says_so(stage: Stage) -> None:
    number = stage.connectwise_ticket(record_type="ProjectTicket")
    assert detail(stage, number)["recordType"] == "ProjectTicket"
    query = {"conditions": 'recordType="ServiceTicket"'}
    assert stage.connectwise("GET", "service/tickets", params=query).json() == []


def test_a_missing_ticket_has_the_real_refusal(stage: Stage) -> None:
    answer = stage.connectwise("GET", "service/tickets/404")
    assert (answer.status_code, answer.json()) == (404, {"code": "NotFound", "message": "Service Ticket 404 not found"})


def test_a_deleted_ticket_is_gone(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    stage.control("DELETE", f"connectwise/tickets/{number}")
    assert stage.connectwise("GET", f"service/tickets/{number}").status_code == 404
    assert stage.connectwise("GET", "service/tickets").json() == []


def test_a_merged_ticket_is_closed_and_names_its_parent(stage: Stage) -> None:
    child, parent = stage.connectwise_ticket(), stage.connectwise_ticket()
    stage.control("POST", f"connectwise/tickets/{child}/merge", into=parent)
    assert (detail(stage, child)["mergedParentTicket"]["id"], detail(stage, child)["closedFlag"]) == (parent, True)
    assert detail(stage, parent)["hasMergedChildTicketFlag"] is True


def test_a_ticket_can_be_posted(stage: Stage) -> None:
    body = {
        "summary": "New hire",
        "company": {"identifier": "Fabrikam"},
        "board": {"name": "Service Desk"},
        "type": {"name": "Incident"},
        "initialDescription": "please help",
    }
    answer = stage.connectwise("POST", "service/tickets", json=body)
    assert answer.status_code == 201
    ticket = answer.json()
    assert (ticket["type"]["id"], ticket["company"]["id"], ticket["status"]["id"]) == (14, 260, NEW)
    assert ticket["_info"]["enteredBy"] == "ResetConnector"
    assert shown(stage, ticket["id"])["notes"][0]["text"] == "please help"


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"company": {"id": 250}}, "MissingRequiredField", "summary"),
        ({"summary": "x"}, "MissingRequiredField", "company"),
        ({"summary": "x" * 101, "company": {"id": 250}}, "InvalidField", "summary"),
        ({"summary": "x", "company": {"id": 9}}, "NotFound", "company/id"),
        ({"summary": "x", "company": {"id": 250}, "board": {"id": 9}}, "NotFound", "board/id"),
        ({"summary": "x", "company": {"id": 250}, "type": {"id": 22}}, "NotFound", "type/id"),
    ],
)
def test_a_wrong_new_ticket_is_refused_and_leaves_nothing(
    stage: Stage, body: dict[str, Any], code: str, field: str
) -> None:
    answer = stage.connectwise("POST", "service/tickets", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidObject")
    assert (answer.json()["errors"][0]["code"], answer.json()["errors"][0]["field"]) == (code, field)
    assert stage.connectwise("GET", "service/tickets/count").json() == {"count": 0}


def test_a_refused_new_ticket_is_told_to_nobody(stage: Stage) -> None:
    callback = {"url": "https://connector.example.com/?r=", "objectId": 1, "type": "ticket", "level": "owner"}
    assert stage.connectwise("POST", "system/callbacks", json=callback).ok
    body: dict[str, Any] = {"summary": "x", "company": {"id": 250}}
    assert stage.connectwise("POST", "service/tickets", json=body | {"type": {"id": 22}}).status_code == 400
    assert stage.control("GET", "connectwise/deliveries") == []
    assert stage.connectwise("POST", "service/tickets", json=body).status_code == 201
    assert [one["action"] for one in stage.control("GET", "connectwise/deliveries")] == ["added"]


# -- patching ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["status", "/status"])
@pytest.mark.parametrize("value", [{"id": CLOSED}, {"name": "Closed"}])
def test_a_status_is_set_with_either_spelling_of_the_path(stage: Stage, path: str, value: dict[str, Any]) -> None:
    number = stage.connectwise_ticket()
    stage.clock.forward(seconds=5)
    ticket = patched(stage, number, replace(path, value)).json()
    assert (ticket["status"]["id"], ticket["closedFlag"], ticket["closedBy"]) == (CLOSED, True, "ResetConnector")
    assert ticket["closedDate"] == ticket["_info"]["lastUpdated"] == "2026-11-22T09:00:05Z"
    assert ticket["_info"]["updatedBy"] == "ResetConnector"
    reopened = patched(stage, number, replace(path, {"id": IN_PROGRESS})).json()
    assert reopened["closedFlag"] is False
    assert "closedDate" not in reopened


def test_a_part_of_a_reference_is_a_false_200(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    answer = patched(stage, number, replace("company/identifier", "Fabrikam"), replace("status/id", CLOSED))
    assert answer.status_code == 200
    assert (answer.json()["company"]["identifier"], answer.json()["status"]["id"]) == ("Contoso", WAITING)


def test_another_board_s_status_is_refused_or_ignored(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    assert patched(stage, number, replace("status", {"id": 604})).status_code == 400
    stage.control("POST", "connectwise/habits", wrong_board_status="ignore")
    answer = patched(stage, number, replace("status", {"id": 604}))
    assert (answer.status_code, answer.json()["status"]["id"]) == (200, WAITING)


def test_another_board_takes_its_default_status_and_the_type_of_the_same_name(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    ticket = patched(stage, number, replace("board", {"id": 2})).json()
    assert (ticket["status"]["id"], ticket["type"]["id"], ticket["team"]["id"]) == (601, 21, 41)
    assert "type" not in patched(stage, stage.connectwise_ticket(type="MFA Reset"), replace("board", {"id": 2})).json()


@pytest.mark.parametrize(
    "operations",
    [
        [replace("summary", "changed"), replace("status", {"id": 999})],
        [replace("summary", "changed"), replace("Status", {"id": CLOSED})],
        [replace("board", {"id": 2}), replace("owner", {"id": 999})],
        [replace("summary", "changed"), replace("customFields", [{"id": 42, "value": "Everything"}])],
        [replace("summary", "changed"), replace("customFields", [{"id": 99, "value": "x"}])],
        [replace("summary", "changed"), {"op": "move", "path": "status"}],
        [replace("type", {"id": 14}), replace("contact", {"id": 1})],
        [replace("customFields", [{"id": 41, "value": "x"}]), replace("status", 508)],
        [replace("summary", "changed"), replace("severity", "Dreadful")],
        [replace("summary", "changed"), replace("priority", {"id": 1})],
        [replace("summary", "changed"), replace("summary", "x" * 101)],
    ],
)
def test_a_patch_is_all_or_nothing(stage: Stage, operations: list[dict[str, Any]]) -> None:
    number = stage.connectwise_ticket()
    before = shown(stage, number)
    stage.clock.forward(seconds=5)
    assert patched(stage, number, *operations).status_code == 400
    assert shown(stage, number) == before
    by_type = stage.connectwise("GET", "service/tickets", params={"conditions": "type/id=11"})
    assert [row["id"] for row in by_type.json()] == [number]


@pytest.mark.parametrize("body", [{"op": "replace", "path": "summary", "value": "x"}, ["x"], "x", 5])
def test_a_patch_that_is_no_bare_array_is_refused(stage: Stage, body: Any) -> None:
    number = stage.connectwise_ticket()
    answer = stage.connectwise("PATCH", f"service/tickets/{number}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidObject")


def test_a_body_that_is_not_called_json_is_415(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    answer = stage.connectwise("PATCH", f"service/tickets/{number}", data="[]", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


@pytest.mark.parametrize(("habit", "left"), [("keep", "Password"), ("clear", None)])
def test_custom_fields_are_written_as_an_array_and_omission_differs(stage: Stage, habit: str, left: str | None) -> None:
    number = stage.connectwise_ticket(what="Password")
    stage.control("POST", "connectwise/habits", custom_fields_left_out=habit)
    answer = patched(stage, number, replace("customFields", [{"id": 43, "value": "Approved"}]))
    assert answer.ok
    assert (shown(stage, number)["approval"], shown(stage, number)["what"]) == ("Approved", left)


def test_one_place_of_the_custom_fields_can_be_patched(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    assert patched(stage, number, replace("/customFields/1/value", "MFA")).ok
    assert shown(stage, number)["what"] == "MFA"


def test_everything_else_that_a_connector_moves_can_be_patched(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    answer = patched(
        stage,
        number,
        replace("owner", {"identifier": "TinaT"}),
        replace("team", {"id": 32}),
        replace("subType", {"id": 51}),
        replace("priority", {"id": 6}),
        replace("contact", {"id": stage.world.connectwise.contact_with(ANNA).id}),
        replace("processNotifications", False),
        replace("severity", "High"),
        replace("/impact", "Low"),
    )
    ticket = answer.json()
    assert (ticket["owner"]["id"], ticket["resources"], ticket["team"]["name"]) == (151, "TinaT", "Escalations")
    assert (ticket["subType"]["name"], ticket["priority"]["id"], ticket["contactEmailAddress"]) == ("Office", 6, ANNA)
    assert (ticket["severity"], ticket["impact"]) == ("High", "Low")
    gone = patched(stage, number, {"op": "remove", "path": "owner"}, {"op": "remove", "path": "contact"}).json()
    assert {"owner", "contact", "contactEmailAddress"} & set(gone) == set()


# -- notes ------------------------------------------------------------------------------------------------------


def test_a_note_has_to_stand_somewhere(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    answer = stage.connectwise("POST", f"service/tickets/{number}/notes", json={"text": "x", "resolutionFlag": False})
    assert answer.status_code == 400
    row = answer.json()["errors"][0]
    assert row["message"] == "Please choose where to display the notes in order to save this record."
    assert row["field"] == "detailDescriptionFlag, internalAnalysisFlag, resolutionFlag"
    assert len(shown(stage, number)["notes"]) == 1


def test_a_note_is_the_member_s_who_posts_it_and_both_odd_flags_are_true(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    body = {"text": "done", "internalAnalysisFlag": True, "detailDescriptionFlag": False, "processNotifications": False}
    answer = stage.connectwise("POST", f"service/tickets/{number}/notes", json=body)
    note = answer.json()
    assert answer.status_code == 201
    assert (note["createdBy"], note["member"]["identifier"], note["internalAnalysisFlag"]) == (
        "ResetConnector",
        "ResetConnector",
        True,
    )
    assert (note["internalFlag"], note["externalFlag"], note["detailDescriptionFlag"]) == (True, True, False)


def test_the_requester_s_words_carry_the_contact_and_no_member(stage: Stage) -> None:
    first = stage.connectwise("GET", f"service/tickets/{stage.connectwise_ticket()}/notes").json()[0]
    assert (first["text"], first["contact"]["name"], first["detailDescriptionFlag"]) == (
        "locked out",
        "Ben Requester",
        True,
    )
    assert "member" not in first


def test_notes_are_paged_filtered_and_counted(stage: Stage) -> None:
    number = stage.connectwise_ticket(details="")
    for place in range(30):
        stage.control("POST", f"connectwise/tickets/{number}/notes", text=f"note {place}", actor="TinaT")
    path = f"service/tickets/{number}/notes"
    assert len(stage.connectwise("GET", path).json()) == 25
    assert stage.connectwise("GET", f"{path}/count").json() == {"count": 30}
    assert len(stage.connectwise("GET", path, params={"conditions": 'text contains "note 2"'}).json()) == 11
    newest = stage.connectwise("GET", path, params={"orderBy": "id desc", "pageSize": 1}).json()
    assert newest[0]["text"] == "note 29"


@pytest.mark.parametrize("moves", [True, False])
def test_whether_a_note_moves_the_ticket_is_a_habit(stage: Stage, moves: bool) -> None:
    number = stage.connectwise_ticket()
    stage.control("POST", "connectwise/habits", note_moves_ticket=moves)
    before = shown(stage, number)["updated_at"]
    stage.clock.forward(minutes=1)
    stage.connectwise("POST", f"service/tickets/{number}/notes", json={"text": "x", "internalAnalysisFlag": True})
    assert (shown(stage, number)["updated_at"] > before) == moves


@pytest.mark.parametrize(("habit", "text"), [("keep", "one\ntwo"), ("join", "one two")])
def test_line_ends_of_notes_may_be_lost(stage: Stage, habit: str, text: str) -> None:
    number = stage.connectwise_ticket(details="")
    stage.control("POST", "connectwise/habits", note_lines=habit)
    body = {"text": "one\ntwo", "internalAnalysisFlag": True}
    assert stage.connectwise("POST", f"service/tickets/{number}/notes", json=body).json()["text"] == text


def test_notes_can_be_edited_and_deleted_so_they_prove_nothing(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    path = f"service/tickets/{number}/notes"
    note = stage.connectwise("POST", path, json={"text": "true", "internalAnalysisFlag": True}).json()["id"]
    edited = stage.connectwise("PATCH", f"{path}/{note}", json=[replace("text", "false")])
    assert edited.json()["text"] == "false"
    assert stage.connectwise("GET", f"{path}/{note}").json()["text"] == "false"
    assert stage.connectwise("DELETE", f"{path}/{note}").status_code == 204
    assert stage.connectwise("GET", f"{path}/{note}").status_code == 404


# -- time -------------------------------------------------------------------------------------------------------


def test_time_is_booked_and_its_words_stand_among_all_notes_only(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    body = {
        "chargeToId": number,
        "chargeToType": "ServiceTicket",
        "timeStart": "2026-11-22T09:00:00Z",
        "actualHours": 0.08,
        "notes": "reset done",
        "addToInternalAnalysisFlag": True,
    }
    answer = stage.connectwise("POST", "time/entries", json=body)
    assert answer.status_code == 201
    entry = answer.json()
    assert (entry["member"]["identifier"], entry["timeEnd"]) == ("ResetConnector", "2026-11-22T09:04:48Z")
    listed = stage.connectwise("GET", "time/entries", params={"conditions": f"chargeToId={number}"}).json()
    assert [one["id"] for one in listed] == [entry["id"]]
    assert stage.control("GET", "connectwise/time-entries")[0]["hours"] == 0.08
    notes = stage.connectwise("GET", f"service/tickets/{number}/notes").json()
    everything = stage.connectwise("GET", f"service/tickets/{number}/allNotes").json()
    assert [note["text"] for note in notes] == ["locked out"]
    assert [(note["noteType"], note["text"]) for note in everything] == [
        ("TicketNote", "locked out"),
        ("TimeEntryNote", "reset done"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"chargeToType": "Company"},
        {"chargeToId": 1},
        {"timeStart": None},
        {"timeStart": "2026-11-22 09:00"},
        {"timeStart": "yesterday"},
        {"actualHours": None},
        {"timeEnd": "2026-11-22T08:00:00Z"},
        {"member": {"id": 999}},
        {"member": {"identifier": "Nobody"}},
    ],
)
def test_wrong_time_is_refused(stage: Stage, wrong: dict[str, Any]) -> None:
    number = stage.connectwise_ticket()
    body = {
        "chargeToId": number,
        "chargeToType": "ServiceTicket",
        "timeStart": "2026-11-22T09:00:00Z",
        "actualHours": 1,
    } | wrong
    assert stage.connectwise("POST", "time/entries", json=body).status_code == 400
    assert stage.control("GET", "connectwise/time-entries") == []


# -- what is configured -----------------------------------------------------------------------------------------


def test_statuses_are_each_board_s_own(stage: Stage) -> None:
    first = stage.connectwise("GET", "service/boards/1/statuses").json()
    second = stage.connectwise("GET", "service/boards/2/statuses").json()
    assert [one["name"] for one in first] == [one["name"] for one in second]
    assert {one["id"] for one in first} & {one["id"] for one in second} == set()
    assert [one["name"] for one in first if one["closedStatus"]] == ["Closed"]
    assert stage.connectwise("GET", "service/boards/1/statuses/604").status_code == 404
    assert stage.connectwise("GET", "service/boards/9/statuses").status_code == 404


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("service/boards?conditions=inactiveFlag=false", ["Service Desk", "Professional Services"]),
        ("service/boards?conditions=inactive=true", ["Old Service Desk"]),
        ("service/boards/1/types", ["Password Reset", "MFA Reset", "Account Reset", "Incident"]),
        ("service/boards/1/subtypes", ["Office", "Remote"]),
        ("service/boards/1/teams", ["Service Desk Team", "Escalations"]),
        ("service/priorities", ["Priority 1 - Emergency Response", "Priority 3 - Normal Response"]),
        ("service/sources", ["Email Connector", "Portal", "Phone"]),
    ],
)
def test_lists_of_settings(stage: Stage, path: str, names: list[str]) -> None:
    assert [one["name"] for one in stage.connectwise("GET", path).json()] == names


def test_custom_fields_are_defined_with_their_options(stage: Stage) -> None:
    rows = stage.connectwise("GET", "system/userDefinedFields", params={"conditions": 'caption="Approval"'}).json()
    assert [option["optionValue"] for option in rows[0]["options"]] == ["Pending", "Approved", "Denied"]


def test_people_are_found_by_address_type_and_company(stage: Stage) -> None:
    child = f'communicationItems/value="{ANNA.upper()}" and communicationItems/communicationType="Email"'
    rows = stage.connectwise("GET", "company/contacts", params={"childConditions": child}).json()
    assert [one["firstName"] for one in rows] == ["Anna"]
    child = 'types/name="Approver"'
    query = {"conditions": "company/id=250", "childconditions": child}
    assert [one["id"] for one in stage.connectwise("GET", "company/contacts", params=query).json()] == [rows[0]["id"]]
    ben = stage.connectwise("GET", "company/contacts", params={"conditions": 'firstName="Ben"'}).json()[0]
    assert ben["managerContact"]["id"] == rows[0]["id"]
    reception = stage.connectwise("GET", "company/contacts", params={"conditions": 'firstName="Reception"'}).json()[0]
    assert reception["communicationItems"] is None
    assert "lastName" not in reception
    types = stage.connectwise("GET", "company/contacts/types").json()
    assert [one["description"] for one in types] == ["End User", "Approver", "VIP"]


def test_an_address_that_is_not_the_default_one_comes_first_and_may_be_two_people_s(stage: Stage) -> None:
    child = 'communicationItems/value="twin@home.example"'
    twins = stage.connectwise("GET", "company/contacts", params={"childConditions": child}).json()
    assert [one["company"]["identifier"] for one in twins] == ["Contoso", "Fabrikam"]
    addresses = [item for item in twins[0]["communicationItems"] if item["communicationType"] == "Email"]
    assert [(item["value"], item["defaultFlag"]) for item in addresses] == [
        ("twin@home.example", False),
        ("twin@fabrikam.com", False),
        ("twin@contoso.com", True),
    ]


def test_members_companies_and_unknown_ones(stage: Stage) -> None:
    rows = stage.connectwise("GET", "system/members", params={"conditions": 'identifier="AnnaA"'}).json()
    assert rows[0]["officeEmail"] == ANNA
    assert stage.connectwise("GET", "system/members/150").json()["licenseClass"] == "A"
    rows = stage.connectwise("GET", "company/companies", params={"conditions": 'identifier="contoso"'}).json()
    assert [one["id"] for one in rows] == [250]
    for path in ("system/members/9", "company/companies/9", "company/contacts/9", "time/entries/9"):
        assert stage.connectwise("GET", path).json()["code"] == "NotFound"


def test_customers_that_come_later_are_companies_here_too(stage: Stage) -> None:
    stage.control("POST", "tenants", count=1, users=1)
    people = stage.control("GET", "connectwise/people")
    company = next(one for one in people["companies"] if one["tenant"] == "customer01")
    number = stage.connectwise_ticket(requester="requester@customer01.example")
    assert shown(stage, number)["company_id"] == company["id"]
    approved = stage.control("POST", f"connectwise/tickets/{number}/approve")
    assert approved["audit"][-1]["enteredBy"] == "approver@customer01.example"


def test_the_ready_document_tells_how_to_use_it(stage: Stage) -> None:
    ready = ready_document(stage.world, stage.addresses)
    login = f"{ready['connectwise_company']}+{ready['connectwise_public_key']}", ready["connectwise_private_key"]
    url = (
        f"{ready['connectwise']}/v4_6_release/apis/3.0/company/companies/{ready['tenants']['contoso']['companies'][0]}"
    )
    answer = stage.http.get(url, auth=login, headers={"clientId": ready["connectwise_client_id"]}, timeout=10)
    assert answer.json()["name"] == "Contoso"
    assert ready["tenants"]["contoso"]["companies"] == ["250", "251"]
    assert ready["connectwise_private_key"] not in repr(stage.world.credentials)


def test_the_media_type_can_be_the_vendor_s(stage: Stage) -> None:
    assert stage.connectwise("GET", "system/info").headers["Content-Type"].startswith("application/json")
    stage.control("POST", "connectwise/habits", vendor_media_type=True)
    answer = stage.connectwise("GET", "system/info")
    assert answer.headers["Content-Type"] == "application/vnd.connectwise.com+json; version=2026.4"
    assert answer.headers["api-current-version"] == "2026.4"


# ---------------------------------------------------------------- priorities, and tickets opened again


def closed_ticket(stage: Stage) -> int:
    number = stage.connectwise_ticket()
    stage.control("POST", f"connectwise/tickets/{number}/close", actor="TinaT")
    return number


def test_priorities_have_a_level_and_an_order(stage: Stage) -> None:
    rows = stage.connectwise("GET", "service/priorities").json()
    assert [(row["id"], row["level"], row["sortOrder"]) for row in rows] == [(6, "Critical", 1), (8, "Medium", 4)]
    number = stage.connectwise_ticket()
    priority = patched(stage, number, replace("priority", {"id": 6})).json()["priority"]
    assert (priority["id"], priority["level"], priority["sort"]) == (6, "Critical", 1)
    assert shown(stage, number)["priority"] == "Priority 1 - Emergency Response"
    assert patched(stage, number, replace("priority", {"id": 77})).status_code == 400


def test_a_closed_ticket_is_opened_again_and_its_flag_follows(stage: Stage) -> None:
    number = closed_ticket(stage)
    before = stage.connectwise("GET", f"service/tickets/{number}").json()
    assert (before["closedFlag"], before["closedBy"]) == (True, "TinaT")
    after = patched(stage, number, replace("status", {"id": 509}), replace("priority", {"id": 6})).json()
    assert (after["status"]["name"], after["closedFlag"], after.get("closedBy")) == ("Security alarm", False, None)


@pytest.mark.parametrize(("habit", "status"), [("refuse", 400), ("forbid", 403), ("ignore", 200)])
def test_closed_tickets_may_stay_closed(stage: Stage, habit: str, status: int) -> None:
    stage.control("POST", "connectwise/habits", reopening=habit)
    number, other = closed_ticket(stage), stage.connectwise_ticket()
    wanted = (replace("priority", {"id": 6}), replace("status", {"id": 509}))
    assert patched(stage, number, *wanted).status_code == status
    ticket = stage.connectwise("GET", f"service/tickets/{number}").json()
    assert (ticket["status"]["name"], ticket["priority"]["id"]) == ("Closed", 6 if habit == "ignore" else 8)
    assert patched(stage, other, *wanted).json()["status"]["id"] == 509
