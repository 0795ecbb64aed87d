"""How ConnectWise spells our records.

Sources, read 2026-11-22: OpenAPI 2026.4; real answers in rapid7/insightconnect-plugins (2022) and amp-labs/connectors
(2026). Dates are UTC with whole seconds, what is not set is left out, and links in `_info` name another host than the
one that was called, with a doubled slash.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sandbox.connectwise_desk import ConnectWiseDesk
from sandbox.connectwise_records import CustomField, Note, Ticket, TimeEntry

ELSEWHERE = "https://psa.example.com"
"""Where links in answers point: nothing listens there, and nobody should send credentials to it."""


def date(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def without_unset(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if value is not None}


def _href(desk: ConnectWiseDesk, path: str) -> str:
    return f"{ELSEWHERE}/{desk.codebase}//apis/3.0//{path}"


def _reference(desk: ConnectWiseDesk, kind: str, path: str, record: Any, **more: Any) -> dict[str, Any]:
    link = {f"{kind}_href": _href(desk, f"{path}/{record.id}")}
    return {"id": record.id, **more, "name": record.name, "_info": link}


def member_reference(desk: ConnectWiseDesk, member_id: int | None) -> dict[str, Any] | None:
    if member_id is None:
        return None
    member = desk.members[member_id]
    return _reference(desk, "member", "system/members", member, identifier=member.identifier)


def contact_reference(desk: ConnectWiseDesk, contact_id: int | None) -> dict[str, Any] | None:
    contact = desk.contacts.get(contact_id) if contact_id is not None else None
    return _reference(desk, "contact", "company/contacts", contact) if contact else None


def company_reference(desk: ConnectWiseDesk, company_id: int) -> dict[str, Any]:
    company = desk.companies[company_id]
    return _reference(desk, "company", "company/companies", company, identifier=company.identifier)


def board_reference(desk: ConnectWiseDesk, board_id: int) -> dict[str, Any]:
    return _reference(desk, "board", "service/boards", desk.boards[board_id])


def ticket_row(desk: ConnectWiseDesk, ticket: Ticket) -> dict[str, Any]:
    """A ticket; lists and single answers look the same.

    `approved` is true on every ticket, as in every real one seen: it is no approval of a request.
    """
    status, board = desk.statuses[ticket.status_id], f"service/boards/{ticket.board_id}"
    here, priority = f"service/tickets/{ticket.id}", desk.priorities[ticket.priority_id]
    return without_unset(
        {
            "id": ticket.id,
            "summary": ticket.summary,
            "recordType": ticket.record_type,
            "board": board_reference(desk, ticket.board_id),
            "status": _reference(desk, "status", f"{board}/statuses", status, sort=status.sort),
            "company": company_reference(desk, ticket.company_id),
            "siteName": "Main",
            "contact": contact_reference(desk, ticket.contact_id),
            "contactName": ticket.contact_name,
            "contactEmailAddress": ticket.contact_email,
            "type": _reference(desk, "type", f"{board}/types", desk.types[ticket.type_id]) if ticket.type_id else None,
            "subType": _reference(desk, "subType", f"{board}/subtypes", desk.subtypes[ticket.subtype_id])
            if ticket.subtype_id
            else None,
            "team": _reference(desk, "team", f"{board}/teams", desk.teams[ticket.team_id]) if ticket.team_id else None,
            "owner": member_reference(desk, ticket.owner_id),
            "resources": desk.members[ticket.owner_id].identifier if ticket.owner_id else None,
            "priority": _reference(
                desk, "priority", "service/priorities", priority, sort=priority.sort, level=priority.level
            ),
            "source": _reference(desk, "source", "service/sources", desk.sources[ticket.source_id]),
            "severity": ticket.severity,
            "impact": ticket.impact,
            "allowAllClientsPortalView": False,
            "customerUpdatedFlag": False,
            "automaticEmailContactFlag": False,
            "automaticEmailResourceFlag": False,
            "automaticEmailCcFlag": False,
            "closedDate": date(ticket.closed_at),
            "closedBy": ticket.closed_by,
            "closedFlag": status.closed,
            "approved": True,
            "estimatedExpenseCost": 0.0,
            "isInSla": False,
            "slaStatus": "Resolve by Tue 11/24 11:00 PM UTC-05",
            "hasChildTicket": False,
            "hasMergedChildTicketFlag": ticket.has_merged_child,
            "requestForChangeFlag": False,
            "billTime": "NoDefault",
            "mergedParentTicket": _merged(desk, ticket.merged_into),
            "_info": {
                "lastUpdated": date(ticket.updated_at),
                "updatedBy": ticket.updated_by,
                "dateEntered": date(ticket.created_at),
                "enteredBy": ticket.entered_by,
                "notes_href": _href(desk, f"{here}/notes"),
                "timeentries_href": _href(desk, f"time/entries?conditions=chargeToId={ticket.id}"),
            },
            "customFields": [custom_value(desk, one, ticket.custom.get(one.id)) for one in desk.fields.values()],
        }
    )


def _merged(desk: ConnectWiseDesk, parent_id: int | None) -> dict[str, Any] | None:
    if parent_id is None:
        return None
    parent = desk.tickets.get(parent_id)
    return {"id": parent_id, "summary": parent.summary if parent else ""}


def custom_value(desk: ConnectWiseDesk, custom: CustomField, value: str | None) -> dict[str, Any]:
    """One entry of `customFields`; an unset one has no value, or null in newer builds."""
    row: dict[str, Any] = {
        "id": custom.id,
        "caption": custom.caption,
        "type": "Text",
        "entryMethod": "List" if custom.options else "EntryField",
        "numberOfDecimals": 0,
    }
    if value is not None or desk.habits.null_custom_values:
        row["value"] = value
    return row


def note_row(desk: ConnectWiseDesk, ticket: Ticket, note: Note) -> dict[str, Any]:
    """A note. `internalFlag` and `externalFlag` are both true on every real one, wherever it stands."""
    return without_unset(
        {
            "id": note.id,
            "ticketId": ticket.id,
            "text": note.text,
            "detailDescriptionFlag": note.discussion,
            "internalAnalysisFlag": note.internal,
            "resolutionFlag": note.resolution,
            "issueFlag": note.issue,
            "member": member_reference(desk, note.member_id),
            "contact": contact_reference(desk, note.contact_id),
            "dateCreated": date(note.at),
            "createdBy": note.created_by,
            "internalFlag": True,
            "externalFlag": True,
            "_info": {"lastUpdated": date(note.updated_at or note.at), "updatedBy": note.updated_by or note.created_by},
        }
    )


def any_note_rows(desk: ConnectWiseDesk, ticket: Ticket) -> list[dict[str, Any]]:
    """`allNotes`: the notes, and the words of time entries beside them."""
    rows = [
        {
            "id": note.id,
            "noteType": "TicketNote",
            "ticket": {"id": ticket.id, "summary": ticket.summary},
            "text": note.text,
            "isMarkdownFlag": False,
            "detailDescriptionFlag": note.discussion,
            "internalAnalysisFlag": note.internal,
            "resolutionFlag": note.resolution,
            "issueFlag": note.issue,
            "originalAuthor": _author(desk, note),
            "member": member_reference(desk, note.member_id),
            "contact": contact_reference(desk, note.contact_id),
            "_info": {"lastUpdated": date(note.at), "updatedBy": note.created_by},
        }
        for note in ticket.notes
    ]
    rows += [
        {
            "id": entry.id,
            "noteType": "TimeEntryNote",
            "ticket": {"id": ticket.id, "summary": ticket.summary},
            "text": entry.notes,
            "detailDescriptionFlag": entry.discussion,
            "internalAnalysisFlag": entry.internal,
            "resolutionFlag": entry.resolution,
            "timeStart": date(entry.start),
            "timeEnd": date(entry.end),
            "originalAuthor": desk.members[entry.member_id].name,
            "member": member_reference(desk, entry.member_id),
            "_info": {"lastUpdated": date(entry.at), "updatedBy": entry.entered_by},
        }
        for entry in desk.all_time_entries(ticket.id)
        if entry.notes
    ]
    return [without_unset(row) for row in rows]


def _author(desk: ConnectWiseDesk, note: Note) -> str:
    if note.contact_id is not None and note.contact_id in desk.contacts:
        return desk.contacts[note.contact_id].name
    return desk.members[note.member_id].name if note.member_id else note.created_by


def time_row(desk: ConnectWiseDesk, entry: TimeEntry) -> dict[str, Any]:
    ticket = desk.tickets.get(entry.ticket_id)
    return without_unset(
        {
            "id": entry.id,
            "company": company_reference(desk, ticket.company_id) if ticket else None,
            "chargeToId": entry.ticket_id,
            "chargeToType": "ServiceTicket",
            "member": member_reference(desk, entry.member_id),
            "timeStart": date(entry.start),
            "timeEnd": date(entry.end),
            "actualHours": entry.hours,
            "billableOption": entry.billable,
            "notes": entry.notes or None,
            "addToDetailDescriptionFlag": entry.discussion,
            "addToInternalAnalysisFlag": entry.internal,
            "addToResolutionFlag": entry.resolution,
            "enteredBy": entry.entered_by,
            "dateEntered": date(entry.at),
            "status": "Open",
            "ticket": {"id": ticket.id, "summary": ticket.summary} if ticket else None,
            "_info": {"lastUpdated": date(entry.at), "updatedBy": entry.entered_by},
        }
    )
