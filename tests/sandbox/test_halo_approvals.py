"""The imitated approval processes: steps, boards, delegation, overrides, ad-hoc approvers, approval by itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import ANNA, BEN, DANA, Stage

SAM, MIRA, FARID = "sam@contoso.com", "mira@contoso.com", "farid@contoso.com"
STAGED, BOARD = "Staged reset approval", "CAB reset approval"


def detail(stage: Stage, number: int) -> dict[str, Any]:
    return dict(stage.halo("GET", f"Tickets/{number}?includedetails=true").json())


def approve(stage: Stage, number: int, approver: str | None = None, **more: Any) -> str:
    """The status that follows."""
    body = {"approver": approver} if approver else {}
    return str(stage.control("POST", f"tickets/{number}/approve", **body, **more)["status"])


def reject(stage: Stage, number: int, approver: str) -> str:
    return str(stage.control("POST", f"tickets/{number}/reject", approver=approver)["status"])


def process(stage: Stage, *steps: dict[str, Any]) -> str:
    """A process with these steps; its name."""
    name = "A process of our own"
    stage.control("POST", "halo/processes", name=name, steps=list(steps))
    return name


# ---------------------------------------------------------------- steps


def test_each_step_has_its_own_statuses_and_approvers(stage: Stage) -> None:
    number = stage.ticket(approval_process=STAGED)
    first = detail(stage, number)
    assert (first["status_id"], first["approval_process_step_name"]) == (41, "Manager")
    assert [row["emailaddress"] for row in first["approvers"]] == [ANNA]
    assert "approvers_history" not in first
    assert approve(stage, number, ANNA) == "Awaiting Security"
    second = detail(stage, number)
    assert (second["approval_process_step"], second["approval_process_step_name"]) == (72, "Security")
    assert [(row["emailaddress"], row["step_name"]) for row in second["approvers"]] == [(SAM, "Security")]
    assert [(row["emailaddress"], row["result"]) for row in second["approvers_history"]] == [(ANNA, 1)]
    assert approve(stage, number, SAM) == "Approved"


def test_the_status_between_two_steps_is_passed_through(stage: Stage) -> None:
    number = stage.ticket(approval_process=STAGED)
    approve(stage, number, ANNA)
    moves = [
        (action["old_status"], action["new_status"])
        for action in stage.halo("GET", f"Actions?ticket_id={number}").json()["actions"]
    ]
    # HaloPSA's history shows actions; the step's own start is the last one so far.
    assert moves[0][0] == 42


def test_a_process_can_be_rejected_in_a_later_step(stage: Stage) -> None:
    number = stage.ticket(approval_process=STAGED)
    approve(stage, number, ANNA)
    assert reject(stage, number, SAM) == "Security Rejected"
    after = detail(stage, number)
    assert [row["result"] for row in after["approvers_history"]] == [1]
    assert [row["result"] for row in after["approvers"]] == [2]
    answer = stage.http.post(f"{stage.addresses.control}/control/tickets/{number}/approve", json={}, timeout=10)
    assert answer.status_code == 400
    assert detail(stage, number)["status_id"] == 45


def test_a_finished_process_may_leave_all_rows_in_the_history(stage: Stage) -> None:
    stage.control("POST", "halo/habits", finished_to_history=True)
    number = stage.ticket(approval_process=STAGED)
    approve(stage, number, ANNA)
    approve(stage, number, SAM)
    after = detail(stage, number)
    assert "approvers" not in after
    assert [row["result"] for row in after["approvers_history"]] == [1, 1]


@pytest.mark.parametrize(("keep", "former"), [(True, [1]), (False, None)])
def test_a_restart_asks_anew_and_former_rows_stay_or_go(stage: Stage, keep: bool, former: list[int] | None) -> None:
    number = stage.ticket()
    approve(stage, number)
    stage.control("POST", f"tickets/{number}/restart-approval", keep=keep, approvers=[SAM])
    again = detail(stage, number)
    assert again["status_id"] == 31
    assert [(row["emailaddress"], row.get("result")) for row in again["approvers"]] == [(SAM, None)]
    history = again.get("approvers_history")
    assert (history and [row["result"] for row in history]) == former
    seqs = [row["seq"] for row in (history or []) + again["approvers"]]
    assert len(set(seqs)) == len(seqs)


def test_a_restart_may_start_another_process(stage: Stage) -> None:
    number = stage.ticket()
    stage.control("POST", f"tickets/{number}/restart-approval", approval_process=STAGED)
    assert detail(stage, number)["approval_process_id"] == 7


def test_the_list_of_approvals_answers_a_bare_array_of_one_ticket(stage: Stage) -> None:
    number, other = stage.ticket(approval_process=STAGED), stage.ticket()
    approve(stage, number, ANNA)
    rows = stage.halo("GET", f"TicketApproval?ticket_id={number}").json()
    assert [(row["ticket_id"], row.get("result")) for row in rows] == [(number, 1), (number, None)]
    every = stage.halo("GET", "TicketApproval").json()
    assert {row["ticket_id"] for row in every} == {number, other}
    assert stage.halo("GET", "TicketApproval?mine=true").json() == []
    action = rows[1]["actionnumber"]
    found = stage.halo("GET", f"TicketApproval?ticket_id={number}&action_number={action}").json()
    assert [row["id"] for row in found] == [rows[1]["id"]]


def test_the_process_tells_what_each_step_does(stage: Stage) -> None:
    steps = stage.halo("GET", "ApprovalProcess/7?includedetails=true").json()["steps"]
    names = ("statusawaitingapproval", "statusafteraccept", "statusafterreject", "statusifnoapproval")
    assert [[step[name] for name in names] for step in steps] == [[41, 42, 43, 47], [44, 32, 45, 47]]
    assert [step["allowadhocapprovers"] for step in steps] == [True, False]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_process_may_be_unreadable_while_the_list_of_them_works(stage: Stage, status: int) -> None:
    stage.control("PATCH", "halo/processes/Reset approval", refused=status)
    answer = stage.halo("GET", "ApprovalProcess/5?includedetails=true")
    assert (answer.status_code, answer.content) == (status, b"")
    assert 5 in {row["id"] for row in stage.halo("GET", "ApprovalProcess").json()}
    assert stage.halo("GET", "ApprovalProcess/7").status_code == 200


# ---------------------------------------------------------------- a board that votes


def test_a_board_needs_its_votes_and_its_mandatory_member(stage: Stage) -> None:
    number = stage.ticket(approval_process=BOARD)
    rows = detail(stage, number)["approvers"]
    assert detail(stage, number)["approval_cab_name"] == "Reset board"
    assert {row["cab_id"] for row in rows} == {4}
    assert [(row["votes_required_to_accept"], row["votes_required_to_reject"]) for row in rows] == [(2, 2)] * 3
    assert [row.get("is_mandatory") for row in rows] == [True, None, None]
    assert approve(stage, number, SAM) == "Awaiting CAB"
    # Two yeses, and the mandatory member has not answered.
    assert approve(stage, number, MIRA) == "Awaiting CAB"
    assert approve(stage, number, ANNA) == "Approved"


def test_a_board_goes_on_without_those_who_need_not_answer(stage: Stage) -> None:
    number = stage.ticket(approval_process=BOARD)
    approve(stage, number, ANNA)
    assert approve(stage, number, SAM) == "Approved"
    silent = detail(stage, number)["approvers"][2]
    assert "result" not in silent
    assert "approval_inprogress" not in silent


def test_a_board_rejects_with_its_noes_or_with_the_mandatory_one(stage: Stage) -> None:
    by_noes, by_member = stage.ticket(approval_process=BOARD), stage.ticket(approval_process=BOARD)
    assert reject(stage, by_noes, SAM) == "Awaiting CAB"
    assert reject(stage, by_noes, MIRA) == "Rejected"
    assert reject(stage, by_member, ANNA) == "Rejected"


# ---------------------------------------------------------------- somebody else answers


def test_a_delegated_row_names_both(stage: Stage) -> None:
    number = stage.ticket()
    before = detail(stage, number)["approvers"][0]
    stage.control("POST", f"tickets/{number}/delegate", to=SAM)
    row = detail(stage, number)["approvers"][0]
    assert (row["emailaddress"], row["name"]) == (SAM, "Sam Security")
    assert (row["delegated_by_uid"], row["delegated_by_username"]) == (before["user_id"], "Anna Approver")
    assert row["user_id"] != before["user_id"]
    assert approve(stage, number, SAM) == "Approved"
    assert detail(stage, number)["approvers"][0]["delegated_by_username"] == "Anna Approver"


def test_an_override_keeps_the_asked_persons_name_and_says_who_it_was(stage: Stage) -> None:
    number = stage.ticket()
    assert approve(stage, number, ANNA, override_agent=2) == "Approved"
    row = detail(stage, number)["approvers"][0]
    assert (row["emailaddress"], row["admin_overridden"], row["admin_override_id"]) == (ANNA, True, 2)


def test_an_override_by_nobody_is_refused_and_nothing_changes(stage: Stage) -> None:
    number = stage.ticket()
    body = {"override_agent": 999}
    answer = stage.http.post(f"{stage.addresses.control}/control/tickets/{number}/approve", json=body, timeout=10)
    assert answer.status_code == 404
    assert "result" not in detail(stage, number)["approvers"][0]


def test_an_agent_can_be_an_approver(stage: Stage) -> None:
    number = stage.ticket(approvers=["alex@msp.example"])
    row = detail(stage, number)["approvers"][0]
    assert (row["agent_id"], row["agent_name"]) == (2, "Alex Agent")
    assert "user_id" not in row


def test_an_ad_hoc_approver_joins_where_the_step_allows_it_and_must_answer(stage: Stage) -> None:
    number = stage.ticket(approval_process=STAGED)
    stage.control("POST", f"tickets/{number}/approvers", approver=FARID)
    assert [row.get("adhoc") for row in detail(stage, number)["approvers"]] == [None, True]
    assert approve(stage, number, ANNA) == "Awaiting Manager"
    assert approve(stage, number, FARID) == "Awaiting Security"
    stage.control("POST", "halo/habits", older_build=True)
    assert "adhoc" not in detail(stage, number)["approvers_history"][1]


def test_an_ad_hoc_approver_is_refused_where_the_step_does_not_allow_it(stage: Stage) -> None:
    number = stage.ticket()
    url = f"{stage.addresses.control}/control/tickets/{number}/approvers"
    assert stage.http.post(url, json={"approver": FARID}, timeout=10).status_code == 400
    assert len(detail(stage, number)["approvers"]) == 1


# ---------------------------------------------------------------- by itself


def test_a_step_without_approvers_gets_the_status_for_that(stage: Stage) -> None:
    number = stage.ticket(approval_process=STAGED, approvers=[])
    assert detail(stage, number)["status_id"] == 47
    assert "approvers" not in detail(stage, number)


def test_without_such_a_status_it_waits(stage: Stage) -> None:
    assert detail(stage, stage.ticket(approvers=[]))["status_id"] == 31


@pytest.mark.parametrize(
    ("switch", "more", "status"),
    [
        ("autoapproveifnoapprovers", {"approvers": []}, "Approved"),
        ("autoapproveifnoapprovers", {}, "Awaiting Approval"),
        ("autoapproveforapprovalrequestor", {"approvers": [BEN]}, "Approved"),
        ("autoapproveforapprovalrequestor", {"approvers": [ANNA]}, "Awaiting Approval"),
        ("autoapproveforagentlogging", {"logged_by": 2}, "Approved"),
        ("autoapproveforagentlogging", {}, "Awaiting Approval"),
        ("auto_approval_to_manager", {}, "Awaiting Approval"),
    ],
)
def test_each_switch_approves_by_itself_in_its_case_only(
    stage: Stage, switch: str, more: dict[str, Any], status: str
) -> None:
    stage.control("PATCH", "halo/processes/Reset approval", automatic=[switch])
    step = stage.halo("GET", "ApprovalProcess/5").json()["steps"][0]
    assert [name for name in step if name.startswith("auto") and step[name]] == [switch]
    number = stage.ticket(**more)
    assert stage.control("GET", f"tickets/{number}")["status"] == status


def test_who_approved_before_need_not_again_with_that_switch(stage: Stage) -> None:
    name = process(stage, {"approvers": [ANNA]}, {"approvers": [ANNA], "automatic": ["autoapproveifalreadyapp"]})
    number = stage.ticket(approval_process=name)
    assert approve(stage, number, ANNA) == "Approved"
    assert [row["result"] for row in detail(stage, number)["approvers"]] == [1]


# ---------------------------------------------------------------- how rows are told


def test_a_pending_result_may_be_zero_and_unset_dates_a_day_in_1900(stage: Stage) -> None:
    stage.control("POST", "halo/habits", pending_result=0, sentinel_dates=True)
    number = stage.ticket()
    row = detail(stage, number)["approvers"][0]
    assert (row["result"], row["dateapproved"]) == (0, "1900-01-01T00:00:00")
    assert detail(stage, number)["dateclosed"] == "1900-01-01T00:00:00"
    assert stage.halo("GET", "Tickets").json()["tickets"][0]["dateclosed"] == "1900-01-01T00:00:00"


def test_the_approvers_words_may_be_in_the_note(stage: Stage) -> None:
    number = stage.ticket()
    approve(stage, number, comment="fine by me")
    assert detail(stage, number)["approvers"][0]["approver_note"] == "fine by me"
    stage.control("POST", "halo/habits", comment_in="note")
    row = detail(stage, number)["approvers"][0]
    assert (row["note"], "approver_note" in row) == ("fine by me", False)


def test_a_rows_token_is_in_the_answer_and_nowhere_else(stage: Stage) -> None:
    number = stage.ticket()
    token = detail(stage, number)["approvers"][0]["token"]
    assert len(token) > 15
    shown = [stage.control("GET", path) for path in (f"tickets/{number}", "exchanges", "overview")]
    assert token not in repr(shown)
    assert token not in repr(stage.world)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Empty", "steps": []},
        {"name": "Wrong status", "steps": [{"awaiting": "No such status"}]},
        {"name": "Wrong switch", "steps": [{"automatic": ["autoapproveeverything"]}]},
        {"id": 5, "name": "Taken", "steps": [{}]},
    ],
)
def test_a_wrong_process_is_refused_in_words(stage: Stage, body: dict[str, Any]) -> None:
    answer = stage.http.post(f"{stage.addresses.control}/control/halo/processes", json=body, timeout=10)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]
    assert len(stage.halo("GET", "ApprovalProcess").json()) == 4


def test_the_client_of_the_ticket_decides_who_of_two_with_one_address_is_asked(stage: Stage) -> None:
    twin = stage.control("POST", "halo/users", client_id=13, name="Anna Elsewhere", email=ANNA)
    here = stage.ticket(subject=DANA)
    there = stage.ticket(subject=DANA, client_id=13)
    assert detail(stage, here)["approvers"][0]["name"] == "Anna Approver"
    assert detail(stage, there)["approvers"][0]["user_id"] == twin["id"]
