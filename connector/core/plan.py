"""Decides the next single step of a case from what is true now. Pure: no I/O, time is a parameter.

`needs` says what has to be looked at, `next_step` decides. The steps that change an account (`RemoveMethods`,
`Deliver`) are only named here; the reconciler carries them out, after a fresh look and `judge_write`, and asks
`after_methods` or `after_delivery` what to write down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from connector.core import notes, proof, refusals
from connector.core.case import Action, Approval, Case, Outcome, Person, Proof, State
from connector.core.guard import AccountFacts, ApprovalFacts, Refusal, judge_account, judge_approval
from connector.core.lockout import reads_like_a_lockout
from connector.core.machine import ENDING, Event
from connector.core.ports import (
    Account,
    ApprovalReading,
    AuditEntry,
    Letter,
    Link,
    LinkEvent,
    LinkEventKind,
    MailKind,
    Message,
    MethodsReport,
    Note,
    Stance,
    StatusTarget,
    Ticket,
    Timing,
)
from connector.core.subject import read_subject

MOST_REMINDED_APPROVERS = 5
BY_A_DEAD_TRY = "whatever an interrupted earlier try removed"
MOST_ROUNDS = 5
"""How often the retry status of a ticket begins a new round; beyond it only `connector retry` does."""
YOUNG_TICKET = timedelta(minutes=10)
"""How soon after its creation an unwatched ticket must have been approved for the approval to count."""

OWN_TOUCH_OF_A_DECISION = timedelta(seconds=10)
"""A decision itself updates the ticket; for how long after it an update is taken for that."""

LATE_EXPIRY = timedelta(seconds=5)
"""How long after a link's end its service is asked for the last events, if it has not told by itself."""

ASK_AGAIN = timedelta(seconds=30)
"""How often it is asked then: its clock may be behind ours."""

