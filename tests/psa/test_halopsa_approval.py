"""What counts as a yes in HaloPSA: every condition broken by itself must take the yes away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.case import Person
from connector.core.ports import ApprovalReading, Stance
from connector.psa.halopsa_approval import AUTOMATIC, automatic_switches, judge
from connector.psa.halopsa_json import Record
from connector.psa.halopsa_names import Names
from connector.psa.halopsa_ticket import approval_facts
from connector.psa.halopsa_votes import read_votes
from connector.psa.mapping import HaloApprovalRules

AWAITING, APPROVED, REJECTED, RETRY = 31, 32, 33, 35
NAMES = Names(
    requests={},
    statuses={AWAITING: "Awaiting Approval", APPROVED: "Approved", REJECTED: "Rejected", RETRY: "Retry reset"},
    approved=frozenset({APPROVED}),
    rejected=frozenset({REJECTED}),
    targets={},
    retry=RETRY,
)
STRICT = HaloApprovalRules(approved_statuses=("Approved",))
Body = dict[str, Any]


def row(**changes: Any) -> Body:
    """An approver's row with a yes, as the vendor's guide 2345 and its swagger name the properties."""
    return {
        "ticket_id": 4242,
        "seq": 8,
        "actionnumber": 17,
        "name": "Anna",
        "emailaddress": "anna@contoso.com",
        "user_id": 23,
        "result": 1,
        "datetime": "2026-11-22T08:00:00.0000000Z",
        "dateapproved": "2026-11-22T09:00:00.1234567Z",
        "approval_process_id": 5,
        "step_name": "Manager",
        **changes,
    }


def a_yes() -> Body:
    """A ticket whose approval is a yes in every respect: two steps, both approved."""
    return {
        "id": 4242,
        "status_id": APPROVED,
        "approval_process_id": 5,
        "faultapprovalfailed": False,
        "approvers": [row()],
        "approvers_history": [
            row(seq=7, actionnumber=12, name="Sam", emailaddress="sam@contoso.com", user_id=24,
                dateapproved="2026-11-22T08:30:00.1234567Z")
        ],
    }  # fmt: skip


def read(
    detail: Record,
    *,
    rules: HaloApprovalRules = STRICT,
    automatic: Callable[[int], tuple[str, ...] | None] = lambda _: (),
) -> ApprovalReading:
    return judge(approval_facts(detail, read_votes(detail, 4242), NAMES, rules, automatic))


def test_a_yes_in_every_respect_is_a_yes() -> None:
    reading = read(a_yes())
    assert reading.stance is Stance.APPROVED
    assert reading.reason == ""
    assert reading.approvers == ()
    assert [decision.approver.name for decision in reading.decisions] == ["Sam", "Anna"]
    anna = reading.decisions[1]
    assert anna.approved
    assert anna.decided_at == datetime(2026, 11, 22, 9, 0, 0, 123456, tzinfo=UTC)
    assert anna.approver == Person(name="Anna", email="anna@contoso.com", ids=frozenset({"halo.user:23"}))
    assert anna.evidence == "TicketApproval 4242/8/17"
    assert anna.step == "Manager"


def present(**changes: Any) -> Callable[[Body], None]:
    """Change the row of the present step; `None` leaves a property out, as HaloPSA does."""

    def change(detail: Body) -> None:
        detail["approvers"][0] |= changes
        for key in [key for key, value in changes.items() if value is None]:
            del detail["approvers"][0][key]

    return change


def earlier(**changes: Any) -> Callable[[Body], None]:
    def change(detail: Body) -> None:
        detail["approvers_history"][0] |= changes

    return change


def ticket(**changes: Any) -> Callable[[Body], None]:
    return lambda detail: detail.update(changes)


def without_rows(detail: Body) -> None:
    del detail["approvers"], detail["approvers_history"]


def another_row(**changes: Any) -> Callable[[Body], None]:
    return lambda detail: detail["approvers"].append(row(seq=9, name="Otto", emailaddress="otto@x.com", **changes))


BROKEN: dict[str, Callable[[Body], None]] = {
    # The ticket's status.
    "status: awaiting": ticket(status_id=AWAITING),
    "status: rejected": ticket(status_id=REJECTED),
    "status: another": ticket(status_id=18),
    "status: missing": ticket(status_id=None),
    "status: the approved one as text of a name": ticket(status_id="Approved"),
    "the process failed": ticket(faultapprovalfailed=True),
    # A recorded yes.
    "no rows at all": without_rows,
    "no answer yet": present(result=None, dateapproved=None),
    "answer 0": present(result=0, dateapproved=None),
    "answer 0 with a date": present(result=0),
    "answer 2, rejected": present(result=2),
    "answer 3, unknown": present(result=3),
    "answer -1, unknown": present(result=-1),
    "answer true": present(result=True),
    "answer 1 as text": present(result="1"),
    "answer 1.0": present(result=1.0),
    "answer Approved": present(result="Approved"),
    "no time": present(dateapproved=None),
    "time never": present(dateapproved="1900-01-01T00:00:00"),
    "time nonsense": present(dateapproved="soon"),
    "nobody's": present(emailaddress=None, user_id=None),
    "nobody's, ids 0": present(emailaddress="", user_id=0, agent_id=0),
    "of another ticket": present(ticket_id=4243),
    # Everybody else's answers.
    "an earlier step was rejected": earlier(result=2),
    "an earlier answer is unknown": earlier(result=7),
    "an earlier answer without a time": earlier(dateapproved="0001-01-01T00:00:00"),
    "somebody else rejected": another_row(result=2),
    "a mandatory approver is silent": another_row(result=0, dateapproved="", is_mandatory=True),
    "still in progress": present(approval_inprogress=True),
    "an earlier step still in progress": earlier(approval_inprogress=True),
    # Whose decision it was.
    "overridden by an agent": present(admin_overridden=True),
    "overridden by a named agent": present(admin_override_id=3),
    "an earlier step overridden": earlier(admin_overridden=True),
    "the process is not named": lambda detail: (
        present(approval_process_id=None)(detail),
        earlier(approval_process_id=0)(detail),
        ticket(approval_process_id=0)(detail),
    )[-1],
}


@pytest.mark.parametrize("broken", BROKEN)
def test_one_broken_condition_takes_the_yes_away(broken: str) -> None:
    detail = a_yes()
    before = repr(detail)
    BROKEN[broken](detail)
    assert repr(detail) != before
    assert read(detail).stance is not Stance.APPROVED


@pytest.mark.parametrize(
    "broken",
    [name for name in BROKEN if not name.startswith(("status", "answer 2"))],
)
def test_a_status_that_says_approved_without_a_clear_yes_is_explained(broken: str) -> None:
    detail = a_yes()
    BROKEN[broken](detail)
    reading = read(detail)
    assert reading.stance is Stance.PENDING
    assert reading.reason


@given(result=st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.booleans(), st.lists(st.integers())))
def test_no_answer_but_the_documented_number_is_ever_a_yes(result: object) -> None:
    detail = a_yes()
    detail["approvers"][0]["result"] = result
    approved = read(detail).stance is Stance.APPROVED
    assert approved == (type(result) is int and result == 1)


# ---------------------------------------------------------------- processes that approve by themselves


@pytest.mark.parametrize("switch", AUTOMATIC)
def test_a_process_that_may_approve_by_itself_is_no_yes_unless_allowed(switch: str) -> None:
    process = {"id": 5, "steps": [{"id": 1, "name": "Manager", switch: False}, {"id": 2, "name": "CAB", switch: True}]}
    switches = automatic_switches(process)
    assert switches == (f"{switch} in step CAB",)
    reading = read(a_yes(), automatic=lambda _: switches)
    assert reading.stance is Stance.PENDING
    assert switch in reading.reason
    loose = STRICT.model_copy(update={"allow_auto_approval": True})
    assert read(a_yes(), rules=loose, automatic=lambda _: switches).stance is Stance.APPROVED


@pytest.mark.parametrize("process", [{}, {"id": 5}, {"id": 5, "steps": []}, {"id": 5, "steps": "none"}])
def test_a_process_whose_steps_cannot_be_seen_is_no_yes(process: Record) -> None:
    assert automatic_switches(process) is None
    assert read(a_yes(), automatic=lambda _: automatic_switches(process)).stance is Stance.PENDING


def test_the_processes_of_every_row_are_looked_at() -> None:
    detail = a_yes()
    detail["approvers_history"][0]["approval_process_id"] = 6
    asked: list[int] = []

    def automatic(process_id: int) -> tuple[str, ...]:
        asked.append(process_id)
        return ()

    assert read(detail, automatic=automatic).stance is Stance.APPROVED
    assert sorted(asked) == [5, 6]


# ---------------------------------------------------------------- the other stances


def test_an_override_counts_where_the_mapping_allows_it_and_stays_visible() -> None:
    detail = a_yes()
    present(admin_overridden=True)(detail)
    reading = read(detail, rules=STRICT.model_copy(update={"allow_override": True}))
    assert reading.stance is Stance.APPROVED
    assert [decision.overridden for decision in reading.decisions] == [False, True]


def test_a_ticket_without_any_approval_has_none() -> None:
    reading = read({"id": 4242, "status_id": AWAITING})
    assert (reading.stance, reading.reason, reading.approvers) == (Stance.NONE, "", ())


def test_who_is_asked_and_silent_is_named() -> None:
    reading = read({"id": 4242, "status_id": AWAITING, "approvers": [row(result=None, dateapproved=None)]})
    assert reading.stance is Stance.PENDING
    assert [person.name for person in reading.approvers] == ["Anna"]
    assert reading.reason == ""


def test_a_rejection_is_read_with_the_words_of_either_property() -> None:
    for words in ("approver_note", "note"):
        detail = {"id": 4242, "status_id": REJECTED, "approvers": [row(result=2, **{words: "not today"})]}
        reading = read(detail)
        assert reading.stance is Stance.REJECTED
        assert [(one.approved, one.comment) for one in reading.decisions] == [(False, "not today")]


def test_a_rejection_counts_before_the_status_follows() -> None:
    assert read({"id": 4242, "status_id": AWAITING, "approvers": [row(result=2)]}).stance is Stance.REJECTED


def test_one_of_several_votes_against_is_no_end_while_others_are_asked() -> None:
    rows = [row(result=2), row(seq=9, name="Otto", user_id=30, result=None, dateapproved=None)]
    assert read({"id": 4242, "status_id": AWAITING, "approvers": rows}).stance is Stance.PENDING


def test_other_approvers_of_the_same_step_need_not_all_answer() -> None:
    detail = a_yes()
    another_row(result=0, dateapproved="")(detail)
    assert read(detail).stance is Stance.APPROVED


def test_a_yes_of_an_earlier_process_does_not_count_for_one_nobody_has_answered() -> None:
    detail = a_yes()
    present(result=None, dateapproved=None)(detail)
    reading = read(detail)
    assert reading.stance is Stance.PENDING
    assert "present step" in reading.reason


def test_after_the_ticket_was_moved_on_the_yes_stays_readable_but_pending() -> None:
    detail = a_yes() | {"status_id": RETRY}
    reading = read(detail)
    assert (reading.stance, reading.reason) == (Stance.PENDING, "")
    assert reading.decisions == read(a_yes()).decisions


def test_after_the_ticket_was_moved_on_doubtful_rows_are_told() -> None:
    detail = a_yes() | {"status_id": RETRY}
    present(admin_overridden=True)(detail)
    assert "allow_override" in read(detail).reason


def test_delegation_keeps_both_people_apart() -> None:
    detail = a_yes()
    present(delegated_by_uid=77, delegated_by_username="Bob")(detail)
    decision = read(detail).decisions[1]
    assert decision.approver.name == "Anna"
    assert decision.delegated_by is not None
    assert decision.delegated_by.is_same(Person(name="", ids=frozenset({"halo.user:77"})))
    assert decision.delegated_by.is_same(Person(name="", ids=frozenset({"halo.agent:77"})))


def test_a_row_in_both_lists_counts_once_and_two_people_in_one_row_number_count_twice() -> None:
    detail = a_yes()
    detail["approvers_history"] = [row()]
    assert len(read(detail).decisions) == 1
    detail["approvers_history"] = [row(name="Sam", user_id=24)]
    assert len(read(detail).decisions) == 2


def test_the_secret_like_token_of_a_row_is_kept_nowhere() -> None:
    detail = a_yes()
    detail["approvers"][0]["token"] = token = f"{id(detail):x}-token"
    assert token not in repr(read_votes(detail, 4242))
    assert token not in repr(read(detail))
