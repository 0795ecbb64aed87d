"""How HaloPSA spells our records: property names, dates, and what it leaves out.

Sources, read 2026-11-22: the public Halo swagger; two real POST /Tickets answers in uktrade/help-desk-service;
the official guide 2345. Empty and null properties are left out, as in the real answers. List rows carry
naive dates with three decimals, details carry `Z` and seven.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from sandbox.builder import identifier
from sandbox.desk import Desk
from sandbox.desk_records import KINDS, Action, Approval, Contact, CustomField, Ticket
from sandbox.halo_json_settings import priority_row

NO_DATE = "1900-01-01T00:00:00"
TORONTO = timezone(timedelta(hours=-4))


def list_date(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}"


def detail_date(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}7Z"


def without_empty(record: dict[str, Any]) -> dict[str, Any]:
    """Drop null properties, as HaloPSA does."""
    return {key: value for key, value in record.items() if value is not None}


def ticket_row(
    desk: Desk, ticket: Ticket, *, status: bool = False, agent: bool = False, fields: set[int] | None = None
) -> dict[str, Any]:
    """A row of GET /Tickets: no approvers, no details, custom fields only where `include_custom_fields` names them."""
    row = _both(desk, ticket) | {
        "dateoccurred": list_date(ticket.created_at),
        "lastactiondate": list_date(ticket.actions[-1].at if ticket.actions else ticket.created_at),
        _last_update(desk): list_date(ticket.updated_at),
        "dateclosed": list_date(ticket.closed_at) or _never(desk),
        "targetdate": NO_DATE,
        "deadlinedate": "1901-01-01T00:00:00",
        "team": ticket.team,
    }
    if status:
        row["status_name"] = desk.statuses[ticket.status_id].name
    if agent and ticket.agent_id in desk.agents:
        row["agent_name"] = desk.agents[ticket.agent_id].name
    if fields:
        row["customfields"] = [entry for entry in custom_fields(desk, ticket) if entry["id"] in fields]
    return without_empty(row)


def ticket_detail(desk: Desk, ticket: Ticket, *, details: bool = True) -> dict[str, Any]:
    """GET /Tickets/{id} and the answer of POST /Tickets."""
    contact = desk.contacts.get(ticket.contact_id)
    process = desk.processes.get(ticket.process_id) if ticket.process_id is not None else None
    step = process.steps[ticket.step_index] if process else None
    kind, priority = desk.types[ticket.type_id], desk.priority(ticket)
    workflow = desk.workflows.get(kind.workflow or 0)
    agent = desk.agents.get(ticket.agent_id or 0)
    record = _both(desk, ticket) | {
        "dateoccurred": detail_date(ticket.created_at),
        "datecreated": detail_date(ticket.created_at),
        "lastactiondate": detail_date(ticket.actions[-1].at if ticket.actions else ticket.created_at),
        _last_update(desk): detail_date(ticket.updated_at),
        "dateclosed": detail_date(ticket.closed_at) or _never(desk),
        "lastincomingemail": "0001-01-01T00:00:00",
        "auditdate": "1899-12-30T00:00:00",
        "targetdate": NO_DATE,
        "starttime": "00:00:00",
        "estimate": -0.0,
        "agent_name": agent.name if agent else None,
        "changeseq": ticket.change_sequence,
        "source": 3,
        "team": ticket.team,
        "team_id": team_id(desk, ticket),
        "guid": identifier(0, f"ticket:{ticket.id}"),
        "customfields": custom_fields(desk, ticket),
        "user": contact_row(desk, contact) if contact else None,
        "tickettype": {"id": kind.id, "name": kind.name, "reopenedstatus": kind.reopened_status or -1},
        "priority": priority_row(priority) if priority else None,
        "workflow_id": workflow.id if workflow else None,
        "workflow_step": workflow.steps[ticket.workflow_step].id if workflow else None,
        # Seen once with an offset instead of Z.
        "workflow_stepstarted": ticket.created_at.astimezone(TORONTO).isoformat() if workflow else None,
        "approval_process_id": process.id if process else None,
        "approval_process_step": step.id if step else None,
        "approval_process_step_name": step.name if step else None,
        "approval_cab_name": step.cab.name if step and step.cab else None,
        "faultapprovalfailed": False,
        "approvers": [approval_row(desk, ticket, row) for row in ticket.approvals if row.current] or None,
        "approvers_history": [approval_row(desk, ticket, row) for row in ticket.approvals if not row.current] or None,
    }
    if details:
        record |= {"details": ticket.details, "details_html": ticket.details}
    return without_empty(record)


def _both(desk: Desk, ticket: Ticket) -> dict[str, Any]:
    contact = desk.contacts.get(ticket.contact_id)
    client = desk.clients[ticket.client_id]
    return {
        "id": ticket.id,
        "summary": ticket.summary,
        "client_id": client.id,
        "client_name": client.name,
        "site_id": client.site_id,
        "site_name": "Main",
        "user_id": ticket.contact_id,
        "user_name": contact.name if contact else None,
        "user_email": contact.email if contact else None,
        "reportedby": contact.email if contact else None,
        "tickettype_id": ticket.type_id,
        "status_id": ticket.status_id,
        "agent_id": ticket.agent_id,
        "sla_id": ticket.agreement,
        "sla_name": desk.agreements[ticket.agreement].name if ticket.agreement in desk.agreements else None,
        "priority_id": ticket.priority,
        # False is dropped from real answers, so an open ticket has no such property.
        "hasbeenclosed": True if desk.is_closed(ticket) or (ticket.was_closed and desk.habits.stays_flagged) else None,
        "merged_into_id": ticket.merged_into,
    }


def _last_update(desk: Desk) -> str:
    return "flastupdate" if desk.habits.older_build else "last_update"


def _never(desk: Desk) -> str | None:
    """A date that was never set: left out, or a day in 1900."""
    return NO_DATE if desk.habits.sentinel_dates else None


def team_id(desk: Desk, ticket: Ticket) -> int | None:
    return next((team.id for team in desk.teams.values() if team.name == ticket.team), None)


def custom_fields(desk: Desk, ticket: Ticket) -> list[dict[str, Any]]:
    """The ticket's custom fields; one that was never set is absent."""
    entries = []
    for custom_field in desk.fields.values():
        text = ticket.custom.get(custom_field.name)
        if text is None:
            continue
        value, display = _value_of(desk, ticket, custom_field, text)
        entry = {
            "id": custom_field.id,
            "name": custom_field.name,
            "label": custom_field.label,
            "summary": "",
            "type": KINDS[custom_field.sort],
            "value": value,
            "display": display,
            "characterlimit": 0,
            "characterlimittype": 0,
            "inputtype": 1 if custom_field.sort == "date" else 0,
            "copytochild": False,
            "searchable": False,
            "ordervalues": False,
            "ordervaluesby": 0,
            "usage": 1,
        }
        entries.append(without_empty(entry))
    return entries


