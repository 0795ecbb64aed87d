"""The imitated HaloPSA: tickets, their approvals, actions and configuration, as records and rules without HTTP.

Field names are ours; `halo_json.py` spells them the vendor's way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from sandbox import desk_approvals, desk_rules
from sandbox.desk_records import (
    Action,
    Agent,
    Agreement,
    Approval,
    ApprovalProcess,
    Client,
    Contact,
    CustomField,
    NotThere,
    Outcome,
    Priority,
    Refusal,
    Status,
    Team,
    Ticket,
    TicketType,
    Workflow,
)
from sandbox.halo_habits import HaloHabits


@dataclass
class Desk:
    """The whole PSA. Every change of a ticket moves its `updated_at`, which `lastupdatefromdate` looks at.

    `by_type` finds the tickets of a type among many; `waiting_for` holds those whose approval is awaited; `outbox` is
    told what happens to tickets, where somebody wants to hear it.
    """

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
    teams: dict[int, Team] = field(default_factory=dict)
    agents: dict[int, Agent] = field(default_factory=dict)
    workflows: dict[int, Workflow] = field(default_factory=dict)
    agreements: dict[int, Agreement] = field(default_factory=dict)
    priorities: list[Priority] = field(default_factory=list)
    habits: HaloHabits = field(default_factory=HaloHabits)
    by_type: dict[int, dict[int, Ticket]] = field(default_factory=dict, repr=False)
    waiting_for: set[int] = field(default_factory=set, repr=False)
    outbox: Callable[[str, Ticket], None] | None = field(default=None, repr=False)
    postman: object = field(default=None, repr=False)
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

    def team_named(self, name: str) -> Team:
        return _named(self.teams, name)

    def contact_with(self, email: str, *, client_id: int | None = None) -> Contact | None:
        """Whoever has this address; where several do, the one of that client, else the oldest."""
        found = [c for c in self.contacts.values() if c.email.lower() == email.lower()]
        return next((c for c in found if c.client_id == client_id), found[0] if found else None)

    def agent_with(self, email: str) -> Agent | None:
        return next((a for a in self.agents.values() if a.email and a.email.lower() == email.lower()), None)

    def is_closed(self, ticket: Ticket) -> bool:
        return ticket.status_id == self.closed_status

    def priorities_of(self, agreement: int) -> list[Priority]:
        return [one for one in self.priorities if one.agreement == agreement]

    def priority(self, ticket: Ticket) -> Priority | None:
        return next((one for one in self.priorities_of(ticket.agreement) if one.number == ticket.priority), None)

    def set_priority(self, ticket: Ticket, number: int) -> None:
        """Change the priority; one that the ticket's agreement does not have is passed over in silence."""
        if any(one.number == number for one in self.priorities_of(ticket.agreement)):
            ticket.priority = number

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
        logged_by: int | None = None,
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
            logged_by=logged_by,
        )
        client = self.clients.get(client_id)
        agreement = self.agreements.get(client.agreement) if client else None
        if agreement is not None:
            ticket.agreement, ticket.priority = agreement.id, agreement.priority
        self.next_ticket += 1
        self.shelve(ticket)
        desk_rules.follow_workflow(self, ticket)
        self.announce("new ticket logged", ticket)
        process = process_id if process_id is not None else self.types[type_id].approval_process
        if process is not None:
            desk_approvals.start(self, ticket, process, 0, approvers)
        return ticket

    def shelve(self, ticket: Ticket) -> None:
        """Keep a ticket, and find it by its type."""
        self.tickets[ticket.id] = ticket
        self.by_type.setdefault(ticket.type_id, {})[ticket.id] = ticket

    def retype(self, ticket: Ticket, type_id: int) -> None:
        self.by_type[ticket.type_id].pop(ticket.id, None)
        ticket.type_id = type_id
        ticket.workflow_step = 0
        self.by_type.setdefault(type_id, {})[ticket.id] = ticket

    def backdate(self, ticket: Ticket, moment: datetime) -> None:
        """Let everything that was about the ticket so far have happened at this moment."""
        ticket.created_at = ticket.updated_at = moment
        ticket.closed_at = moment if ticket.closed_at else None
        for action in ticket.actions:
            action.at = moment
        for row in ticket.approvals:
            row.requested_at = moment
            row.answered_at = moment if row.answered_at else None

    def touch(self, ticket: Ticket) -> None:
        """Record that something about the ticket changed just now."""
        ticket.updated_at = self.now()
        ticket.change_sequence = self._sequence()

    def set_status(self, ticket: Ticket, status_id: int) -> None:
        if status_id not in self.statuses:
            raise Refusal("The Status selected does not exist")
        changed = ticket.status_id != status_id
        ticket.status_id = status_id
        ticket.closed_at = self.now() if self.is_closed(ticket) else None
        ticket.was_closed = ticket.was_closed or self.is_closed(ticket)
        desk_rules.follow_workflow(self, ticket)
        self.touch(ticket)
        if changed:
            self.announce("ticket status changed", ticket)

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
        hours: float = 0.0,
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
            hours=hours,
        )
        ticket.actions.append(action)
        self.touch(ticket)
        return action

    # -- approvals (see `desk_approvals`) ------------------------------------------------------------------------

    def vote(
        self,
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
        if override_agent is not None and override_agent not in self.agents:
            raise NotThere(f"agent {override_agent}")
        return desk_approvals.vote(
            self,
            ticket,
            approve=approve,
            approver=approver,
            comment=comment,
            at=at,
            overridden=overridden,
            override_agent=override_agent,
            delegated_by=delegated_by,
        )

    def announce(self, event: str, ticket: Ticket) -> None:
        if self.outbox is not None:
            self.outbox(event, ticket)

    def merge(self, ticket: Ticket, into: Ticket) -> None:
        """Merge a ticket into another: it closes and points there (`merged_into_id`)."""
        ticket.merged_into = into.id
        self.set_status(ticket, self.closed_status)
        self.add_action(
            into, Outcome(0, "Merged"), who="System", note=f"Ticket {ticket.id} was merged here", system=True
        )

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
