"""A ticket and its notes: from ConnectWise's words into ours and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connector.core.case import Person
from connector.core.ports import ApprovalReading, Note, StatusTarget, Ticket
from connector.errors import TemporaryError, TicketGone
from connector.psa.connectwise.mapping import ConnectWiseRequest
from connector.psa.connectwise.names import Names
from connector.psa.connectwise.people import Contact
from connector.psa.connectwise.values import (
    FIRST_NOTE,
    Record,
    custom_field,
    field_text,
    flag,
    fold,
    identifier,
    inner,
    moment,
    reference,
    text,
    updated,
)
from connector.psa.mapping import FieldSource

SERVICE_TICKET = "ServiceTicket"
ENDS_A_LINE = ".:;!?…"


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What was read besides the ticket itself.

    Attributes:
        contact: The ticket's contact; `None` where it has none, or one of another company.
        first_note: What the requester wrote; empty where it was not asked for.
        changed_at: See `Ticket.request_changed_at`.
        logged_by: Who had a part in raising the ticket, as far as it says so.
    """

    contact: Contact | None
    first_note: str
    approval: ApprovalReading
    changed_at: datetime | None
    logged_by: tuple[Person, ...]


def gone(key: str) -> TicketGone:
    return TicketGone(
        f"ConnectWise has no service ticket {key} that we may see. It was deleted, merged or moved out of our sight."
    )


def whole(record: Record, ticket_id: str) -> Record:
    """The answer of GET /service/tickets/{id}, when it is that ticket and one that lives.

    Raises:
        TicketGone: It was merged into another one, or it is a project's.
        TemporaryError: The answer lacks what every ticket has; it is no ticket, or only half of one.
    """
    if identifier(record) != int(ticket_id) or reference(record, "status") is None or _created(record) is None:
        raise TemporaryError(
            f"ConnectWise answered ticket {ticket_id} without number, status or date. It is tried again; if it lasts, "
            "look at the ticket in ConnectWise."
        )
    parent = reference(record, "mergedParentTicket")
    if parent not in (None, int(ticket_id)):
        raise TicketGone(f"Ticket {ticket_id} was merged into {parent} in ConnectWise. Go on there.")
    kind = text(record, "recordType")
    if kind and kind != SERVICE_TICKET:
        raise TicketGone(f"Ticket {ticket_id} of ConnectWise is no service ticket ({kind}). Nothing is done with it.")
    return record


def request_of(record: Record, names: Names) -> ConnectWiseRequest | None:
    """The mapped request that a ticket is. Ids of types are compared together with the board's."""
    return names.request(reference(record, "board"), reference(record, "type"))


def read_ticket(psa: str, record: Record, names: Names, readings: Readings, *, url: str) -> Ticket:
    """A ticket in our words; `record` has passed `whole`."""
    request = request_of(record, names)
    board = names.boards.get(reference(record, "board") or 0)
    status = reference(record, "status")
    created_at = _created(record)
    assert created_at is not None  # noqa: S101 - `whole` has seen it
    company = inner(record, "company")
    targets: Mapping[StatusTarget, int] = board.targets if board else {}
    return Ticket(
        psa=psa,
        id=str(identifier(record)),
        number=str(identifier(record)),
        title=text(record, "summary"),
        mapped=request is not None,
        client_id=str(identifier(company) or ""),
        client_name=text(company, "name") or text(company, "identifier"),
        requester=readings.contact.widest if readings.contact else None,
        subject_text=_text(record, request.subject, readings) if request else "",
        action=request.action.action_for(_action_text(record, request, readings)) if request else None,
        reason=_text(record, request.reason, readings) if request and request.reason else "",
        status=text(inner(record, "status"), "name"),
        closed=flag(record, "closedFlag") or (status is not None and status == targets.get(StatusTarget.CLOSED)),
        retry_requested=board is not None and board.retry is not None and status == board.retry,
        handed_off=status is not None and status == targets.get(StatusTarget.HAND_OFF),
        approval=readings.approval,
        created_at=created_at,
        updated_at=updated(record),
        request_changed_at=readings.changed_at,
        also_not_approvers=readings.logged_by,
        url=url,
    )


def wants_first_note(request: ConnectWiseRequest) -> bool:
    """Whether one of the request's fields is what the requester wrote, which the ticket itself does not hold."""
    fields = (request.subject.field, request.action.field, request.reason.field if request.reason else None)
    return any(field is not None and fold(field) == fold(FIRST_NOTE) for field in fields)


def watched_fields(record: Record, request: ConnectWiseRequest) -> tuple[str, ...]:
    """What the trail may call the parts of a request, for finding changes of it: a field named by its id has a
    caption, too."""
    fields = (request.subject.field, request.action.field, request.reason.field if request.reason else None)
    entries = [custom_field(record, field) for field in fields if field is not None]
    captions = tuple(text(entry, "caption") for entry in entries if entry is not None)
    fixed = ("Type", "Service Type", "SubType", "Sub Type", "Board", "Service Board", "Company", "Contact", "Site")
    return (*fixed, *(field for field in fields if field is not None), *captions)


# ---------------------------------------------------------------- notes


def note_text(note: Note) -> str:
    """A note as one text, with the marker at its end.

    The developer guide calls newlines in texts "not supported: single space", while integrations post them; so every
    line ends in a sign, and the note reads the same when the lines are joined (UNVERIFIED; read 2026-11-22).
    """
    lines = [line.rstrip() for line in note.text.split("\n") if line.strip()]
    closed = [line if line.endswith(tuple(ENDS_A_LINE)) else f"{line};" for line in lines[:-1]]
    return "\n".join([*closed, *lines[-1:], mark(note.marker)])


def mark(marker: str) -> str:
    return f"[ref {marker}]"


def author_ids(note: Record) -> frozenset[str]:
    """Whose note it is, by what ConnectWise says: a member's, or a contact's."""
    member, contact = reference(note, "member"), reference(note, "contact")
    return frozenset(
        ({f"cw.member:{member}"} if member else set())
        | ({f"cw.contact:{contact}"} if contact and not member else set())
    )


def author_name(note: Record) -> str:
    """By whom it was written, folded: `createdBy`, since `member` can be set to somebody else."""
    return (text(note, "createdBy") or text(inner(note, "member"), "identifier")).strip().casefold()


def written_at(note: Record) -> datetime | None:
    return moment(note, "dateCreated") or moment(inner(note, "_info"), "dateEntered") or updated(note)


def first_note(notes: list[Record]) -> str:
    """What the requester wrote: the oldest note of the Discussion tab."""
    said = [note for note in notes if flag(note, "detailDescriptionFlag")]
    return text(min(said, key=lambda note: identifier(note) or 0), "text") if said else ""


# ---------------------------------------------------------------- inside


def _created(record: Record) -> datetime | None:
    return moment(inner(record, "_info"), "dateEntered") or moment(record, "dateEntered")


def _text(record: Record, source: FieldSource, readings: Readings) -> str:
    return readings.first_note if fold(source.field) == fold(FIRST_NOTE) else field_text(record, source.field)


def _action_text(record: Record, request: ConnectWiseRequest, readings: Readings) -> str:
    field = request.action.field
    return "" if field is None else _text(record, FieldSource(field=field), readings)
