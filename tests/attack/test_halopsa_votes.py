"""HaloPSA's rows, bent by somebody who may edit tickets: a status set by hand, a vote taken over, too few votes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector.core.case import Person
from connector.core.guard import ApprovalFacts, judge_approval
from connector.core.ports import ApprovalReading, Stance
from connector.psa.halopsa.approval import judge
from connector.psa.halopsa.mapping import HaloApprovalRules
from connector.psa.halopsa.names import Names
from connector.psa.halopsa.people import Subject
from connector.psa.halopsa.process import Process, Step
from connector.psa.halopsa.ticket import approval_facts, logged_by, who_else_had_a_part
from connector.psa.halopsa.votes import read_votes

APPROVED = 32
NAMES = Names(
    requests={},
    statuses={APPROVED: "Approved"},
    approved=frozenset({APPROVED}),
    rejected=frozenset(),
    targets={},
    retry=None,
)
CREATED = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def row(**changes: Any) -> dict[str, Any]:
    return {
        "ticket_id": 4242,
        "seq": 1,
        "actionnumber": 2,
        "name": "Anna",
        "emailaddress": "anna@contoso.com",
        "user_id": 23,
        "result": 1,
        "datetime": "2026-11-22T08:00:00.0000000Z",
        "dateapproved": "2026-11-22T09:00:00.0000000Z",
        "approval_process_id": 5,
        "step_name": "Manager",
        **changes,
    }


def silent(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in row(**changes).items() if key not in ("result", "dateapproved")}


ONE_STEP = Process(id=5, name="Reset", steps=(Step(id=1, name="Manager"),))


def read(
    *rows: dict[str, Any],
    history: tuple[dict[str, Any], ...] = (),
    process: Process | None = ONE_STEP,
    **rules: bool | str,
) -> ApprovalReading:
    detail = {"id": 4242, "status_id": APPROVED, "approvers": list(rows), "approvers_history": list(history)}
    settings = HaloApprovalRules.model_validate({"approved_statuses": ("Approved",), **rules})
    return judge(approval_facts(detail, read_votes(detail, 4242), NAMES, settings, lambda _: process))


# Somebody sets the status "Approved" by hand after the first of the votes that a step wants.


def test_one_vote_of_two_that_are_required_is_no_yes() -> None:
    both = {"votes_required_to_accept": 2}
    reading = read(row(**both), silent(seq=2, user_id=24, name="Sam", emailaddress="sam@contoso.com", **both))
    assert reading.stance is Stance.PENDING
    assert "1 of 2" in reading.reason


def test_the_votes_of_another_step_do_not_fill_up() -> None:
    earlier = row(seq=7, actionnumber=1, user_id=24, emailaddress="sam@contoso.com", step_name="Board",
                  votes_required_to_accept=1)  # fmt: skip
    reading = read(
        row(votes_required_to_accept=2), silent(seq=2, user_id=25, votes_required_to_accept=2), history=(earlier,)
    )
    assert reading.stance is Stance.PENDING


@pytest.mark.parametrize("wanted", [None, 0, 1, 2, "2"])
def test_as_many_votes_as_are_required_are_a_yes(wanted: object) -> None:
    other = row(seq=2, user_id=24, emailaddress="sam@contoso.com", votes_required_to_accept=wanted)
    reading = read(row(votes_required_to_accept=wanted), other)
    assert reading.stance is Stance.APPROVED


def test_a_second_step_that_nobody_has_answered_is_no_yes() -> None:
    assert read(silent(step_name="Board"), history=(row(),)).stance is Stance.PENDING


# Where overrides are allowed, the one who overrode is a decider too.


def test_the_agent_who_overrode_the_vote_must_not_be_the_requester() -> None:
    requester = Person("Al", "al@msp.example.com", frozenset({"halo.user:90", "halo.agent:9"}))
    reading = read(row(admin_overridden=True, admin_override_id=9), allow_override=True)
    assert reading.stance is Stance.APPROVED
    refusal = judge_approval(
        ApprovalFacts(
            reading=reading,
            subject=Person("Lea", "lea@contoso.com"),
            requester=requester,
            created_at=CREATED,
            listed=frozenset({"anna@contoso.com"}),
            since=CREATED,
            valid=timedelta(hours=24),
            now=CREATED + timedelta(hours=2),
        )
    )
    assert refusal is not None
    assert refusal.code == "approver_is_requester"


def test_an_override_makes_nobody_allowed_who_was_not() -> None:
    reading = read(row(emailaddress="eve@contoso.com", admin_overridden=True, admin_override_id=9), allow_override=True)
    refusal = judge_approval(
        ApprovalFacts(
            reading=reading,
            subject=Person("Lea", "lea@contoso.com"),
            requester=Person("Rita", "rita@contoso.com"),
            created_at=CREATED,
            listed=frozenset({"anna@contoso.com"}),
            since=CREATED,
            valid=timedelta(hours=24),
            now=CREATED + timedelta(hours=2),
        )
    )
    assert refusal is not None
    assert refusal.code == "approver_not_allowed"


# Somebody who may edit tickets, users or processes tries each of the doors around the approver.


def judged(reading: ApprovalReading, *others: Person, listed: frozenset[str] | None = None) -> str:
    refusal = judge_approval(
        ApprovalFacts(
            reading=reading,
            subject=Person("Lea", "lea@contoso.com", frozenset({"entra:6f0e105e-7000-4000-8000-80c238063b07"})),
            requester=Person("Rita", "rita@contoso.com", frozenset({"halo.user:90"})),
            also_not_approvers=others,
            created_at=CREATED,
            listed=listed,
            since=CREATED,
            valid=timedelta(hours=24),
            now=CREATED + timedelta(hours=2),
        )
    )
    return refusal.code if refusal else ""


def test_the_agent_who_logged_the_ticket_for_somebody_does_not_approve_it() -> None:
    agent = row(user_id=0, agent_id=9, name="Al", emailaddress="al@msp.example.com")
    reading = read(agent, approvers="psa")
    assert judged(reading) == ""
    logger = logged_by([{"id": 1, "who": "Al", "who_agentid": 9}])
    assert logger is not None
    assert judged(reading, logger) != ""


def test_whoever_started_the_approval_does_not_give_it() -> None:
    votes = read_votes({"approvers": [row(user_id=0, agent_id=9, requestor_agent_id=9)]}, 4242)
    others = who_else_had_a_part({}, votes, Subject(""), None)
    assert judged(read(row(user_id=0, agent_id=9), approvers="psa"), *others) != ""


def test_a_friend_picked_by_hand_does_not_count_where_the_process_names_the_approvers() -> None:
    friend = row(seq=2, name="Eve", emailaddress="eve@contoso.com", user_id=66, adhoc=True)
    assert read(friend, approvers="psa").stance is Stance.PENDING
    assert judged(read(friend, approvers="listed"), listed=frozenset({"anna@contoso.com"})) == "approver_not_allowed"


def test_a_step_taken_out_of_the_process_takes_its_yes_along() -> None:
    """The rows of a step that the process does not have (any more) stand for none of those that it has."""
    other = Process(id=5, name="Reset", steps=(Step(id=7, name="Board"),))
    assert read(row(step_id=1), process=other).stance is Stance.PENDING


def test_a_step_put_into_the_process_after_the_approval_wants_its_own_yes() -> None:
    longer = Process(id=5, name="Reset", steps=(*ONE_STEP.steps, Step(id=2, name="Board")))
    assert read(row(step_id=1), process=ONE_STEP).stance is Stance.APPROVED
    assert read(row(step_id=1), process=longer).stance is Stance.PENDING


@pytest.mark.parametrize("name", ["Manager", " manager", "MANAGER\t"])
def test_a_row_that_names_another_process_is_of_none_of_the_steps(name: str) -> None:
    assert read(row(step_name=name)).stance is Stance.APPROVED
    reading = read(row(step_name=name, approval_process_id=6), process=ONE_STEP)
    assert reading.stance is Stance.PENDING


def test_two_rows_of_one_person_are_one_vote_however_the_address_is_written() -> None:
    twice = [row(votes_required_to_accept=2), row(seq=2, user_id=24, votes_required_to_accept=2,
                                                  emailaddress="Anna+two@Contoso.com")]  # fmt: skip
    assert read(*twice).stance is Stance.PENDING
