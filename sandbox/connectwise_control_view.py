"""How the control port shows ConnectWise's tickets."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sandbox.connectwise_audit import shown_trail
from sandbox.connectwise_desk import ConnectWiseDesk
from sandbox.connectwise_records import Ticket
from sandbox.connectwise_seed import FIELDS


def shown_ticket(desk: ConnectWiseDesk, ticket: Ticket) -> dict[str, Any]:
    """The whole truth about a ticket, whatever the habits hide from the API."""
    by_caption = {one.caption: ticket.custom.get(one.id) for one in FIELDS}
    company = desk.companies[ticket.company_id]
    return {
        "id": ticket.id,
        "board": desk.boards[ticket.board_id].name,
        "type": desk.types[ticket.type_id].name if ticket.type_id else None,
        "status": desk.statuses[ticket.status_id].name,
        "closed": desk.is_closed(ticket),
        "priority": desk.priorities[ticket.priority_id].name,
        "company_id": company.id,
        "company": company.identifier,
        "contact_id": ticket.contact_id,
        "requester": ticket.contact_email,
        "summary": ticket.summary,
        "subject": by_caption["Reset account"],
        "what": by_caption["Reset what"],
        "approval": by_caption["Approval"],
        "team": desk.teams[ticket.team_id].name if ticket.team_id else None,
        "owner": desk.members[ticket.owner_id].identifier if ticket.owner_id else None,
        "created_at": ticket.created_at.isoformat(),
        "updated_at": ticket.updated_at.isoformat(),
        "updated_by": ticket.updated_by,
        "closed_by": ticket.closed_by,
        "merged_into": ticket.merged_into,
        "notes": [plain(asdict(note)) for note in ticket.notes],
        "audit": shown_trail(
            ticket.audit,
            wording="quoted",
            actor="identifier",
            order="oldest_first",
            late=timedelta(),
            now=desk.now(),
        ),
        "time_entries": [plain(asdict(entry)) for entry in desk.all_time_entries(ticket.id)],
    }


def plain(value: Any) -> Any:
    """The same with dates as text."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
