"""What counts as a yes in HaloPSA: every condition broken by itself must take the yes away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from connector.core.case import Person
from connector.core.ports import ApprovalReading, Stance
from connector.psa.halopsa.approval import judge
from connector.psa.halopsa.mapping import HaloApprovalRules
from connector.psa.halopsa.names import Names
from connector.psa.halopsa.people import User
from connector.psa.halopsa.process import AUTOMATIC, Process, Step, read_process
from connector.psa.halopsa.ticket import approval_facts
from connector.psa.halopsa.values import Record
from connector.psa.halopsa.votes import read_votes, with_people
from connector.psa.mapping import ApproverRules

AWAITING, APPROVED, REJECTED, RETRY = 31, 32, 33, 35
NAMES = Names(
    requests={},
    statuses={AWAITING: "Awaiting Approval", APPROVED: "Approved", REJECTED: "Rejected", RETRY: "Retry reset"},
    approved=frozenset({APPROVED}),
    rejected=frozenset({REJECTED}),
    targets={},
    retry=RETRY,
)
OURS = replace(NAMES, processes=frozenset({5}))
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
        "step_id": 52,
        "step_name": "Security",
        **changes,
    }


TWO_STEPS = Process(
    id=5,
    name="Reset",
    steps=(Step(id=51, name="Manager", accepted=40), Step(id=52, name="Security", accepted=APPROVED)),
)


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
                step_id=51, step_name="Manager", dateapproved="2026-11-22T08:30:00.1234567Z")
        ],
    }  # fmt: skip


def read(
    detail: Record,
    *,
    rules: HaloApprovalRules = STRICT,
    process: Callable[[int], Process | None] = lambda _: TWO_STEPS,
    users: Mapping[int, User] = MappingProxyType({}),
    names: Names = NAMES,
) -> ApprovalReading:
    votes = with_people(read_votes(detail, 4242), users.get)
    return judge(approval_facts(detail, votes, names, rules, process))


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
    assert anna.step == "Security"
    assert len(anna.digest) == 64
    assert anna.digest != reading.decisions[0].digest


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
    otto = {"seq": 9, "name": "Otto", "emailaddress": "otto@contoso.com", "user_id": 30}
    return lambda detail: detail["approvers"].append(row(**(otto | changes)))


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


def test_a_name_that_is_a_story_stays_on_one_short_line() -> None:
    detail = a_yes()
    present(result=2, name="Anna\n\n" + "is very kind " * 100)(detail)
    reason = read(detail).reason
    assert "\n" not in reason
    assert len(reason) < 150


def mostly(draw: st.DrawFn, good: Any, *bad: Any) -> Any:
    return draw(st.sampled_from(bad)) if draw(st.integers(0, 24)) == 0 else good


@st.composite
def rows(draw: st.DrawFn, step: tuple[int, str], hour: int) -> Body:
    """A row of a step, well-formed in most respects."""
    who = draw(st.integers(1, 3))
    id_, name = mostly(draw, step, (51, "Manager"), (52, "Security"), (0, "Security"), (53, "?"))
    return row(
        seq=draw(st.integers(1, 99)),
        name=f"P{who}",
        emailaddress=mostly(draw, f"p{who}@contoso.com", ""),
        user_id=who,
        step_id=id_,
        step_name=name,
        result=mostly(draw, 1, 2, 0, 3, None),
        dateapproved=mostly(draw, f"2026-11-22T{draw(st.integers(hour - 1, hour + 1)):02}:00:00Z", ""),
        is_mandatory=mostly(draw, False, True),
        adhoc=mostly(draw, False, None, True),
    )


@st.composite
def tickets(draw: st.DrawFn) -> Body:
    """Mostly approved, and bent here and there."""
    return {
        "id": 4242,
        "status_id": mostly(draw, APPROVED, AWAITING),
        "approval_process_id": mostly(draw, 5, 0),
        "approvers": draw(st.lists(rows((52, "Security"), 11), min_size=0, max_size=3)),
        "approvers_history": draw(st.lists(rows((51, "Manager"), 9), min_size=0, max_size=3)),
    }


@settings(max_examples=400)
@given(detail=tickets())
def test_whatever_the_rows_a_yes_has_the_status_and_a_yes_of_a_person_in_every_step(detail: Body) -> None:
    reading = read(detail, rules=BY_PSA)
    event(reading.stance)
    if reading.stance is not Stance.APPROVED:
        return
    rows = detail["approvers"] + detail["approvers_history"]
    yeses = [one for one in rows if one["result"] == 1 and one["adhoc"] is not True]
    assert detail["status_id"] == APPROVED
    assert all(one["result"] in (0, 1, None) for one in rows)
    assert all(one["result"] == 1 for one in rows if one["is_mandatory"])
    assert all(one["dateapproved"] and one["emailaddress"] for one in yeses)
    manager = [one["dateapproved"] for one in yeses if one["step_name"] == "Manager"]
    security = [one["dateapproved"] for one in yeses if one["step_name"] == "Security"]
    assert manager
    assert security
    assert max(security) >= max(manager)
    assert all(decision.approved for decision in reading.decisions)


@given(result=st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.booleans(), st.lists(st.integers())))
def test_no_answer_but_the_documented_number_is_ever_a_yes(result: object) -> None:
    detail = a_yes()
    detail["approvers"][0]["result"] = result
    approved = read(detail).stance is Stance.APPROVED
    assert approved == (type(result) is int and result == 1)


# ---------------------------------------------------------------- every step of the process


def test_a_step_without_a_row_is_a_step_without_a_yes() -> None:
    """The status was set by hand after the first step: its row says yes, and the second step was never begun."""
    detail = a_yes()
    detail["approvers"] = detail.pop("approvers_history")
    reading = read(detail)
    assert reading.stance is Stance.PENDING
    assert "the step Security of the approval process has 0 of 1 votes" in reading.reason


def test_all_rows_may_stand_in_the_history_once_the_process_is_over() -> None:
    detail = a_yes()
    detail["approvers_history"] += detail.pop("approvers")
    assert read(detail).stance is Stance.APPROVED


@pytest.mark.parametrize("step_id", [None, 0, 7, 51])
def test_a_step_is_known_by_its_id_and_by_its_name_where_the_id_says_nothing(step_id: int | None) -> None:
    detail = a_yes()
    present(step_id=step_id)(detail)
    assert (read(detail).stance is Stance.APPROVED) == (step_id != 51)


def test_steps_of_one_name_that_no_id_tells_apart_are_no_yes() -> None:
    twice = Process(id=5, name="Reset", steps=(Step(id=51, name="Manager"), Step(id=52, name="manager ")))
    detail = a_yes()
    assert read(detail, process=lambda _: twice).stance is Stance.APPROVED
    for change in (present, earlier):
        change(step_id=0, step_name="manager")(detail)
    assert read(detail, process=lambda _: twice).stance is Stance.PENDING


def test_the_answers_of_an_approval_that_was_started_anew_do_not_fill_up() -> None:
    detail = a_yes()
    old_second = detail["approvers"][0]
    detail["approvers_history"].append(old_second)
    detail["approvers"] = [row(seq=9, step_id=51, step_name="Manager", dateapproved="2026-11-22T10:00:00Z")]
    reading = read(detail)
    assert reading.stance is Stance.PENDING
    assert "the step Security" in reading.reason
    detail["approvers_history"] += detail["approvers"]
    detail["approvers"] = [row(seq=10, dateapproved="2026-11-22T10:05:00Z")]
    assert read(detail).stance is Stance.APPROVED


@pytest.mark.parametrize("others", [{}, {"emailaddress": "anna+x@contoso.com"}], ids=["the same", "an alias"])
def test_one_person_counts_once_in_a_step(others: Body) -> None:
    two = Process(id=5, name="Reset", steps=(TWO_STEPS.steps[0], Step(id=52, name="Security", least_votes=2)))
    detail = a_yes()
    another_row(**({"emailaddress": "anna@contoso.com"} | others))(detail)
    assert "has 1 of 2 votes" in read(detail, process=lambda _: two).reason
    another_row(emailaddress="olga@contoso.com", user_id=31)(detail)
    assert read(detail, process=lambda _: two).stance is Stance.APPROVED


def test_a_step_that_may_approve_by_itself_needs_nobody_where_that_is_allowed() -> None:
    automatic = Step(id=53, name="Manager again", switches=("autoapproveifalreadyapp",))
    three = Process(id=5, name="Reset", steps=(*TWO_STEPS.steps, automatic))
    loose = STRICT.model_copy(update={"allow_auto_approval": True})
    assert read(a_yes(), rules=loose, process=lambda _: three).stance is Stance.APPROVED
    assert read(a_yes(), process=lambda _: three).stance is Stance.PENDING
    nobody = a_yes()
    without_rows(nobody)
    assert read(nobody, rules=loose, process=lambda _: three).stance is Stance.PENDING


# ---------------------------------------------------------------- processes that approve by themselves


@pytest.mark.parametrize("switch", AUTOMATIC)
def test_a_process_that_may_approve_by_itself_is_no_yes_unless_allowed(switch: str) -> None:
    steps = [{"id": 51, "name": "Manager", switch: False}, {"id": 52, "name": "Security", switch: True}]
    process = read_process({"id": 5, "steps": steps})
    assert process is not None
    assert process.switches == (f"{switch} in step Security",)
    reading = read(a_yes(), process=lambda _: process)
    assert reading.stance is Stance.PENDING
    assert switch in reading.reason
    loose = STRICT.model_copy(update={"allow_auto_approval": True})
    assert read(a_yes(), rules=loose, process=lambda _: process).stance is Stance.APPROVED


@pytest.mark.parametrize("process", [{}, {"id": 5}, {"id": 5, "steps": []}, {"id": 5, "steps": "none"}])
def test_a_process_whose_steps_cannot_be_seen_is_no_yes(process: Record) -> None:
    assert read_process(process) is None
    assert read(a_yes(), process=lambda _: read_process(process)).stance is Stance.PENDING


def test_the_processes_of_every_row_are_looked_at() -> None:
    detail = a_yes()
    detail["approvers_history"].append(row(seq=2, approval_process_id=6, dateapproved="2026-11-22T08:00:00Z"))
    asked: set[int] = set()

    def process(process_id: int) -> Process:
        asked.add(process_id)
        return TWO_STEPS

    assert read(detail, process=process).stance is Stance.APPROVED
    assert asked == {5, 6}


# ---------------------------------------------------------------- the other stances


def test_an_override_counts_where_the_mapping_allows_it_and_stays_visible() -> None:
    detail = a_yes()
    present(admin_overridden=True, admin_override_id=9)(detail)
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


@pytest.mark.parametrize(("status", "doubted"), [(40, False), (41, False), (18, True), (RETRY, True)])
def test_between_two_steps_nothing_is_doubted(status: int, doubted: bool) -> None:
    """The first step has its yes, and the second has not asked anybody yet."""
    steps = (replace(TWO_STEPS.steps[0], awaiting=41, accepted=40), TWO_STEPS.steps[1])
    detail = a_yes() | {"status_id": status}
    detail["approvers"] = detail.pop("approvers_history")
    reading = read(detail, process=lambda _: replace(TWO_STEPS, steps=steps))
    assert (reading.stance, bool(reading.reason)) == (Stance.PENDING, doubted)


@pytest.mark.parametrize("awaiting", [RETRY, 41])
def test_a_status_of_ours_is_never_taken_for_one_of_a_step(awaiting: int) -> None:
    """Else a process whose step waits in the retry status would switch the doubts off."""
    steps = (replace(TWO_STEPS.steps[0], awaiting=awaiting), TWO_STEPS.steps[1])
    detail = a_yes() | {"status_id": RETRY}
    detail["approvers"] = detail.pop("approvers_history")
    assert read(detail, process=lambda _: replace(TWO_STEPS, steps=steps)).reason


def test_after_the_ticket_was_moved_on_doubtful_rows_are_told() -> None:
    detail = a_yes() | {"status_id": RETRY}
    present(admin_overridden=True)(detail)
    assert "allow_override" in read(detail).reason


def test_an_override_by_nobody_knows_whom_never_counts() -> None:
    detail = a_yes()
    present(admin_overridden=True)(detail)
    reading = read(detail, rules=STRICT.model_copy(update={"allow_override": True}))
    assert reading.stance is Stance.PENDING
    assert "does not tell which one" in reading.reason


def delegated(**changes: Any) -> Body:
    detail = a_yes()
    present(**({"delegated_by_uid": 77, "delegated_by_username": "Bob Boss"} | changes))(detail)
    return detail


BOB = User(id=77, name="Bob  boss", address="bob@contoso.com", entra="6f0e105e-7000-4000-8000-80c238063b07",
           client_id=12, inactive=False, agent_id=None)  # fmt: skip


def test_delegation_keeps_both_people_apart_and_knows_both() -> None:
    reading = read(delegated(), users={77: BOB})
    assert reading.stance is Stance.APPROVED
    decision = reading.decisions[1]
    assert decision.approver.name == "Anna"
    assert decision.delegated_by is not None
    assert decision.delegated_by.name == "Bob Boss"
    assert decision.delegated_by.email == "bob@contoso.com"
    assert {"halo.user:77", "halo.agent:77", f"entra:{BOB.entra}"} <= decision.delegated_by.ids


@pytest.mark.parametrize(
    ("changes", "users"),
    [
        ({}, {}),
        ({}, {77: replace(BOB, name="Rita")}),
        ({}, {77: replace(BOB, address="", entra="")}),
        ({"delegated_by_uid": None}, {77: BOB}),
        ({"delegated_by_username": None}, {77: BOB}),
    ],
    ids=["no such user", "another user's number", "no address", "no number", "no name"],
)
def test_a_decision_passed_on_by_nobody_knows_whom_is_no_yes(changes: Body, users: dict[int, User]) -> None:
    """Otherwise a requester who is an approver, too, could pass their own request on to a friend."""
    reading = read(delegated(**changes), users=users)
    assert reading.stance is Stance.PENDING
    assert "passed the decision on" in reading.reason


def test_a_yes_without_an_address_is_completed_from_the_user_or_does_not_count() -> None:
    detail = a_yes()
    present(emailaddress=None)(detail)
    reading = read(detail)
    assert reading.stance is Stance.PENDING
    assert "with which address" in reading.reason
    anna = replace(BOB, id=23, name="Anna", address="anna@contoso.com")
    completed = read(detail, users={23: anna})
    assert completed.stance is Stance.APPROVED
    assert completed.decisions[1].approver.email == "anna@contoso.com"


def test_an_ordinary_yes_asks_for_no_user() -> None:
    assert read(a_yes(), users={}).stance is Stance.APPROVED


# ---------------------------------------------------------------- approvers picked by hand

BY_PSA = STRICT.model_copy(update={"approvers": ApproverRules(who="psa")})
PICKING = Process(id=5, name="Reset", steps=(TWO_STEPS.steps[0], replace(TWO_STEPS.steps[1], adhoc=True)))


@pytest.mark.parametrize(
    ("adhoc", "process", "counts"),
    [
        (True, TWO_STEPS, False),
        (True, PICKING, False),
        (None, TWO_STEPS, True),
        (None, PICKING, False),  # an older build does not tell
        (False, PICKING, True),
        ("yes", TWO_STEPS, False),
    ],
)
def test_approvers_picked_by_hand_count_only_where_somebody_else_says_who_may_approve(
    adhoc: object, process: Process, counts: bool
) -> None:
    detail = a_yes()
    present(adhoc=adhoc)(detail)
    reading = read(detail, rules=BY_PSA, process=lambda _: process)
    assert (reading.stance is Stance.APPROVED) == counts
    if not counts:
        assert [decision.approver.name for decision in reading.decisions] == ["Sam"]
    for rules in (STRICT, BY_PSA.model_copy(update={"allow_adhoc": True})):
        assert read(detail, rules=rules, process=lambda _: process).stance is Stance.APPROVED


def test_the_only_approver_picked_by_hand_is_named() -> None:
    detail = {"id": 4242, "status_id": APPROVED, "approval_process_id": 5, "approvers": [row(adhoc=True)]}
    assert "Anna said yes but may have been picked" in read(detail, rules=BY_PSA).reason


def test_the_no_of_an_approver_picked_by_hand_counts() -> None:
    detail = a_yes()
    another_row(result=2, adhoc=True)(detail)
    assert read(detail, rules=BY_PSA).stance is Stance.PENDING


# ---------------------------------------------------------------- processes of the mapping


def test_where_the_mapping_names_processes_only_those_count() -> None:
    """An agent starts an approval of their own on the ticket, with a friend for an approver."""
    assert read(a_yes(), names=OURS).stance is Stance.APPROVED
    detail = a_yes() | {"approval_process_id": 6}
    for change in (present, earlier):
        change(approval_process_id=6)(detail)
    theirs = replace(TWO_STEPS, id=6)
    assert read(detail, process=lambda _: theirs).stance is Stance.APPROVED
    reading = read(detail, process=lambda _: theirs, names=OURS)
    assert reading.stance is Stance.PENDING
    assert "the approval process 6 is not one of approval.processes" in reading.reason


@pytest.mark.parametrize("change", [{"approval_process_id": 6}, {"approval_process_id": None}])
def test_one_yes_of_another_process_is_one_too_many(change: Body) -> None:
    detail = a_yes()
    another_row(**change)(detail)
    reading = read(detail, process=lambda number: replace(TWO_STEPS, id=number), names=OURS)
    assert reading.stance is Stance.PENDING


# ---------------------------------------------------------------- boards


def cab(**changes: Any) -> Body:
    return {"cab_id": 3, "votes_required_to_accept": 2, "votes_required_to_reject": 2, **changes}


def test_a_board_is_voted_down_by_as_many_noes_as_it_wants() -> None:
    people = [{"seq": seq, "name": f"P{seq}", "emailaddress": f"p{seq}@contoso.com", "user_id": seq} for seq in (1, 2)]
    one = [row(result=2, **cab(**people[0])), row(**cab(**people[1]))]
    reading = read({"id": 4242, "status_id": AWAITING, "approvers": one})
    assert reading.stance is Stance.PENDING
    assert "P1 rejected it" in reading.reason
    both = [row(result=2, **cab(**person)) for person in people]
    assert read({"id": 4242, "status_id": AWAITING, "approvers": both}).stance is Stance.REJECTED


def test_one_no_in_a_board_keeps_the_reset_away_even_where_the_others_outvote_it() -> None:
    detail = a_yes()
    present(**cab())(detail)
    another_row(**cab())(detail)
    assert read(detail).stance is Stance.APPROVED
    another_row(**cab(result=2, seq=10, name="Nora", emailaddress="nora@contoso.com", user_id=40))(detail)
    reading = read(detail)
    assert reading.stance is Stance.PENDING
    assert "Nora rejected it" in reading.reason


# ---------------------------------------------------------------- evidence


def test_the_same_decision_has_the_same_digest_however_it_is_listed() -> None:
    detail = a_yes()
    before = [decision.digest for decision in read(detail).decisions]
    later = {"lastreminderdatetime": "2026-11-22T09:30:00Z", "emailstatus": 2, "token": "t", "colour": "#fff"}
    present(**later, dateapproved="2026-11-22T09:00:00.123456")(detail)
    detail["approvers_history"] += detail.pop("approvers")
    assert [decision.digest for decision in read(detail).decisions] == before


@pytest.mark.parametrize(
    "changed", [{"name": "Eve"}, {"approver_note": "ok"}, {"user_id": 24}, {"delegated_by_uid": 9}]
)
def test_another_decision_has_another_digest(changed: Body) -> None:
    detail = a_yes()
    before = read(detail).decisions[1].digest
    present(**changed)(detail)
    assert read(detail).decisions[1].digest != before


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