LONGEST_SILENCE = timedelta(minutes=15)
"""After that nobody believes any more that the end will be told."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The configuration that applies to one case.

    Attributes:
        tenant: The customer's tenant, or empty when no tenant is mapped to the ticket's client.
        approvers: Folded addresses, or `None` where the PSA's process names them.
        senders: Folded addresses from which we send our own mails.
    """

    tenant: str
    approvers: frozenset[str] | None
    timing: Timing
    lifetime: timedelta = timedelta(minutes=60)
    views: int = 2
    zone: tzinfo = UTC
    senders: frozenset[str] = frozenset()

    @property
    def pen(self) -> notes.Pen:
        return notes.Pen(self.zone)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was read for this decision. `ticket` is `None` when it is gone, or when it was not needed.

    Attributes:
        gone: Why the ticket cannot be read any more; empty when it can, or was not needed.
        account_problem: Why there is no account; a refusal ready to be used.
        requester_ids: Identities of the requester's own account in the customer's tenant, aliases included.
        home: The tenant of ours that a foreign account belongs to, if any.
        helps_itself: Whether the account's owner can reset the password alone; `None` where that is not known.
        link_events: New ones of this case, oldest first.
    """

    ticket: Ticket | None = None
    gone: str = ""
    account: Account | None = None
    account_problem: Refusal | None = None
    requester_ids: frozenset[str] = frozenset()
    home: str = ""
    helps_itself: bool | None = None
    link_events: Sequence[LinkEvent] = ()


@dataclass(frozen=True)
class Needs:
    """What must be read before `next_step` can decide.

    Attributes:
        proof: The account by its id, as far as it can be read: nothing waits for it.
    """

    ticket: bool = False
    account: bool = False
    fresh_link_events: bool = False
    proof: bool = False


@dataclass(frozen=True)
class Wait:
    """Nothing to do before `until`; `None`: before something outside changes."""

    until: datetime | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """Write it down: an event of the machine with what belongs to it, in one transaction."""

    event: Event
    changes: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[Message] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    def audit(self, case: Case, now: datetime) -> AuditEntry:
        return AuditEntry(at=now, case_id=case.id, event=self.event.value, facts=self.facts)


@dataclass(frozen=True)
class RemoveMethods:
    """Remove the authentication methods, after a fresh look."""


@dataclass(frozen=True)
class Deliver:
    """Make a link, set a new password behind it and mail it, after a fresh look."""


Step = Wait | Record | RemoveMethods | Deliver


# ---------------------------------------------------------------- what to look at


def needs(case: Case, *, now: datetime) -> Needs:
    """What has to be read for this state. The steps that write read again by themselves."""
    match case.state:
        case State.RECEIVED:
            return Needs(ticket=True, account=True)
        case State.WAITING | State.NEEDS_PERSON:
            return Needs(ticket=True)
        case State.LINK_OUT:
            overdue = case.link_expires_at is not None and now >= case.link_expires_at + LATE_EXPIRY
            return Needs(fresh_link_events=overdue, proof=case.proof is not None and now >= case.proof.look_at)
        case _:
            return Needs()


# ---------------------------------------------------------------- deciding


def next_step(case: Case, seen: Seen, policy: Policy, *, now: datetime) -> Step:
    """The next step of this case.

    A repeat with the same arguments decides the same.
    """
    if case.state in ENDING:
        return Record(event=Event.FINISHED, changes={"due_at": None})
    late = _link_story(case, seen, policy)
    if late is not None:
        return late
    match case.state:
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
                return _look_for_proof(case, case.proof, seen, now)
            return _wait_for_link(case, now)
        case State.NEEDS_PERSON:
            return _wait_for_person(case, seen)
        case _:
            return Wait(None)


def _receive(case: Case, seen: Seen, policy: Policy, now: datetime) -> Step:
    ticket = seen.ticket
    if ticket is None or ticket.closed or not ticket.mapped:
        return end(case, ticket, seen)
    copied = _taken_over(case, ticket, policy)
    if seen.account is not None:
        copied |= {
            "subject_id": seen.account.id,
            "subject_name": seen.account.display_name or seen.account.upn,
            "requester_ids": seen.requester_ids,
        }
    case = replace(case, **copied)
    refusal = _refuse_request(ticket, seen, policy)
    if refusal is not None:
        return hand_off(case, refusal, changes=copied)
    changes = {**copied, "waiting_since": now, "reminders": 0, "explanation": ""}
    case = replace(case, **changes)
    password = case.action is not None and case.action.resets_password
    hints = notes.Hints(lockout=password and reads_like_a_lockout(ticket.reason),
                        helps_itself=password and seen.helps_itself is True)  # fmt: skip
    key = f"recognised:{case.round}"
    return Record(
        event=Event.RECOGNISED,
        changes=changes,
        messages=(
            _note(
                case,
                key,
                notes.recognised(
                    case,
                    lifetime=policy.lifetime,
                    views=policy.views,
                    approvers=ticket.approval.approvers,
                    hints=hints,
                ),
            ),
            Message(key=f"working:{case.round}", body=StatusTarget.WORKING),
            *_mail(
                case,
                f"confirmation:{case.round}",
                MailKind.REQUEST_CONFIRMATION,
                lifetime_minutes=_minutes(policy.lifetime),
                views=str(policy.views),
                lockout=_yes(hints.lockout),
                helps_itself=_yes(hints.helps_itself),
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
    reading = believed_approval(case, ticket)
    if reading.stance is Stance.REJECTED:
        return _reject(case, ticket, policy)
    if reading.stance is Stance.APPROVED:
        # The account is read right before the write, not here: it would be read twice within a second.
        refusal = _judge_approval(case, ticket, _subject_as_recognised(case), policy, now=now)
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
    return _remind(case, ticket, policy, now)


def _remind(case: Case, ticket: Ticket, policy: Policy, now: datetime) -> Step:
    timing = policy.timing
    since = case.waiting_since or now
    end = since + timing.give_up_after
    if now >= end:
        return Record(
            event=Event.NO_ANSWER,
            changes={"outcome": Outcome.TIMED_OUT, "explanation": f"nobody approved within {notes.span(now - since)}"},
            messages=(
                _note(case, f"timed_out:{case.round}", notes.timed_out(timing.give_up_after)),
                *_mail(
                    case,
                    f"timed_out_mail:{case.round}",
                    MailKind.TIMED_OUT,
                    waited_days=str(max(1, timing.give_up_after.days)),
                ),
                _close(case),
            ),
        )
    if case.reminders >= timing.reminders:
        return Wait(end)
    reminder_at = since + timing.remind_after + case.reminders * timing.remind_every
    if now < reminder_at:
        return Wait(min(reminder_at, end))
    # After days of an outage several are due: one goes out, and the others count as given.
    count = case.reminders + 1
    while count < timing.reminders and since + timing.remind_after + count * timing.remind_every <= now:
        count += 1
    asked = ticket.approval.approvers[:MOST_REMINDED_APPROVERS]
    key = f"reminder:{case.round}:{count}"
    return Record(
        event=Event.REMINDED,
        changes={"reminders": count},
        messages=(
            _note(case, key, notes.reminded(count, timing.reminders, asked)),
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
                        },
                    ),
                )
                for index, person in enumerate(asked)
                if person.email
                and (letter := _letter(case, f"{key}:approver:{index}", MailKind.APPROVAL_REMINDER)) is not None
            ),
            *_mail(
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


def _approve(case: Case, ticket: Ticket, policy: Policy) -> Record:
    approval = ticket.approval.decisions[-1]
    return Record(
        event=Event.APPROVED,
        changes={"approval": approval},
        # No note of its own: the note on what was done, or why it was not, names the approval too.
        messages=_mail(
            case,
            f"approved_mail:{case.round}",
            MailKind.REQUEST_APPROVED,
            approver_name=notes.quote(approval.approver.name),
            lifetime_minutes=_minutes(policy.lifetime),
        ),
        facts=_approval_facts(approval),
    )


def _reject(case: Case, ticket: Ticket, policy: Policy) -> Record:
    no = next((decision for decision in reversed(ticket.approval.decisions) if not decision.approved), None)
    return Record(
        event=Event.REJECTED,
        changes={"approval": no, "outcome": Outcome.REJECTED, "explanation": "rejected in the PSA"},
        messages=(
            _note(case, f"rejected:{case.round}", notes.rejected(no, policy.pen)),
            *_mail(
                case,
                f"declined:{case.round}",
                MailKind.REQUEST_DECLINED,
                approver_name=notes.quote(no.approver.name) if no else "",
                approver_comment=notes.quote(no.comment) if no else "",
            ),
            *(() if ticket.closed else (_close(case),)),
        ),
        facts=_approval_facts(no) if no else {},
    )


def _wait_for_person(case: Case, seen: Seen) -> Step:
    ticket = seen.ticket
    if ticket is None or ticket.closed:
        return end(case, ticket, seen)
    # A ticket that cannot be moved out of the retry status (no status is mapped, or the PSA refuses the move) still
    # stands there after the next hand-off, and again after that.
    return retry(case) if ticket.retry_requested and case.round < MOST_ROUNDS else Wait(None)


def _wait_for_link(case: Case, now: datetime) -> Step:
    """No news of the link. Its end is the link service's to tell: by its clock, and from all events up to now."""
    if case.link_expires_at is None:
        return Wait(None)
    overdue = now - case.link_expires_at
    if overdue < LATE_EXPIRY:
        return Wait(_next_look(case))
    if overdue < LONGEST_SILENCE:
        return Wait(now + ASK_AGAIN)
    return hand_off(
        case,
        refusals.link_silent(notes.span(LONGEST_SILENCE)),
    )


