"""What `connector check` tells about a HaloPSA that is not set up as it should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import responses

from connector.core.ports import Finding, Level
from connector.psa.halopsa.mapping import HaloMapping, HaloSubject
from connector.psa.mapping import ApproverRules, HandOff
from tests.psa.halopsa_make import changed_mapping, shipped_mapping
from tests.psa.halopsa_server import API, HALO, Server, check_answers

STEP = {"id": 1, "sequence": 1, "name": "Manager", "statusawaitingapproval": 31, "statusafteraccept": 32,
        "statusafterreject": 33}  # fmt: skip
OK, WARNING, ERROR = Level.OK, Level.WARNING, Level.ERROR


@pytest.fixture
def halo() -> Iterator[Server]:
    with responses.RequestsMock() as mock:
        yield Server(mock)


def trouble(halo: Server, mapping: HaloMapping | None = None) -> list[Finding]:
    return [finding for finding in halo.psa(mapping=mapping).check() if finding.level is not OK]


def test_a_halopsa_that_is_set_up_as_it_should_be_gives_no_trouble(halo: Server) -> None:
    check_answers(halo, steps=[STEP])
    assert trouble(halo) == []
    assert any("each of its steps: Manager" in finding.text for finding in halo.psa().check())


# ---------------------------------------------------------------- steps and their statuses


def two(first: dict[str, Any], last: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Two steps: the first leaves the ticket in a status of its own, the last approves it."""
    return [
        STEP | {"statusafteraccept": 31} | first,
        STEP | {"id": 2, "sequence": 2, "name": "Security"} | (last or {}),
    ]


@pytest.mark.parametrize(
    ("steps", "level", "words"),
    [
        (two({"statusafteraccept": 32}), WARNING, "as well as after the last one"),
        (two({"statusafteraccept": 34}, {"statusafteraccept": 34}), ERROR, "not one of the approved statuses"),
        (two({}, {"statusafteraccept": 1}), ERROR, "not one of the approved statuses"),
        (two({"statusawaitingapproval": 32}), ERROR, "while it waits"),
        (two({}, {"statusawaitingapproval": 33}), ERROR, "takes that status for rejected"),
        (two({"statusafterreject": 32}), ERROR, "after a no"),
        (two({"statusafterreject": 34}), WARNING, "Needs technician (34) (step Manager)"),
        (two({}, {"statusifnoapproval": 32}), WARNING, "asks nobody"),
    ],
)
def test_a_step_whose_status_means_something_else_in_the_mapping_is_told(
    halo: Server, steps: list[dict[str, Any]], level: Level, words: str
) -> None:
    check_answers(halo, steps=steps)
    found = trouble(halo)
    assert [finding.level for finding in found] == [level]
    assert words in found[0].text
    assert found[0].todo


def test_a_status_of_a_step_that_is_not_the_last_must_not_be_mapped_as_approved(halo: Server) -> None:
    shipped = shipped_mapping()
    approval = shipped.approval.model_copy(update={"approved_statuses": ("Approved", "Awaiting Approval")})
    check_answers(halo, steps=two({"statusawaitingapproval": 1}, {"statusawaitingapproval": 1}))
    found = trouble(halo, shipped.model_copy(update={"approval": approval}))
    assert [(finding.level, finding.temporary) for finding in found] == [(ERROR, False)]
    assert "sets Awaiting Approval (31) in the step Manager after its yes, though others follow it" in found[0].text


@pytest.mark.parametrize("allowed", [False, True])
def test_a_process_that_may_approve_by_itself_stops_the_start_unless_allowed(halo: Server, allowed: bool) -> None:
    shipped = shipped_mapping()
    approval = shipped.approval.model_copy(update={"allow_auto_approval": allowed})
    check_answers(halo, steps=[STEP | {"autoapproveifnoapprovers": True}])
    (finding,) = trouble(halo, shipped.model_copy(update={"approval": approval}))
    assert "autoapproveifnoapprovers in step Manager" in finding.text
    assert (finding.level, finding.temporary) == (WARNING if allowed else ERROR, False)


