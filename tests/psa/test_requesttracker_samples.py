"""What a real Request Tracker said, read by our own readers: the fields that a person would read off it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from responses import RequestsMock

from connector.core.ports import StatusTarget
from connector.core.secret import Secret
from connector.errors import AuthenticationError, PermanentError, TemporaryError, TicketGone
from connector.http import Http
from connector.psa.requesttracker.mapping import RequestTrackerMapping
from connector.psa.requesttracker.rest import Rest, Transaction, read_person, read_ticket, read_transaction
from connector.psa.requesttracker.write import Writer

SAMPLES = Path(__file__).parents[1] / "samples" / "requesttracker"
URL = "https://rt.msp.example"
MAPPING = {
    "requests": [{"queue": "Service Desk", "action": "password", "subject": {"field": "Target user"}}],
    "approval": {},
    "statuses": {"closed": "resolved", "hand_off": "stalled"},
}


def sample(number: int) -> dict[str, Any]:
    (path,) = SAMPLES.glob(f"{number:03}-*.json")
    exchange: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return exchange


def body(number: int) -> Any:
    return sample(number)["response"]["body"]


def ticket_of(number: int) -> dict[str, Any]:
    """A single ticket, with the queue's name, for which our own calls ask besides."""
    row = body(number)
    return {**row, "Queue": {"Name": "Service Desk", **row["Queue"]}}


def history_of(number: int, ticket: str) -> list[Transaction]:
    """A history, with the ticket that each line is about, for which our own calls ask besides."""
    return [read_transaction({**row, "ObjectId": ticket}) for row in body(number)["items"]]


@pytest.fixture
def web() -> Any:
    with RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def rest() -> Rest:
    http = Http(system="Request Tracker", scope="psa.rt", timeout=timedelta(seconds=5), sleep=lambda _: None)
    return Rest(http, URL, Secret("made at run time"))


def answer(web: RequestsMock, *numbers: int, path: str, method: str = "GET") -> None:
    """Let RT answer what it answered then, one after the other."""
    for number in numbers:
        said = sample(number)["response"]
        text = said["body"] if isinstance(said["body"], str) else json.dumps(said["body"])
        web.add(method, f"{URL}/REST/2.0{path}", body=text, status=said["status"])


# ---------------------------------------------------------------- tickets and histories


def test_a_new_request_says_who_asks_for_what() -> None:
    ticket = read_ticket(ticket_of(3))
    assert (ticket.id, ticket.type, ticket.status, ticket.queue) == ("1", "ticket", "new", "Service Desk")
    assert {field.name: field.values for field in ticket.fields} == {
        "Request type": ("Password reset",),
        "Target user": ("rita@corp.example",),
    }
    assert (ticket.creator.name, ticket.by_rt) == ("hanna.helpdesk", False)
    assert (ticket.owner, ticket.owner_name) == (None, "Nobody")
    assert ticket.created.tzinfo is not None


def test_an_approved_request_is_open_and_says_nothing_about_who_approved() -> None:
    ticket = read_ticket(ticket_of(16))
    assert (ticket.status, ticket.by_rt) == ("open", False)


def test_the_approvals_history_says_who_decided_and_when() -> None:
    asked, decided = history_of(12, "2")
    assert (asked.old, asked.new, asked.by_rt) == ("new", "open", True)
    assert (decided.old, decided.new, decided.by_rt) == ("open", "resolved", False)
    assert (decided.creator.name, decided.created) == (
        "anna.approver",
        datetime(2026, 11, 22, 1, 8, 42, tzinfo=UTC),
    )


def test_a_user_has_name_and_address() -> None:
    user = body(15)
    person = read_person({"id": user["Name"], **user})
    assert (person.name, person.email) == ("Anna Approver", "anna.approver@corp.example")
    assert "rt.user:anna.approver" in person.ids


def test_a_rejection_is_rts_own_two_moves_within_one_request() -> None:
    moves = [(line.old, line.new, line.by_rt) for line in history_of(26, "3") if line.type == "Status"]
    assert moves == [("new", "open", True), ("open", "rejected", True)]


def test_a_field_changed_after_the_approval_stands_in_the_history_with_old_and_new_value() -> None:
    lines = history_of(32, "5")
    opened = next(line for line in lines if line.type == "Status")
    change = next(line for line in lines if line.type == "CustomField")
    assert (change.old, change.new) == ("anne@corp.example", "attacker@corp.example")
    assert change.id > opened.id


# ---------------------------------------------------------------- lists


def test_four_pages_are_thirty_five_tickets_each_once(web: RequestsMock, rest: Rest) -> None:
    answer(web, 42, 43, 44, 45, path="/tickets")
    ids = [row["id"] for row in rest.rows("/tickets", [("query", "Queue = 'Service Desk'")])]
    assert (len(ids), len(set(ids))) == (35, 35)


@pytest.mark.parametrize("number", [47, 54])
def test_nothing_found_is_an_empty_list(web: RequestsMock, rest: Rest, number: int) -> None:
    answer(web, number, path="/tickets")
    assert list(rest.rows("/tickets", [])) == []


@pytest.mark.parametrize("number", [46, 50, 58])  # the first: RT counts 35 rows and shows none
def test_a_query_that_rt_does_not_understand_is_no_empty_answer(web: RequestsMock, rest: Rest, number: int) -> None:
    answer(web, number, path="/tickets")
    with pytest.raises(TemporaryError):
        list(rest.rows("/tickets", []))


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("number", "expected"),
    [(61, AuthenticationError), (62, AuthenticationError), (64, PermanentError)],
)
def test_bad_credentials_and_a_login_page_are_told_apart_from_an_empty_list(
    web: RequestsMock, rest: Rest, number: int, expected: type[Exception]
) -> None:
    answer(web, number, path="/tickets")
    with pytest.raises(expected):
        list(rest.rows("/tickets", []))


@pytest.fixture
def writer(rest: Rest) -> Writer:
    return Writer(name="rt", rest=rest, mapping=RequestTrackerMapping.model_validate(MAPPING))


@pytest.mark.parametrize(("number", "ticket"), [(41, "10"), (66, "9"), (71, "999999")])
def test_a_merged_a_hidden_and_a_missing_ticket_are_gone(
    web: RequestsMock, writer: Writer, number: int, ticket: str
) -> None:
    answer(web, number, path=f"/ticket/{ticket}")
    with pytest.raises(TicketGone):
        writer.look_for(ticket)


def test_a_move_that_rt_answers_with_200_and_does_not_make_is_told_in_rts_words(
    web: RequestsMock, writer: Writer
) -> None:
    answer(web, 3, 3, path="/ticket/1")
    answer(web, 88, path="/ticket/1", method="PUT")
    with pytest.raises(PermanentError, match="isn't a valid status"):
        writer.move("1", StatusTarget.CLOSED)
