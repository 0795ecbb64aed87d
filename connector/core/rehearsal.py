"""What would have become of a past ticket under the rules of today. Pure: ticket and account in, a verdict out.

A past ticket is judged at the moment of its last decision, as if it had been watched from its first minute. Two things
cannot be brought back: the account is the one of today, and what a closed ticket shows of its approval is what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from connector.core import brake
from connector.core.case import Action, Case, Person, State, mailbox
from connector.core.guard import Refusal
from connector.core.pair import Earlier
from connector.core.ports import ApprovalReading, Reset, Stance, Ticket
from connector.core.request import judge_write, refuse_request
from connector.core.steps import Policy, Seen
from connector.core.subject import read_subject

DECIDED_AFTER = timedelta(minutes=1)
"""How long after the last decision a connector would have acted."""


class Fate(StrEnum):
    """What would have become of a ticket."""

    RESET = "reset"
    HAND_OFF = "hand-off"
    NO_APPROVAL = "no approval"
    TIMED_OUT = "timed out"
    VOID = "approval void"
    REJECTED = "rejected"
    BRAKE = "held by the brake"
    UNREADABLE = "not readable"
    NOT_OURS = "not ours any more"


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """One past ticket.

    Attributes:
        at: The moment for which it was judged.
        approvers: Who said yes.
        code: Of the refusal; empty where there was none.
        why: In plain words; empty for a reset.
        written: The halves that would have been done.
    """

    psa: str
    number: str
    at: datetime
    fate: Fate
    action: Action | None = None
    subject: str = ""
    account_id: str = ""
    tenant: str = ""
    requester: Person | None = None
    approvers: tuple[Person, ...] = ()
    code: str = ""
    why: str = ""
    written: tuple[Action, ...] = ()


def moment_of(ticket: Ticket) -> datetime:
    """When a connector would have acted: a little after the last decision, or after the ticket was raised."""
    return max([ticket.created_at, *(one.decided_at for one in ticket.approval.decisions)]) + DECIDED_AFTER


def judge(ticket: Ticket, seen: Seen, policy: Policy, done: Sequence[Rehearsed], limits: brake.Limits) -> Rehearsed:
    """The verdict on one past ticket.

    Args:
        seen: Its account and its requester's, as of today.
        done: What earlier tickets ended in, for the rules that count (second half of a take-over, brake).
    """
    now = moment_of(ticket)
    ticket = replace(
        ticket,
        approval=_as_it_stood(ticket),
        # Whoever owns a closed ticket did by hand what a connector would have done.
        taken_by="" if ticket.closed else ticket.taken_by,
    )
    account = seen.account
    result = Rehearsed(
        psa=ticket.psa,
        number=ticket.number,
        at=now,
        fate=Fate.RESET,
        action=ticket.action,
        subject=read_subject(ticket.subject_text).address,
        account_id=account.id if account else "",
        tenant=policy.tenant,
        requester=ticket.requester,
        approvers=tuple(one.approver for one in ticket.approval.decisions if one.approved),
    )
    if not ticket.mapped:
        return replace(result, fate=Fate.NOT_OURS)
    refusal = refuse_request(ticket, seen, policy)
    if refusal is not None:
        return _refused(result, Fate.HAND_OFF, refusal)
    given_up = max(ticket.created_at, ticket.request_changed_at or ticket.created_at) + policy.timing.give_up_after
    if ticket.approval.decisions and now - DECIDED_AFTER >= given_up:
        why = "the answer came when the request would have been closed, because nobody had approved"
        return replace(result, fate=Fate.TIMED_OUT, why=why)
    match ticket.approval.stance:
        case Stance.REJECTED:
            return replace(result, fate=Fate.REJECTED)
        case Stance.PENDING | Stance.NONE:
            fate = Fate.VOID if ticket.approval.reason and ticket.approval.decisions else Fate.NO_APPROVAL
            return replace(result, fate=fate, why=ticket.approval.reason)
        case Stance.APPROVED:
            pass
    seen = replace(seen, earlier=_earlier(result, done))
    refusal = judge_write(_watched(ticket, seen, result), ticket, seen, policy, now=now)
    if refusal is not None:
        return _refused(result, Fate.VOID if refusal.void else Fate.HAND_OFF, refusal)
    earlier = [reset for one in done for reset in resets_of(one)]
    for half in _halves(ticket.action):
        # The first half counts for the second, and stays done where the brake stops there.
        wanted = replace(result, written=(*result.written, half))
        stop = brake.check(resets_of(wanted)[-1], [*earlier, *resets_of(result)], limits, now=now)
        if stop is not None:
            return replace(result, fate=Fate.BRAKE, code="brake", why=stop.reason)
        result = wanted
    return result


def _halves(action: Action | None) -> tuple[Action, ...]:
    """In the order in which they are done."""
    if action is None:
        return ()
    return (Action.MFA, Action.PASSWORD) if action is Action.BOTH else (action,)


def resets_of(one: Rehearsed) -> tuple[Reset, ...]:
    """The writes that a ticket would have led to, as the brake counts them."""
    return tuple(
        Reset(
            at=one.at,
            case_id=f"{one.psa}:{one.number}",
            tenant=one.tenant,
            action=half,
            subject=one.account_id,
            requester=mailbox(one.requester.email or "") if one.requester else "",
            approvers=frozenset(mailbox(person.email or person.name) for person in one.approvers),
        )
        for half in one.written
    )


def _as_it_stood(ticket: Ticket) -> ApprovalReading:
    """HaloPSA and ConnectWise tell an approval by the status, too, and a closed ticket has another one by now."""
    reading = ticket.approval
    if (
        ticket.closed
        and reading.stance is Stance.PENDING
        and reading.decisions
        and not reading.approvers
        and not reading.reason
        and all(one.approved for one in reading.decisions)
    ):
        return replace(reading, stance=Stance.APPROVED)
    return reading


def _watched(ticket: Ticket, seen: Seen, result: Rehearsed) -> Case:
    """A case that has been watching the ticket since it was raised."""
    return Case(
        id="rehearsal",
        psa=ticket.psa,
        ticket_id=ticket.id,
        number=ticket.number,
        state=State.APPROVED,
        created_at=ticket.created_at,
        due_at=None,
        requester=ticket.requester,
        action=ticket.action,
        subject=result.subject,
        subject_id=result.account_id,
        request_since=ticket.created_at,
        requester_ids=seen.requester_ids,
    )


def _earlier(result: Rehearsed, done: Sequence[Rehearsed]) -> tuple[Earlier, ...]:
    return tuple(
        Earlier(
            ticket=reset.case_id,
            action=reset.action,
            at=reset.at,
            approvers=reset.approvers,
            case_id=reset.case_id,
            asked_for_both=one.action is Action.BOTH,
        )
        for one in done
        if one.account_id == result.account_id
        for reset in resets_of(one)
    )


def _refused(result: Rehearsed, fate: Fate, refusal: Refusal) -> Rehearsed:
    return replace(result, fate=fate, code=refusal.code, why=refusal.reason)