@pytest.mark.parametrize(
    ("who", "allowed", "told"), [("psa", False, True), ("psa", True, False), ("listed", False, False)]
)
def test_approvers_picked_by_hand_are_told_where_they_would_not_count(
    halo: Server, who: str, allowed: bool, told: bool
) -> None:
    shipped = shipped_mapping()
    rules = ApproverRules.model_validate(who)
    approval = shipped.approval.model_copy(update={"approvers": rules, "allow_adhoc": allowed, "processes": ("5",)})
    halo.get("ApprovalProcess", json=[{"id": 5, "name": "Reset approval"}])
    check_answers(halo, steps=[STEP | {"allowadhocapprovers": True}])
    found = trouble(halo, shipped.model_copy(update={"approval": approval}))
    assert [finding.level for finding in found] == ([WARNING] if told else [])


@pytest.mark.parametrize(
    ("who", "processes", "level", "words"),
    [
        ("listed", (), None, ""),
        ("psa", (), WARNING, "with approvers of their own choice"),
        ("psa", ("reset approval",), None, ""),
        (
            "listed",
            ("Rest approval",),
            ERROR,
            "there is no approval process 'Rest approval'. There is: Reset approval (5)",
        ),
    ],
)
def test_processes_that_do_not_exist_or_should_be_named_are_told(
    halo: Server, who: str, processes: tuple[str, ...], level: Level | None, words: str
) -> None:
    shipped = shipped_mapping()
    rules = ApproverRules.model_validate(who)
    approval = shipped.approval.model_copy(update={"approvers": rules, "processes": processes})
    halo.get("ApprovalProcess", json=[{"id": 5, "name": "Reset approval"}])
    check_answers(halo, steps=[STEP])
    found = trouble(halo, shipped.model_copy(update={"approval": approval}))
    assert [finding.level for finding in found] == ([level] if level else [])
    assert all(words in finding.text for finding in found)


# ---------------------------------------------------------------- types, workflows, outcomes


def with_workflow(halo: Server, **workflow: Any) -> None:
    check_answers(halo, steps=[STEP])
    halo.mock.replace("GET", f"{API}/TicketType/25", json={"id": 25, "workflow_id": 10, "approval_process_id": 5})
    halo.get("Workflow/10", json={"id": 10, "name": "Resets", **workflow})


def step(name: str, *outcomes: int) -> dict[str, Any]:
    return {"step_id": 1, "name": name, "actions": [{"action_id": outcome} for outcome in outcomes]}


@pytest.mark.parametrize(
    ("workflow", "level", "words"),
    [
        ({"steps": [step("Log", 7), step("Wait", 7, 8)]}, None, ""),
        ({"steps": [step("Log")], "always_allow_actions": [{"id": 7}]}, None, ""),
        ({"steps": []}, None, ""),
        ({}, None, ""),
        ({"steps": [step("Log", 7), step("Wait", 8), step("Done")]}, WARNING, "not in the step Wait, Done"),
        ({"steps": [step("Log", 8), step("Wait")]}, ERROR, "in none of its steps"),
    ],
)
def test_a_workflow_that_forbids_the_outcome_is_told_with_its_steps(
    halo: Server, workflow: dict[str, Any], level: Level | None, words: str
) -> None:
    with_workflow(halo, **workflow)
    found = trouble(halo)
    assert [finding.level for finding in found] == ([level] if level else [])
    assert all(words in finding.text and "Private Note" in finding.text for finding in found)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_workflow_that_cannot_be_read_is_no_trouble(halo: Server, status: int) -> None:
    with_workflow(halo)
    halo.mock.replace("GET", f"{API}/Workflow/10", status=status, body="no")
    assert trouble(halo) == []


@pytest.mark.parametrize(
    ("restrictions", "words"),
    [
        ({"allowall_actions": False, "allowed_actions": [{"id": 8}]}, "does not list the outcome Private Note"),
        ({"allowall_actions": False, "allowed_actions": [{"action_id": 7}]}, ""),
        ({"allowall_actions": False, "allowed_actions": []}, ""),
        ({"allowall_actions": True, "allowed_actions": [{"id": 8}]}, ""),
        ({"allowall_status": False, "allowed_status": [{"id": 9}]}, "does not allow Needs technician (34)"),
        ({"allowall_status": False, "allowed_status": [{"id": 9}, {"id": 34}]}, "does not allow Security alarm (36)"),
        ({"allowall_status": False, "allowed_status": [{"status_id": 9}, {"status_id": 34}, {"id": 36}]}, ""),
        ({"allowall_status": False, "allowed_status": ["?"]}, ""),
    ],
)
def test_a_type_that_restricts_outcomes_or_statuses_is_told(
    halo: Server, restrictions: dict[str, Any], words: str
) -> None:
    check_answers(halo, steps=[STEP])
    halo.mock.replace("GET", f"{API}/TicketType/26", json={"id": 26, "approval_process_id": 5, **restrictions})
    found = trouble(halo)
    assert [finding.level for finding in found] == ([WARNING] if words else [])
    assert all(words in finding.text for finding in found)


