"""The imitated ConnectWise PSA as rules without HTTP: one desk of its own, with its own ticket numbers.

Every change of a ticket moves its `updated_at`, leaves an entry in its audit trail with whoever made it, and is
announced to the registered callbacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.connectwise_catalogue import Catalogue
from sandbox.connectwise_habits import Habits
from sandbox.connectwise_index import Index
from sandbox.connectwise_records import (
    Actor,
    AuditEntry,
    Callback,
    Contact,
    Member,
    NoRecord,
    Note,
    Ticket,
    TimeEntry,
    invalid,
)

Announce = Callable[[Ticket, str, Actor], None]


@dataclass(kw_only=True)
class ConnectWiseDesk(Catalogue):
    """The whole PSA. `announce` is told every change of a ticket: `added`, `updated` or `deleted`."""

    now: Callable[[], datetime]
    announce: Announce = lambda _ticket, _action, _actor: None
    habits: Habits = field(default_factory=Habits)
    codebase: str = "v2026_1"
    tickets: Index = field(default_factory=Index)
    time_entries: dict[int, TimeEntry] = field(default_factory=dict)
    callbacks: dict[int, Callback] = field(default_factory=dict)
    api_member: int = 150
    next_ticket: int = 7600
    next_note: int = 30000
    next_time_entry: int = 5000
    next_callback: int = 260

    def ticket(self, ticket_id: int) -> Ticket:
        ticket = self.tickets.get(ticket_id)
        if ticket is None:
            raise NoRecord("Service Ticket", ticket_id)
        return ticket

    def is_closed(self, ticket: Ticket) -> bool:
        return self.statuses[ticket.status_id].closed

    def api_actor(self) -> Actor:
        return member_actor(self.members[self.api_member])

    # -- changing -----------------------------------------------------------------------------------------------

    def raise_ticket(
        self,
        *,
        actor: Actor,
        board_id: int,
        company_id: int,
        summary: str,
        type_id: int | None = None,
        status_id: int | None = None,
        contact: Contact | None = None,
        contact_email: str | None = None,
        details: str = "",
        custom: dict[int, str] | None = None,
        source_id: int = 2,
        announced: bool = True,
    ) -> Ticket:
        """Log a ticket; its first note is the description, and belongs to the contact where there is one."""
        now = self.now()
        ticket = Ticket(
            id=self.next_ticket,
            summary=summary,
            board_id=board_id,
            status_id=status_id or self.default_status(board_id).id,
            company_id=company_id,
            created_at=now,
            updated_at=now,
            entered_by=actor.identifier,
            updated_by=actor.identifier,
            type_id=type_id,
            team_id=next((team.id for team in self.teams.values() if team.board_id == board_id), None),
            contact_id=contact.id if contact else None,
            contact_name=contact.name if contact else None,
            contact_email=contact_email or (contact.email if contact else None),
            custom=dict(custom or {}),
            source_id=source_id,
        )
        self.next_ticket += 1
        if self.is_closed(ticket):
            ticket.closed_at, ticket.closed_by = now, actor.identifier
        self.tickets.add(ticket)
        ticket.audit.append(AuditEntry("Created", "", f"Ticket {ticket.id} has been created.", now, actor))
        if details:
            # A customer's words carry the contact and no member: a heuristic that no source confirms.
            self._append_note(ticket, actor, details, discussion=True, issue=True, contact=contact)
        if announced:
            self.announce(ticket, "added", actor)
        return ticket

    def touch(self, ticket: Ticket, actor: Actor) -> None:
        """Record that `actor` changed something about the ticket just now, and tell the callbacks."""
        ticket.updated_by = actor.identifier
        self.tickets.touch(ticket, self.now())
        self.announce(ticket, "updated", actor)

    def trail(self, ticket: Ticket, what: str, old: str, new: str, actor: Actor) -> None:
        """Write an audit entry where there is a change."""
        if old != new:
            ticket.audit.append(AuditEntry(what, old, new, self.now(), actor))

    def set_status(self, ticket: Ticket, status_id: int, actor: Actor) -> None:
        """Move to a status of the ticket's board.

        Raises:
            Rejected: The status is of another board, or none.
        """
        status = self.statuses.get(status_id)
        if status is None or status.board_id != ticket.board_id:
            raise invalid("ticket", "status/id", f"Status {status_id} not found", "NotFound")
        self.trail(ticket, "Status", self.statuses[ticket.status_id].name, status.name, actor)
        was_closed = self.is_closed(ticket)
        ticket.status_id = status_id
        if not status.closed:
            ticket.closed_at = ticket.closed_by = None
        elif not was_closed:
            ticket.closed_at, ticket.closed_by = self.now(), actor.identifier

    def set_board(self, ticket: Ticket, board_id: int, actor: Actor) -> None:
        """Hop to another board: default status, and the type of the same name or none.

        That the status is lost is told of the program (andrewpmoore.com); how REST behaves is UNVERIFIED.
        """
        if board_id == ticket.board_id:
            return
        if board_id not in self.boards:
            raise invalid("ticket", "board/id", f"Board {board_id} not found", "NotFound")
        self.trail(ticket, "Board", self.boards[ticket.board_id].name, self.boards[board_id].name, actor)
        old_type = self.types[ticket.type_id].name if ticket.type_id else ""
        ticket.board_id = board_id
        new_type = next((o for o in self.types.values() if o.board_id == board_id and o.name == old_type), None)
        self._put_type(ticket, new_type.id if new_type else None)
        ticket.team_id = next((team.id for team in self.teams.values() if team.board_id == board_id), None)
        self.set_status(ticket, self.default_status(board_id).id, actor)

    def set_type(self, ticket: Ticket, type_id: int | None, actor: Actor) -> None:
        """Change the type.

        Raises:
            Rejected: The type is of another board, or none.
        """
        if type_id is not None and (type_id not in self.types or self.types[type_id].board_id != ticket.board_id):
            raise invalid("ticket", "type/id", f"Type {type_id} not found", "NotFound")
        old = self.types[ticket.type_id].name if ticket.type_id else ""
        self.trail(ticket, "Type", old, self.types[type_id].name if type_id else "", actor)
        self._put_type(ticket, type_id)

    def _put_type(self, ticket: Ticket, type_id: int | None) -> None:
        self.tickets.retype(ticket, type_id)
        ticket.subtype_id = None

    def set_company(self, ticket: Ticket, company_id: int, actor: Actor) -> None:
        if company_id not in self.companies:
            raise invalid("ticket", "company/id", f"Company {company_id} not found", "NotFound")
        old, new = self.companies[ticket.company_id], self.companies[company_id]
        self.trail(ticket, "Company", old.name, new.name, actor)
        ticket.company_id = company_id

    def set_contact(self, ticket: Ticket, contact_id: int | None, actor: Actor) -> None:
        contact = self.contacts.get(contact_id) if contact_id is not None else None
        if contact_id is not None and contact is None:
            raise invalid("ticket", "contact/id", f"Contact {contact_id} not found", "NotFound")
        self.trail(ticket, "Contact", ticket.contact_name or "", contact.name if contact else "", actor)
        ticket.contact_id = contact_id
        ticket.contact_name = contact.name if contact else None
        ticket.contact_email = contact.email if contact else None

    def set_owner(self, ticket: Ticket, member_id: int | None, actor: Actor) -> None:
        if member_id is not None and member_id not in self.members:
            raise invalid("ticket", "owner/id", f"Member {member_id} not found", "NotFound")
        old = self.members[ticket.owner_id].identifier if ticket.owner_id else ""
        self.trail(ticket, "Owner", old, self.members[member_id].identifier if member_id else "", actor)
        ticket.owner_id = member_id

    def set_custom(self, ticket: Ticket, field_id: int, value: str | None, actor: Actor) -> None:
        """Set a custom field; None empties it.

        Raises:
            Rejected: No such field, or the list has no such choice.
        """
        custom = self.fields.get(field_id)
        if custom is None:
            raise invalid("ticket", "customFields", f"Custom field {field_id} not found", "NotFound")
        if value is not None and custom.options and value not in custom.options:
            raise invalid("ticket", "customFields", f"{value} is not an option of {custom.caption}")
        self.trail(ticket, custom.caption.strip(), ticket.custom.get(field_id, ""), value or "", actor)
        if value is None:
            ticket.custom.pop(field_id, None)
        else:
            ticket.custom[field_id] = value

    def add_note(
        self,
        ticket: Ticket,
        actor: Actor,
        text: str,
        *,
        discussion: bool = False,
        internal: bool = False,
        resolution: bool = False,
        member_id: int | None = None,
        contact: Contact | None = None,
        process_notifications: bool = True,
    ) -> Note:
        note = self._append_note(
            ticket,
            actor,
            text,
            discussion=discussion,
            internal=internal,
            resolution=resolution,
            contact=contact,
            member_id=member_id,
        )
        note.process_notifications = process_notifications
        # Whether the trail tells of notes, and whether a note moves the ticket's date, is UNVERIFIED.
        if self.habits.audit_notes != "none":
            said = (
                "A note has been added." if self.habits.audit_notes == "mention" else f"A note has been added: {text}"
            )
            ticket.audit.append(AuditEntry("Note", "", said, self.now(), actor))
        if self.habits.note_moves_ticket:
            self.touch(ticket, actor)
        return note

    def _append_note(
        self,
        ticket: Ticket,
        actor: Actor,
        text: str,
        *,
        contact: Contact | None,
        discussion: bool = False,
        internal: bool = False,
        resolution: bool = False,
        issue: bool = False,
        member_id: int | None = None,
    ) -> Note:
        note = Note(
            id=self.next_note,
            text=text,
            at=self.now(),
            created_by=actor.identifier,
            discussion=discussion,
            internal=internal,
            resolution=resolution,
            issue=issue,
            member_id=None if contact else member_id or actor.member_id,
            contact_id=contact.id if contact else actor.contact_id,
        )
        self.next_note += 1
        ticket.notes.append(note)
        return note

    def merge(self, ticket: Ticket, into: Ticket, actor: Actor) -> None:
        """Merge: the child closes and points at its parent (`mergedParentTicket`), the parent says that it has one."""
        ticket.merged_into, into.has_merged_child = into.id, True
        closed = next(one for one in self.statuses.values() if one.board_id == ticket.board_id and one.closed)
        self.set_status(ticket, closed.id, actor)
        now = self.now()
        ticket.audit.append(AuditEntry("Merged", "", f"Ticket has been merged into {into.id}.", now, actor))
        into.audit.append(AuditEntry("Merged", "", f"Ticket {ticket.id} has been merged here.", now, actor))
        self.touch(ticket, actor)
        self.touch(into, actor)

    def delete(self, ticket: Ticket, actor: Actor) -> None:
        self.tickets.remove(ticket)
        self.announce(ticket, "deleted", actor)

    def all_time_entries(self, ticket_id: int) -> Iterator[TimeEntry]:
        return (entry for entry in self.time_entries.values() if entry.ticket_id == ticket_id)


def member_actor(member: Member) -> Actor:
    return Actor("member", member.identifier, member.name, member_id=member.id)


def contact_actor(contact: Contact) -> Actor:
    """A contact in the customer portal. That the trail shows the address is UNVERIFIED."""
    return Actor("contact", contact.email or contact.name, contact.name, contact_id=contact.id)
