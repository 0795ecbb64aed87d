"""Answers in ConnectWise's place, one at a time. What is not said is a failure of the test."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
import responses

from connector.psa.connectwise.adapter import CallbackSection, ConnectWise
from connector.psa.connectwise.api import ConnectWiseApi
from connector.psa.connectwise.mapping import ConnectWiseMapping
from tests.psa.connectwise_make import make_api, make_psa
from tests.psa.halopsa_make import MovableClock

HOST = "https://api-eu.myconnectwise.net"
SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "connectwise"

BOARDS = [{"id": 1, "name": "Service Desk"}, {"id": 2, "name": "Projects"}]
STATUSES = [
    {"id": 501, "name": "New"},
    {"id": 503, "name": "Waiting Approval"},
    {"id": 504, "name": "Approved"},
    {"id": 505, "name": "Denied"},
    {"id": 506, "name": "Needs technician"},
    {"id": 507, "name": "Retry reset"},
    {"id": 508, "name": "Closed", "closedStatus": True},
    {"id": 509, "name": "Security alarm"},
]
TYPES = [{"id": 11, "name": "Password Reset"}, {"id": 12, "name": "MFA Reset"}, {"id": 13, "name": "Account Reset"}]
CONTACT = {
    "id": 801,
    "firstName": "Ben",
    "lastName": "",
    "company": {"id": 250},
    "communicationItems": [
        {
            "id": 1,
            "type": {"name": "Email"},
            "value": "ben@contoso.com",
            "defaultFlag": True,
            "communicationType": "Email",
        }
    ],
}
APPROVED_BY_ANNA = {
    "text": 'Status has been changed from "Waiting Approval" to "Approved".',
    "enteredDate": "2026-11-22T08:50:00Z",
    "enteredBy": "AnnaA",
    "auditType": "Ticket",
    "auditSubType": "Status",
    "auditSource": "PSA",
}
ANNA = {
    "id": 153,
    "identifier": "AnnaA",
    "firstName": "Anna",
    "lastName": "",
    "officeEmail": "anna@contoso.com",
    "inactiveFlag": False,
    "licenseClass": "F",
}


def ticket(**changes: Any) -> dict[str, Any]:
    """A ticket as ConnectWise answers it, approved; `None` leaves a property out."""
    body = {
        "id": 4242,
        "summary": "Please reset",
        "recordType": "ServiceTicket",
        "board": {"id": 1, "name": "Service Desk"},
        "status": {"id": 504, "name": "Approved"},
        "type": {"id": 11, "name": "Password Reset"},
        "company": {"id": 250, "identifier": "Contoso", "name": "Contoso"},
        "contact": {"id": 801, "name": "Ben"},
        "approved": True,
        "closedFlag": False,
        "customFields": [
            {
                "id": 41,
                "caption": "Reset account ",
                "type": "Text",
                "entryMethod": "EntryField",
                "value": "dana@contoso.com",
            }
        ],
        "_info": {"dateEntered": "2026-11-22T08:30:00Z", "lastUpdated": "2026-11-22T08:50:00Z", "enteredBy": ""},
        **changes,
    }
    return {key: value for key, value in body.items() if value is not None}


class Server:
    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock
        self.public_key = secrets.token_urlsafe(12)
        self.private_key = secrets.token_urlsafe(24)
        self.clock = MovableClock()
        self.waits: list[float] = []
        mock.assert_all_requests_are_fired = False
        self.company_info({"Codebase": "v2026_1/", "VersionCode": "v2026.1", "IsCloud": "True"})
        self.get("service/boards", json=BOARDS)
        self.get("service/boards/1/statuses", json=STATUSES)
        self.get("service/boards/1/types", json=TYPES)
        self.get("company/contacts/types", json=[{"id": 2, "description": "Approver"}])

    def company_info(self, body: object, **answer: Any) -> None:
        self.mock.get(f"{HOST}/login/companyinfo/msp", json=body, **answer)

    def url(self, path: str) -> str:
        return f"{HOST}/v2026_1/apis/3.0/{path}"

    def get(self, path: str, *, codebase: str = "v2026_1", **answer: Any) -> None:
        self.mock.get(f"{HOST}/{codebase}/apis/3.0/{path}", **answer)

    def post(self, path: str, **answer: Any) -> None:
        self.mock.post(f"{HOST}/v2026_1/apis/3.0/{path}", **{"status": 201, **answer})

    def patch(self, path: str, **answer: Any) -> None:
        self.mock.patch(f"{HOST}/v2026_1/apis/3.0/{path}", **answer)

    def with_ticket(self, **changes: Any) -> None:
        """The ticket with all that belongs to it."""
        self.get("service/tickets/4242", json=ticket(**changes))
        self.get("company/contacts/801", json=CONTACT)
        self.get("company/contacts", json=[])
        self.get("system/audittrail", json=[APPROVED_BY_ANNA])
        self.get("system/members", json=[ANNA])
        self.get("service/tickets/4242/notes", json=[])

    def api(self) -> ConnectWiseApi:
        return make_api(
            HOST,
            public_key=self.public_key,
            private_key=self.private_key,
            client_id="11111111-2222-3333-4444-555555555555",
            waits=self.waits,
        )

    def psa(self, *, mapping: ConnectWiseMapping | None = None, callback: CallbackSection | None = None) -> ConnectWise:
        return make_psa(self.api(), clock=self.clock, mapping=mapping, callback=callback)

    def asked(self, path: str) -> list[requests.PreparedRequest]:
        """Requests to this path, oldest first."""
        return [call.request for call in self.mock.calls if urlsplit(call.request.url or "").path.endswith(path)]

    def query(self, path: str) -> list[dict[str, str]]:
        return [dict(parse_qsl(urlsplit(request.url or "").query)) for request in self.asked(path)]


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text(encoding="utf-8"))
