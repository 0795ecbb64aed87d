"""The contract check passes what the sandbox says, and catches what is wrong on purpose.

Every other test in this directory is checked too, when it ends (see `conftest.py`); here the whole of the sandbox is
walked through, and the check itself is put to the test.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.contract_check import Spec, check_all, check_exchange, make_spec, specs_or_skip
from tests.sandbox.conftest import BEN, DANA, FARID, Stage, new_password


@pytest.fixture(scope="module")
def specs() -> dict[str, Spec]:
    return specs_or_skip()


def walk(stage: Stage) -> None:
    """Say everything to the sandbox that a reset says."""
    number = stage.ticket(type="Account Reset", what="Both")
    stage.halo("GET", "Tickets?pageinate=true&page_size=50&page_no=1&lastupdatefromdate=2026-11-22T08:55:00")
    stage.halo("GET", f"Tickets/{number}?includedetails=true&includelastaction=false&nocache=true")
    stage.control("POST", f"tickets/{number}/approve", comment="go")
    stage.halo("GET", f"TicketApproval?ticket_id={number}")
    for path in ("TicketType?showall=true", "Status", "Outcome", "FieldInfo", "ApprovalProcess/5", "Agent/me"):
        stage.halo("GET", path)
    note = {"ticket_id": number, "outcome_id": 7, "note_html": "<p>n</p>", "hiddenfromuser": True, "sendemail": False}
    stage.halo("POST", "Actions", json=[note])
    stage.halo("GET", f"Actions?ticket_id={number}&count=500&excludesys=true&includehtmlnote=true")
    stage.halo("POST", "Tickets", json=[{"id": number, "status_id": 9}])
    select = "id,userPrincipalName,accountEnabled,userType,creationType,onPremisesSyncEnabled,otherMails,proxyAddresses"
    items = [
        {"id": "user", "method": "GET", "url": f"/users/{FARID}?$select={select}"},
        {"id": "roles", "method": "GET", "url": f"/users/{FARID}/transitiveMemberOf/microsoft.graph.directoryRole"},
        {"id": "organization", "method": "GET", "url": "/organization?$select=id,verifiedDomains"},
        {"id": "domains", "method": "GET", "url": "/domains"},
        {
            "id": "groups",
            "method": "POST",
            "url": f"/users/{FARID}/checkMemberGroups",
            "headers": {"Content-Type": "application/json"},
            "body": {"groupIds": ["00000000-0000-0000-0000-000000000000"]},
        },
    ]
    stage.graph("POST", "$batch", json={"requests": items})
    profile = {"password": new_password(), "forceChangePasswordNextSignIn": True}
    stage.graph("PATCH", f"users/{FARID}", json={"passwordProfile": profile})
    stage.graph("POST", f"users/{FARID}/revokeSignInSessions")
    for upn in (FARID, "quinn@contoso.com"):
        stage.graph("GET", f"users/{upn}/authentication/methods")
    stage.graph("GET", f"users/{FARID}/authentication/phoneMethods")
    stage.graph("GET", "users/nobody@contoso.com")


def test_everything_that_a_reset_hears_keeps_to_the_contracts(stage: Stage, specs: dict[str, Spec]) -> None:
    walk(stage)
    exchanges = stage.control("GET", "exchanges")
    assert len(exchanges) > 20
    assert check_all(specs, exchanges) == []


@pytest.fixture
def said(stage: Stage, specs: dict[str, Spec]) -> dict[str, Any]:
    """Good exchanges by "METHOD template", to be spoilt one thing at a time."""
    walk(stage)
    return {f"{one['method']} {one['template']}": one for one in stage.control("GET", "exchanges")}


def spoilt(exchange: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    """A copy with one value changed."""
    copied = copy.deepcopy(exchange)
    place: Any = copied
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copied


SPOILT: list[tuple[str, tuple[str | int, ...], Any, str]] = [
    ("POST /api/actions", ("method",), "PUT", "the verb is not described"),
    ("POST /api/actions", ("path",), "/api/Action", "the path is not described"),
    ("POST /api/actions", ("request_body",), {"ticket_id": 1}, "is not of type"),
    ("POST /api/actions", ("request_body", 0, "outcome_id"), "seven", "'seven' is not of type"),
    ("POST /api/actions", ("request_body", 0, "notes_html"), "x", "'notes_html', which is not described"),
    ("POST /api/actions", ("response_body", "id"), "3", "'3' is not of type"),
    ("POST /api/actions", ("status",), 302, "status 302 is not described"),
    ("GET /api/tickets", ("query", "tickettype_id"), "25", "'tickettype_id' is not described"),
    ("GET /api/tickets", ("query", "page_no"), "one", "has the wrong type"),
    ("GET /api/tickets", ("query", "pageinate"), "yes", "has the wrong type"),
    ("GET /api/tickets", ("response_body", "tickets"), {}, "is not of type"),
    ("GET /api/tickets", ("response_body",), {"record_count": 0}, "'tickets' is a required property"),
    ("GET /api/tickets", ("response_body", "tickets", 0, "status_id"), "9", "'9' is not of type"),
    ("GET /api/tickets", ("response_body",), None, "has no body"),
    ("PATCH /v1.0/users/{id}", ("method",), "PUT", "the verb is not described"),
    ("PATCH /v1.0/users/{id}", ("path",), "/v1.0/user/dana", "the path is not described"),
    ("PATCH /v1.0/users/{id}", ("request_body",), None, "the body is missing"),
    ("PATCH /v1.0/users/{id}", ("request_body", "passwordProfile", "password"), 5, "not valid under any"),
    ("PATCH /v1.0/users/{id}", ("request_body", "passwordProfile", "forceChange"), True, "'forceChange', which is"),
    ("POST /v1.0/users/{id}/revokeSignInSessions", ("request_body",), {"a": 1}, "a body was sent"),
    ("POST /v1.0/users/{id}/revokeSignInSessions", ("response_body", "value"), "yes", "is not of type"),
    (
        "GET /v1.0/users/{id}/authentication/methods",
        ("response_body", "value", 1, "displayName"),
        5,
        "5 is not of type",
    ),
    (
        "GET /v1.0/users/{id}/authentication/methods",
        ("response_body", "value", 1, "colour"),
        "red",
        "'colour', which is not described",
    ),
    ("POST /v1.0/$batch", ("request_body", "requests", 0, "url"), "/nowhere", "the path is not described"),
    ("POST /v1.0/$batch", ("request_body", "requests", 0, "method"), "PUT", "the verb is not described"),
    ("POST /v1.0/$batch", ("request_body", "requests", 4, "headers"), {}, "no Content-Type"),
    ("POST /v1.0/$batch", ("request_body", "requests", 4, "body"), {"groupIds": "x"}, "is not of type"),
    ("POST /v1.0/$batch", ("request_body", "requests"), [], "1 to 20 requests"),
    ("POST /v1.0/$batch", ("response_body", "responses", 0, "id"), "other", "ids are not"),
]


@pytest.mark.parametrize(("call", "path", "value", "words"), SPOILT)
def test_what_is_wrong_on_purpose_is_caught(
    said: dict[str, Any], specs: dict[str, Spec], call: str, path: tuple[str | int, ...], value: Any, words: str
) -> None:
    good = said[call]
    spec = specs[good["system"]]
    assert check_exchange(spec, good) == []
    problems = check_exchange(spec, spoilt(good, *path, value=value))
    assert any(words in problem for problem in problems), problems


def test_an_error_without_its_code_is_caught(said: dict[str, Any], specs: dict[str, Spec]) -> None:
    good = next(one for one in said.values() if one["status"] == 404)
    problems = check_exchange(specs["graph"], spoilt(good, "response_body", value={"error": {"message": "x"}}))
    assert any("'code' is a required property" in problem for problem in problems)


@pytest.mark.parametrize("changes", [{"status": None}, {"response_body": "<html>", "fault": "not_json"}])
def test_what_was_spoilt_by_a_fault_is_let_through_and_its_request_is_still_checked(
    said: dict[str, Any], specs: dict[str, Spec], changes: dict[str, Any]
) -> None:
    good = said["POST /api/actions"] | changes
    assert check_exchange(specs["halo"], good) == []
    assert check_exchange(specs["halo"], spoilt(good, "request_body", 0, "outcome_id", value="x"))


def test_dates_need_not_be_rfc_3339(said: dict[str, Any], specs: dict[str, Spec]) -> None:
    good = said["GET /api/tickets"]
    assert not good["response_body"]["tickets"][0]["dateoccurred"].endswith("Z")
    assert check_exchange(specs["halo"], good) == []


def test_an_exact_status_wins_over_a_range_and_a_range_over_default() -> None:
    """Needs no vendor's description, so it runs everywhere."""

    def answer(kind: str) -> dict[str, Any]:
        return {"description": "", "content": {"application/json": {"schema": {"type": kind}}}}

    responses = {"200": answer("string"), "2XX": answer("integer"), "default": answer("boolean")}
    spec = make_spec("halo", {"paths": {"/x": {"get": {"responses": responses}}}, "components": {"schemas": {}}})
    plain = {"system": "halo", "method": "GET", "path": "/api/x", "query": {}, "request_body": None}
    for status, body in ((200, "text"), (201, 5), (500, True)):
        assert check_exchange(spec, plain | {"status": status, "response_body": body}) == []
        assert check_exchange(spec, plain | {"status": status, "response_body": {}})
    assert check_exchange(spec, plain | {"status": 204, "response_body": None}) == []


def test_exchanges_survive_being_written_down(said: dict[str, Any], specs: dict[str, Spec]) -> None:
    assert check_all(specs, json.loads(json.dumps(list(said.values())))) == []


def test_without_the_descriptions_it_skips_in_words_or_fails_where_nothing_may_be_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr("tests.contract_check.CONTRACTS", tmp_path)
    monkeypatch.setenv("REQUIRE_ALL", "0")
    with pytest.raises(pytest.skip.Exception, match="cannot be checked"):
        specs_or_skip()
    monkeypatch.setenv("REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="cannot be checked"):
        specs_or_skip()


def test_both_people_and_account_are_of_this_world(stage: Stage) -> None:
    """The constants that these tests share name somebody."""
    assert stage.account(DANA)["tenant"] == stage.account(BEN)["tenant"] == "contoso"