def _value_of(desk: Desk, ticket: Ticket, custom_field: CustomField, text: str) -> tuple[Any, str | None]:
    """Value and display of what was stored as text.

    The number of a choice is sometimes an integer and sometimes text: seen both ways in real answers for the same
    kind of field, so even and odd tickets differ unless a habit says which.
    """
    sort = custom_field.sort
    if sort == "choice" and text in custom_field.values:
        return _shaped(desk, ticket, custom_field.values.index(text) + 1), text
    if sort == "choices":
        chosen = [one.strip() for one in text.split(",")]
        numbers = [str(custom_field.values.index(one) + 1) for one in chosen if one in custom_field.values]
        return ",".join(numbers), ", ".join(chosen)
    if sort == "user" and text.isdigit():
        contact = desk.contacts.get(int(text))
        return _shaped(desk, ticket, int(text)), contact.name if contact else None
    if sort == "date":
        moment = datetime.fromisoformat(text)
        return detail_date(moment), f"{moment:%d/%m/%Y}"
    if sort == "checkbox":
        return text == "true", "Yes" if text == "true" else "No"
    return text, text


def _shaped(desk: Desk, ticket: Ticket, number: int) -> int | str:
    shape = desk.habits.value_shape or ("integer" if ticket.id % 2 == 0 else "text")
    return number if shape == "integer" else str(number)


def approval_row(desk: Desk, ticket: Ticket, row: Approval) -> dict[str, Any]:
    """A FaultApproval. A pending row has no `result` (or the habit's), an answered one 1 or 2 with `dateapproved`."""
    process = desk.processes[row.process_id]
    step = process.steps[row.step_index]
    habits = desk.habits
    return without_empty(
        {
            "id": row.id,
            "ticket_id": ticket.id,
            "seq": row.seq,
            "actionnumber": row.action_number,
            "name": row.name,
            "emailaddress": row.email,
            "user_id": row.contact_id,
            "agent_id": row.agent_id,
            "agent_name": row.name if row.agent_id else None,
            "cab_id": row.cab_id,
            "result": row.result if row.result is not None else habits.pending_result,
            "datetime": detail_date(row.requested_at),
            "dateapproved": detail_date(row.answered_at) or _never(desk),
            "lastreminderdatetime": NO_DATE,
            habits.comment_in: row.comment or None,
            "approval_process_id": process.id,
            "approval_process_name": process.name,
            "step_id": step.id,
            "step_name": step.name,
            "approval_inprogress": True if row.in_progress else None,
            "is_mandatory": True if row.mandatory else None,
            "votes_required_to_accept": row.votes_to_accept or None,
            "votes_required_to_reject": row.votes_to_reject or None,
            "admin_overridden": True if row.overridden else None,
            "admin_override_id": row.override_agent,
            "delegated_by_uid": row.delegated_by_id,
            "delegated_by_username": row.delegated_by,
            "adhoc": True if row.adhoc and not habits.older_build else None,
            "requestor_user_id": ticket.contact_id,
            "token": row.token,
        }
    )


def action_row(ticket: Ticket, action: Action, *, html: bool = True) -> dict[str, Any]:
    return without_empty(
        {
            "ticket_id": ticket.id,
            "id": action.id,
            "outcome": action.outcome.name,
            "outcome_id": action.outcome.id,
            "who": action.who,
            "who_type": 0 if action.system else 1,
            "who_agentid": 0 if action.system else 1,
            "datetime": detail_date(action.at),
            "actiondatecreated": detail_date(action.at),
            "note": action.note,
            "note_html": action.note_html if html else None,
            "hiddenfromuser": action.hidden,
            "important": False,
            "sendemail": action.sendemail,
            "old_status": action.old_status,
            "new_status": action.new_status,
            "timetaken": action.hours,
            "actionby_application_id": action.application,
        }
    )


def contact_row(desk: Desk, contact: Contact) -> dict[str, Any]:
    client = desk.clients[contact.client_id]
    first, _, last = contact.name.partition(" ")
    return without_empty(
        {
            "id": contact.id,
            "name": contact.name,
            "firstname": first,
            "surname": last,
            "emailaddress": contact.email,
            "login": contact.login or contact.email,
            "linked_agent_id": contact.agent_id,
            "client_id": client.id,
            "client_name": client.name,
            # Really a float in real answers; `site_id_int` is the whole number.
            "site_id": float(client.site_id),
            "site_id_int": client.site_id,
            "site_name": "Main",
            "azureoid": contact.azure_id,
            "inactive": contact.inactive,
            "colour": "#2bd3c6",
        }
    )
