"""How ConnectWise spells its configuration and its people; see `connectwise_json.py` for the sources."""

from __future__ import annotations

from typing import Any

from sandbox.connectwise_desk import ConnectWiseDesk
from sandbox.connectwise_json import board_reference, company_reference, contact_reference, date, without_unset
from sandbox.connectwise_records import (
    Board,
    BoardStatus,
    BoardType,
    Callback,
    Company,
    Contact,
    CustomField,
    Member,
    Named,
    Priority,
    SubType,
    Team,
)

FIRST_DAY = "2024-01-15T08:00:00Z"


def board_row(board: Board) -> dict[str, Any]:
    return {
        "id": board.id,
        "name": board.name,
        "location": {"id": 2, "name": "Main office"},
        "department": {"id": 10, "identifier": "Services", "name": "Professional Services"},
        "inactiveFlag": board.inactive,
        "projectFlag": False,
        "sendToContactFlag": True,
        "_info": _made(),
    }


def _made() -> dict[str, str]:
    return {"lastUpdated": FIRST_DAY, "updatedBy": "zAdmin", "dateEntered": FIRST_DAY, "enteredBy": "zAdmin"}


def status_row(desk: ConnectWiseDesk, status: BoardStatus) -> dict[str, Any]:
    return {
        "id": status.id,
        "name": status.name,
        "board": board_reference(desk, status.board_id),
        "sortOrder": status.sort,
        "displayOnBoard": True,
        "inactive": False,
        "closedStatus": status.closed,
        "timeEntryNotAllowed": False,
        "defaultFlag": status.default,
        "escalationStatus": "Resolved" if status.closed else "NotResponded",
        "customerPortalFlag": False,
        "_info": _made(),
    }


def type_row(desk: ConnectWiseDesk, one: BoardType) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "category": "Reactive",
        "defaultFlag": False,
        "inactiveFlag": False,
        "requestForChangeFlag": False,
        "board": board_reference(desk, one.board_id),
        "_info": _made(),
    }


def subtype_row(desk: ConnectWiseDesk, one: SubType) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "inactiveFlag": False,
        "typeAssociationIds": list(one.type_ids),
        "board": board_reference(desk, one.board_id),
        "_info": _made(),
    }


def team_row(desk: ConnectWiseDesk, team: Team) -> dict[str, Any]:
    return {
        "id": team.id,
        "name": team.name,
        "boardId": team.board_id,
        "defaultFlag": team.id == min(one.id for one in desk.teams.values() if one.board_id == team.board_id),
        "members": [one.id for one in desk.members.values() if one.licence == "F"],
        "_info": _made(),
    }


def priority_row(one: Priority) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "color": "Red" if one.level == "Critical" else "Blue",
        "sortOrder": one.sort,
        "level": one.level,
        "_info": _made(),
    }


def source_row(one: Named) -> dict[str, Any]:
    return {"id": one.id, "name": one.name, "defaultFlag": False, "_info": _made()}


def contact_type_row(one: Named) -> dict[str, Any]:
    return {"id": one.id, "description": one.name, "defaultFlag": False, "_info": _made()}


def field_row(custom: CustomField) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": custom.id,
        "podId": 15,
        "podDescription": "Ticket",
        "caption": custom.caption,
        "sequenceNumber": 1,
        "screenId": "sr100",
        "screenDescription": "Service Ticket",
        "fieldTypeIdentifier": "Text",
        "numberDecimals": 0,
        "entryTypeIdentifier": "List" if custom.options else "EntryField",
        "requiredFlag": False,
        "displayOnScreenFlag": True,
        "readOnlyFlag": False,
        "listViewFlag": True,
        "businessUnitIds": [],
        "locationIds": [],
        "dateCreated": FIRST_DAY,
        "_info": {},
    }
    if custom.options:
        row["options"] = [
            {
                "id": custom.id * 10 + place,
                "optionValue": text,
                "defaultFlag": False,
                "inactiveFlag": False,
                "sortOrder": place,
            }
            for place, text in enumerate(custom.options)
        ]
    return row


def company_row(company: Company) -> dict[str, Any]:
    return {
        "id": company.id,
        "identifier": company.identifier,
        "name": company.name,
        "status": {"id": 1, "name": "Active"},
        "deletedFlag": company.deleted,
        "site": {"id": company.id, "name": "Main"},
        "types": [{"id": 1, "name": "Client"}],
        "_info": _made(),
    }


def contact_row(desk: ConnectWiseDesk, contact: Contact) -> dict[str, Any]:
    first, _, last = contact.name.partition(" ")
    row = without_unset(
        {
            "id": contact.id,
            "firstName": first,
            "lastName": last or None,
            "company": company_reference(desk, contact.company_id),
            "site": {"id": contact.company_id, "name": "Main"},
            "inactiveFlag": contact.inactive,
            "managerContact": contact_reference(desk, contact.manager_id),
            "marriedFlag": False,
            "childrenFlag": False,
            "disablePortalLoginFlag": False,
            "unsubscribeFlag": False,
            "defaultFlag": False,
            "types": [{"id": number, "name": desk.contact_types[number].name} for number in contact.types],
            "_info": _made(),
        }
    )
    # Null where there is none: seen in amp-labs/connectors, although the description does not allow it.
    return row | {"communicationItems": _communication(contact) or None}


def _communication(contact: Contact) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if contact.phone:
        items.append(
            {
                "id": contact.id * 10 + 1,
                "type": {"id": 2, "name": "Direct"},
                "value": contact.phone,
                "defaultFlag": True,
                "communicationType": "Phone",
            }
        )
    # The default one comes last, so that the first is not taken for it.
    addresses = [*contact.other_emails, *filter(None, [contact.email])]
    items += [
        {
            "id": contact.id * 10 + place,
            "type": {"id": 1, "name": "Email"},
            "value": address,
            "defaultFlag": address == contact.email,
            "domain": f"@{address.partition('@')[2]}",
            "communicationType": "Email",
        }
        for place, address in enumerate(addresses, start=2)
    ]
    return items


def member_row(member: Member) -> dict[str, Any]:
    first, _, last = member.name.partition(" ")
    return without_unset(
        {
            "id": member.id,
            "identifier": member.identifier,
            "licenseClass": member.licence,
            "firstName": first,
            "lastName": last or first,
            "hireDate": FIRST_DAY,
            "inactiveFlag": member.inactive,
            "disableOnlineFlag": member.inactive,
            "officeEmail": member.email,
            "primaryEmail": member.email,
            "defaultEmail": "Office",
            "defaultPhone": "Office",
            "securityRole": {"id": 63, "name": "Service"},
            # Demanded of every member by a client that was generated from an older description (pyconnectwise).
            "agreementInvoicingDisplayOptions": "RemainOnInvoicingScreen",
            "invoiceScreenDefaultTabFormat": "ShowInvoicingTab",
            "invoicingDisplayOptions": "RemainOnInvoicingScreen",
            "_info": _made(),
        }
    )


def callback_row(callback: Callback, member_id: int) -> dict[str, Any]:
    return {
        "id": callback.id,
        "description": callback.description,
        "url": callback.url,
        "objectId": callback.object_id,
        "type": callback.type,
        "level": callback.level,
        "memberId": member_id,
        "payloadVersion": "3.0.0",
        "inactiveFlag": callback.inactive,
        "isSoapCallbackFlag": False,
        "isSelfSuppressedFlag": callback.self_suppressed,
        "_info": {"lastUpdated": date(callback.at), "updatedBy": callback.created_by},
    }