def _next_look(case: Case) -> datetime | None:
    """When a case whose link is out is looked at, if nothing happens before."""
    end = case.link_expires_at + LATE_EXPIRY if case.link_expires_at else None
    look = case.proof.look_at if case.proof else None
    return min((moment for moment in (end, look) if moment is not None), default=None)


def _look_for_proof(case: Case, open_one: Proof, seen: Seen, now: datetime) -> Record:
    """The directory's word on what it accepted. Nothing depends on it but what the agent is told."""
    left = proof.look_again(open_one, seen.account, now=now)
    if left is None:
        changes = {"proof": None}
        facts = {"shown": ", ".join(open_one.missing)}
        return Record(event=Event.CONFIRMED, changes={**changes, "due_at": _next_look(replace(case, proof=None))},
                      facts=facts)  # fmt: skip
    if not proof.is_given_up(left):
        due = _next_look(replace(case, proof=left))
        return Record(event=Event.NOT_CONFIRMED, changes={"proof": left, "due_at": due},
                      facts={"missing": ", ".join(left.missing), "look": str(left.looks)})  # fmt: skip
    return Record(
        event=Event.NOT_CONFIRMED,
        changes={"proof": None, "due_at": _next_look(replace(case, proof=None))},
        messages=(_note(case, f"unproven:{case.link_id}", notes.not_confirmed(left.missing)),),
        facts={"missing": ", ".join(left.missing), "look": str(left.looks)},
    )


