"""What the request is right now, since when, and whether the guard has anything against it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from connector.core import notes, refusals
from connector.core.address import checked_address
from connector.core.case import Approval, Case, Person, fold
from connector.core.guard import AccountFacts, ApprovalFacts, Refusal, judge_account, judge_approval
from connector.core.ports import ApprovalReading, Stance, Ticket
from connector.core.steps import Policy, Seen
from connector.core.subject import read_subject

YOUNG_TICKET = timedelta(minutes=10)
"""How soon after its creation an unwatched ticket must have been approved for the approval to count."""


OWN_TOUCH_OF_A_DECISION = timedelta(seconds=10)
"""A decision itself updates the ticket; for how long after it an update is taken for that."""


def judge_write(case: Case, ticket: Ticket, seen: Seen, policy: Policy, *, now: datetime) -> Refusal | None:
    """The guard as a whole: is this ticket, with this approval and this account, a yes right now?"""
    refusal = refuse_request(ticket, replace(seen, requester_ids=case.requester_ids), policy)
    if refusal is not None:
        return refusal
    account = seen.account
    assert account is not None  # noqa: S101 - refuse_request refuses a missing account
    if account.id != case.subject_id:
        return refusals.account_replaced(case.subject)
    return judge_approval_of(case, ticket, account.person, policy, seen=seen, now=now)


def judge_approval_of(
    case: Case,
    ticket: Ticket,
    subject: Person,
    policy: Policy,
    *,
    seen: Seen,
    now: datetime,
) -> Refusal | None:
    """The approval as it stands, for this account and this requester."""
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
            action=ticket.action,
            also_not_approvers=ticket.also_not_approvers,
            minimum=policy.minimum,
            earlier=seen.earlier,
            pair_rule=policy.pair_rule,
            approver_ids=seen.approver_ids,
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
        and case.approvals
        and not reading.approvers
        and not reading.reason  # the adapter doubts the decisions themselves, not just the status
        and _are_the_same(reading.decisions, case.approvals)
        and all(decision.approved for decision in reading.decisions)
    ):
        return replace(reading, stance=Stance.APPROVED, reason="")
    return reading


def _are_the_same(now: tuple[Approval, ...], known: tuple[Approval, ...]) -> bool:
    """Whether these are the decisions that were read before; what was kept by a version before 0.2 has no digest."""
    if not any(one.digest for one in known):
        now = tuple(replace(one, digest="") for one in now)
    return now == known


def subject_as_recognised(case: Case) -> Person:
    """The account of the recognition, for comparing people before it is read again."""
    return Person(name=case.subject_name, email=case.subject, ids=frozenset({f"entra:{case.subject_id}"}))


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


def nothing_done(case: Case, ticket: Ticket) -> dict[str, Any]:
    """A changed request has no approval, and what was done was done for the one before: perhaps another account."""
    return {
        "request_since": _changed_at(case, ticket),
        "approvals": (),
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


def refuse_request(ticket: Ticket, seen: Seen, policy: Policy) -> Refusal | None:
    """What is wrong with the request itself or its account."""
    subject = read_subject(ticket.subject_text)
    if ticket.subject_problem or subject.problem:
        return refusals.bad_subject(ticket.subject_problem or subject.problem)
    if ticket.action is None:
        return refusals.unknown_action()
    if ticket.requester is None or not _can_be_written_to(ticket.requester):
        return refusals.no_requester()
    if not policy.tenant:
        return refusals.unmapped_client(ticket.client_name or ticket.client_id, ticket.client_id)
    if ticket.taken_by:
        return refusals.taken_by_agent(ticket.taken_by)
    if seen.account_problem is not None:
        return seen.account_problem
    if seen.account is None:
        return refusals.not_looked_up()
    if subject.address not in seen.account.addresses:
        # The account was read by its id; the approver knows only the address. It may have been renamed meanwhile.
        return refusals.account_renamed(subject.address, seen.account.upn)
    if ticket.subject_id and fold(ticket.subject_id) != fold(seen.account.id):
        return refusals.not_the_account_of_the_psa(subject.address)
    refusal = judge_account(
        AccountFacts(
            action=ticket.action,
            account=seen.account,
            requester=replace(ticket.requester, ids=ticket.requester.ids | seen.requester_ids),
            senders=policy.senders,
        )
    )
    if refusal is not None and seen.home:
        refusal = replace(refusal, reason=f"{refusal.reason} Its home is another customer: tenants.{seen.home}.")
    return refusal


def _can_be_written_to(person: Person) -> bool:
    """Whether our mails could be addressed at all: known before the write, or the password is one that nobody gets."""
    try:
        return bool(person.email and checked_address(person.email))
    except ValueError:
        return False


def what_is_taken_over(case: Case, ticket: Ticket, policy: Policy) -> dict[str, Any]:
    """What a case takes over of its ticket at the first look of a round.

    Between a hand-off and a retry anybody can have changed the ticket. Then it is another request, and an approval that
    counted before was not for this one, whoever asks for the retry.
    """
    parts: dict[str, Any] = {**parts_of(ticket), "subject_id": "", "subject_name": ""}
    if case.request_since is not None and differences(case, ticket, policy):
        parts |= nothing_done(case, ticket)
    else:
        parts["request_since"] = request_since(case, ticket)
    return {**parts, "tenant": policy.tenant}


def parts_of(ticket: Ticket) -> dict[str, Any]:
    """What a case copies from its ticket."""
    return {
        "number": ticket.number,
        "client_id": ticket.client_id,
        "client_name": ticket.client_name,
        "requester": ticket.requester,
        "action": ticket.action,
        "subject": read_subject(ticket.subject_text).address,
        "reason": notes.quote(ticket.reason),
    }
