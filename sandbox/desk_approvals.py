"""The approval processes of the imitated HaloPSA: who is asked, what an answer leads to.

Steps come in sequence and all must approve; one rejected step ends the process; each step has its own statuses. People
may delegate, agents may override, and ad-hoc approvers join a step that allows them. Sources, read 2026-11-22: HaloPSA
guides 2396, 1812, 1876 and 969; swagger ApprovalProcessStep and CabMember for votes and automatic approval, which it
names and does not describe, so *how exactly they work is a guess*.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sandbox.desk_records import (
    APPROVED,
    REJECTED,
    Approval,
    ApprovalStep,
    Member,
    NotThere,
    Outcome,
    Refusal,
    Ticket,
)

if TYPE_CHECKING:
    from sandbox.desk import Desk


def start(desk: Desk, ticket: Ticket, process_id: int, index: int, approvers: Sequence[str] | None = None) -> None:
    """Begin a step of a process: ask `approvers`, else whom the step names, else the client's approvers."""
    step = desk.processes[process_id].steps[index]
    ticket.process_id, ticket.step_index = process_id, index
    action = desk.add_action(ticket, Outcome(0, "Approval requested"), who="System", system=True)
    asked = _asked(desk, ticket, step, approvers)
    for member in asked:
        _ask(desk, ticket, step, member, action.id)
    desk.set_status(ticket, step.status_awaiting)
    if not asked:
        _nobody(desk, ticket, step)
        return
    if _answer_automatically(desk, ticket, step):
        settle(desk, ticket)


def _asked(desk: Desk, ticket: Ticket, step: ApprovalStep, approvers: Sequence[str] | None) -> list[Member]:
    if approvers is not None:
        return [Member(email) for email in approvers]
    if step.cab is not None:
        return list(step.cab.members)
    if step.approvers is not None:
        return [Member(email) for email in step.approvers]
    return [Member(email) for email in desk.approvers.get(ticket.client_id, [])]


def _ask(
    desk: Desk, ticket: Ticket, step: ApprovalStep, member: Member, action_number: int, *, adhoc: bool = False
) -> Approval:
    assert ticket.process_id is not None  # noqa: S101 - asked inside a process only
    row = Approval(
        id=desk.next_approval,
        seq=max((row.seq for row in ticket.approvals), default=0) + 1,
        action_number=action_number,
        process_id=ticket.process_id,
        step_index=ticket.step_index,
        name=member.email,
        email=member.email,
        contact_id=None,
        requested_at=desk.now(),
        mandatory=member.mandatory,
        votes_to_accept=step.votes_to_accept,
        votes_to_reject=step.votes_to_reject,
        cab_id=step.cab.id if step.cab else None,
        adhoc=adhoc,
    )
    _becomes(desk, ticket, row, member.email)
    desk.next_approval += 1
    ticket.approvals.append(row)
    desk.waiting_for.add(ticket.id)
    return row


def _becomes(desk: Desk, ticket: Ticket, row: Approval, email: str) -> None:
    """The row is that of whoever has this address: the client's user first, then anybody's, then an agent."""
    contact = desk.contact_with(email, client_id=ticket.client_id)
    agent = None if contact else desk.agent_with(email)
    row.email = email
    row.contact_id = contact.id if contact else None
    row.agent_id = agent.id if agent else None
    row.name = contact.name if contact else agent.name if agent else email


def _nobody(desk: Desk, ticket: Ticket, step: ApprovalStep) -> None:
    if "autoapproveifnoapprovers" in step.automatic:
        _go_on(desk, ticket, rejected=False)
    elif step.status_none is not None:
        desk.set_status(ticket, step.status_none)


def _answer_automatically(desk: Desk, ticket: Ticket, step: ApprovalStep) -> bool:
    """Whether a switch of the step answered for somebody."""
    contact = desk.contacts.get(ticket.contact_id)
    requester = contact.email.lower() if contact else ""
    earlier = {row.email.lower() for row in ticket.approvals if not row.current and row.result == APPROVED}
    answered = False
    for row in (row for row in ticket.approvals if row.current):
        by_itself = (
            ("autoapproveforagentlogging" in step.automatic and ticket.logged_by is not None)
            or ("autoapproveforapprovalrequestor" in step.automatic and row.email.lower() == requester)
            or ("autoapproveifalreadyapp" in step.automatic and row.email.lower() in earlier)
        )
        if by_itself:
            row.result, row.answered_at, row.automatic = APPROVED, desk.now(), True
            answered = True
    return answered


def open_rows(ticket: Ticket) -> list[Approval]:
    return [row for row in ticket.approvals if row.current and row.in_progress and row.result is None]


