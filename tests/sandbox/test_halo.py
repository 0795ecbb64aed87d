"""The imitated HaloPSA answers as HaloPSA does."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.sandbox.conftest import ANNA, BEN, DANA, Stage

NAIVE_THREE_DECIMALS = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$")
ZULU_SEVEN_DECIMALS = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$")


@pytest.mark.parametrize("query", ["", "?tenant=msp"])
def test_a_token_is_given_with_and_without_a_tenant(stage: Stage, query: str) -> None:
    known = stage.world.credentials
    form = {
        "grant_type": "client_credentials",
        "client_id": known.halo_client_id,
        "client_secret": known.halo_client_secret,
        "scope": "all",
    }
    answer = stage.http.post(f"{stage.addresses.halo}/auth/token{query}", data=form, timeout=10)
    assert answer.status_code == 200
    assert answer.json()["expires_in"] == 3600


def test_a_wrong_secret_is_refused_as_invalid_client(stage: Stage) -> None:
    answer = stage.halo_token(client_secret="wrong")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_token_expires(stage: Stage) -> None:
    assert stage.halo("GET", "Agent/me").status_code == 200
    stage.clock.forward(seconds=3601)
    assert stage.halo("GET", "Agent/me").status_code == 401


@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer made-up", "Basic abc"])
def test_without_a_good_token_nothing_is_answered_and_nothing_changes(stage: Stage, token: str) -> None:
    number = stage.ticket()
    body = [{"id": number, "status_id": 9}]
    answer = stage.halo("POST", "Tickets", json=body, headers={"Authorization": token})
    assert answer.status_code == 401
    assert stage.control("GET", f"tickets/{number}")["status"] == "Awaiting Approval"


@pytest.mark.parametrize("path", ["Tickets", "tickets", "TICKETS", "tickettype", "TicketType"])
def test_routes_work_in_any_case(stage: Stage, path: str) -> None:
    assert stage.halo("GET", path).status_code == 200


def test_every_answer_says_that_it_is_a_sandbox(stage: Stage) -> None:
    answers = [
        stage.halo("GET", "Status"),
        stage.halo("GET", "nowhere"),
        stage.halo_token(client_secret="wrong"),
        stage.graph("GET", "organization"),
        stage.graph_token("nobody"),
        stage.http.get(f"{stage.addresses.control}/", timeout=10),
    ]
    assert [answer.headers.get("X-Sandbox") for answer in answers] == ["1"] * len(answers)


def test_a_page_never_holds_more_than_a_hundred(stage: Stage) -> None:
    stage.control("POST", "bulk-tickets", count=130)
    answer = stage.halo("GET", "Tickets?pageinate=true&page_size=500&page_no=1&order=id&orderdesc=false").json()
    assert (len(answer["tickets"]), answer["record_count"], answer["page_size"]) == (100, 130, 100)
    second = stage.halo("GET", "Tickets?pageinate=True&page_size=500&page_no=2&order=id&orderdesc=False").json()
    numbers = [row["id"] for row in answer["tickets"] + second["tickets"]]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 130


def test_page_size_means_nothing_without_pageinate(stage: Stage) -> None:
    stage.control("POST", "bulk-tickets", count=60)
    assert len(stage.halo("GET", "Tickets?page_size=10").json()["tickets"]) == 50
    assert len(stage.halo("GET", "Tickets?count=3").json()["tickets"]) == 3


def test_a_filter_by_the_true_parameter_works_and_a_made_up_one_is_ignored(stage: Stage) -> None:
    wanted = stage.ticket()
    stage.control("POST", "bulk-tickets", count=3, type="Incident")
    right = stage.halo("GET", "Tickets?requesttype_id=25").json()["tickets"]
    assert [row["id"] for row in right] == [wanted]
    wrong = stage.halo("GET", "Tickets?tickettype_id=25").json()["tickets"]
    assert len(wrong) == 4
    # The contract check would rightly complain about that parameter.
    stage.world.record.exchanges.pop()


def test_changed_since_sees_changed_tickets_only(stage: Stage) -> None:
    old, changed = stage.ticket(), stage.ticket()
    stage.clock.forward(minutes=10)
    since = stage.clock().strftime("%Y-%m-%dT%H:%M:%S")
    stage.control("PATCH", f"tickets/{changed}", summary="edited")
    rows = stage.halo("GET", f"Tickets?lastupdatefromdate={since}").json()["tickets"]
    assert [row["id"] for row in rows] == [changed]
    assert old != changed


def test_open_only_leaves_closed_tickets_out(stage: Stage) -> None:
    number = stage.ticket()
    stage.control("PATCH", f"tickets/{number}", status="Closed")
    assert stage.halo("GET", "Tickets?open_only=true").json()["tickets"] == []
    assert stage.halo("GET", "Tickets").json()["tickets"][0]["hasbeenclosed"] is True


def test_dates_are_naive_on_lists_and_zulu_on_details(stage: Stage) -> None:
    number = stage.ticket()
    row = stage.halo("GET", "Tickets").json()["tickets"][0]
    detail = stage.halo("GET", f"Tickets/{number}?includedetails=true").json()
    for name in ("dateoccurred", "lastactiondate", "last_update"):
        assert NAIVE_THREE_DECIMALS.match(row[name])
        assert ZULU_SEVEN_DECIMALS.match(detail[name])


def test_null_properties_are_left_out(stage: Stage) -> None:
    number = stage.ticket()
    detail = stage.halo("GET", f"Tickets/{number}?includedetails=true").json()
    assert None not in detail.values()
    assert "hasbeenclosed" not in detail
    assert "dateclosed" not in detail


def test_approvers_are_on_the_detail_only(stage: Stage) -> None:
    number = stage.ticket()
    row = stage.halo("GET", "Tickets").json()["tickets"][0]
    assert "approvers" not in row
    assert "details" not in row
    approvers = stage.halo("GET", f"Tickets/{number}").json()["approvers"]
    assert [approver["emailaddress"] for approver in approvers] == [ANNA]
    assert "result" not in approvers[0]
    assert approvers[0]["approval_inprogress"] is True


@pytest.mark.parametrize(("verb", "result", "status"), [("approve", 1, "Approved"), ("reject", 2, "Rejected")])
def test_a_vote_is_recorded_and_moves_the_ticket(stage: Stage, verb: str, result: int, status: str) -> None:
    number = stage.ticket()
    stage.clock.forward(minutes=5)
    assert stage.control("POST", f"tickets/{number}/{verb}", comment="because")["status"] == status
    approver = stage.halo("GET", f"Tickets/{number}").json()["approvers"][0]
    assert (approver["result"], approver["approver_note"]) == (result, "because")
    assert approver["dateapproved"].startswith("2026-11-22T09:05:00")
    assert "approval_inprogress" not in approver
    assert stage.halo("GET", f"TicketApproval?ticket_id={number}").json()[0]["result"] == result
    assert stage.halo("GET", f"TicketApproval/{approver['id']}").json()["ticket_id"] == number


def test_one_yes_is_not_enough_for_a_process_of_two_steps(stage: Stage) -> None:
    number = stage.ticket(approval_process="Two-step reset approval")
    assert stage.control("POST", f"tickets/{number}/approve")["status"] == "Awaiting Approval"
    detail = stage.halo("GET", f"Tickets/{number}").json()
    assert [row["result"] for row in detail["approvers_history"]] == [1]
    assert "result" not in detail["approvers"][0]
    assert stage.control("POST", f"tickets/{number}/approve")["status"] == "Approved"


def test_every_approver_of_a_step_must_say_yes(stage: Stage) -> None:
    number = stage.ticket(approvers=[ANNA, "sam@contoso.com"])
    assert (
        stage.control("POST", f"tickets/{number}/approve", approver="sam@contoso.com")["status"] == "Awaiting Approval"
    )
    assert stage.control("POST", f"tickets/{number}/reject", approver=ANNA)["status"] == "Rejected"


def test_an_approval_can_be_given_in_the_past_or_by_somebody_unexpected(stage: Stage) -> None:
    number = stage.ticket()
    yesterday = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    stage.control("POST", f"tickets/{number}/approve", approver=BEN, at=yesterday.isoformat(), admin_overridden=True)
    approver = stage.halo("GET", f"Tickets/{number}").json()["approvers"][0]
    assert (approver["emailaddress"], approver["admin_overridden"]) == (BEN, True)
    assert approver["dateapproved"].startswith("2026-11-21T08:00:00")


def test_custom_fields_are_read_from_the_detail_and_their_value_has_either_type(stage: Stage) -> None:
    numbers = [stage.ticket(type="Account Reset", what="Both") for _ in range(2)]
    values = []
    for number in numbers:
        fields = {one["name"]: one for one in stage.halo("GET", f"Tickets/{number}").json()["customfields"]}
        assert fields["CFSubject"]["value"] == DANA
        assert fields["CFResetWhat"]["display"] == "Both"
        values.append(fields["CFResetWhat"]["value"])
    assert sorted(values, key=str) == [3, "3"]


def test_a_custom_field_that_was_never_set_is_absent(stage: Stage) -> None:
    number = stage.ticket()
    stage.control("PATCH", f"tickets/{number}", subject=None)
    assert stage.halo("GET", f"Tickets/{number}").json()["customfields"] == []


def test_a_note_needs_an_outcome(stage: Stage) -> None:
    number = stage.ticket()
    answer = stage.halo("POST", "Actions", json=[{"ticket_id": number, "note_html": "<p>x</p>"}])
    assert answer.status_code == 400
    assert answer.json() == {"ClassName": "System.Exception", "Message": "An Outcome must be entered for this Action"}
    assert len(stage.control("GET", f"tickets/{number}")["actions"]) == 1


def test_an_outcome_that_the_agent_may_not_run_is_refused(stage: Stage) -> None:
    number = stage.ticket()
    answer = stage.halo("POST", "Actions", json=[{"ticket_id": number, "outcome": "Escalate", "note": "x"}])
    assert answer.json()["Message"] == "You do not have access to this Action at the moment"


@pytest.mark.parametrize("outcome", [{"outcome_id": 7}, {"outcome": "Private Note"}])
def test_a_private_note_answers_201_and_one_object_and_can_be_found_again(
    stage: Stage, outcome: dict[str, object]
) -> None:
    number = stage.ticket()
    body = [{"ticket_id": number, "note_html": "<p>seen</p>", "hiddenfromuser": True, "sendemail": False} | outcome]
    answer = stage.halo("POST", "Actions", json=body)
    assert (answer.status_code, answer.json()["outcome"]) == (201, "Private Note")
    listed = stage.halo("GET", f"Actions?ticket_id={number}&excludesys=true&includehtmlnote=true").json()
    assert [row["note_html"] for row in listed["actions"]] == ["<p>seen</p>"]
    assert listed["actions"][0]["hiddenfromuser"] is True
    assert listed["actions"][0]["actionby_application_id"] == "Reset connector"
    one = stage.halo("GET", f"Actions/{answer.json()['id']}?ticket_id={number}")
    assert one.json()["id"] == answer.json()["id"]


def test_actions_come_newest_first(stage: Stage) -> None:
    number = stage.ticket()
    for note in ("first", "second"):
        stage.halo("POST", "Actions", json=[{"ticket_id": number, "outcome_id": 7, "note": note}])
    notes = stage.halo("GET", f"Actions?ticket_id={number}&excludesys=true").json()["actions"]
    assert [row["note"] for row in notes] == ["second", "first"]


def test_an_action_is_known_within_its_ticket_only(stage: Stage) -> None:
    assert stage.halo("GET", "Actions/1").json()["Message"] == "ticket_id must be specified"
    assert stage.halo("GET", f"Actions/99?ticket_id={stage.ticket()}").status_code == 404


def test_status_id_in_an_action_moves_nothing_and_new_status_does(stage: Stage) -> None:
    number = stage.ticket()
    stage.halo("POST", "Actions", json=[{"ticket_id": number, "outcome_id": 7, "note": "x"}])
    stage.http.post(
        f"{stage.addresses.halo}/api/Actions",
        json=[{"ticket_id": number, "outcome_id": 7, "note": "x", "status_id": 9}],
        headers={"Authorization": f"Bearer {stage.tokens['halo']}"},
        timeout=10,
    )
    # HaloPSA takes a property it does not know; the contract check would not.
    stage.world.record.exchanges.pop()
    assert stage.control("GET", f"tickets/{number}")["status"] == "Awaiting Approval"
    stage.halo("POST", "Actions", json=[{"ticket_id": number, "outcome_id": 7, "note": "x", "new_status": 9}])
    assert stage.control("GET", f"tickets/{number}")["status"] == "Closed"


def test_closing_by_a_ticket_update_is_read_back(stage: Stage) -> None:
    number = stage.ticket()
    answer = stage.halo("POST", "Tickets", json=[{"id": number, "status_id": 9}])
    assert (answer.status_code, answer.json()["status_id"]) == (201, 9)
    assert stage.halo("GET", f"Tickets/{number}").json()["hasbeenclosed"] is True


def test_writes_are_arrays(stage: Stage) -> None:
    number = stage.ticket()
    answer = stage.halo("POST", "Tickets", json={"id": number, "status_id": 9})
    assert answer.status_code == 400
    assert stage.control("GET", f"tickets/{number}")["status"] == "Awaiting Approval"


def test_a_value_that_does_not_parse_is_answered_as_model_state(stage: Stage) -> None:
    answer = stage.halo("POST", "Tickets", json=[{"id": "abc", "status_id": 9}])
    assert answer.status_code == 400
    assert list(answer.json()) == ["[0].id"]


@pytest.mark.parametrize("how", ["deleted", "unknown"])
def test_a_ticket_that_is_gone_answers_404(stage: Stage, how: str) -> None:
    number = stage.ticket()
    if how == "deleted":
        stage.control("DELETE", f"tickets/{number}")
    else:
        number += 500
    assert stage.halo("GET", f"Tickets/{number}").status_code == 404
    assert stage.halo("POST", "Actions", json=[{"ticket_id": number, "outcome_id": 7}]).status_code == 404
    assert stage.halo("GET", "Tickets").json()["record_count"] == (0 if how == "deleted" else 1)


def test_a_merged_ticket_says_where_it_went(stage: Stage) -> None:
    number, into = stage.ticket(), stage.ticket()
    stage.control("POST", f"tickets/{number}/merge", into=into)
    detail = stage.halo("GET", f"Tickets/{number}").json()
    assert (detail["merged_into_id"], detail["hasbeenclosed"]) == (into, True)


def test_a_closed_ticket_can_be_told_to_refuse_notes(stage: Stage) -> None:
    number = stage.ticket()
    stage.control("PATCH", f"tickets/{number}", status="Closed")
    stage.control("POST", "limits", notes_on_closed=False)
    answer = stage.halo("POST", "Actions", json=[{"ticket_id": number, "outcome_id": 7, "note": "late"}])
    assert answer.status_code == 400


def test_the_rate_limit_says_so_in_words_without_retry_after(stage: Stage) -> None:
    stage.control("POST", "limits", halo_requests=2)
    assert [stage.halo("GET", "Status").status_code for _ in range(3)] == [200, 200, 429]
    answer = stage.halo("GET", "Status")
    assert answer.text.startswith("Rate Limit Reached")
    assert "Retry-After" not in answer.headers
    stage.clock.forward(minutes=4)
    assert stage.halo("GET", "Status").status_code == 200


def test_the_names_of_the_shipped_mapping_exist(stage: Stage) -> None:
    types = {row["name"]: row["id"] for row in stage.halo("GET", "TicketType?showall=true").json()}
    statuses = {row["name"] for row in stage.halo("GET", "Status").json()}
    outcomes = {row["outcome"] for row in stage.halo("GET", "Outcome").json()}
    fields = {row["name"]: row["id"] for row in stage.halo("GET", "FieldInfo").json()}
    assert {"Password Reset", "MFA Reset", "Account Reset"} <= set(types)
    assert {"Approved", "Rejected", "Closed", "Needs technician", "Retry reset"} <= statuses
    assert "Private Note" in outcomes
    assert {"CFSubject", "CFResetWhat"} <= set(fields)
    detail = stage.halo("GET", f"TicketType/{types['Account Reset']}?includedetails=true").json()
    assert [one["fieldname"] for one in detail["fields"]] == ["CFSubject", "CFResetWhat"]
    process = stage.halo("GET", f"ApprovalProcess/{detail['approval_process_id']}?includedetails=true").json()
    assert process["steps"][0]["autoapproveifnoapprovers"] is False
    for path in (f"FieldInfo/{fields['CFSubject']}", "Status/9", "Outcome/7", "ApprovalProcess", "Client/12"):
        assert stage.halo("GET", path).status_code == 200


def test_clients_and_users_can_be_listed_and_searched(stage: Stage) -> None:
    clients = stage.halo("GET", "Client?pageinate=true&page_size=100&page_no=1").json()
    assert {"Contoso", "Fabrikam"} <= {row["name"] for row in clients["clients"]}
    users = stage.halo("GET", f"Users?search={DANA}").json()["users"]
    assert [row["emailaddress"] for row in users] == [DANA]
    assert isinstance(users[0]["site_id"], float)
    assert stage.halo("GET", f"Users/{users[0]['id']}").json()["site_id_int"] == 18
    assert stage.http.get(f"{stage.addresses.halo}/api/AuthInfo", timeout=10).json()["auth_url"].endswith("/auth")


def test_tickets_can_be_logged_through_the_api(stage: Stage) -> None:
    body = [{"summary": "New", "details": "d", "tickettype_id": 1, "client_id": 12, "user_id": 102}]
    answer = stage.halo("POST", "Tickets", json=body)
    assert (answer.status_code, answer.json()["user_email"]) == (201, BEN)
    assert stage.halo("POST", "Tickets", json=[{"details": "no summary"}]).status_code == 400


def test_custom_fields_on_rows_are_those_asked_for(stage: Stage) -> None:
    stage.ticket()
    assert "customfields" not in stage.halo("GET", "Tickets").json()["tickets"][0]
    row = stage.halo("GET", "Tickets?include_custom_fields=201").json()["tickets"][0]
    assert [one["name"] for one in row["customfields"]] == ["CFSubject"]


def test_an_approval_can_be_started_again(stage: Stage) -> None:
    number = stage.ticket()
    stage.control("POST", f"tickets/{number}/approve")
    assert stage.control("POST", f"tickets/{number}/restart-approval")["status"] == "Awaiting Approval"
    assert "result" not in stage.halo("GET", f"Tickets/{number}").json()["approvers"][0]


def test_the_api_agent_voting_is_recorded_as_an_override(stage: Stage) -> None:
    number = stage.ticket()
    row = stage.halo("GET", f"Tickets/{number}").json()["approvers"][0]
    body = [{"ticket_id": number, "seq": row["seq"], "actionnumber": row["actionnumber"], "result": 1}]
    assert stage.halo("POST", "TicketApproval", json=body).status_code == 201
    assert stage.halo("GET", f"Tickets/{number}").json()["approvers"][0]["admin_overridden"] is True


def test_a_later_window_is_a_later_window(stage: Stage) -> None:
    stage.ticket()
    until = (stage.clock() - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S")
    assert stage.halo("GET", f"Tickets?lastupdatetodate={until}").json()["tickets"] == []
    assert stage.halo("GET", "Tickets?lastupdatefromdate=yesterday").status_code == 400


# ---------------------------------------------------------------- priorities, and tickets opened again


def closed(stage: Stage) -> int:
    number = stage.ticket()
    stage.control("PATCH", f"tickets/{number}", status="Closed")
    return number


def test_each_agreement_counts_its_own_priorities(stage: Stage) -> None:
    rows = stage.halo("GET", "Priority").json()
    numbers = {(row["slaid"], row["name"]): row["priorityid"] for row in rows}
    assert (numbers[1, "Critical"], numbers[2, "Critical"]) == (1, 3)
    assert {row["slaid"] for row in stage.halo("GET", "Priority?slaid=2").json()} == {2}
    ours, theirs = stage.ticket(), stage.ticket(requester="gus@fabrikam.com", subject="hana@fabrikam.com")
    for number, agreement in ((ours, "Incident SLA"), (theirs, "Gold SLA")):
        detail = stage.halo("GET", f"Tickets/{number}").json()
        assert (detail["sla_name"], detail["priority"]["name"]) == (agreement, "Low")
        assert detail["priority_id"] == detail["priority"]["priorityid"]


def test_a_priority_that_the_agreement_lacks_is_passed_over(stage: Stage) -> None:
    number = stage.ticket()
    for wanted, kept in ((1, 1), (77, 1), (4, 4)):
        answer = stage.halo("POST", "Tickets", json=[{"id": number, "priority_id": wanted}])
        assert (answer.status_code, answer.json()["priority_id"]) == (201, kept)
    assert stage.control("GET", f"tickets/{number}")["priority"] == "Low"


def test_a_closed_ticket_is_opened_again_and_says_so(stage: Stage) -> None:
    number = closed(stage)
    assert stage.halo("GET", f"Tickets/{number}").json()["hasbeenclosed"] is True
    answer = stage.halo("POST", "Tickets", json=[{"id": number, "status_id": 48}]).json()
    assert (answer["status_id"], answer.get("hasbeenclosed"), answer.get("dateclosed")) == (48, None, None)


def test_a_ticket_that_was_closed_may_say_so_for_ever(stage: Stage) -> None:
    stage.control("POST", "halo/habits", stays_flagged=True)
    number = closed(stage)
    stage.halo("POST", "Tickets", json=[{"id": number, "status_id": 48}])
    assert stage.halo("GET", f"Tickets/{number}").json()["hasbeenclosed"] is True
    assert "hasbeenclosed" not in stage.halo("GET", f"Tickets/{stage.ticket()}").json()


@pytest.mark.parametrize(("habit", "status"), [("refuse", 400), ("forbid", 403), ("ignore", 201)])
def test_closed_tickets_may_stay_closed(stage: Stage, habit: str, status: int) -> None:
    stage.control("POST", "halo/habits", reopening=habit)
    number, other = closed(stage), stage.ticket()
    assert stage.halo("POST", "Tickets", json=[{"id": number, "status_id": 48}]).status_code == status
    assert stage.control("GET", f"tickets/{number}")["status"] == "Closed"
    assert stage.halo("POST", "Tickets", json=[{"id": other, "status_id": 48}]).json()["status_id"] == 48


def test_a_type_tells_where_its_reopened_tickets_go(stage: Stage) -> None:
    number = stage.ticket()
    assert stage.halo("GET", f"Tickets/{number}").json()["tickettype"]["reopenedstatus"] == -1
    stage.control("PATCH", "halo/types/Password Reset", reopened_status="In Progress")
    assert stage.halo("GET", f"Tickets/{number}").json()["tickettype"]["reopenedstatus"] == 2
    assert stage.halo("GET", "TicketType/25?includedetails=true").json()["reopenedstatus"] == 2