def _link_story(case: Case, seen: Seen, policy: Policy) -> Record | None:
    """What new link events mean. Reveals come before everything else; at most one record per call."""
    events = [event for event in seen.link_events if event.seq > case.link_seq]
    if not events:
        return None
    seq = max(event.seq for event in events)
    reveals = [event for event in events if event.kind is LinkEventKind.REVEALED]
    own = [event for event in reveals if event.link_id == case.link_id]
    messages = tuple(message for event in reveals for message in _reveal_messages(case, event, policy))
    changes: dict[str, Any] = {"link_seq": seq, "views_used": max([case.views_used, *(event.view for event in own)])}
    facts = {"ip": reveals[-1].ip, "place": reveals[-1].place, "views": str(len(reveals))} if reveals else {}
    if case.state is State.LINK_OUT:
        if own:
            return Record(
                event=Event.OPENED,
                changes={**changes, "outcome": Outcome.OPENED, "explanation": "the link was opened"},
                messages=(*messages, _close(case)),
                facts=facts,
            )
        ended = next((e for e in events if e.link_id == case.link_id and e.kind is LinkEventKind.EXPIRED), None)
        if ended is not None:
            return Record(
                event=Event.EXPIRED,
                changes={**changes, "outcome": Outcome.EXPIRED, "explanation": "the link expired unopened"},
                messages=(
                    *messages,
                    _note(case, f"expired:{case.round}", notes.expired(ended.at, policy.pen)),
                    *_mail(case, f"expired_mail:{case.round}", MailKind.LINK_EXPIRED, expired_at=ended.at.isoformat()),
                    _close(case),
                ),
                facts={"expired_at": ended.at.isoformat()},
            )
        if any(e.link_id == case.link_id and e.kind is LinkEventKind.REVOKED for e in events):
            withdrawn = hand_off(
                case,
                refusals.link_revoked(),
                changes=changes,
            )
            return replace(withdrawn, messages=(*messages, *withdrawn.messages))
    if messages and case.state in (State.CLOSED, State.NEEDS_PERSON):
        return Record(event=Event.LATE_REVEAL, changes={**changes, "due_at": None}, messages=messages, facts=facts)
    return None


# ---------------------------------------------------------------- judging and recording, for the reconciler too


def judge_write(case: Case, ticket: Ticket, seen: Seen, policy: Policy, *, now: datetime) -> Refusal | None:
    """The guard as a whole: is this ticket, with this approval and this account, a yes right now?"""
    refusal = _refuse_request(ticket, seen, policy)
    if refusal is not None:
        return refusal
    account = seen.account
    assert account is not None  # noqa: S101 - _refuse_request refuses a missing account
    if account.id != case.subject_id:
        return refusals.account_replaced(case.subject)
    return _judge_approval(case, ticket, account.person, policy, now=now)


