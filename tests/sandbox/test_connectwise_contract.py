"""The contract check passes what the sandbox's ConnectWise says, and catches what is wrong on purpose."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract_check import Spec, check_all, check_exchange, specs_or_skip
from tests.sandbox.conftest import Stage
from tests.sandbox.test_contract import spoilt

POLL = "board/id in (1,2) and type/id in (11,12) and closedFlag=false and lastUpdated>=[2026-11-22T08:55:00Z]"


@pytest.fixture(scope="module")
def specs() -> dict[str, Spec]:
    return specs_or_skip()


def walk(stage: Stage) -> None:
    """Say everything to the sandbox that a reset says."""
    number = stage.connectwise_ticket(what="Password")
    ticket = f"service/tickets/{number}"
    stage.control("POST", f"connectwise/tickets/{number}/approve", comment="go")
    paths = (
        "system/info",
        "service/boards",
        "service/boards/1/statuses",
        "service/boards/1/types",
        "service/boards/1/subtypes",
        "system/members/150",
        "system/members",
        "system/userDefinedFields",
        "company/companies/250",
        "company/contacts/800",
        "company/contacts/types",
        f"system/audittrail?type=Ticket&id={number}",
        ticket,
        f"{ticket}/notes",
        "service/tickets/count",
        "service/tickets/1",
    )
    for path in paths:
        stage.connectwise("GET", path)
    query = {"conditions": POLL, "pageSize": 1000, "pageId": 0}
    stage.connectwise("GET", "service/tickets", params=query, headers={"pagination-type": "forward-only"})
    stage.connectwise("POST", "service/tickets/search", json={"conditions": POLL})
    fields = [{"id": 41, "value": "dana@contoso.com"}, {"id": 43, "value": "Approved"}]
    operations = [
        {"op": "replace", "path": "status", "value": {"id": 502}},
        {"op": "replace", "path": "customFields", "value": fields},
    ]
    stage.connectwise("PATCH", ticket, json=operations)
    note = {"text": "n", "internalAnalysisFlag": True, "detailDescriptionFlag": False, "processNotifications": False}
    stage.connectwise("POST", f"{ticket}/notes", json=note)
    time = {
        "chargeToId": number,
        "chargeToType": "ServiceTicket",
        "timeStart": "2026-11-22T09:00:00Z",
        "actualHours": 1,
    }
    stage.connectwise("POST", "time/entries", json=time)
    stage.connectwise("GET", f"{ticket}/allNotes")
    callback = {"url": "https://connector.example.com/?r=", "objectId": 1, "type": "ticket", "level": "owner"}
    stage.connectwise("POST", "system/callbacks", json=callback)
    stage.connectwise("GET", "system/callbacks")


@pytest.fixture
def said(stage: Stage, specs: dict[str, Spec]) -> dict[str, Any]:
    """Good exchanges by "METHOD template", to be spoilt one thing at a time."""
    walk(stage)
    return {f"{one['method']} {one['template']}": one for one in stage.control("GET", "exchanges")}


def test_everything_that_a_reset_says_and_hears_keeps_to_the_contract(
    said: dict[str, Any], specs: dict[str, Spec]
) -> None:
    assert len(said) > 20
    assert check_all(specs, said.values()) == []


TICKETS = "GET /service/tickets"
PATCH, NOTE = "PATCH /service/tickets/{id}", "POST /service/tickets/{id}/notes"

SPOILT: list[tuple[str, tuple[str | int, ...], Any, str]] = [
    (TICKETS, ("path",), "/v4_6_release/apis/3.0/service/ticket", "the path is not described"),
    (TICKETS, ("path",), "/service/apis/3.0/tickets", "the path is not described"),
    (PATCH, ("method",), "PUSH", "the verb is not described"),
    (TICKETS, ("request_headers",), {}, "header 'clientid' is missing"),
    (TICKETS, ("query", "boardId"), "1", "'boardId' is not described"),
    (TICKETS, ("query", "pageSize"), "all", "has the wrong type"),
    (TICKETS, ("query", "pageId"), "first", "has the wrong type"),
    (TICKETS, ("response_body",), {"tickets": []}, "is not of type"),
    (TICKETS, ("response_body",), None, "has no body"),
    (TICKETS, ("response_body", 0, "id"), "7600", "'7600' is not of type"),
    (TICKETS, ("response_body", 0, "colour"), "red", "'colour', which is not described"),
    (TICKETS, ("response_body", 0, "dateEntered"), "2026-11-22T09:00:00Z", "'dateEntered', which is not described"),
    (TICKETS, ("response_body", 0, "board", "id"), "one", "is not valid under any"),
    (TICKETS, ("response_body", 0, "closedFlag"), "no", "is not of type"),
    (TICKETS, ("response_body", 0, "customFields", 0, "kind"), "x", "'kind', which is not described"),
    (TICKETS, ("response_body", 0, "severity"), "Dreadful", "is not one of"),
    (TICKETS, ("response_body", 0), {"id": 1, "summary": "x"}, "'company' is a required property"),
    ("GET /service/tickets/count", ("response_body", "count"), "1", "'1' is not of type"),
    (TICKETS, ("status",), 302, "status 302 is not described"),
    (PATCH, ("request_body",), {"op": "replace", "path": "status"}, "is not of type"),
    (PATCH, ("request_body",), None, "the body is missing"),
    (PATCH, ("request_body", 0, "from"), "x", "'from', which is not described"),
    (PATCH, ("request_body", 0, "path"), 5, "5 is not of type"),
    (NOTE, ("request_body", "internal"), True, "'internal', which is not described"),
    (NOTE, ("request_body", "internalAnalysisFlag"), "yes", "is not of type"),
    (NOTE, ("response_body", "member"), "ResetConnector", "is not valid under any"),
    ("POST /service/tickets/search", ("request_body", "page"), 1, "'page', which is not described"),
    ("POST /time/entries", ("request_body", "timeStart"), None, "is not of type"),
    ("POST /time/entries", ("request_body", "hours"), 1, "'hours', which is not described"),
    ("POST /system/callbacks", ("request_body",), {"url": "x"}, "is a required property"),
    ("POST /system/callbacks", ("response_body", "objectId"), "1", "is not of type"),
    ("GET /system/audittrail", ("response_body", 0, "oldValue"), "x", "'oldValue', which is not described"),
    ("GET /system/audittrail", ("response_body", 0, "text"), 5, "5 is not of type"),
    ("GET /system/info", ("response_body", "isCloud"), "True", "is not of type"),
    ("GET /company/contacts/{id}", ("response_body", "communicationItems", 0, "communicationType"), "Pigeon", "one of"),
]


@pytest.mark.parametrize(("call", "path", "value", "words"), SPOILT)
def test_what_is_wrong_on_purpose_is_caught(
    said: dict[str, Any], specs: dict[str, Spec], call: str, path: tuple[str | int, ...], value: Any, words: str
) -> None:
    spec, good = specs["connectwise"], said[call]
    assert check_exchange(spec, good) == []
    problems = check_exchange(spec, spoilt(good, *path, value=value))
    assert any(words in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("status", "body", "fits"),
    [
        (404, {"code": "NotFound", "message": "x"}, True),
        (404, "<html></html>", True),
        (400, "<html></html>", False),
        (400, {"message": "x"}, False),
        (400, {"code": "InvalidObject", "message": "x", "errors": None}, True),
        (400, {"code": "InvalidObject", "message": "x", "errors": [{"code": "a", "message": "b"}]}, True),
        (400, {"code": "InvalidObject", "message": "x", "errors": [{"message": "b"}]}, False),
        (429, {"error": "ConnectWiseAPI", "message": "x"}, True),
        (429, {"code": "ConnectWiseAPI", "message": "x"}, False),
        (500, None, False),
    ],
)
def test_errors_keep_to_their_known_shapes(
    said: dict[str, Any], specs: dict[str, Spec], status: int, body: Any, fits: bool
) -> None:
    problems = check_exchange(specs["connectwise"], said[TICKETS] | {"status": status, "response_body": body})
    assert (problems == []) == fits


def test_a_projection_may_lack_required_properties_and_nothing_else(
    said: dict[str, Any], specs: dict[str, Spec]
) -> None:
    spec, short = specs["connectwise"], said[TICKETS] | {"query": {"fields": "id"}, "response_body": [{"id": 1}]}
    assert check_exchange(spec, short) == []
    assert check_exchange(spec, short | {"response_body": [{"id": "x"}]})


@pytest.mark.parametrize("codebase", ["v4_6_release", "v2026_1", "v2026_1/", "V2026_1"])
def test_the_codebase_is_no_part_of_the_description(
    said: dict[str, Any], specs: dict[str, Spec], codebase: str
) -> None:
    good = said[TICKETS] | {"path": f"/{codebase}/apis/3.0//service/tickets/"}
    assert check_exchange(specs["connectwise"], good) == []
    assert check_exchange(specs["connectwise"], spoilt(good, "query", "page", value="x"))
