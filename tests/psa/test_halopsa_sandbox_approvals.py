"""Approvals as HaloPSA's processes can have them, and as builds and agents can bend them, against the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connector.core.case import Action, Person
from connector.core.guard import ApprovalFacts, judge_approval
from connector.core.ports import Finding, Level, Stance, Ticket
from connector.psa.halopsa.mapping import HaloMapping, HaloSubject
from connector.psa.mapping import ApproverRules
from sandbox import desk_approvals
from sandbox.desk_records import AUTOMATIC
from sandbox.server import Addresses, running
from sandbox.world import World
from tests.contract_check import check_all, specs_or_skip
from tests.psa.halopsa_desk import HaloDesk
from tests.psa.halopsa_make import MovableClock, shipped_mapping

STAGED, BOARD, TWO = "Staged reset approval", "CAB reset approval", "Two-step reset approval"


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[World, Addresses, MovableClock]]:
    clock = MovableClock()
    world = World(gentle=True, now=clock)
    with running(world) as addresses:
        yield world, addresses, clock


@pytest.fixture
def desk(house: tuple[World, Addresses, MovableClock]) -> HaloDesk:
    world, addresses, clock = house
    clock.moment = MovableClock().moment
    world.reset()
    return HaloDesk(world, addresses, clock)


def mapped(**approval: Any) -> HaloMapping:
    shipped = shipped_mapping()
    rules = shipped.approval.model_copy(update=approval)
    return shipped.model_copy(update={"approval": rules})


def by_psa(**approval: Any) -> HaloMapping:
    return mapped(approvers=ApproverRules(who="psa"), **approval)


def vote(desk: HaloDesk, ticket: str, who: str, **more: Any) -> None:
    desk.tick()
    desk.desk.vote(desk.raw(ticket), approver=who, **({"approve": True} | more))


def guard(desk: HaloDesk, ticket: Ticket, *approvers: str) -> str:
    """What the guard says: a code, or empty for a yes."""
    assert ticket.requester is not None
    refusal = judge_approval(
        ApprovalFacts(
            reading=ticket.approval,
            subject=Person("Dana", ticket.subject_text, frozenset({f"entra:{ticket.subject_id}"})),
            requester=ticket.requester,
            created_at=ticket.created_at,
            listed=frozenset(approvers) or None,
            since=ticket.created_at,
            valid=timedelta(hours=24),
            now=desk.clock(),
        )
    )
    return refusal.code if refusal else ""


# ---------------------------------------------------------------- several steps


def test_a_process_of_stages_is_a_yes_after_its_last_step_only(desk: HaloDesk) -> None:
    ticket = desk.add_ticket(process=STAGED)
    assert desk.status(ticket) == "Awaiting Manager"
    vote(desk, ticket, "anna@contoso.com")
    assert desk.psa.read(ticket).approval.stance is Stance.PENDING
    vote(desk, ticket, "sam@contoso.com")
    reading = desk.psa.read(ticket).approval
    assert reading.stance is Stance.APPROVED
    assert [(one.step, one.approver.name) for one in reading.decisions] == [
        ("Manager", "Anna Approver"),
        ("Security", "Sam Security"),
    ]
    assert len({one.digest for one in reading.decisions}) == 2


@pytest.mark.parametrize("process", [STAGED, TWO])
def test_a_status_set_by_hand_after_the_first_step_is_no_yes(desk: HaloDesk, process: str) -> None:
    ticket = desk.add_ticket(process=process)
    vote(desk, ticket, "anna@contoso.com")
    for row in desk.raw(ticket).approvals:
        row.in_progress = False
    # Nobody has answered the second step; then its rows are deleted, too.
    desk.set_status(ticket, "Approved")
    assert desk.psa.read(ticket).approval.stance is Stance.PENDING
    desk.raw(ticket).approvals[:] = [row for row in desk.raw(ticket).approvals if row.result is not None]
    reading = desk.psa.read(ticket).approval
    assert reading.stance is Stance.PENDING
    assert "the step Security of the approval process has 0 of 1 votes" in reading.reason


def test_a_status_after_an_earlier_step_that_is_mapped_as_approved_is_no_yes_and_told_by_check(desk: HaloDesk) -> None:
    desk.desk.types[25] = replace(desk.desk.types[25], approval_process=7)
    psa = desk.again(mapping=mapped(approved_statuses=("Approved", "Manager approved")))
    (error,) = [finding for finding in psa.check() if finding.level is Level.ERROR]
    assert "Manager Approved (42) in the step Manager" in error.text
    assert not error.temporary
    ticket = desk.add_ticket()
    vote(desk, ticket, "anna@contoso.com")
    desk.set_status(ticket, "Manager approved")
    for row in desk.raw(ticket).approvals:
        row.in_progress = False
    assert psa.read(ticket).approval.stance is Stance.PENDING


def test_statuses_after_a_no_that_are_not_mapped_are_told_with_their_steps(desk: HaloDesk) -> None:
    desk.desk.types[25] = replace(desk.desk.types[25], approval_process=7)
    (warning,) = [one for one in desk.psa.check() if one.level is Level.WARNING and "after a no" in one.text]
    assert "Manager Rejected (43) (step Manager)" in warning.text
    ticket = desk.add_ticket()
    vote(desk, ticket, "anna@contoso.com", approve=False, comment="not like this")
    reading = desk.psa.read(ticket).approval
    assert reading.stance is Stance.REJECTED
    assert reading.decisions[0].comment == "not like this"


def test_the_yes_of_a_former_round_does_not_fill_up_after_a_new_start(desk: HaloDesk) -> None:
    ticket = desk.add_ticket(process=STAGED)
    vote(desk, ticket, "anna@contoso.com")
    vote(desk, ticket, "sam@contoso.com")
    desk.tick()
    desk_approvals.restart(desk.desk, desk.raw(ticket), keep=True)
    vote(desk, ticket, "anna@contoso.com")
    desk.raw(ticket).approvals[:] = [row for row in desk.raw(ticket).approvals if row.result is not None]
    for row in desk.raw(ticket).approvals:
        row.in_progress = False
    desk.set_status(ticket, "Approved")
    reading = desk.psa.read(ticket).approval
    assert reading.stance is Stance.PENDING
    assert "Security" in reading.reason


def test_a_new_start_that_went_through_is_a_yes(desk: HaloDesk) -> None:
    ticket = desk.add_ticket(process=STAGED)
    vote(desk, ticket, "anna@contoso.com")
    vote(desk, ticket, "sam@contoso.com")
    desk.tick()
    desk_approvals.restart(desk.desk, desk.raw(ticket), keep=True)
    vote(desk, ticket, "anna@contoso.com")
    vote(desk, ticket, "sam@contoso.com")
    assert desk.psa.read(ticket).approval.stance is Stance.APPROVED


# ---------------------------------------------------------------- builds that differ


HABITS: dict[str, dict[str, Any]] = {
    "older build": {"older_build": True},
    "all rows in the history": {"finished_to_history": True},
    "pending is 0": {"pending_result": 0},
    "the words in note": {"comment_in": "note"},
    "sentinel dates": {"sentinel_dates": True},
    "values as text": {"value_shape": "text"},
    "values as numbers": {"value_shape": "integer"},
    "all at once": {"older_build": True, "finished_to_history": True, "pending_result": 0, "sentinel_dates": True},
}


@pytest.mark.parametrize("habit", HABITS)
def test_every_build_reads_the_same(desk: HaloDesk, habit: str) -> None:
    for name, value in HABITS[habit].items():
        setattr(desk.desk.habits, name, value)
    ticket = desk.add_ticket(process=STAGED, action=Action.BOTH)
    first = desk.psa.read(ticket)
    assert (first.approval.stance, first.action) == (Stance.PENDING, Action.BOTH)
    assert [person.email for person in first.approval.approvers] == ["anna@contoso.com"]
    vote(desk, ticket, "anna@contoso.com", comment="known to me")
    assert desk.psa.read(ticket).approval.stance is Stance.PENDING
    vote(desk, ticket, "sam@contoso.com")
    last = desk.psa.read(ticket)
    assert last.approval.stance is Stance.APPROVED
    assert last.approval.decisions[0].comment == "known to me"
    assert last.updated_at is not None


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_process_whose_steps_are_refused_is_no_yes_and_pauses_nothing(desk: HaloDesk, status: int) -> None:
    desk.desk.processes[5] = replace(desk.desk.processes[5], refused=status)
    ticket = desk.add_ticket()
    vote(desk, ticket, "anna@contoso.com")
    reading = desk.psa.read(ticket).approval
    assert reading.stance is Stance.PENDING
    assert "the approval process 5 cannot be read" in reading.reason


# ---------------------------------------------------------------- boards


def test_a_board_is_a_yes_with_its_votes_and_its_mandatory_member(desk: HaloDesk) -> None:
    ticket = desk.add_ticket(process=BOARD)
    vote(desk, ticket, "sam@contoso.com")
    assert desk.psa.read(ticket).approval.stance is Stance.PENDING
    vote(desk, ticket, "anna@contoso.com")
    assert desk.psa.read(ticket).approval.stance is Stance.APPROVED


def test_a_board_without_its_mandatory_member_is_no_yes_whatever_the_status(desk: HaloDesk) -> None:
    ticket = desk.add_ticket(process=BOARD)
    vote(desk, ticket, "sam@contoso.com")
    vote(desk, ticket, "mira@contoso.com")
    for row in desk.raw(ticket).approvals:
        row.in_progress = False
    desk.set_status(ticket, "Approved")
    reading = desk.psa.read(ticket).approval
    assert reading.stance is Stance.PENDING
    assert "Anna Approver must answer" in reading.reason


# ---------------------------------------------------------------- passed on, overridden, picked by hand


def test_a_requester_cannot_pass_their_own_request_on(desk: HaloDesk) -> None:
    ticket = desk.add_ticket(approvers=["ben@contoso.com"])  # who raises the tickets
    desk_approvals.delegate(desk.desk, desk.raw(ticket), to="sam@contoso.com")
    vote(desk, ticket, "sam@contoso.com")
    seen = desk.psa.read(ticket)
    assert seen.approval.stance is Stance.APPROVED
    assert guard(desk, seen, "sam@contoso.com") == "approver_is_requester"


def test_the_accounts_owner_cannot_pass_the_decision_on(desk: HaloDesk) -> None:
    ticket = desk.add_ticket(subject="dana@contoso.com", approvers=["dana@contoso.com"])
    desk_approvals.delegate(desk.desk, desk.raw(ticket), to="sam@contoso.com")
    vote(desk, ticket, "sam@contoso.com")
    assert guard(desk, desk.psa.read(ticket), "sam@contoso.com") == "approver_is_subject"


def test_whoever_decides_in_the_end_must_be_allowed(desk: HaloDesk) -> None:
    ticket = desk.add_ticket()
    desk_approvals.delegate(desk.desk, desk.raw(ticket), to="sam@contoso.com")
    vote(desk, ticket, "sam@contoso.com")
    seen = desk.psa.read(ticket)
    assert guard(desk, seen, "anna@contoso.com") == "approver_not_allowed"
    assert guard(desk, seen, "sam@contoso.com") == ""


def test_an_override_counts_where_allowed_and_names_the_agent(desk: HaloDesk) -> None:
    ticket = desk.add_ticket()
    desk.tick()
    desk.desk.vote(desk.raw(ticket), approve=True, override_agent=2)
    assert desk.psa.read(ticket).approval.stance is Stance.PENDING
    decision = desk.again(mapping=mapped(allow_override=True)).read(ticket).approval.decisions[0]
    assert decision.overridden
    assert "halo.agent:2" in decision.approver.ids


@pytest.mark.parametrize("older", [False, True])
def test_an_approver_picked_by_hand_counts_only_where_listed_or_allowed(desk: HaloDesk, older: bool) -> None:
    desk.desk.habits.older_build = older
    ticket = desk.add_ticket(process=STAGED)
    desk_approvals.add_approver(desk.desk, desk.raw(ticket), "ben@contoso.com")
    vote(desk, ticket, "ben@contoso.com")
    vote(desk, ticket, "anna@contoso.com")
    vote(desk, ticket, "sam@contoso.com")
    reading = desk.again(mapping=by_psa()).read(ticket).approval
    # The step lets agents pick approvers, and this build leaves out what is false: nobody's yes in it counts.
    assert reading.stance is Stance.PENDING
    assert [one.approver.name for one in reading.decisions] == ["Sam Security"]
    for mapping in (mapped(), by_psa(allow_adhoc=True)):
        assert desk.again(mapping=mapping).read(ticket).approval.stance is Stance.APPROVED


@pytest.mark.parametrize("switch", AUTOMATIC)
def test_a_process_that_approves_by_itself_stops_the_start_and_is_no_yes(desk: HaloDesk, switch: str) -> None:
    process = desk.desk.processes[5]
    steps = (replace(process.steps[0], automatic=frozenset({switch})),)
    desk.desk.processes[5] = replace(process, steps=steps)
    errors = [finding for finding in desk.psa.check() if finding.level is Level.ERROR]
    assert [finding.temporary for finding in errors] == [False]
    assert switch in errors[0].text
    ticket = desk.add_ticket(approvers=["ben@contoso.com"])
    if desk.status(ticket) != "Approved":
        vote(desk, ticket, "ben@contoso.com")
    assert desk.psa.read(ticket).approval.stance is Stance.PENDING


# ---------------------------------------------------------------- the user in a field


def by_user() -> HaloMapping:
    shipped = shipped_mapping()
    request = shipped.requests[0].model_copy(
        update={"ticket_type": "Password Reset by User", "subject": HaloSubject(field="CFSubjectUser", lookup="user")}
    )
    return shipped.model_copy(update={"requests": (request,)})


def ticket_about(desk: HaloDesk, address: str) -> str:
    user, requester = desk.desk.contact_with(address), desk.desk.contact_with(desk.requester)
    assert user is not None
    assert requester is not None
    ticket = desk.desk.raise_ticket(
        type_id=28,
        client_id=12,
        contact_id=requester.id,
        summary="Please reset",
        custom={"CFSubjectUser": str(user.id)},
    )
    return str(ticket.id)


@pytest.mark.parametrize("shape", ["integer", "text"])
def test_the_user_in_a_field_is_read_with_address_and_entra_id(desk: HaloDesk, shape: str) -> None:
    desk.desk.habits.value_shape = shape
    seen = desk.again(mapping=by_user()).read(ticket_about(desk, "dana@contoso.com"))
    assert (seen.subject_text, seen.subject_problem) == ("dana@contoso.com", "")
    dana = desk.desk.contact_with("dana@contoso.com")
    assert dana is not None
    assert seen.subject_id == dana.azure_id


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda contact: setattr(contact, "inactive", True), "inactive"),
        (lambda contact: setattr(contact, "client_id", 13), "client"),
    ],
)
def test_an_inactive_or_foreign_user_is_refused(desk: HaloDesk, spoil: Callable[[Any], None], said: str) -> None:
    ticket = ticket_about(desk, "dana@contoso.com")
    spoil(desk.desk.contact_with("dana@contoso.com"))
    seen = desk.again(mapping=by_user()).read(ticket)
    assert seen.subject_text == ""
    assert said in seen.subject_problem


def test_the_user_in_a_field_cannot_approve_by_the_number_alone(desk: HaloDesk) -> None:
    """Their address in HaloPSA may be one that Entra does not know."""
    ticket = ticket_about(desk, "dana@contoso.com")
    row = desk.raw(ticket).approvals[0]
    dana = desk.desk.contact_with("dana@contoso.com")
    assert dana is not None
    vote(desk, ticket, "anna@contoso.com")
    row.contact_id = dana.id
    seen = desk.again(mapping=by_user()).read(ticket)
    approver = seen.approval.decisions[0].approver
    assert any(approver.may_be(person) for person in seen.also_not_approvers)


# ---------------------------------------------------------------- the vendor's description


def findings_of(desk: HaloDesk, mapping: HaloMapping) -> list[Finding]:
    return [finding for finding in desk.again(mapping=mapping).check() if finding.level is not Level.OK]


def test_everything_asked_for_here_fits_the_vendors_description(desk: HaloDesk) -> None:
    specs = specs_or_skip()
    desk.desk.types[28] = replace(desk.desk.types[28], approval_process=7)
    assert all(finding.level is Level.WARNING for finding in findings_of(desk, by_user()))
    ticket = ticket_about(desk, "dana@contoso.com")
    desk_approvals.delegate(desk.desk, desk.raw(ticket), to="alex@msp.example")  # an agent
    vote(desk, ticket, "alex@msp.example")
    vote(desk, ticket, "sam@contoso.com")
    psa = desk.again(mapping=by_user())
    assert psa.read(ticket).approval.stance is Stance.APPROVED
    psa.raised_since(desk.clock() - timedelta(days=30))
    exchanges = [exchange.as_dict() for exchange in desk.world.record.exchanges if exchange.system == "halo"]
    asked = {exchange["template"] for exchange in exchanges}
    assert {"/api/users/{id}", "/api/workflow/{id}", "/api/actions/{id}", "/api/users"} <= asked
    assert check_all(specs, exchanges) == []