def _judge_approval(case: Case, ticket: Ticket, subject: Person, policy: Policy, *, now: datetime) -> Refusal | None:
    requester = ticket.requester or case.requester
    assert requester is not None  # noqa: S101 - a case without requester is never recognised
    return judge_approval(
        ApprovalFacts(
            reading=believed_approval(case, ticket),
            subject=subject,
            # With every address of their own account: an alias of the approver must not ask.
            requester=replace(requester, ids=requester.ids | case.requester_ids),
            created_at=ticket.created_at,
            listed=policy.approvers,
            since=request_since(case, ticket),
            valid=policy.timing.approval_valid,
            now=now,
        )
    )


def believed_approval(case: Case, ticket: Ticket) -> ApprovalReading:
    """The approval as it stands; after a hand-off, the yes that was read before it.

    HaloPSA tells the approval by the ticket's status too, and our own hand-off and the agent's retry move the ticket
    to other statuses. A yes that was read in full for this very request still counts then, as long as the same
    decisions stand in the ticket, none was added and nobody else is asked. The 24 hours run on.
    """
    reading = ticket.approval
    moved_by_us = ticket.retry_requested or ticket.handed_off
    if (
        reading.stance is Stance.PENDING
        and moved_by_us
        and case.round > 1
        and case.approval is not None
        and not reading.approvers
        and not reading.reason  # the adapter doubts the decisions themselves, not just the status
        and reading.decisions
        and reading.decisions[-1] == case.approval
        and all(decision.approved for decision in reading.decisions)
    ):
        return replace(reading, stance=Stance.APPROVED, reason="")
    return reading


def _subject_as_recognised(case: Case) -> Person:
    return Person(name=case.subject_name, email=case.subject, ids=frozenset({f"entra:{case.subject_id}"}))


def void(case: Case, ticket: Ticket, refusal: Refusal) -> Record:
    """An approval does not count, but a new one would: back to waiting. The agent is told once per set of decisions."""
    said = hashlib.sha256(
        repr([(d.evidence, d.decided_at, d.approved) for d in ticket.approval.decisions]).encode()
        + refusal.reason.encode()
    ).hexdigest()[:12]
    return Record(
        event=Event.VOIDED,
        changes={"void_said": said, "approval": None},
        messages=(_note(case, f"void:{case.round}:{said}", notes.approval_void(refusal)),),
        facts={"reason": refusal.reason, "code": refusal.code},
    )


def differences(case: Case, ticket: Ticket, policy: Policy) -> tuple[str, ...]:
    """Which parts of the request are not what they were when it was recognised."""
    known, now = case.requester, ticket.requester
    same_requester = known is not None and now is not None and known.identities == now.identities
    parts = {
        "subject": read_subject(ticket.subject_text).address == case.subject,
        "action": ticket.action is case.action,
        "requester": same_requester or (known is None and now is None),
        # Without a tenant until now: the configuration has got one since; that changes nothing about what was asked.
        "customer": ticket.client_id == case.client_id and case.tenant in ("", policy.tenant),
        "history": ticket.request_changed_at is None
        or case.request_since is None
        or ticket.request_changed_at <= case.request_since,
    }
    return tuple(part for part, same in parts.items() if not same)


def start_over(case: Case, ticket: Ticket, different: Sequence[str]) -> Record:
    """The request is not what was recognised: begin again, with every approval of before the change void."""
    return Record(
        event=Event.CHANGED,
        changes={**_parts(ticket), **_nothing_done(case, ticket), "round": case.round + 1, "explanation": ""},
        messages=(_note(case, f"changed:{case.round}", notes.changed(different)),),
        facts={"changed": ", ".join(different)},
    )


def _nothing_done(case: Case, ticket: Ticket) -> dict[str, Any]:
    """A changed request has no approval, and what was done was done for the one before: perhaps another account."""
    return {
        "request_since": _changed_at(case, ticket),
        "approval": None,
        "tenant": "",
        "subject_id": "",
        "subject_name": "",
        "mfa_removed": (),
        "mfa_left": (),
        "mfa_kept": (),
        "mfa_done": False,
    }


