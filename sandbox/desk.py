"""The imitated HaloPSA: tickets, their approvals, actions and configuration, as records and rules without HTTP.

Field names are ours; `halo_json.py` spells them the vendor's way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from sandbox.desk_records import (
    APPROVED,
    REJECTED,
    Action,
    Approval,
    ApprovalProcess,
    Client,
    Contact,
    CustomField,
    NotThere,
    Outcome,
    Refusal,
    Status,
    Ticket,
    TicketType,
)


@dataclass
class Desk:
    """The whole PSA. Every change of a ticket moves its `updated_at`, which `lastupdatefromdate` looks at."""

    now: Callable[[], datetime]
    types: dict[int, TicketType] = field(default_factory=dict)
    statuses: dict[int, Status] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    fields: dict[int, CustomField] = field(default_factory=dict)
    processes: dict[int, ApprovalProcess] = field(default_factory=dict)
    clients: dict[int, Client] = field(default_factory=dict)
    contacts: dict[int, Contact] = field(default_factory=dict)
    approvers: dict[int, list[str]] = field(default_factory=dict)
    tickets: dict[int, Ticket] = field(default_factory=dict)
    closed_status: int = 9
    notes_on_closed: bool = True
    next_ticket: int = 4200
    next_approval: int = 900
    change_sequence: int = 252500

    # -- looking up ---------------------------------------------------------------------------------------------

    def ticket(self, ticket_id: int) -> Ticket:
        ticket = self.tickets.get(ticket_id)
        if ticket is None or ticket.deleted:
            raise NotThere(f"ticket {ticket_id}")
        return ticket

    def type_named(self, name: str) -> TicketType:
        return _named(self.types, name)

    def status_named(self, name: str) -> Status:
        return _named(self.statuses, name)

    def outcome_named(self, name: str) -> Outcome | None:
        return next((o for o in self.outcomes.values() if o.name.lower() == name.lower()), None)

    def process_named(self, name: str) -> ApprovalProcess:
        return _named(self.processes, name)

    def contact_with(self, email: str) -> Contact | None:
        return next((c for c in self.contacts.values() if c.email.lower() == email.lower()), None)

    def is_closed(self, ticket: Ticket) -> bool:
        return ticket.status_id == self.closed_status

    # -- changing -----------------------------------------------------------------------------------------------

    def raise_ticket(
        self,
        *,
        type_id: int,
        client_id: int,
        contact_id: int,
        summary: str,
        details: str = "",
        custom: dict[str, str] | None = None,
        process_id: int | None = None,
        approvers: list[str] | None = None,
    ) -> Ticket:
        """Log a ticket as the customer would in the portal; a type with an approval process starts it at once."""
        now = self.now()
        ticket = Ticket(
            id=self.next_ticket,
            type_id=type_id,
            client_id=client_id,
            contact_id=contact_id,
            summary=summary,
            details=details,
            status_id=1,
            created_at=now,
            updated_at=now,
            custom=dict(custom or {}),
            change_sequence=self._sequence(),
        )
        self.next_ticket += 1
        self.tickets[ticket.id] = ticket
        process = process_id if process_id is not None else self.types[type_id].approval_process
        if process is not None:
            self._start_step(ticket, process, 0, approvers or self.approvers.get(client_id, []))
        return ticket

    def touch(self, ticket: Ticket) -> None:
        """Record that something about the ticket changed just now."""
        ticket.updated_at = self.now()
        ticket.change_sequence = self._sequence()

    def set_status(self, ticket: Ticket, status_id: int) -> None:
        if status_id not in self.statuses:
            raise Refusal("The Status selected does not exist")
        ticket.status_id = status_id
        ticket.closed_at = self.now() if self.is_closed(ticket) else None
        self.touch(ticket)

    def add_action(
        self,
        ticket: Ticket,
        outcome: Outcome,
        *,
        who: str,
        note: str = "",
        note_html: str = "",
        hidden: bool = False,
        new_status: int | None = None,
        application: str | None = None,
        system: bool = False,
    ) -> Action:
        """Append to the ticket's history; `new_status` moves the ticket as the action's own status field does."""
        if self.is_closed(ticket) and not self.notes_on_closed and not system:
            raise Refusal("You do not have access to this Action at the moment")
        old = ticket.status_id
        if new_status is not None:
            self.set_status(ticket, new_status)
        action = Action(
            id=max((a.id for a in ticket.actions), default=0) + 1,
            outcome=outcome,
            who=who,
            at=self.now(),
            note=note,
            note_html=note_html or note,
            hidden=hidden,
            old_status=old,
            new_status=ticket.status_id,
            application=application,
            system=system,
        )
        ticket.actions.append(action)
        self.touch(ticket)
        return action

    def vote(
        self,
        ticket: Ticket,
        *,
        approve: bool,
        approver: str | None = None,
        comment: str = "",
        at: datetime | None = None,
        overridden: bool = False,
        delegated_by: str | None = None,
    ) -> Approval:
        """Answer the current step as `approver` (default: whoever is asked first).

        Somebody who was not asked takes over the first open row, as a changed process or a delegation would leave it.
        Every row of a step must approve; one rejection ends the process. Source: HaloPSA guide 2396, read 2026-11-22.
        """
        open_rows = [row for row in ticket.approvals if row.current and row.result is None]
        if not open_rows:
            raise Refusal("There is no approval waiting for an answer on this Ticket")
        wanted = (approver or open_rows[0].email).lower()
        row = next((r for r in open_rows if r.email.lower() == wanted), open_rows[0])
        if row.email.lower() != wanted:
            contact = self.contact_with(wanted)
            row.email = approver or row.email
            row.name = contact.name if contact else row.email
            row.contact_id = contact.id if contact else None
        row.result = APPROVED if approve else REJECTED
        row.answered_at = at or self.now()
        row.comment = comment
        row.overridden = overridden
        row.delegated_by = delegated_by
        word = "Approved" if approve else "Rejected"
        self.add_action(
            ticket, Outcome(0, word), who=row.name, note=f"{word} by {row.name}. {comment}".strip(), system=True
        )
        self._settle(ticket, rejected=not approve)
        return row

    def restart_approval(self, ticket: Ticket) -> None:
        """Start the ticket's approval process again from its first step, as a workflow may after an edit."""
        if ticket.process_id is None:
            raise Refusal("This Ticket has no approval process")
        ticket.approvals.clear()
        self._start_step(ticket, ticket.process_id, 0, self.approvers.get(ticket.client_id, []))

    def merge(self, ticket: Ticket, into: Ticket) -> None:
        """Merge a ticket into another: it closes and points there (`merged_into_id`)."""
        ticket.merged_into = into.id
        self.set_status(ticket, self.closed_status)
        self.add_action(
            into, Outcome(0, "Merged"), who="System", note=f"Ticket {ticket.id} was merged here", system=True
        )

    def _settle(self, ticket: Ticket, *, rejected: bool) -> None:
        current = [row for row in ticket.approvals if row.current]
        if not rejected and any(row.result is None for row in current):
            return
        assert ticket.process_id is not None  # noqa: S101 - a vote exists only inside a process
        process = self.processes[ticket.process_id]
        step = process.steps[ticket.step_index]
        last = ticket.step_index + 1 == len(process.steps)
        if not rejected and not last:
            for row in current:
                row.current = row.in_progress = False
            self._start_step(ticket, process.id, ticket.step_index + 1, self.approvers.get(ticket.client_id, []))
            return
        for row in ticket.approvals:
            row.in_progress = False
        self.set_status(ticket, step.status_rejected if rejected else step.status_approved)

    def _start_step(self, ticket: Ticket, process_id: int, index: int, approvers: list[str]) -> None:
        process = self.processes[process_id]
        ticket.process_id, ticket.step_index = process_id, index
        action = self.add_action(ticket, Outcome(0, "Approval requested"), who="System", system=True)
        for email in approvers:
            contact = self.contact_with(email)
            ticket.approvals.append(
                Approval(
                    id=self.next_approval,
                    seq=len(ticket.approvals) + 1,
                    action_number=action.id,
                    process_id=process_id,
                    step_index=index,
                    name=contact.name if contact else email,
                    email=email,
                    contact_id=contact.id if contact else None,
                    requested_at=self.now(),
                )
            )
            self.next_approval += 1
        self.set_status(ticket, process.steps[index].status_awaiting)

    def _sequence(self) -> int:
        self.change_sequence += 1
        return self.change_sequence


class _Named(Protocol):
    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...


_Record = TypeVar("_Record", bound=_Named)


def _named(records: dict[int, _Record], name_or_id: str) -> _Record:
    for record in records.values():
        if record.name.lower() == name_or_id.lower() or str(record.id) == name_or_id:
            return record
    raise NotThere(f"nothing named {name_or_id!r}; there is: {', '.join(r.name for r in records.values())}")
