"""Answers in HaloPSA's place, one at a time, for what no sandbox shows."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import requests
import responses

from connector.psa.halopsa.adapter import HaloPsa
from connector.psa.halopsa.mapping import HaloMapping
from tests.psa.halopsa_make import MovableClock, make_psa

HALO = "https://msp.example.com"
API = f"{HALO}/api"
SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "halopsa"

TYPES = [{"id": 25, "name": "Password Reset"}, {"id": 26, "name": "MFA Reset"}, {"id": 27, "name": "Account Reset"}]
STATUSES = [
    {"id": 1, "name": "New", "type": 0},
    {"id": 9, "name": "Closed", "type": 0},
    {"id": 31, "name": "Awaiting Approval", "type": 0},
    {"id": 32, "name": "Approved", "type": 0},
    {"id": 33, "name": "Rejected", "type": 0},
    {"id": 34, "name": "Needs technician", "type": 0},
    {"id": 35, "name": "Retry reset", "type": 0},
    {"id": 36, "name": "Security alarm", "type": 0},
    {"id": 109, "name": "Closed", "type": 1},
]
OUTCOMES = [{"id": 7, "outcome": "Private Note", "buttonname": "Private Note"}]
PROCESS = {"id": 5, "name": "Reset approval", "steps": [{"id": 1, "sequence": 1, "statusafteraccept": 32}]}


def detail(**changes: Any) -> dict[str, Any]:
    """A ticket as HaloPSA answers it, approved by Anna; `None` leaves a property out."""
    body = {
        "id": 4242,
        "summary": "Please reset",
        "details": "locked out",
        "client_id": 12,
        "client_name": "Contoso",
        "user_id": 38,
        "user_name": "Ben",
        "user_email": "ben@contoso.com",
        "tickettype_id": 25,
        "status_id": 32,
        "dateoccurred": "2026-11-22T07:00:00.1234567Z",
        "last_update": "2026-11-22T09:00:00.7654321Z",
        "customfields": [{"id": 201, "name": "CFSubject", "type": 0, "value": "dana@contoso.com", "display": "dana…"}],
        "approval_process_id": 5,
        "approvers": [
            {"seq": 8, "actionnumber": 17, "name": "Anna", "emailaddress": "anna@contoso.com", "user_id": 23,
             "result": 1, "dateapproved": "2026-11-22T09:00:00.1234567Z", "approval_process_id": 5}
        ],
        **changes,
    }  # fmt: skip
    return {key: value for key, value in body.items() if value is not None}


class Server:
    """Answers in HaloPSA's place. What is not said here is a failure of the test."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock
        self.client_secret = secrets.token_urlsafe(16)
        self.token = secrets.token_urlsafe(16)
        self.clock = MovableClock()
        self.waits: list[float] = []
        mock.assert_all_requests_are_fired = False
        self.tokens = mock.post(f"{HALO}/auth/token", json={"access_token": self.token, "expires_in": 3600})
        self.get("TicketType", json=TYPES)
        self.get("Status", json=STATUSES)
        self.get("Outcome", json=OUTCOMES)

    def get(self, path: str, **answer: Any) -> None:
        self.mock.get(f"{API}/{path}", **answer)

    def post(self, path: str, **answer: Any) -> None:
        self.mock.post(f"{API}/{path}", **{"status": 201, **answer})

    def psa(self, *, mapping: HaloMapping | None = None, tenant: str = "") -> HaloPsa:
        return make_psa(
            HALO,
            client_id="reset",
            client_secret=self.client_secret,
            clock=self.clock,
            mapping=mapping,
            tenant=tenant,
            waits=self.waits,
        )

    def asked(self, path: str) -> list[requests.PreparedRequest]:
        """Requests to this path, oldest first."""
        return [call.request for call in self.mock.calls if (call.request.url or "").split("?")[0].endswith(path)]

    def query(self, path: str) -> list[dict[str, str]]:
        found = [parse_qs((request.url or "").partition("?")[2]) for request in self.asked(path)]
        return [{key: values[0] for key, values in one.items()} for one in found]

    def sent(self, path: str) -> list[Any]:
        return [json.loads(request.body or "null") for request in self.asked(path) if request.method == "POST"]


def with_process(halo: Server, **changes: Any) -> None:
    halo.get("ApprovalProcess/5", json=PROCESS | changes)


def check_answers(halo: Server, **process: Any) -> None:
    """Everything that `check` asks for, as it should be; the approval process differs by `process`."""
    halo.get("Agent/me", json={"id": 1, "name": "Connector"})
    halo.get("FieldInfo", json=[{"id": 201, "name": "CFSubject"}, {"id": 202, "name": "CFResetWhat"}])
    halo.get("Tickets", json={"record_count": 3, "tickets": []})
    for type_id in (25, 26, 27):
        halo.get(f"TicketType/{type_id}", json={"id": type_id, "approval_process_id": 5})
    with_process(halo, **process)
