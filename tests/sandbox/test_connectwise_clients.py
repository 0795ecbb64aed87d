"""Third-party clients that real servers accept use the imitated ConnectWise, and see what the control port shows.

Each runs in an interpreter of its own: `pyconnectwise` is under the GPL, and `connectpyse-manage` (MIT) is young and
takes the name `connectwise` for itself. Both come from PyPI.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract_check import check_all, contracts_are_here, load_spec
from tests.own_venv import make_venv, run_in
from tests.sandbox.conftest import BEN, Stage

pytestmark = pytest.mark.e2e

SCRIPTS = Path(__file__).parent / "clients"
CLIENTS = {"connectpyse_walk.py": "connectpyse-manage==0.0.7", "pyconnectwise_walk.py": "pyconnectwise==0.6.1.2"}
CLOSED = 508
POLL = "board/id in (1,2) AND type/id in (11,12,13) AND closedFlag = false AND lastUpdated>=[2026-11-22T08:55:00Z]"


@pytest.fixture(scope="module")
def interpreters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {script: make_venv(tmp_path_factory.mktemp("venv"), requirement) for script, requirement in CLIENTS.items()}


@pytest.fixture(params=list(CLIENTS))
def walk(request: pytest.FixtureRequest, interpreters: dict[str, Path], stage: Stage) -> dict[str, Any]:
    """What one client saw of a desk with an approved reset and 120 unrelated tickets."""
    stage.control("POST", "connectwise/bulk-tickets", count=120)
    number = stage.connectwise_ticket(type="Account Reset", what="Both")
    stage.control("POST", f"connectwise/tickets/{number}/approve", comment="fine")
    other = stage.connectwise_ticket()
    known = stage.world.credentials
    wish = {
        "url": stage.addresses.connectwise,
        "company": known.connectwise_company,
        "public_key": known.connectwise_public_key,
        "private_key": known.connectwise_private_key,
        "client_id": known.connectwise_client_id,
        "ticket": number,
        "poll": POLL,
        "closed": CLOSED,
        "start": "2026-11-22T09:00:00Z",
        "callback": {"url": "https://connector.example.com/?r=", "objectId": 1, "type": "ticket", "level": "owner"},
    }
    seen = dict(run_in(interpreters[request.param], SCRIPTS / str(request.param), wish))
    return seen | {"number": number, "other": other, "script": request.param}


@pytest.fixture(autouse=True)
def _their_requests_are_their_own(stage: Stage) -> Iterator[None]:
    """Our answers are held to the contract as ever; what a stranger asks is the stranger's affair."""
    yield
    if contracts_are_here():
        exchanges = [exchange.as_dict() for exchange in stage.world.record.exchanges]
        problems = check_all({"connectwise": load_spec("connectwise")}, exchanges)
        assert [problem for problem in problems if ": answer " in problem] == []
    stage.world.record.exchanges.clear()


def test_it_pages_through_every_ticket_once(stage: Stage, walk: dict[str, Any]) -> None:
    assert len(walk["tickets"]) == 122
    assert sorted(walk["tickets"]) == sorted(ticket["id"] for ticket in stage.control("GET", "connectwise/tickets"))
    assert walk["waiting"] == [walk["number"], walk["other"]]
    assert walk["count"] == 2


def test_it_reads_the_ticket_as_it_is(stage: Stage, walk: dict[str, Any]) -> None:
    ticket = walk["ticket"]
    assert (ticket["status"]["name"], ticket["type"]["name"], ticket["board"]["name"]) == (
        "Approved",
        "Account Reset",
        "Service Desk",
    )
    assert (ticket["company"]["identifier"], ticket["contact"]["name"]) == ("Contoso", "Ben Requester")
    if walk["script"] == "pyconnectwise_walk.py":
        assert {one["caption"]: one.get("value") for one in ticket["customFields"]}["Reset what"] == "Both"
        assert ticket["approved"] is True
        assert walk["codebase"] == "v2026_1/"
    assert BEN in str(walk["contact"])


def test_it_finds_what_is_configured(stage: Stage, walk: dict[str, Any]) -> None:
    assert walk["boards"] == {"Service Desk": 1, "Professional Services": 2}
    assert (walk["statuses"]["Closed"], len(walk["statuses"])) == (CLOSED, 9)
    assert walk["types"] == {"Password Reset": 11, "MFA Reset": 12, "Account Reset": 13, "Incident": 14}
    people = stage.control("GET", "connectwise/people")
    assert walk["companies"] == {one["identifier"]: one["id"] for one in people["companies"]}
    assert walk["member"]["identifier"] == "AnnaA"
    assert walk["info"]["isCloud"] is True


def test_what_it_wrote_is_there(stage: Stage, walk: dict[str, Any]) -> None:
    shown = stage.control("GET", f"connectwise/tickets/{walk['number']}")
    assert (shown["summary"], shown["status"], shown["closed_by"]) == ("Seen by a stranger", "Closed", "ResetConnector")
    assert (walk["patched"]["summary"], walk["moved"]["status"]["id"]) == ("Seen by a stranger", CLOSED)
    assert [note["text"] for note in shown["notes"]] == ["locked out", "fine", "by a stranger"]
    assert [note["text"] for note in walk["notes"]] == ["locked out", "fine", "by a stranger"]
    assert (shown["notes"][-1]["internal"], shown["notes"][-1]["created_by"]) == (True, "ResetConnector")
    assert walk["time"] == [entry["hours"] for entry in shown["time_entries"]] == [0.1]


def test_it_reads_the_trail_as_it_was_written(stage: Stage, walk: dict[str, Any]) -> None:
    assert [row["text"] for row in walk["trail"]][-1] == f"Ticket {walk['number']} has been created."
    approved = next(row for row in walk["trail"] if row["auditSubType"] == "Status" and '"Approved".' in row["text"])
    assert approved in stage.control("GET", f"connectwise/tickets/{walk['number']}")["audit"]
    assert approved["enteredBy"] == "AnnaA"


def test_it_registers_a_callback(stage: Stage, walk: dict[str, Any]) -> None:
    there = stage.control("GET", "connectwise/callbacks")
    assert [one["id"] for one in there] == [walk["callback"]["id"]] == [one["id"] for one in walk["callbacks"]]


def test_it_understands_every_refusal(walk: dict[str, Any]) -> None:
    hand_written = {
        "no such ticket": "None",
        "no placement": "ConnectWiseBadRequestError",
        "a status of another board": "ConnectWiseBadRequestError",
        "an unknown field": "ConnectWiseBadRequestError",
        "the same callback": "ConnectWiseBadRequestError",
        "a wrong key": "ConnectWiseAuthenticationError",
        "no client id": "ConnectWiseAuthenticationError",
    }
    generated = {
        "no such ticket": "NotFoundException",
        "no placement": "MalformedRequestException",
        "a status of another board": "MalformedRequestException",
        "an unknown field": "MalformedRequestException",
        "the same callback": "ObjectExistsError",
        "a wrong key": "AuthenticationFailedException",
        "no client id": "AuthenticationFailedException",
    }
    assert walk["refused"] == (hand_written if walk["script"] == "connectpyse_walk.py" else generated)