def _changed_at(case: Case, ticket: Ticket) -> datetime:
    """Since when a changed request is what it is.

    The PSA's history says when that was. Where it keeps none, or knows of no change since the last one that we took
    in, it does not explain what we see: then every approval that stands there now is void.
    """
    changed_at = ticket.request_changed_at
    if changed_at is None or (case.request_since is not None and changed_at <= case.request_since):
        moments = [decision.decided_at for decision in ticket.approval.decisions]
        moments += [moment for moment in (ticket.updated_at, case.request_since) if moment is not None]
        changed_at = max(moments, default=ticket.created_at)
    return changed_at


def retry(case: Case) -> Record:
    """Begin a new round after a hand-off."""
    # The explanation stays until the request is recognised: who was told it once need not be told the same again.
    changes = {"round": case.round + 1, "outcome": None}
    return Record(
        event=Event.RETRIED,
        changes=changes,
        messages=(_note(case, f"retried:{case.round}", notes.retried(case.round + 1)),),
    )


def end(case: Case, ticket: Ticket | None, seen: Seen) -> Record:
    """The ticket is closed by somebody, of another type, or gone. A ticket that we never wrote to stays untouched."""
    if ticket is None:
        why, tell = seen.gone or "The ticket is gone.", False
    elif ticket.closed:
        # Closed in the middle of a reset: the account may have a password by now that nobody was given.
        why, tell = "The ticket was closed by somebody.", case.written_at is not None
    else:
        why, tell = "The ticket is no longer of a type for resets.", case.waiting_since is not None
    return Record(
        event=Event.TICKET_ENDED,
        changes={"outcome": Outcome.CANCELLED, "explanation": why},
        messages=(_note(case, f"ended:{case.round}", notes.ended(why, written=case.written_at is not None)),)
        if tell
        else (),
        facts={"reason": why},
    )


def cancel(case: Case, who: str) -> Record:
    """An admin ends the case. The caller revokes a link that is out."""
    why = f"Cancelled by {who}."
    return Record(
        event=Event.CANCELLED,
        changes={"outcome": Outcome.CANCELLED, "explanation": why},
        messages=(_note(case, f"cancelled:{case.round}", notes.ended(why, written=case.written_at is not None)),),
        facts={"reason": why},
    )


def hand_off(case: Case, refusal: Refusal, *, changes: Mapping[str, Any] | None = None) -> Record:
    """A person must take over: note with reason and what to do, the mapped status, a mail to the requester.

    No mail where a retry has brought the very same reason again: the requester knows.
    """
    changes = dict(changes or {})
    known = case.state is State.RECEIVED and case.explanation == refusal.reason
    case = replace(case, **changes)
    return Record(
        event=Event.HANDED_OFF,
        changes={**changes, "explanation": refusal.reason, "due_at": None},
        messages=(
            _note(case, f"hand_off:{case.round}:{case.state.value}", notes.handed_off(refusal, case)),
            Message(key=f"hand_off_status:{case.round}:{case.state.value}", body=StatusTarget.HAND_OFF),
            *(
                ()
                if known
                else _mail(
                    case,
                    f"hand_off_mail:{case.round}:{case.state.value}",
                    MailKind.HANDED_TO_PERSON,
                    reason=refusal.told,
                )
            ),
        ),
        facts={"code": refusal.code, "reason": refusal.reason},
    )


