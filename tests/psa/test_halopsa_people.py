"""Who is who in HaloPSA: the user in a look-up field, whoever passed a decision on, whoever logged the ticket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import responses

from connector.core.case import Person
from connector.core.ports import Stance, Ticket
from connector.errors import TemporaryError
from connector.psa.halopsa.mapping import HaloMapping, HaloSubject
from tests.psa.halopsa_make import shipped_mapping
from tests.psa.halopsa_server import Server, detail, with_process

ENTRA = "6f0e105e-7000-4000-8000-80c238063b07"


@pytest.fixture
def halo() -> Iterator[Server]:
    with responses.RequestsMock() as mock:
        yield Server(mock)


def by_user() -> HaloMapping:
    shipped = shipped_mapping()
    request = shipped.requests[0].model_copy(update={"subject": HaloSubject(field="CFUser", lookup="user")})
    return shipped.model_copy(update={"requests": (request,)})


def user(**changes: Any) -> dict[str, Any]:
    body = {
        "id": 51, "name": "Dana", "emailaddress": "dana@contoso.com", "login": "dana.l@contoso.com",
        "client_id": 12, "site_id": 18.0, "azureoid": ENTRA.upper(), "inactive": False, **changes,
    }  # fmt: skip
    return {key: value for key, value in body.items() if value is not None}


def read_subject(halo: Server, value: object, found: dict[str, Any] | None = None) -> Ticket:
    entry = {"id": 210, "name": "CFUser", "type": 2, "value": value, "display": "Dana"}
    halo.get("Tickets/4242", json=detail(customfields=[entry], status_id=31, approvers=None))
    halo.get("Users/51", json=user() if found is None else found)
    return halo.psa(mapping=by_user()).read("4242")


# ---------------------------------------------------------------- the account to be reset


@pytest.mark.parametrize("value", [51, "51", 51.0, {"id": 51, "name": "Dana"}, [51], [{"id": "51"}]])
def test_a_user_in_a_field_of_any_shape_is_read_with_address_and_entra_id(halo: Server, value: object) -> None:
    ticket = read_subject(halo, value)
    assert (ticket.subject_text, ticket.subject_id, ticket.subject_problem) == ("dana@contoso.com", ENTRA, "")
    assert any("halo.user:51" in person.ids for person in ticket.also_not_approvers)


@pytest.mark.parametrize(
    ("changes", "address", "entra"),
    [
        ({"azureoid": None}, "dana@contoso.com", ""),
        ({"azureoid": "not an id"}, "dana@contoso.com", ""),
        ({"azureoid": "00000000-0000-0000-0000-000000000000"}, "dana@contoso.com", ""),
        ({"emailaddress": None}, "dana.l@contoso.com", ENTRA),
        ({"emailaddress": "  "}, "dana.l@contoso.com", ENTRA),
    ],
)
def test_the_address_stands_in_for_what_halopsa_does_not_know(
    halo: Server, changes: dict[str, Any], address: str, entra: str
) -> None:
    ticket = read_subject(halo, 51, user(**changes))
    assert (ticket.subject_text, ticket.subject_id, ticket.subject_problem) == (address, entra, "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inactive": True}, "inactive"),
        ({"client_id": 13}, "client"),
        ({"client_id": None}, "client"),
        ({"emailaddress": None, "login": "CONTOSO\\dana"}, "neither"),
        ({"emailaddress": None, "login": None}, "neither"),
        ({"id": 52}, "no user 51"),
        ({"id": None}, "no user 51"),
    ],
)
def test_a_user_who_stands_for_no_account_is_refused_with_a_plain_reason(
    halo: Server, changes: dict[str, Any], said: str
) -> None:
    ticket = read_subject(halo, 51, user(**changes))
    assert (ticket.subject_text, ticket.subject_id) == ("", "")
    assert said in ticket.subject_problem
    assert "@" not in ticket.subject_problem


@pytest.mark.parametrize("value", [[51, 52], "dana@contoso.com", "51 52", -1, 0, True, {"name": "51"}, 51.5])
def test_a_field_that_holds_no_user_is_refused_and_asks_for_none(halo: Server, value: object) -> None:
    ticket = read_subject(halo, value)
    assert ticket.subject_text == ""
    assert ticket.subject_problem
    assert halo.asked("/Users/51") == []


def test_a_field_that_was_never_set_names_no_user(halo: Server) -> None:
    halo.get("Tickets/4242", json=detail(customfields=[], status_id=31, approvers=None))
    assert halo.psa(mapping=by_user()).read("4242").subject_problem == "the ticket names no user"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_user_whom_we_may_not_see_is_refused_and_pauses_nothing(halo: Server, status: int) -> None:
    entry = {"id": 210, "name": "CFUser", "value": 51}
    halo.get("Tickets/4242", json=detail(customfields=[entry], status_id=31, approvers=None))
    halo.get("Users/51", status=status, body="no")
    assert "no user 51" in halo.psa(mapping=by_user()).read("4242").subject_problem


def test_a_user_whom_halopsa_cannot_tell_just_now_makes_the_read_fail(halo: Server) -> None:
    halo.get("Tickets/4242", json=detail(customfields=[{"id": 210, "name": "CFUser", "value": 51}]))
    halo.get("Users/51", status=503)
    with_process(halo)
    with pytest.raises(TemporaryError):
        halo.psa(mapping=by_user()).read("4242")


def test_the_user_is_read_anew_each_time(halo: Server) -> None:
    entry = {"id": 210, "name": "CFUser", "value": 51}
    halo.get("Tickets/4242", json=detail(customfields=[entry], status_id=31, approvers=None))
    halo.get("Users/51", json=user())
    halo.get("Users/51", json=user(inactive=True))
    psa = halo.psa(mapping=by_user())
    assert psa.read("4242").subject_text == "dana@contoso.com"
    assert psa.read("4242").subject_text == ""


# ---------------------------------------------------------------- who passed a decision on


def vote(**changes: Any) -> dict[str, Any]:
    return detail()["approvers"][0] | changes


def test_whoever_passed_the_decision_on_is_looked_up_and_known_by_address(halo: Server) -> None:
    with_process(halo)
    passed_on = vote(delegated_by_uid=51, delegated_by_username="Dana")
    halo.get("Tickets/4242", json=detail(approvers=[passed_on]))
    halo.get("Users/51", json=user())
    reading = halo.psa().read("4242").approval
    assert reading.stance is Stance.APPROVED
    by = reading.decisions[0].delegated_by
    assert by is not None
    assert by.email == "dana@contoso.com"
    assert f"entra:{ENTRA}" in by.ids


def test_whoever_passed_the_decision_on_and_cannot_be_looked_up_makes_it_no_yes(halo: Server) -> None:
    with_process(halo)
    halo.get("Tickets/4242", json=detail(approvers=[vote(delegated_by_uid=51, delegated_by_username="Dana")]))
    halo.get("Users/51", status=404)
    reading = halo.psa().read("4242").approval
    assert reading.stance is Stance.PENDING
    assert "Dana passed the decision on" in reading.reason


# ---------------------------------------------------------------- who logged the ticket


@pytest.mark.parametrize(
    ("changes", "person"),
    [
        ({"created_by": "9"}, {"halo.agent:9"}),
        ({"created_by": "al@msp.example.com"}, {"mail:al@msp.example.com"}),
        ({"loggedonbehalfby": "9"}, {"halo.agent:9"}),
        ({"reportedby": "anna@contoso.com"}, {"mail:anna@contoso.com"}),
        ({"approvers": [vote(requestor_agent_id=9)]}, {"halo.agent:9"}),
        ({"approvers": [vote(requestor_user_id=39)]}, {"halo.user:39"}),
    ],
)
def test_whoever_logged_the_ticket_or_asked_for_its_approval_must_not_give_it(
    halo: Server, changes: dict[str, Any], person: set[str]
) -> None:
    with_process(halo)
    halo.get("Tickets/4242", json=detail(**changes))
    assert [one.identities for one in halo.psa().read("4242").also_not_approvers] == [person]


def test_the_requester_is_not_named_twice(halo: Server) -> None:
    halo.get("Tickets/4242", json=detail(reportedby="ben@contoso.com", approvers=[vote(requestor_user_id=38)]))
    with_process(halo)
    assert halo.psa().read("4242").also_not_approvers == ()


@pytest.mark.parametrize("creator", [None, "", "0", "Al Agent", "-3", "²"])
def test_a_name_alone_tells_nobody_apart_and_is_left_out(halo: Server, creator: object) -> None:
    halo.get("Tickets/4242", json=detail(created_by=creator, status_id=31, approvers=None))
    assert halo.psa().read("4242").also_not_approvers == ()


def opening(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "ticket_id": 4242, "who": "Al Agent", "who_type": 1, "who_agentid": 9, **changes}


def test_where_an_agent_approved_the_tickets_first_action_tells_who_logged_it(halo: Server) -> None:
    with_process(halo)
    halo.get("Tickets/4242", json=detail(approvers=[vote(user_id=0, agent_id=9)]))
    halo.get("Actions/1", json=opening())
    psa = halo.psa()
    ticket = psa.read("4242")
    assert ticket.also_not_approvers == (Person(name="Al Agent", ids=frozenset({"halo.agent:9"})),)
    assert ticket.approval.decisions[0].approver.may_be(ticket.also_not_approvers[0])
    psa.read("4242")
    assert halo.query("/Actions/1") == [{"ticket_id": "4242"}]


def test_where_no_agent_approved_nobody_asks_who_logged_the_ticket(halo: Server) -> None:
    with_process(halo)
    halo.get("Tickets/4242", json=detail())
    assert halo.psa().read("4242").also_not_approvers == ()
    assert halo.asked("/Actions/1") == []


@pytest.mark.parametrize(
    "answer",
    [{"status": 404}, {"status": 403, "body": "no"}, {"json": []}, {"json": opening(id=2)},
     {"json": opening(who_agentid=0)}],
    ids=["none", "no right", "nonsense", "another one", "no agent"],
)  # fmt: skip
def test_a_first_action_that_tells_nobody_changes_nothing(halo: Server, answer: dict[str, Any]) -> None:
    with_process(halo)
    halo.get("Tickets/4242", json=detail(approvers=[vote(user_id=0, agent_id=9)]))
    halo.get("Actions/1", **answer)
    ticket = halo.psa().read("4242")
    assert ticket.also_not_approvers == ()
    assert ticket.approval.stance is Stance.APPROVED
