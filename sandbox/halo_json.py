"""How HaloPSA spells our records: property names, dates, and what it leaves out.

Sources, read 2026-11-22: the public Halo swagger; two real POST /Tickets answers in uktrade/help-desk-service;
the official guide 2345. Empty and null properties are left out, as in the real answers. List rows carry
naive dates with three decimals, details carry `Z` and seven.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sandbox.builder import identifier
from sandbox.desk import Desk
from sandbox.desk_records import (
    Action,
    Approval,
    ApprovalProcess,
    Contact,
    CustomField,
    Outcome,
    Status,
    Ticket,
    TicketType,
)

NO_DATE = "1900-01-01T00:00:00"


def list_date(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}"


def detail_date(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}7Z"


def without_empty(record: dict[str, Any]) -> dict[str, Any]:
    """Drop null properties, as HaloPSA does."""
    return {key: value for key, value in record.items() if value is not None}


def ticket_row(desk: Desk, ticket: Ticket, *, status: bool, fields: set[int]) -> dict[str, Any]:
    """A row of GET /Tickets: no approvers, no details, custom fields only where `include_custom_fields` names them."""
    row = _both(desk, ticket) | {
        "dateoccurred": list_date(ticket.created_at),
        "lastactiondate": list_date(ticket.actions[-1].at if ticket.actions else ticket.created_at),
        "last_update": list_date(ticket.updated_at),
        "dateclosed": list_date(ticket.closed_at),
        "targetdate": NO_DATE,
        "team": ticket.team,
    }
    if status:
        row["status_name"] = desk.statuses[ticket.status_id].name
    if fields:
        row["customfields"] = [entry for entry in custom_fields(desk, ticket) if entry["id"] in fields]
    return without_empty(row)


def ticket_detail(desk: Desk, ticket: Ticket, *, details: bool = True) -> dict[str, Any]:
    """GET /Tickets/{id} and the answer of POST /Tickets."""
    contact = desk.contacts.get(ticket.contact_id)
    process = desk.processes.get(ticket.process_id) if ticket.process_id is not None else None
    step = process.steps[ticket.step_index] if process else None
    record = _both(desk, ticket) | {
        "dateoccurred": detail_date(ticket.created_at),
        "datecreated": detail_date(ticket.created_at),
        "lastactiondate": detail_date(ticket.actions[-1].at if ticket.actions else ticket.created_at),
        "last_update": detail_date(ticket.updated_at),
        "dateclosed": detail_date(ticket.closed_at),
        "lastincomingemail": "0001-01-01T00:00:00",
        "targetdate": NO_DATE,
        "starttime": "00:00:00",
        "estimate": -0.0,
        "changeseq": ticket.change_sequence,
        "source": 3,
        "team": ticket.team,
        "guid": identifier(0, f"ticket:{ticket.id}"),
        "customfields": custom_fields(desk, ticket),
        "user": contact_row(desk, contact) if contact else None,
        "workflow_id": 10 if process else None,
        "workflow_step": ticket.step_index + 1 if process else None,
        "approval_process_id": process.id if process else None,
        "approval_process_step": step.id if step else None,
        "approval_process_step_name": step.name if step else None,
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
        # False is dropped from real answers, so an open ticket has no such property.
        "hasbeenclosed": True if desk.is_closed(ticket) else None,
        "merged_into_id": ticket.merged_into,
    }


def custom_fields(desk: Desk, ticket: Ticket) -> list[dict[str, Any]]:
    """The ticket's custom fields; one that was never set is absent.

    A drop-down's `value` is the choice's number, sometimes an integer and sometimes text: seen both ways in real
    answers for the same kind of field, so even and odd tickets differ here.
    """
    entries = []
    for custom_field in desk.fields.values():
        text = ticket.custom.get(custom_field.name)
        if text is None:
            continue
        value: Any = text
        if text in custom_field.values:
            number = custom_field.values.index(text) + 1
            value = number if ticket.id % 2 == 0 else str(number)
        entries.append(
            {
                "id": custom_field.id,
                "name": custom_field.name,
                "label": custom_field.label,
                "summary": "",
                "type": 2 if custom_field.values else 0,
                "value": value,
                "display": text,
                "characterlimit": 0,
                "characterlimittype": 0,
                "inputtype": 0,
                "copytochild": False,
                "searchable": False,
                "ordervalues": False,
                "ordervaluesby": 0,
                "usage": 1,
            }
        )
    return entries


def approval_row(desk: Desk, ticket: Ticket, row: Approval) -> dict[str, Any]:
    """A FaultApproval. A pending row has no `result`, an answered one 1 or 2 with `dateapproved`."""
    process = desk.processes[row.process_id]
    step = process.steps[row.step_index]
    return without_empty(
        {
            "id": row.id,
            "ticket_id": ticket.id,
            "seq": row.seq,
            "actionnumber": row.action_number,
            "name": row.name,
            "emailaddress": row.email,
            "user_id": row.contact_id,
            "result": row.result,
            "datetime": detail_date(row.requested_at),
            "dateapproved": detail_date(row.answered_at),
            "approver_note": row.comment or None,
            "approval_process_id": process.id,
            "approval_process_name": process.name,
            "step_id": step.id,
            "step_name": step.name,
            "approval_inprogress": True if row.in_progress else None,
            "admin_overridden": True if row.overridden else None,
            "delegated_by_username": row.delegated_by,
            "requestor_user_id": ticket.contact_id,
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
            "timetaken": action.minutes / 60,
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
            "login": contact.email,
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


def status_row(status: Status) -> dict[str, Any]:
    return {"id": status.id, "name": status.name, "shortname": status.name[:10], "type": 0, "sequence": status.id}


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.id,
        "outcome": outcome.name,
        "buttonname": outcome.name,
        "hidden": False,
        "hidefromuser": outcome.hidden,
    }


def type_row(desk: Desk, ticket_type: TicketType, *, details: bool = False) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": ticket_type.id,
        "name": ticket_type.name,
        "use": "ticket",
        "sequence": ticket_type.id,
        "cancreate": True,
        "agentscanselect": True,
        "visible": True,
    }
    if details:
        by_name = {custom_field.name: custom_field for custom_field in desk.fields.values()}
        row |= {
            "workflow_id": 10 if ticket_type.approval_process else 0,
            "approval_process_id": ticket_type.approval_process or 0,
            "initial_status": 1,
            "statusafterapproverupdate": 21,
            "fields": [
                {
                    "id": 1000 + number,
                    "rtid": ticket_type.id,
                    "fieldid": by_name[name].id,
                    "fieldname": name,
                    "seq": number,
                }
                for number, name in enumerate(ticket_type.fields, start=1)
            ],
        }
    return row


def field_row(custom_field: CustomField) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": custom_field.id,
        "name": custom_field.name,
        "label": custom_field.label,
        "type": 2 if custom_field.values else 0,
        "custom": 1,
        "usage": 1,
    }
    if custom_field.values:
        row["values"] = [{"id": n, "name": text} for n, text in enumerate(custom_field.values, start=1)]
    return row


def process_row(process: ApprovalProcess, *, details: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": process.id, "name": process.name, "type": 0}
    if details:
        row["steps"] = [
            {
                "id": step.id,
                "processid": process.id,
                "sequence": number,
                "name": step.name,
                "type": 1,
                "statusawaitingapproval": step.status_awaiting,
                "statusafteraccept": step.status_approved,
                "statusafterreject": step.status_rejected,
                "statusifnoapproval": step.status_rejected,
                "autoapproveforagentlogging": False,
                "autoapproveforapprovalrequestor": False,
                "autoapproveifnoapprovers": False,
                "autoapproveifalreadyapp": False,
                "auto_approval_to_manager": False,
                "is_mandatory": True,
            }
            for number, step in enumerate(process.steps, start=1)
        ]
    return row