def after_methods(
    case: Case, report: MethodsReport, policy: Policy, *, shown: bool = False, interrupted: bool = False, now: datetime
) -> Record:
    """What to write down after the authentication methods were removed, wholly or in part.

    Args:
        shown: The directory shows the end of the sessions.
        interrupted: An earlier try died before it could write down what it had removed.
    """
    removed = (*case.mfa_removed, *([BY_A_DEAD_TRY] if interrupted else []), *report.removed)
    left = tuple(f"{method.kind}: {method.reason}" for method in report.left)
    changes: dict[str, Any] = {
        "mfa_removed": removed,
        "mfa_left": left,
        "mfa_kept": report.kept,
        "written_at": case.written_at or now,
    }
    case = replace(case, **changes)
    facts = {"removed": ", ".join(removed), "left": ", ".join(left), "kept": ", ".join(report.kept)}
    if left:
        refusal = refusals.methods_left(removed, left)
        return replace(hand_off(case, refusal, changes=changes), facts=facts)
    last = case.action is Action.MFA
    note = _note(case, f"methods:{case.round}", notes.methods_removed(case, last=last, shown=shown, pen=policy.pen))
    if not last:
        return Record(event=Event.METHODS_REMOVED, changes={**changes, "mfa_done": True}, messages=(note,), facts=facts)
    return Record(
        event=Event.MFA_DONE,
        changes={
            **changes,
            "mfa_done": True,
            "outcome": Outcome.MFA_RESET,
            "explanation": "the authentication methods were removed",
            "due_at": None,
        },
        messages=(
            note,
            *_mail(
                case,
                f"mfa_done:{case.round}",
                MailKind.MFA_RESET_DONE,
                removed="\n".join(removed),
                left="\n".join(left),
                kept="\n".join(report.kept),
            ),
            _close(case),
        ),
        facts=facts,
    )


def after_delivery(
    case: Case, link: Link, policy: Policy, *, open_proof: Proof | None = None, shown: bool = False, now: datetime
) -> Record:
    """What to write down after the mail with the link was accepted.

    Args:
        open_proof: What the directory has not shown yet.
        shown: It shows everything already.
    """
    case = replace(case, link_expires_at=link.expires_at, proof=open_proof)
    changes = {
        "link_expires_at": link.expires_at,
        "views_allowed": link.views,
        "views_used": 0,
        "written_at": case.written_at or now,
        "proof": open_proof,
        "due_at": _next_look(case),
    }
    text = notes.password_set(case, expires_at=link.expires_at, views=link.views, shown=shown, pen=policy.pen)
    return Record(
        event=Event.LINK_SENT,
        changes=changes,
        messages=(_note(case, f"link_sent:{link.id}", text),),
        facts={"link_id": link.id, "expires_at": link.expires_at.isoformat(), "views": str(link.views)},
    )


def password_letter(case: Case, link_id: str, expires_at: datetime, policy: Policy) -> Letter | None:
    """The mail that carries the link; `None` when the requester has no address (the guard refuses that before)."""
    return _letter(
        case,
        f"password_ready:{link_id}",
        MailKind.PASSWORD_READY,
        expires_at=expires_at.isoformat(),
        lifetime_minutes=_minutes(policy.lifetime),
        views=str(policy.views),
        kept="\n".join(case.mfa_kept),
    )


def request_since(case: Case, ticket: Ticket) -> datetime:
    """Since when the request is what it is, by the PSA's clock.

    Where the PSA keeps a history that we can read, that is the answer. Elsewhere (HaloPSA) it is what we saw
    ourselves: a request that we saw before it was approved is as old as its ticket. One that is approved at our very
    first look was not watched: it may have been approved as something else, on a ticket of another type, and turned
    into a reset afterwards. Such a decision counts only where that leaves no room: on a young ticket that nobody
    touched after the decision.
    """
    if ticket.request_changed_at is not None:
        return max(ticket.request_changed_at, case.request_since or ticket.request_changed_at)
    if case.request_since is not None:
        return case.request_since
    decided = [decision.decided_at for decision in ticket.approval.decisions]
    if not decided:
        return ticket.created_at
    was_young = max(decided) <= ticket.created_at + YOUNG_TICKET
    untouched = ticket.updated_at is not None and ticket.updated_at <= max(decided) + OWN_TOUCH_OF_A_DECISION
    return ticket.created_at if was_young and untouched else max(decided)


