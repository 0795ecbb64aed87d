"""Decides the next single step of a case from what is true now. Pure: no I/O, time is a parameter.

`needs` says what has to be looked at, `next_step` decides. The steps that change an account (`RemoveMethods`,
`Deliver`) are only named here; the reconciler carries them out, after a fresh look and `judge_write`, and asks
`after_methods` or `after_delivery` what to write down.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from connector.core import notes, refusals
from connector.core.case import Case, Outcome, State
from connector.core.guard import Refusal
from connector.core.link_story import LATE_EXPIRY, look_for_proof, tell_link_story, wait_for_link
from connector.core.lockout import reads_like_a_lockout
from connector.core.machine import ENDING, Event
from connector.core.messages import (
    approval_facts,
    close_row,
    letter_to_requester,
    mail_rows,
    note_row,
    whole_minutes,
    yes_or_nothing,
)
from connector.core.ports import MailKind, Message, Stance, StatusTarget, Ticket, Timing
from connector.core.records import end, hand_off, retry, start_over, void
from connector.core.request import (
    believed_approval,
    differences,
    judge_approval_of,
    refuse_request,
    subject_as_recognised,
    what_is_taken_over,
)
from connector.core.steps import Deliver, Needs, Policy, Record, RemoveMethods, Secure, Seen, Step, Wait

MOST_REMINDED_APPROVERS = 5


MOST_ROUNDS = 5
"""How often the retry status of a ticket begins a new round; beyond it only `connector retry` does."""


def needs(case: Case, *, now: datetime) -> Needs:
    """What has to be read for this state. The steps that write read again by themselves."""
    match case.state:
        case State.RECEIVED:
            return Needs(ticket=True, account=True)
        case State.WAITING:
            return Needs(ticket=True, approval=True)
        case State.NEEDS_PERSON:
            return Needs(ticket=True)
        case State.LINK_OUT:
            overdue = case.link_expires_at is not None and now >= case.link_expires_at + LATE_EXPIRY
            return Needs(fresh_link_events=overdue, proof=case.proof is not None and now >= case.proof.look_at)
        case _:
            return Needs()


def next_step(case: Case, seen: Seen, policy: Policy, *, now: datetime) -> Step:
    """The next step of this case.

    A repeat with the same arguments decides the same.
    """
    late = tell_link_story(case, seen, policy)
    if late is not None:
        return late
    if case.state in ENDING:
        return Record(event=Event.FINISHED, changes={"due_at": None})
    match case.state:
        case State.ALARMED:
            return Secure()
        case State.RECEIVED:
            return _receive(case, seen, policy, now)
        case State.WAITING:
            return _wait(case, seen, policy, now)
        case State.APPROVED:
            assert case.action is not None  # noqa: S101 - the machine lets no case without action come here
            if case.action.resets_password and (case.mfa_done or not case.action.resets_mfa):
                return Deliver()
            return RemoveMethods()
        case State.LINK_OUT:
            if case.proof is not None and now >= case.proof.look_at:
                return look_for_proof(case, case.proof, seen, now)
            return wait_for_link(case, now)
        case State.NEEDS_PERSON:
            return _wait_for_person(case, seen)
        case _:
            return Wait(None)


def _receive(case: Case, seen: Seen, policy: Policy, now: datetime) -> Step:
    ticket = seen.ticket
    if ticket is None or ticket.closed or not ticket.mapped:
        return end(case, ticket, seen)
    copied = what_is_taken_over(case, ticket, policy)
    if seen.account is not None:
        copied |= {
            "subject_id": seen.account.id,
            "subject_name": notes.quote(seen.account.display_name) or seen.account.upn,
            "requester_ids": seen.requester_ids,
        }
    case = replace(case, **copied)
    refusal = refuse_request(ticket, seen, policy)
    if refusal is not None:
        return hand_off(case, refusal, changes=copied)
    changes = {**copied, "waiting_since": now, "reminders": 0, "explanation": ""}
    case = replace(case, **changes)
    password = case.action is not None and case.action.resets_password
    hints = notes.Hints(lockout=password and reads_like_a_lockout(ticket.reason),
                        helps_itself=password and seen.helps_itself is True)  # fmt: skip
    # Never public where it tells of other tickets: who asks for one half need not know of the other.
    key = f"{'recognised_beside' if seen.related else 'recognised'}:{case.round}"
    return Record(
        event=Event.RECOGNISED,
        changes=changes,
        messages=(
            note_row(
                case,
                key,
                notes.recognised(
                    case,
                    lifetime=policy.lifetime,
                    views=policy.views,
                    approvers=ticket.approval.approvers,
                    related=seen.related,
                    hints=hints,
                ),
            ),
            Message(key=f"working:{case.round}", body=StatusTarget.WORKING),
            *mail_rows(
                case,
                f"confirmation:{case.round}",
                MailKind.REQUEST_CONFIRMATION,
                lifetime_minutes=whole_minutes(policy.lifetime),
                views=str(policy.views),
                lockout=yes_or_nothing(hints.lockout),
                helps_itself=yes_or_nothing(hints.helps_itself),
            ),
        ),
        facts={
            "action": str(case.action),
            "subject": case.subject,
            "subject_id": case.subject_id,
            "requester": notes.name(case.requester),
            "tenant": case.tenant,
            **({"lockout": "yes"} if hints.lockout else {}),
        },
    )


def _wait(case: Case, seen: Seen, policy: Policy, now: datetime) -> Step:
    ticket = seen.ticket
    # Request Tracker closes a ticket by itself when its approval is rejected; that is a no, not an agent's closing.
    rejected = ticket is not None and ticket.mapped and ticket.approval.stance is Stance.REJECTED
    if ticket is None or not ticket.mapped or (ticket.closed and not rejected):
        return end(case, ticket, seen)
    different = differences(case, ticket, policy)
    if different:
        return start_over(case, ticket, different)
    if ticket.taken_by:
        return hand_off(case, refusals.taken_by_agent(ticket.taken_by))
    reading = believed_approval(case, ticket)
    if reading.stance is Stance.REJECTED:
        return _reject(case, ticket, policy)
    if reading.stance is Stance.APPROVED:
        # The account is read right before the write, not here: it would be read twice within a second.
        refusal = judge_approval_of(case, ticket, subject_as_recognised(case), policy, seen=seen, now=now)
        if refusal is None:
            return _approve(case, ticket, policy)
        if not refusal.void:
            return hand_off(case, refusal)
        doubt = void(case, ticket, refusal)
        if doubt.changes["void_said"] != case.void_said:
            return doubt
    elif reading.reason:
        unclear = Refusal("not_approved", reading.reason, "Start the approval again in the PSA.", "", void=True)
        doubt = void(case, ticket, unclear)
        if doubt.changes["void_said"] != case.void_said:
            return doubt
    return _remind(case, ticket, seen, policy, now)


def _remind(case: Case, ticket: Ticket, seen: Seen, policy: Policy, now: datetime) -> Step:
    timing = policy.timing
    since = case.waiting_since or now
    end = since + timing.give_up_after
    if now >= end:
        return Record(
            event=Event.NO_ANSWER,
            changes={"outcome": Outcome.TIMED_OUT, "explanation": f"nobody approved within {notes.span(now - since)}"},
            messages=(
                note_row(case, f"timed_out:{case.round}", notes.timed_out(timing.give_up_after)),
                *mail_rows(
                    case,
                    f"timed_out_mail:{case.round}",
                    MailKind.TIMED_OUT,
                    waited_days=str(max(1, timing.give_up_after.days)),
                ),
                close_row(case),
            ),
        )
    if case.reminders >= timing.reminders:
        return Wait(end)
    reminder_at = _reminder_at(since, case.reminders, timing)
    if now < reminder_at:
        return Wait(min(reminder_at, end))
    # After days of an outage several are due: one goes out, and the others count as given.
    count = case.reminders + 1
    while count < timing.reminders and _reminder_at(since, count, timing) <= now:
        count += 1
    asked = ticket.approval.approvers[:MOST_REMINDED_APPROVERS]
    key = f"reminder:{case.round}:{count}"
    return Record(
        event=Event.REMINDED,
        changes={"reminders": count},
        messages=(
            note_row(case, key, notes.reminded(count, timing.reminders, asked, by_psa=timing.psa_reminds)),
            *(
                Message(
                    key=f"{key}:approver:{index}",
                    body=replace(
                        letter,
                        to=person.email,
                        to_name=person.name,
                        facts={
                            **letter.facts,
                            "requester_name": case.requester.name if case.requester else "",
                            "waiting_since": since.isoformat(),
                            "closes_at": end.isoformat(),
                            "reason": notes.quote(case.reason),
                            "related": "\n".join(seen.related),
                        },
                    ),
                )
                for index, person in enumerate(() if timing.psa_reminds else asked)
                if person.email
                and (letter := letter_to_requester(case, f"{key}:approver:{index}", MailKind.APPROVAL_REMINDER))
                is not None
            ),
            *mail_rows(
                case,
                f"{key}:requester",
                MailKind.APPROVAL_PENDING,
                waiting_since=since.isoformat(),
                reminder_number=str(count),
                closes_at=end.isoformat(),
            ),
        ),
        facts={"reminder": str(count)},
    )


def _reminder_at(since: datetime, given: int, timing: Timing) -> datetime:
    """When the next reminder is due after so many that were given."""
    wait = timing.remind_after + given * timing.remind_every
    return timing.hours.after(since, wait) if timing.hours else since + wait


def _approve(case: Case, ticket: Ticket, policy: Policy) -> Record:
    approval = ticket.approval.decisions[-1]
    return Record(
        event=Event.APPROVED,
        changes={"approvals": ticket.approval.decisions},
        # No note of its own: the note on what was done, or why it was not, names the approval too.
        messages=mail_rows(
            case,
            f"approved_mail:{case.round}",
            MailKind.REQUEST_APPROVED,
            approver_name=notes.quote(approval.approver.name),
            lifetime_minutes=whole_minutes(policy.lifetime),
        ),
        facts=approval_facts(ticket.approval.decisions),
    )


def _reject(case: Case, ticket: Ticket, policy: Policy) -> Record:
    no = next((decision for decision in reversed(ticket.approval.decisions) if not decision.approved), None)
    return Record(
        event=Event.REJECTED,
        changes={"approvals": (no,) if no else (), "outcome": Outcome.REJECTED, "explanation": "rejected in the PSA"},
        messages=(
            note_row(case, f"rejected:{case.round}", notes.rejected(no, policy.pen)),
            *mail_rows(
                case,
                f"declined:{case.round}",
                MailKind.REQUEST_DECLINED,
                approver_name=notes.quote(no.approver.name) if no else "",
                approver_comment=notes.quote(no.comment) if no else "",
            ),
            *(() if ticket.closed else (close_row(case),)),
        ),
        facts=approval_facts((no,) if no else ()),
    )


def _wait_for_person(case: Case, seen: Seen) -> Step:
    ticket = seen.ticket
    if ticket is None or ticket.closed:
        return end(case, ticket, seen)
    # A ticket that cannot be moved out of the retry status (no status is mapped, or the PSA refuses the move) still
    # stands there after the next hand-off, and again after that.
    return retry(case) if ticket.retry_requested and case.round < MOST_ROUNDS else Wait(None)