def vote(
    desk: Desk,
    ticket: Ticket,
    *,
    approve: bool,
    approver: str | None = None,
    comment: str = "",
    at: datetime | None = None,
    overridden: bool = False,
    override_agent: int | None = None,
    delegated_by: str | None = None,
) -> Approval:
    """Answer the current step as `approver` (default: whoever is asked first).

    Somebody who was not asked takes over the first open row, as a changed process would leave it. With an override the
    row stays the asked person's and names the agent who answered in their place.
    """
    waiting = open_rows(ticket)
    if not waiting:
        raise Refusal("There is no approval waiting for an answer on this Ticket")
    wanted = (approver or waiting[0].email).lower()
    row = next((r for r in waiting if r.email.lower() == wanted), waiting[0])
    if row.email.lower() != wanted:
        _becomes(desk, ticket, row, approver or row.email)
    row.result = APPROVED if approve else REJECTED
    row.answered_at = at or desk.now()
    row.comment = comment
    row.overridden = overridden or override_agent is not None
    row.override_agent = override_agent
    row.delegated_by = delegated_by or row.delegated_by
    word = "Approved" if approve else "Rejected"
    who = desk.agents[override_agent].name if override_agent is not None else row.name
    note = f"{word} by {who}. {comment}".strip()
    desk.add_action(ticket, Outcome(0, word), who=who, note=note, system=True)
    desk.announce("ticket approval updated", ticket)
    settle(desk, ticket)
    return row


def delegate(desk: Desk, ticket: Ticket, *, to: str, of: str | None = None) -> Approval:
    """Let somebody else answer an open row: `of` names whose (default: the first)."""
    waiting = open_rows(ticket)
    row = next((r for r in waiting if of is None or r.email.lower() == of.lower()), None)
    if row is None:
        raise NotThere(f"open approval of {of or 'anybody'} on ticket {ticket.id}")
    row.delegated_by, row.delegated_by_id = row.name, row.contact_id or row.agent_id
    _becomes(desk, ticket, row, to)
    note = f"{row.delegated_by} delegated the approval to {row.name}"
    desk.add_action(ticket, Outcome(0, "Approval delegated"), who=row.delegated_by, note=note, system=True)
    return row


def add_approver(desk: Desk, ticket: Ticket, email: str) -> Approval:
    """Ask one more person in the current step, as an agent may where the step allows ad-hoc approvers."""
    waiting = open_rows(ticket)
    if not waiting or ticket.process_id is None:
        raise Refusal("There is no approval waiting for an answer on this Ticket")
    step = desk.processes[ticket.process_id].steps[ticket.step_index]
    if not step.adhoc:
        raise Refusal("Ad-hoc approvers are not allowed in this step")
    row = _ask(desk, ticket, step, Member(email), waiting[0].action_number, adhoc=True)
    desk.touch(ticket)
    return row


def restart(
    desk: Desk,
    ticket: Ticket,
    *,
    process_id: int | None = None,
    approvers: Sequence[str] | None = None,
    keep: bool = False,
) -> None:
    """Start the ticket's approval process (or another) from its first step, as a workflow may after an edit.

    `keep` leaves the former rows, as earlier ones; which of the two HaloPSA does is not known.
    """
    wanted = process_id if process_id is not None else ticket.process_id
    if wanted is None:
        raise Refusal("This Ticket has no approval process")
    if keep:
        _to_history(ticket)
    else:
        ticket.approvals.clear()
    start(desk, ticket, wanted, 0, approvers)


def settle(desk: Desk, ticket: Ticket) -> None:
    """See whether the current step is decided, and go on if it is."""
    assert ticket.process_id is not None  # noqa: S101 - a vote exists only inside a process
    step = desk.processes[ticket.process_id].steps[ticket.step_index]
    decided = _decided(step, [row for row in ticket.approvals if row.current])
    if decided is not None:
        _go_on(desk, ticket, rejected=not decided)


def _decided(step: ApprovalStep, rows: Sequence[Approval]) -> bool | None:
    yes = sum(row.result == APPROVED for row in rows)
    no = sum(row.result == REJECTED for row in rows)
    if not step.votes_to_accept:
        return False if no else True if yes == len(rows) else None
    mandatory = [row for row in rows if row.mandatory]
    if no >= max(step.votes_to_reject, 1) or any(row.result == REJECTED for row in mandatory):
        return False
    # Whoever must answer must say yes, whatever the others say; ad-hoc approvers were asked on purpose, so they too.
    must = [*mandatory, *(row for row in rows if row.adhoc)]
    return True if yes >= step.votes_to_accept and all(row.result == APPROVED for row in must) else None


def _go_on(desk: Desk, ticket: Ticket, *, rejected: bool) -> None:
    assert ticket.process_id is not None  # noqa: S101 - decided inside a process only
    process = desk.processes[ticket.process_id]
    step = process.steps[ticket.step_index]
    for row in ticket.approvals:
        row.in_progress = False
    if rejected or ticket.step_index + 1 == len(process.steps):
        if desk.habits.finished_to_history:
            _to_history(ticket)
        desk.waiting_for.discard(ticket.id)
        desk.set_status(ticket, step.status_rejected if rejected else step.status_approved)
        return
    if step.status_approved != process.steps[ticket.step_index + 1].status_awaiting:
        desk.set_status(ticket, step.status_approved)
    _to_history(ticket)
    start(desk, ticket, process.id, ticket.step_index + 1)


def _to_history(ticket: Ticket) -> None:
    for row in ticket.approvals:
        row.current = row.in_progress = False