def _refuse_request(ticket: Ticket, seen: Seen, policy: Policy) -> Refusal | None:
    """What is wrong with the request itself or its account."""
    subject = read_subject(ticket.subject_text)
    if subject.problem:
        return refusals.bad_subject(subject.problem)
    if ticket.action is None:
        return refusals.unknown_action()
    if ticket.requester is None or not ticket.requester.email:
        return refusals.no_requester()
    if not policy.tenant:
        return refusals.unmapped_client(ticket.client_name or ticket.client_id, ticket.client_id)
    if seen.account_problem is not None:
        return seen.account_problem
    if seen.account is None:
        return refusals.not_looked_up()
    if subject.address not in seen.account.addresses:
        # The account was read by its id; the approver knows only the address. It may have been renamed meanwhile.
        return refusals.account_renamed(subject.address, seen.account.upn)
    refusal = judge_account(
        AccountFacts(action=ticket.action, account=seen.account, requester=ticket.requester, senders=policy.senders)
    )
    if refusal is not None and seen.home:
        refusal = replace(refusal, reason=f"{refusal.reason} Its home is another customer: tenants.{seen.home}.")
    return refusal


def _taken_over(case: Case, ticket: Ticket, policy: Policy) -> dict[str, Any]:
    """What a case takes over of its ticket at the first look of a round.

    Between a hand-off and a retry anybody can have changed the ticket. Then it is another request, and an approval that
    counted before was not for this one, whoever asks for the retry.
    """
    parts: dict[str, Any] = {**_parts(ticket), "subject_id": "", "subject_name": ""}
    if case.request_since is not None and differences(case, ticket, policy):
        parts |= _nothing_done(case, ticket)
    else:
        parts["request_since"] = request_since(case, ticket)
    return {**parts, "tenant": policy.tenant}


def _parts(ticket: Ticket) -> dict[str, Any]:
    return {
        "number": ticket.number,
        "client_id": ticket.client_id,
        "client_name": ticket.client_name,
        "requester": ticket.requester,
        "action": ticket.action,
        "subject": read_subject(ticket.subject_text).address,
        "reason": notes.quote(ticket.reason),
    }


def _reveal_messages(case: Case, event: LinkEvent, policy: Policy) -> Sequence[Message]:
    return (
        _note(case, f"reveal:{event.seq}", notes.opened(event, policy.pen)),
        *_mail(
            case,
            f"accessed:{event.seq}",
            MailKind.LINK_ACCESSED,
            opened_at=event.at.isoformat(),
            ip=event.ip,
            place=event.place,
            agent=event.agent,
            views_left=str(event.views_left),
            view=str(event.view),
        ),
    )


def _note(case: Case, key: str, text: str) -> Message:
    return Message(key=key, body=Note(text=text, marker=marker(case, key)))


def marker(case: Case, key: str) -> str:
    """A short word by which a note of ours is found again."""
    return hashlib.sha256(f"{case.id}/{key}".encode()).hexdigest()[:12]


def _close(case: Case) -> Message:
    return Message(key=f"close:{case.round}", body=StatusTarget.CLOSED)


def _mail(case: Case, key: str, kind: MailKind, **facts: str) -> tuple[Message, ...]:
    letter = _letter(case, key, kind, **facts)
    return (Message(key=key, body=letter),) if letter else ()


def _letter(case: Case, key: str, kind: MailKind, **facts: str) -> Letter | None:
    if case.requester is None or not case.requester.email:
        return None
    action = case.action
    return Letter(
        id=f"{case.id}/{key}",
        kind=kind,
        to=case.requester.email,
        to_name=case.requester.name,
        ticket=case.number,
        tenant=case.tenant,
        facts={
            "subject_name": case.subject_name or case.subject,
            "subject_upn": case.subject,
            "action": str(action) if action else "",
            "request_words": action.words if action else "reset",
            **facts,
        },
    )


def _approval_facts(approval: Approval) -> dict[str, str]:
    return {
        "approver": notes.name(approval.approver),
        "decided_at": approval.decided_at.isoformat(),
        "evidence": approval.evidence,
        "comment": notes.quote(approval.comment),
    }


def _yes(so: bool) -> str:
    return "yes" if so else ""


def _minutes(length: timedelta) -> str:
    return str(max(1, round(length.total_seconds() / 60)))
