"""HaloPSA's rows, bent by somebody who may edit tickets: a status set by hand, a vote taken over, too few votes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector.core.case import Person
from connector.core.guard import ApprovalFacts, judge_approval
from connector.core.ports import ApprovalReading, Stance
from connector.psa.halopsa_approval import judge
from connector.psa.halopsa_names import Names
from connector.psa.halopsa_process import Process, Step
from connector.psa.halopsa_ticket import approval_facts
from connector.psa.halopsa_votes import read_votes
from connector.psa.mapping import HaloApprovalRules

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
    settings = HaloApprovalRules(approved_statuses=("Approved",), **rules)  # type: ignore[arg-type]
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