def test_an_outcome_that_moves_tickets_is_told(halo: Server) -> None:
    check_answers(halo, steps=[STEP])
    halo.mock.replace("GET", f"{API}/Outcome", json=[{"id": 7, "outcome": "Private Note", "newstatus": 9}])
    (finding,) = trouble(halo)
    assert "moves a ticket to Closed (9)" in finding.text


# ---------------------------------------------------------------- hand-off, users


@pytest.mark.parametrize(
    ("hand_off", "words"),
    [
        (HandOff(team="2nd line"), ""),
        (HandOff(owner="Hugo"), ""),
        (HandOff(owner="hugo@msp.example.com"), ""),
        (HandOff(team="2nd line", owner="12"), ""),
        (HandOff(team="3rd line"), "there is no team '3rd line'. There is: 2nd Line (4)"),
        (HandOff(owner="Nobody"), "there is no agent 'Nobody'. There is: Hugo (12)"),
    ],
)
def test_a_wrong_team_or_owner_is_told_with_what_exists(halo: Server, hand_off: HandOff, words: str) -> None:
    check_answers(halo, steps=[STEP])
    halo.get("Team", json=[{"id": 4, "name": "2nd Line"}])
    halo.get("Agent", json=[{"id": 12, "name": "Hugo", "email": "hugo@msp.example.com"}])
    found = trouble(halo, shipped_mapping().model_copy(update={"hand_off": hand_off}))
    assert [(finding.level, finding.temporary) for finding in found] == ([(ERROR, False)] if words else [])
    assert all(words in finding.text for finding in found)


# ---------------------------------------------------------------- alarms

PRIORITIES = [
    {"id": "aeb80996-724c-e811-892e-b01041c8667a", "slaid": 1, "priorityid": 1, "name": "Critical", "ishidden": False},
    {"id": "beb80996-724c-e811-892e-b01041c8667a", "slaid": 1, "priorityid": 4, "name": "Low", "ishidden": False},
    {"id": "ceb80996-724c-e811-892e-b01041c8667a", "slaid": 2, "priorityid": 1, "name": "Low", "ishidden": False},
    {"id": "deb80996-724c-e811-892e-b01041c8667a", "slaid": 2, "priorityid": 9, "name": "On fire", "ishidden": True},
]


@pytest.mark.parametrize(
    ("alarm", "level", "words"),
    [
        ({"priority": "low"}, None, ""),
        ({"priority": "Critical"}, WARNING, "Critical is a priority of some service level agreements only, not of 2"),
        ({"priority": 1}, None, ""),
        ({"priority": "Urgent"}, ERROR, "there is no priority 'Urgent'. There is: Critical (1), Low (1)"),
        ({"priority": "On fire"}, ERROR, "there is no priority 'On fire'"),
        ({"team": "2nd line", "owner": "Hugo"}, None, ""),
        ({"team": "3rd line"}, ERROR, "alarm.team: there is no team '3rd line'. There is: 2nd Line (4)"),
        ({"owner": "Nobody"}, ERROR, "alarm.owner: there is no agent 'Nobody'. There is: Hugo (12)"),
    ],
)
def test_what_an_alarm_brings_along_is_looked_up(
    halo: Server, alarm: dict[str, Any], level: Level | None, words: str
) -> None:
    check_answers(halo, steps=[STEP])
    halo.get("Priority", json=PRIORITIES)
    halo.get("Team", json=[{"id": 4, "name": "2nd Line"}])
    halo.get("Agent", json=[{"id": 12, "name": "Hugo"}])
    found = trouble(halo, changed_mapping(alarm=alarm))
    assert [(finding.level, finding.temporary) for finding in found] == ([(level, False)] if level else [])
    assert all(words in finding.text for finding in found)


