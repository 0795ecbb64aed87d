"""What the next step is, from what is true now. The stories as a whole are in tests/test_reconciler.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core import link_story, messages, plan, records, request
from connector.core.case import Action, Approval, Case, Outcome, Person, State
from connector.core.guard import Refusal
from connector.core.machine import ENDING, Event, advance
from connector.core.plan import needs, next_step
from connector.core.ports import (
    Account,
    ApprovalReading,
    Letter,
    Link,
    LinkEvent,
    LinkEventKind,
    MailKind,
    MethodLeft,
    MethodsReport,
    Note,
    Stance,
    StatusTarget,
    Ticket,
    Timing,
)
from connector.core.secret import Secret
from connector.core.steps import Deliver, Needs, Policy, Record, RemoveMethods, Seen, Step, Wait

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BORN = NOW - HOUR
S, E, K = State, Event, LinkEventKind

RITA = Person("Rita", "rita@contoso.example.com", frozenset({"halo.user:1"}))
ANNA = Person("Anna", "anna@contoso.example.com", frozenset({"halo.user:2"}))
WHO = "lea@contoso.example.com"
LEA = Account(
    tenant="contoso", id="0b5c", upn=WHO, display_name="Lea", addresses=frozenset({WHO}), enabled=True, guest=False,
    synchronised=False, federated=False, domain_verified=True,
)  # fmt: skip
POLICY = Policy(tenant="contoso", approvers=None, timing=Timing())
PENDING = ApprovalReading(Stance.PENDING, approvers=(ANNA,))
YES = Approval(approver=ANNA, approved=True, decided_at=NOW - MINUTE, evidence="approval 7")
APPROVED = ApprovalReading(Stance.APPROVED, (YES,))


def a_ticket(**changes: Any) -> Ticket:
    values: dict[str, Any] = {
        "psa": "halo", "id": "1", "number": "4242", "title": "Please", "mapped": True, "client_id": "12",
        "client_name": "Contoso", "requester": RITA, "subject_text": WHO, "action": Action.PASSWORD,
        "reason": "locked out", "status": "New", "closed": False, "approval": PENDING, "created_at": BORN,
        "updated_at": BORN,
    }  # fmt: skip
    return Ticket(**{**values, **changes})


def a_case(state: State, **changes: Any) -> Case:
    """One that was recognised an hour ago."""
    values: dict[str, Any] = {
        "id": "case-1", "psa": "halo", "ticket_id": "1", "number": "4242", "state": state, "created_at": BORN,
        "due_at": NOW, "client_id": "12", "client_name": "Contoso", "tenant": "contoso", "requester": RITA,
        "action": Action.PASSWORD, "subject": WHO, "subject_id": "0b5c", "subject_name": "Lea",
        "request_since": BORN, "waiting_since": BORN,
    }  # fmt: skip
    return Case(**{**values, **changes})


NEW = Case(id="case-1", psa="halo", ticket_id="1", number="4242", state=S.RECEIVED, created_at=BORN, due_at=NOW)


def step_of(case: Case, seen: Seen | None = None, *, policy: Policy = POLICY, now: datetime = NOW) -> Step:
    seen = seen or Seen(ticket=a_ticket(), account=LEA)
    first = next_step(case, seen, policy, now=now)
    assert next_step(case, seen, policy, now=now) == first, "the same facts decide the same"
    return first


def record_of(case: Case, seen: Seen | None = None, *, policy: Policy = POLICY, now: datetime = NOW) -> Record:
    """The step, which has to be something to write down that the machine allows."""
    step = step_of(case, seen, policy=policy, now=now)
    assert isinstance(step, Record)
    advance(case, step.event, now=now, **step.changes)
    return step


def mails(record: Record) -> list[MailKind]:
    return [message.body.kind for message in record.messages if isinstance(message.body, Letter)]


def notes(record: Record) -> str:
    return "\n".join(message.body.text for message in record.messages if isinstance(message.body, Note))


def moves(record: Record) -> list[StatusTarget]:
    return [message.body for message in record.messages if isinstance(message.body, StatusTarget)]


# ---------------------------------------------------------------- what to look at


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        (S.RECEIVED, Needs(ticket=True, account=True)),
        (S.WAITING, Needs(ticket=True, approval=True)),
        (S.NEEDS_PERSON, Needs(ticket=True)),
        (S.APPROVED, Needs()),
        (S.LINK_OUT, Needs()),
        (S.OPENED, Needs()),
        (S.CLOSED, Needs()),
    ],
)
def test_only_what_a_state_needs_is_read(state: State, wanted: Needs) -> None:
    assert needs(a_case(state), now=NOW) == wanted


def test_the_link_service_is_asked_itself_once_a_link_is_overdue() -> None:
    case = a_case(S.LINK_OUT, link_expires_at=NOW)
    assert not needs(case, now=NOW).fresh_link_events
    assert needs(case, now=NOW + link_story.LATE_EXPIRY).fresh_link_events


# ---------------------------------------------------------------- received


def test_a_request_that_can_work_is_recognised_noted_and_confirmed() -> None:
    record = record_of(NEW)
    assert record.event is E.RECOGNISED
    assert mails(record) == [MailKind.REQUEST_CONFIRMATION]
    assert moves(record) == [StatusTarget.WORKING]
    after = advance(NEW, record.event, now=NOW, **record.changes)
    assert (after.subject, after.subject_id, after.subject_name) == (WHO, "0b5c", "Lea")
    assert (after.requester, after.action, after.tenant, after.client_id) == (RITA, Action.PASSWORD, "contoso", "12")
    assert (after.waiting_since, after.reminders) == (NOW, 0)


@pytest.mark.parametrize(
    ("ticket", "code"),
    [
        ({"subject_text": ""}, "bad_subject"),
        ({"subject_text": f"{WHO} and tom@contoso.example.com"}, "bad_subject"),
        ({"action": None}, "unknown_action"),
        ({"requester": None}, "no_requester"),
        ({"requester": Person("Rita")}, "no_requester"),
    ],
)
def test_a_request_that_cannot_work_is_handed_off_before_anybody_is_asked(ticket: dict[str, Any], code: str) -> None:
    record = record_of(NEW, Seen(ticket=a_ticket(**ticket)))
    assert (record.event, record.facts["code"]) == (E.HANDED_OFF, code)
    assert moves(record) == [StatusTarget.HAND_OFF]
    assert MailKind.REQUEST_CONFIRMATION not in mails(record)


def test_a_client_without_a_tenant_is_handed_off() -> None:
    record = record_of(NEW, Seen(ticket=a_ticket()), policy=replace(POLICY, tenant=""))
    assert record.facts["code"] == "unmapped_client"


def test_an_account_that_was_not_looked_up_is_no_account() -> None:
    assert record_of(NEW, Seen(ticket=a_ticket())).facts["code"] == "no_account"


def test_why_there_is_no_account_is_handed_on() -> None:
    problem = Refusal("ambiguous", "More than one account.", "Name one.", "More than one.")
    assert record_of(NEW, Seen(ticket=a_ticket(), account_problem=problem)).facts["code"] == "ambiguous"


@pytest.mark.parametrize(
    "seen", [Seen(gone="It was merged."), Seen(ticket=a_ticket(closed=True)), Seen(ticket=a_ticket(mapped=False))]
)
def test_a_ticket_that_is_over_before_our_first_look_is_not_touched(seen: Seen) -> None:
    record = record_of(NEW, seen)
    assert record.event is E.TICKET_ENDED
    assert record.messages == ()
    assert record.changes["outcome"] is Outcome.CANCELLED


def test_a_retry_that_meets_the_same_reason_does_not_mail_it_again_but_notes_it() -> None:
    first = record_of(NEW, Seen(ticket=a_ticket(subject_text="")))
    handed_off = advance(NEW, first.event, now=NOW, **first.changes)
    again = records.retry(handed_off)
    case = advance(handed_off, again.event, now=NOW, **again.changes)
    second = record_of(case, Seen(ticket=a_ticket(subject_text="")))
    assert (mails(first), mails(second)) == ([MailKind.HANDED_TO_PERSON], [])
    assert "A person must take over" in notes(second)
    other = record_of(case, Seen(ticket=a_ticket(action=None)))
    assert mails(other) == [MailKind.HANDED_TO_PERSON]


# ---------------------------------------------------------------- since when the request is what it is


AT_FIRST_LOOK = {"approval": APPROVED, "created_at": YES.decided_at - MINUTE, "updated_at": YES.decided_at}


@pytest.mark.parametrize(
    ("case", "ticket", "since"),
    [
        # The PSA's own history is the answer, but never older than what we know.
        ({"request_since": None}, {"request_changed_at": NOW - MINUTE}, NOW - MINUTE),
        ({"request_since": NOW - SECOND}, {"request_changed_at": NOW - MINUTE}, NOW - SECOND),
        ({"request_since": BORN}, {"request_changed_at": NOW - MINUTE}, NOW - MINUTE),
        # Without one: what we saw ourselves.
        ({"request_since": NOW - MINUTE}, {}, NOW - MINUTE),
        # Seen before it was approved: as old as the ticket.
        ({"request_since": None}, {"updated_at": NOW}, BORN),
        # Approved at our first look: only on a young ticket that nobody has touched since is it as old as the ticket.
        ({"request_since": None}, AT_FIRST_LOOK, YES.decided_at - MINUTE),
        ({"request_since": None}, {**AT_FIRST_LOOK, "updated_at": NOW + HOUR}, YES.decided_at),
        ({"request_since": None}, {**AT_FIRST_LOOK, "updated_at": None}, YES.decided_at),
        ({"request_since": None}, {**AT_FIRST_LOOK, "created_at": NOW - DAY}, YES.decided_at),
    ],
)
def test_since_when_a_request_is_what_it_is(case: dict[str, Any], ticket: dict[str, Any], since: datetime) -> None:
    assert request.request_since(a_case(S.RECEIVED, **case), a_ticket(**ticket)) == since


def test_an_approval_of_a_ticket_that_was_touched_after_it_does_not_count_at_our_first_look() -> None:
    ticket = a_ticket(approval=APPROVED, updated_at=NOW + HOUR)
    received = record_of(NEW, Seen(ticket=ticket, account=LEA))
    waiting = advance(NEW, received.event, now=NOW, **received.changes)
    assert record_of(waiting, Seen(ticket=ticket)).event is E.VOIDED


# ---------------------------------------------------------------- waiting


def test_while_nobody_has_answered_it_waits_for_the_first_reminder() -> None:
    assert step_of(a_case(S.WAITING)) == Wait(BORN + 4 * HOUR)


def test_a_yes_moves_it_on_and_tells_the_requester_but_writes_no_note_yet() -> None:
    record = record_of(a_case(S.WAITING), Seen(ticket=a_ticket(approval=APPROVED)))
    assert record.event is E.APPROVED
    assert record.changes["approvals"] == (YES,)
    assert mails(record) == [MailKind.REQUEST_APPROVED]
    assert notes(record) == ""
    assert record.facts["evidence"] == "approval 7"


def test_a_no_ends_it_with_the_approvers_words() -> None:
    no = replace(YES, approved=False, comment="on holiday")
    ticket = a_ticket(approval=ApprovalReading(Stance.REJECTED, (no,)))
    record = record_of(a_case(S.WAITING), Seen(ticket=ticket))
    assert (record.event, record.changes["outcome"]) == (E.REJECTED, Outcome.REJECTED)
    assert mails(record) == [MailKind.REQUEST_DECLINED]
    assert moves(record) == [StatusTarget.CLOSED]
    assert "on holiday" in notes(record)


def test_a_no_that_has_closed_the_ticket_is_a_no_and_the_status_stays() -> None:
    no = replace(YES, approved=False)
    ticket = a_ticket(approval=ApprovalReading(Stance.REJECTED, (no,)), closed=True)
    record = record_of(a_case(S.WAITING), Seen(ticket=ticket))
    assert record.event is E.REJECTED
    assert moves(record) == []


def test_a_no_without_a_decision_is_still_a_no() -> None:
    ticket = a_ticket(approval=ApprovalReading(Stance.REJECTED))
    assert record_of(a_case(S.WAITING), Seen(ticket=ticket)).event is E.REJECTED


def test_an_approver_who_must_not_is_handed_off() -> None:
    own = ApprovalReading(Stance.APPROVED, (replace(YES, approver=RITA),))
    record = record_of(a_case(S.WAITING), Seen(ticket=a_ticket(approval=own)))
    assert (record.event, record.facts["code"]) == (E.HANDED_OFF, "approver_is_requester")


def test_an_approval_that_does_not_count_is_said_once_and_then_it_waits() -> None:
    case = a_case(S.WAITING, request_since=NOW)
    seen = Seen(ticket=a_ticket(approval=APPROVED))
    record = record_of(case, seen)
    assert (record.event, record.changes["approvals"]) == (E.VOIDED, ())
    assert "does not count" in notes(record)
    assert mails(record) == []
    said = advance(case, record.event, now=NOW, **record.changes)
    assert isinstance(step_of(said, seen), Wait)


def test_another_approval_that_does_not_count_is_said_again() -> None:
    case = a_case(S.WAITING, request_since=NOW)
    first = record_of(case, Seen(ticket=a_ticket(approval=APPROVED)))
    said = advance(case, first.event, now=NOW, **first.changes)
    other = ApprovalReading(Stance.APPROVED, (YES, replace(YES, decided_at=NOW - SECOND, evidence="approval 8")))
    second = record_of(said, Seen(ticket=a_ticket(approval=other)))
    assert second.event is E.VOIDED
    assert {message.key for message in first.messages}.isdisjoint(message.key for message in second.messages)


def test_an_unclear_approval_is_said_once() -> None:
    unclear = ApprovalReading(Stance.PENDING, (YES,), reason="the status was set by hand")
    case = a_case(S.WAITING)
    record = record_of(case, Seen(ticket=a_ticket(approval=unclear)))
    assert "the status was set by hand" in notes(record)
    said = advance(case, record.event, now=NOW, **record.changes)
    assert isinstance(step_of(said, Seen(ticket=a_ticket(approval=unclear))), Wait)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"subject_text": "tom@contoso.example.com"}, "subject"),
        ({"subject_text": "my colleague"}, "subject"),
        ({"action": Action.BOTH}, "action"),
        ({"action": None}, "action"),
        ({"requester": ANNA}, "requester"),
        ({"requester": None}, "requester"),
        ({"requester": replace(RITA, email="other@contoso.example.com")}, "requester"),
        ({"client_id": "13"}, "customer"),
        ({"request_changed_at": BORN + SECOND}, "history"),
    ],
)
def test_a_request_that_is_not_what_it_was_begins_again(change: dict[str, Any], named: str) -> None:
    record = record_of(a_case(S.WAITING), Seen(ticket=a_ticket(**change, approval=APPROVED)))
    assert record.event is E.CHANGED
    assert record.facts["changed"] == named
    assert (record.changes["round"], record.changes["approvals"]) == (2, ())


def test_a_client_that_is_mapped_to_another_tenant_now_begins_again() -> None:
    record = record_of(a_case(S.WAITING), policy=replace(POLICY, tenant="fabrikam"))
    assert record.facts["changed"] == "customer"


@pytest.mark.parametrize(
    "change",
    [
        {"subject_text": f"  {WHO.upper()} "},
        {"requester": replace(RITA, name="Rita R.")},
        {"requester": replace(RITA, email="RITA@contoso.example.com")},
        {"reason": "another reason", "title": "another title", "status": "In progress"},
        {"request_changed_at": BORN},
        {"updated_at": NOW},
    ],
)
def test_what_does_not_change_the_request_does_not_start_it_again(change: dict[str, Any]) -> None:
    assert isinstance(step_of(a_case(S.WAITING), Seen(ticket=a_ticket(**change))), Wait)


@pytest.mark.parametrize(
    ("ticket", "since"),
    [
        # The history explains it: approvals of after the change may count.
        ({"request_changed_at": NOW - MINUTE}, NOW - MINUTE),
        # No history, or one that knows of no change: whatever stands there now is void.
        ({"subject_text": "tom@contoso.example.com", "updated_at": NOW}, NOW),
        ({"subject_text": "tom@contoso.example.com", "updated_at": None}, YES.decided_at),
        ({"subject_text": "tom@contoso.example.com", "updated_at": NOW, "request_changed_at": BORN}, NOW),
    ],
)
def test_from_when_approvals_count_after_a_change(ticket: dict[str, Any], since: datetime) -> None:
    record = record_of(a_case(S.WAITING), Seen(ticket=a_ticket(**ticket, approval=APPROVED)))
    assert record.changes["request_since"] == since


def test_a_change_forgets_what_was_done_for_the_request_as_it_was() -> None:
    case = a_case(S.APPROVED, action=Action.BOTH, mfa_done=True, mfa_removed=("fido2",), mfa_left=("x: y",))
    record = records.start_over(case, a_ticket(action=Action.MFA), ["action"])
    after = advance(case, record.event, now=NOW, **record.changes)
    assert (after.mfa_done, after.mfa_removed, after.mfa_left, after.approval) == (False, (), (), None)


@pytest.mark.parametrize(
    "seen", [Seen(gone="It was merged."), Seen(ticket=a_ticket(closed=True)), Seen(ticket=a_ticket(mapped=False))]
)
def test_a_ticket_that_ends_while_waiting_ends_the_case(seen: Seen) -> None:
    record = record_of(a_case(S.WAITING), seen)
    assert (record.event, record.changes["outcome"]) == (E.TICKET_ENDED, Outcome.CANCELLED)
    assert mails(record) == []


# ---------------------------------------------------------------- reminders


def test_the_first_reminder_goes_to_those_who_are_asked_and_the_requester_is_told() -> None:
    bo = Person("Bo", "bo@contoso.example.com")
    ticket = a_ticket(approval=ApprovalReading(Stance.PENDING, approvers=(ANNA, bo, Person("No address"))))
    record = record_of(a_case(S.WAITING), Seen(ticket=ticket), now=BORN + 4 * HOUR)
    assert (record.event, record.changes["reminders"]) == (E.REMINDED, 1)
    letters = [message.body for message in record.messages if isinstance(message.body, Letter)]
    assert [(letter.to, letter.kind) for letter in letters] == [
        ("anna@contoso.example.com", MailKind.APPROVAL_REMINDER),
        ("bo@contoso.example.com", MailKind.APPROVAL_REMINDER),
        ("rita@contoso.example.com", MailKind.APPROVAL_PENDING),
    ]
    assert len({letter.id for letter in letters}) == 3


def test_not_more_than_a_handful_of_approvers_is_reminded() -> None:
    crowd = tuple(Person(f"P{number}", f"p{number}@contoso.example.com") for number in range(50))
    ticket = a_ticket(approval=ApprovalReading(Stance.PENDING, approvers=crowd))
    record = record_of(a_case(S.WAITING), Seen(ticket=ticket), now=BORN + 4 * HOUR)
    assert mails(record).count(MailKind.APPROVAL_REMINDER) == plan.MOST_REMINDED_APPROVERS


@pytest.mark.parametrize(
    ("waited", "given", "number"),
    [
        (4 * HOUR, 0, 1),
        (28 * HOUR - SECOND, 1, 0),
        (28 * HOUR, 1, 2),
        (52 * HOUR, 2, 3),
        (100 * HOUR, 3, 0),
        # After an outage several are due: one goes out and stands for all of them.
        (30 * HOUR, 0, 2),
        (100 * HOUR, 0, 3),
        (100 * HOUR, 1, 3),
    ],
)
def test_which_reminder_is_due(waited: timedelta, given: int, number: int) -> None:
    step = step_of(a_case(S.WAITING, reminders=given), now=BORN + waited)
    assert (step.changes["reminders"] if isinstance(step, Record) else 0) == number


def test_after_the_last_reminder_it_waits_for_the_end() -> None:
    assert step_of(a_case(S.WAITING, reminders=3), now=BORN + 4 * DAY) == Wait(BORN + 7 * DAY)


def test_nobody_is_waited_for_longer_than_to_the_end() -> None:
    timing = Timing(remind_after=30 * DAY, give_up_after=2 * DAY)
    assert step_of(a_case(S.WAITING), policy=replace(POLICY, timing=timing)) == Wait(BORN + 2 * DAY)


def test_a_request_that_nobody_answers_times_out() -> None:
    record = record_of(a_case(S.WAITING), now=BORN + 7 * DAY)
    assert (record.event, record.changes["outcome"]) == (E.NO_ANSWER, Outcome.TIMED_OUT)
    assert mails(record) == [MailKind.TIMED_OUT]
    assert moves(record) == [StatusTarget.CLOSED]


def test_a_yes_that_is_there_beats_the_end_of_waiting() -> None:
    late = BORN + 8 * DAY
    yes = ApprovalReading(Stance.APPROVED, (replace(YES, decided_at=late - MINUTE),))
    assert record_of(a_case(S.WAITING), Seen(ticket=a_ticket(approval=yes)), now=late).event is E.APPROVED


# ---------------------------------------------------------------- approved


@pytest.mark.parametrize(
    ("action", "mfa_done", "step"),
    [
        (Action.PASSWORD, False, Deliver()),
        (Action.MFA, False, RemoveMethods()),
        (Action.BOTH, False, RemoveMethods()),
        (Action.BOTH, True, Deliver()),
        # Whatever else is written down: what was not asked for is not done.
        (Action.MFA, True, RemoveMethods()),
        (Action.PASSWORD, True, Deliver()),
    ],
)
def test_what_is_done_after_the_approval(action: Action, mfa_done: bool, step: Step) -> None:
    assert step_of(a_case(S.APPROVED, action=action, mfa_done=mfa_done), Seen()) == step


def test_the_whole_guard_is_asked_before_a_write() -> None:
    case = a_case(S.APPROVED)
    ticket = a_ticket(approval=APPROVED)
    assert request.judge_write(case, ticket, Seen(ticket=ticket, account=LEA), POLICY, now=NOW) is None
    for seen, code in (
        (Seen(ticket=ticket), "no_account"),
        (Seen(ticket=ticket, account=replace(LEA, enabled=False)), "disabled"),
        (Seen(ticket=ticket, account=replace(LEA, id="another")), "account_replaced"),
    ):
        refusal = request.judge_write(case, ticket, seen, POLICY, now=NOW)
        assert refusal is not None
        assert refusal.code == code
    pending = a_ticket()
    refusal = request.judge_write(case, pending, Seen(ticket=pending, account=LEA), POLICY, now=NOW)
    assert refusal is not None
    assert refusal.code == "not_approved"


@pytest.mark.parametrize(
    ("ticket", "case", "believed"),
    [
        ({"retry_requested": True}, {}, True),
        ({"handed_off": True}, {}, True),
        ({}, {}, False),  # we did not move it
        ({"retry_requested": True}, {"round": 1}, False),  # nothing was ever handed off
        ({"retry_requested": True}, {"approvals": ()}, False),
        ({"retry_requested": True}, {"approvals": (replace(YES, evidence="another"),)}, False),
    ],
)
def test_a_yes_read_before_a_hand_off_is_believed_after_the_ticket_was_moved(
    ticket: dict[str, Any], case: dict[str, Any], believed: bool
) -> None:
    moved = a_ticket(approval=ApprovalReading(Stance.PENDING, (YES,)), **ticket)
    reading = request.believed_approval(a_case(S.WAITING, **{"round": 2, "approvals": (YES,), **case}), moved)
    assert (reading.stance is Stance.APPROVED) is believed


@pytest.mark.parametrize(
    "reading",
    [
        ApprovalReading(Stance.PENDING, (YES,), approvers=(ANNA,)),
        ApprovalReading(Stance.PENDING, ()),
        ApprovalReading(Stance.PENDING, (replace(YES, approved=False), YES)),
        ApprovalReading(Stance.PENDING, (YES, replace(YES, decided_at=NOW))),
        ApprovalReading(Stance.NONE, (YES,)),
        ApprovalReading(Stance.REJECTED, (YES,)),
    ],
)
def test_a_yes_is_not_believed_once_anything_about_the_approval_is_new(reading: ApprovalReading) -> None:
    case = a_case(S.WAITING, round=2, approvals=(YES,))
    assert request.believed_approval(case, a_ticket(approval=reading, retry_requested=True)) == reading


def test_a_believed_yes_runs_out_like_any_other() -> None:
    case = a_case(S.WAITING, round=2, approvals=(YES,), waiting_since=NOW + 2 * DAY)
    ticket = a_ticket(approval=ApprovalReading(Stance.PENDING, (YES,)), retry_requested=True)
    record = record_of(case, Seen(ticket=ticket), now=NOW + 2 * DAY)
    assert (record.event, record.facts["code"]) == (E.HANDED_OFF, "approval_expired")


# ---------------------------------------------------------------- after the methods, after the delivery


def after_methods(case: Case, *removed: str, left: tuple[MethodLeft, ...] = (), interrupted: bool = False) -> Record:
    report = MethodsReport(removed, left)
    record = records.after_methods(case, report, POLICY, interrupted=interrupted, now=NOW)
    advance(case, record.event, now=NOW, **record.changes)
    return record


def test_an_mfa_reset_is_done_when_every_method_is_gone() -> None:
    record = after_methods(a_case(S.APPROVED, action=Action.MFA, mfa_removed=("phone (mobile)",)), "fido2")
    assert (record.event, record.changes["outcome"]) == (E.MFA_DONE, Outcome.MFA_RESET)
    assert record.changes["mfa_removed"] == ("phone (mobile)", "fido2")
    assert mails(record) == [MailKind.MFA_RESET_DONE]
    assert moves(record) == [StatusTarget.CLOSED]
    assert "phone (mobile), fido2" in notes(record)


def test_the_first_half_of_both_is_noted_and_closes_nothing() -> None:
    record = after_methods(a_case(S.APPROVED, action=Action.BOTH), "fido2")
    assert record.event is E.METHODS_REMOVED
    assert (mails(record), moves(record)) == ([], [])
    assert record.changes["mfa_done"]


def test_what_is_left_is_a_persons_business() -> None:
    left = (MethodLeft("certificate", "managed elsewhere"),)
    record = after_methods(a_case(S.APPROVED, action=Action.BOTH), "fido2", left=left)
    assert (record.event, record.changes.get("mfa_done")) == (E.HANDED_OFF, None)
    assert record.changes["mfa_left"] == ("certificate: managed elsewhere",)
    assert "certificate: managed elsewhere" in notes(record)


def test_an_interrupted_try_is_not_passed_over_in_silence() -> None:
    assert records.BY_A_DEAD_TRY in notes(after_methods(a_case(S.APPROVED, action=Action.MFA), interrupted=True))
    assert "none were registered" in notes(after_methods(a_case(S.APPROVED, action=Action.MFA)))


def test_after_the_mail_with_the_link_the_case_knows_the_link_and_its_end() -> None:
    case = a_case(S.APPROVED, link_id="lnk_2", views_used=1)
    link = Link("lnk_2", Secret("https://links.example.com/s/x"), NOW + HOUR, 2)
    record = link_story.after_delivery(case, link, POLICY, now=NOW)
    after = advance(case, record.event, now=NOW, **record.changes)
    assert (after.state, after.link_expires_at, after.views_allowed, after.views_used) == (S.LINK_OUT, NOW + HOUR, 2, 0)
    assert (after.written_at, after.due_at) == (NOW, NOW + HOUR + link_story.LATE_EXPIRY)
    assert "links.example.com" not in repr(record)


def test_the_mail_with_the_link_names_no_secret_and_goes_to_the_requester() -> None:
    letter = link_story.password_letter(a_case(S.APPROVED), "lnk_2", NOW + HOUR, POLICY, now=NOW)
    assert letter is not None
    assert (letter.to, letter.kind) == (RITA.email, MailKind.PASSWORD_READY)
    assert link_story.password_letter(a_case(S.APPROVED, requester=None), "lnk_2", NOW, POLICY, now=NOW) is None


@pytest.mark.parametrize(("left", "said"), [(HOUR, "60"), (HOUR - 20 * SECOND, "60"), (45 * MINUTE, "45")])
def test_the_mail_with_the_link_says_how_long_that_link_really_works(left: timedelta, said: str) -> None:
    letter = link_story.password_letter(a_case(S.APPROVED), "lnk_2", NOW + left, POLICY, now=NOW)
    assert letter is not None
    assert letter.facts["lifetime_minutes"] == said


# ---------------------------------------------------------------- the story of a link


def told(seq: int, kind: LinkEventKind, *, link: str = "lnk_2", **more: Any) -> LinkEvent:
    return LinkEvent(seq=seq, link_id=link, kind=kind, at=NOW, **more)


def reveal(seq: int, *, link: str = "lnk_2", view: int = 1) -> LinkEvent:
    return told(seq, K.REVEALED, link=link, view=view, views_left=2 - view, ip=f"203.0.113.{seq}")


def a_case_with_a_link(state: State = S.LINK_OUT, **changes: Any) -> Case:
    return a_case(state, link_id="lnk_2", link_expires_at=NOW + HOUR, views_allowed=2, **changes)


def test_nothing_new_about_a_link_is_waiting_for_its_end() -> None:
    assert step_of(a_case_with_a_link(), Seen()) == Wait(NOW + HOUR + link_story.LATE_EXPIRY)


@pytest.mark.parametrize("kind", [K.CREATED, K.PAGE_OPENED, K.REFUSED])
def test_a_link_that_was_only_looked_at_is_not_opened(kind: LinkEventKind) -> None:
    assert isinstance(step_of(a_case_with_a_link(), Seen(link_events=[told(5, kind)])), Wait)


def test_the_first_reveal_opens_and_closes() -> None:
    record = record_of(a_case_with_a_link(), Seen(link_events=[reveal(5)]))
    assert (record.event, record.changes["outcome"]) == (E.OPENED, Outcome.OPENED)
    assert (record.changes["link_seq"], record.changes["views_used"]) == (5, 1)
    assert mails(record) == [MailKind.LINK_ACCESSED]
    assert moves(record) == [StatusTarget.CLOSED]
    assert "203.0.113.5" in notes(record)


def test_each_reveal_has_a_note_and_a_mail_of_its_own() -> None:
    record = record_of(a_case_with_a_link(), Seen(link_events=[reveal(5), reveal(6, view=2)]))
    assert mails(record) == [MailKind.LINK_ACCESSED] * 2
    assert len({message.key for message in record.messages}) == len(record.messages)
    assert record.changes["views_used"] == 2


@pytest.mark.parametrize("order", [[K.EXPIRED, K.REVEALED], [K.REVEALED, K.EXPIRED]])
def test_opened_beats_expired_in_whatever_order_they_are_told(order: list[LinkEventKind]) -> None:
    events = [reveal(seq) if kind is K.REVEALED else told(seq, kind) for seq, kind in enumerate(order, start=5)]
    record = record_of(a_case_with_a_link(), Seen(link_events=events))
    assert record.event is E.OPENED
    assert record.changes["link_seq"] == 6


def test_an_end_without_a_reveal_is_expired() -> None:
    record = record_of(a_case_with_a_link(), Seen(link_events=[told(5, K.EXPIRED)]))
    assert (record.event, record.changes["outcome"]) == (E.EXPIRED, Outcome.EXPIRED)
    assert mails(record) == [MailKind.LINK_EXPIRED]
    assert moves(record) == [StatusTarget.CLOSED]


@pytest.mark.parametrize("kind", [K.EXPIRED, K.REVOKED])
def test_the_end_of_an_older_link_does_not_move_the_case(kind: LinkEventKind) -> None:
    assert isinstance(step_of(a_case_with_a_link(), Seen(link_events=[told(5, kind, link="lnk_1")])), Wait)


def test_a_reveal_of_an_older_link_is_told_at_once_and_the_newest_one_waited_for_as_before() -> None:
    case = a_case_with_a_link()
    waits = step_of(case, Seen())
    assert isinstance(waits, Wait)
    record = record_of(case, Seen(link_events=[reveal(5, link="lnk_1")]))
    assert (record.event, mails(record), record.changes["link_seq"]) == (E.LATE_REVEAL, [MailKind.LINK_ACCESSED], 5)
    assert (record.changes["due_at"], record.changes["views_used"]) == (waits.until, 0)
    assert "203.0.113.5" in notes(record)
    assert moves(record) == []


@pytest.mark.parametrize("end", [reveal(6), told(6, K.EXPIRED), told(6, K.REVOKED)])
def test_a_reveal_of_an_older_link_is_told_at_the_latest_when_the_newest_one_ends(end: LinkEvent) -> None:
    record = record_of(a_case_with_a_link(), Seen(link_events=[reveal(5, link="lnk_1"), end]))
    assert "203.0.113.5" in notes(record)
    assert MailKind.LINK_ACCESSED in mails(record)


def test_a_link_revoked_by_somebody_else_is_handed_off() -> None:
    record = record_of(a_case_with_a_link(), Seen(link_events=[told(5, K.REVOKED)]))
    assert (record.event, record.facts["code"]) == (E.HANDED_OFF, "link_revoked")
    assert record.changes["link_seq"] == 5


@pytest.mark.parametrize("state", [S.CLOSED, S.NEEDS_PERSON])
def test_a_late_reveal_is_told_and_leaves_the_case_where_it_is(state: State) -> None:
    record = record_of(a_case_with_a_link(state), Seen(ticket=a_ticket(), link_events=[reveal(9, view=2)]))
    assert record.event is E.LATE_REVEAL
    assert mails(record) == [MailKind.LINK_ACCESSED]
    assert moves(record) == []
    assert (record.changes["views_used"], record.changes["due_at"]) == (2, None)


@pytest.mark.parametrize("state", [S.CLOSED, S.NEEDS_PERSON, S.LINK_OUT])
def test_what_was_taken_in_before_is_not_told_again(state: State) -> None:
    case = a_case_with_a_link(state, link_seq=9)
    assert isinstance(step_of(case, Seen(ticket=a_ticket(), link_events=[reveal(9)])), Wait)


@pytest.mark.parametrize("kind", [K.EXPIRED, K.REVOKED, K.PAGE_OPENED])
def test_the_end_of_a_link_of_a_closed_case_is_no_news(kind: LinkEventKind) -> None:
    assert step_of(a_case_with_a_link(S.CLOSED), Seen(link_events=[told(9, kind)])) == Wait(None)


def test_a_silent_link_service_is_asked_again_and_in_the_end_a_person_is_called() -> None:
    case = a_case_with_a_link()
    end = NOW + HOUR
    overdue = end + link_story.LATE_EXPIRY
    assert step_of(case, Seen(), now=overdue) == Wait(overdue + link_story.ASK_AGAIN)
    record = record_of(case, Seen(), now=end + link_story.LONGEST_SILENCE)
    assert (record.event, record.facts["code"]) == (E.HANDED_OFF, "link_silent")


@given(st.lists(st.tuples(st.sampled_from(list(K)), st.booleans()), max_size=8), st.sampled_from(list(S)))
def test_no_reveal_is_ever_taken_in_without_being_told(story: list[tuple[LinkEventKind, bool]], state: State) -> None:
    events = [
        replace(reveal(seq) if kind is K.REVEALED else told(seq, kind), link_id="lnk_2" if own else "lnk_1")
        for seq, (kind, own) in enumerate(story, start=1)
    ]
    step = step_of(a_case_with_a_link(state, due_at=None), Seen(ticket=a_ticket(), account=LEA, link_events=events))
    if isinstance(step, Record) and "link_seq" in step.changes:
        taken_in = [event for event in events if event.kind is K.REVEALED and event.seq <= step.changes["link_seq"]]
        assert mails(step).count(MailKind.LINK_ACCESSED) == len(taken_in)
        for event in taken_in:
            assert event.ip in notes(step)


# ---------------------------------------------------------------- endings and people


@pytest.mark.parametrize("state", sorted(ENDING))
def test_an_ending_is_finished_without_another_word(state: State) -> None:
    record = record_of(a_case(state), Seen(link_events=[reveal(5)]))
    assert (record.event, record.messages, record.changes) == (E.FINISHED, (), {"due_at": None})


def test_a_closed_case_waits_for_nothing() -> None:
    assert step_of(a_case(S.CLOSED), Seen()) == Wait(None)


def test_a_case_that_needs_a_person_waits_for_one() -> None:
    assert step_of(a_case(S.NEEDS_PERSON)) == Wait(None)


def test_the_retry_status_begins_a_new_round() -> None:
    record = record_of(a_case(S.NEEDS_PERSON, round=2), Seen(ticket=a_ticket(retry_requested=True)))
    assert (record.event, record.changes["round"]) == (E.RETRIED, 3)


def test_a_ticket_that_never_leaves_the_retry_status_is_not_tried_for_ever() -> None:
    case = a_case(S.NEEDS_PERSON, round=plan.MOST_ROUNDS)
    assert step_of(case, Seen(ticket=a_ticket(retry_requested=True))) == Wait(None)


@pytest.mark.parametrize("seen", [Seen(gone="It was merged."), Seen(ticket=a_ticket(closed=True))])
def test_closing_the_ticket_ends_what_a_person_had_taken_over(seen: Seen) -> None:
    assert record_of(a_case(S.NEEDS_PERSON), seen).event is E.TICKET_ENDED


@pytest.mark.parametrize("state", [S.RECEIVED, S.WAITING, S.APPROVED, S.LINK_OUT, S.NEEDS_PERSON])
def test_an_admin_can_cancel_whatever_is_open(state: State) -> None:
    case = a_case(state)
    record = records.cancel(case, "the admin")
    after = advance(case, record.event, now=NOW, **record.changes)
    assert (after.state, after.outcome) == (S.CANCELLED, Outcome.CANCELLED)
    assert "Cancelled by the admin." in notes(record)


def test_each_round_and_each_state_has_notes_of_its_own() -> None:
    refusal = Refusal("code", "Because.", "Do this.", "Told.")
    written = [records.hand_off(a_case(state, round=number), refusal) for state in (S.WAITING, S.APPROVED)
               for number in (1, 2)]  # fmt: skip
    keys = [message.key for record in written for message in record.messages]
    assert len(set(keys)) == len(keys)
    markers = {
        message.body.marker for record in written for message in record.messages if isinstance(message.body, Note)
    }
    assert len(markers) == len(written)


def test_markers_differ_between_cases() -> None:
    assert messages.marker(a_case(S.WAITING), "recognised:1") != messages.marker(
        a_case(S.WAITING, id="case-2"), "recognised:1"
    )