def test_priorities_that_may_not_be_read_are_told(halo: Server) -> None:
    check_answers(halo, steps=[STEP])
    halo.get("Priority", status=403, body="no")
    (finding,) = trouble(halo, changed_mapping(alarm={"priority": "Critical"}))
    assert "Priorities cannot be read" in finding.text
    assert finding.temporary


@pytest.mark.parametrize(
    ("statuses", "level", "words"),
    [
        ({"closed": "Closed", "hand_off": "Needs technician"}, Level.OK, "Alarms go where hand-offs go, to Needs tech"),
        ({"closed": "Closed"}, WARNING, "No status is mapped for alarms"),
        ({"closed": "Closed", "alarm": 32}, ERROR, "Approved (32) is also a decision"),
        ({"closed": "Closed", "alarm": 9}, ERROR, "nobody would look for Closed (9)"),
        ({"closed": "Closed", "retry": "Retry reset", "alarm": 35}, ERROR, "is also a status that we set"),
        ({"closed": "Closed", "alarm": "Alert"}, ERROR, "statuses.alarm: there is no status 'Alert'. There is: "),
    ],
)
def test_where_alarms_go_is_told(halo: Server, statuses: dict[str, Any], level: Level, words: str) -> None:
    check_answers(halo, steps=[STEP])
    found = [one for one in halo.psa(mapping=changed_mapping(statuses=statuses)).check() if words in one.text]
    assert [one.level for one in found] == [level]


def test_a_list_of_agents_that_may_not_be_read_is_told_with_the_way_round_it(halo: Server) -> None:
    check_answers(halo, steps=[STEP])
    halo.get("Agent", status=403, body="no")
    (finding,) = trouble(halo, shipped_mapping().model_copy(update={"hand_off": HandOff(owner="Hugo")}))
    assert "hand_off.owner may be an id" in finding.todo
    assert finding.temporary


def test_users_must_be_readable_where_a_field_names_one(halo: Server) -> None:
    check_answers(halo, steps=[STEP])
    halo.get("Users", status=403, body="no")
    shipped = shipped_mapping()
    request = shipped.requests[0].model_copy(update={"subject": HaloSubject(field="CFSubject", lookup="user")})
    (finding,) = trouble(halo, shipped.model_copy(update={"requests": (request,)}))
    assert "Users cannot be read" in finding.text


# ---------------------------------------------------------------- a wrong address


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_wrong_authorisation_server_is_told_by_what_halopsa_names(halo: Server, status: int) -> None:
    halo.mock.replace("POST", f"{HALO}/auth/token", status=status, json={"error": "invalid_client"})
    halo.get("AuthInfo", json={"auth_url": "https://login:x@id.example.com:8443/auth/?a=b", "tenant_id": "msp"})
    (finding,) = trouble(halo)
    assert "HaloPSA names https://id.example.com:8443/auth as its authorisation server" in finding.todo
    assert "set psa.halo.auth_url" in finding.todo
    assert "Authorization" not in halo.asked("/AuthInfo")[0].headers


@pytest.mark.parametrize(
    "answer",
    [{"status": 404}, {"body": "<html>"}, {"json": {}}, {"json": {"auth_url": "javascript:alert(1)"}},
     {"json": {"auth_url": f"{HALO}/auth/"}}, {"json": {"auth_url": "https://[::1"}}],
    ids=["not there", "not JSON", "empty", "no address", "the same", "broken"],
)  # fmt: skip
def test_where_halopsa_names_no_other_server_the_credentials_are_the_matter(
    halo: Server, answer: dict[str, Any]
) -> None:
    halo.mock.replace("POST", f"{HALO}/auth/token", status=401, json={"error": "invalid_client"})
    halo.get("AuthInfo", **answer)
    (finding,) = trouble(halo)
    assert "psa.halo.client_id" in finding.text
    assert finding.todo == "Nothing else could be looked at."


def test_a_wrong_tenant_is_told_by_what_halopsa_names(halo: Server) -> None:
    halo.mock.replace("POST", f"{HALO}/auth/token", status=500)
    halo.get("AuthInfo", json={"auth_url": f"{HALO}/auth", "tenant_id": "msp"})
    (finding,) = list(halo.psa(tenant="msq").check())
    assert "names its tenant msp, and we said msq" in finding.todo
