"""Answers of Request Tracker that a healthy server does not give: each one a bad day."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
import yaml

from connector.adapter import Surroundings
from connector.config import HttpSection, Place
from connector.core.case import Action, Person
from connector.core.ports import Level, Note, StatusTarget
from connector.errors import AuthenticationError, ConfigError, PermanentError, TemporaryError, TicketGone
from connector.psa.mapping import FieldSource
from connector.psa.requesttracker.adapter import RequestTracker
from connector.psa.requesttracker.mapping import (
    RequestTrackerMapping,
    RequestTrackerRequest,
    action_of,
    request_of,
    text,
    texts,
)
from connector.psa.requesttracker.rest import (
    any_of,
    quoted,
    read_person,
    read_ticket,
    read_time,
    read_transaction,
)
from tests.psa.requesttracker_oddities import FIELDS, MAPPING, NOW, build_adapter

RT = "https://rt.example.com"
REST = f"{RT}/REST/2.0"
ROOT = Path(__file__).resolve().parents[2]


def user(name: str, **more: str) -> dict[str, Any]:
    return {"id": name, "type": "user", "Name": name, **more}


def ticket_row(**changes: Any) -> dict[str, Any]:
    row = {
        "id": "1",
        "type": "ticket",
        "Type": "ticket",
        "Status": "new",
        "Subject": "Password reset",
        "Queue": {"id": "3", "Name": "Service Desk", "type": "queue"},
        "Created": "2026-11-22T11:00:00Z",
        "LastUpdated": "2026-11-22T11:00:00Z",
        "Creator": user("hanna"),
        "Requestor": [user("rita", EmailAddress="rita@contoso.example", RealName="Rita")],
        "Owner": user("Nobody"),
        "AdminCc": [],
        "CustomFields": [
            {"id": "3", "name": "Target user", "values": ["wanda@contoso.example"], "type": "customfield"},
            {"id": "2", "name": "Request type", "values": ["Password reset"], "type": "customfield"},
        ],
    }
    return {**row, **changes}


def line(id_: int, ticket: str, type_: str, **more: Any) -> dict[str, Any]:
    row = {"id": str(id_), "ObjectId": ticket, "Type": type_, "Field": "", "OldValue": "", "NewValue": "", "Data": ""}
    return {**row, "Created": "2026-11-22T11:00:00Z", "Creator": user("hanna"), **more}


def page(*rows: dict[str, Any], total: int | None = -1, pages: float | None = 1) -> dict[str, Any]:
    """A list answer; `total` is that of the rows unless given. RT gives neither where rows may be hidden."""
    counted = len(rows) if total == -1 else total
    return {"items": list(rows), "total": counted, "pages": pages if counted is not None else None, "count": len(rows)}


@pytest.fixture
def server() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def token() -> str:
    return f"1-14-{secrets.token_hex(16)}"


@pytest.fixture
def psa(server: responses.RequestsMock, tmp_path: Path, token: str) -> RequestTracker:
    return build_adapter(tmp_path, RT, token)


def queries(server: responses.RequestsMock) -> list[dict[str, list[str]]]:
    return [parse_qs(urlsplit(str(call.request.url)).query) for call in server.calls]


# ---------------------------------------------------------------- transport


def test_the_token_goes_into_the_header_and_nowhere_else(
    server: responses.RequestsMock, psa: RequestTracker, token: str
) -> None:
    server.get(f"{REST}/tickets", json=page(total=0, pages=0.0))
    psa.changed(None)

    (call,) = server.calls
    assert call.request.headers["Authorization"] == f"token {token}"
    assert token not in str(call.request.url)
    assert "Mozilla" not in str(call.request.headers["User-Agent"])
    assert "Cookie" not in call.request.headers


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429, 500, 503])
def test_no_message_holds_the_token_the_query_or_the_body(
    server: responses.RequestsMock, psa: RequestTracker, token: str, status: int
) -> None:
    body = f"<html>{token} wanda@contoso.example</html>"
    server.get(
        f"{REST}/tickets", status=status, body=body, headers={"Location": f"{RT}/?t={token}", "Retry-After": "60"}
    )
    with pytest.raises((TemporaryError, AuthenticationError, PermanentError)) as failed:
        psa.changed(None)

    assert token not in repr(failed.value)
    assert "wanda" not in repr(failed.value)
    assert "Service Desk" not in str(failed.value)


def test_a_redirect_to_the_login_page_is_not_followed(server: responses.RequestsMock, psa: RequestTracker) -> None:
    server.get(f"{REST}/tickets", status=302, body="Login required", headers={"Location": f"{RT}/"})
    login = server.get(f"{RT}/", body="<html>")
    with pytest.raises(PermanentError, match="elsewhere"):
        psa.changed(None)
    assert login.call_count == 0


def test_a_wait_that_is_asked_for_is_passed_on(server: responses.RequestsMock, psa: RequestTracker) -> None:
    server.get(f"{REST}/tickets", status=429, headers={"Retry-After": "60"})
    with pytest.raises(TemporaryError) as failed:
        psa.changed(None)
    assert failed.value.retry_after == timedelta(seconds=60)


@pytest.mark.parametrize("body", ["", "<html>Maintenance</html>", "[]", "null", "{}", '{"items": 5}', '{"items": [5]}'])
def test_an_answer_of_another_shape_is_a_temporary_error(
    server: responses.RequestsMock, psa: RequestTracker, body: str
) -> None:
    server.get(f"{REST}/tickets", body=body)
    with pytest.raises(TemporaryError):
        psa.changed(None)


@pytest.mark.parametrize("missing", sorted(set(ticket_row()) - {"type"}))
def test_a_row_without_a_field_is_a_temporary_error_and_no_guess(
    server: responses.RequestsMock, psa: RequestTracker, missing: str
) -> None:
    row = ticket_row()
    del row[missing]
    server.get(f"{REST}/tickets", json=page(row))
    with pytest.raises(TemporaryError):
        psa.changed(None)


@pytest.mark.parametrize("time", ["2026-11-22", "2026-11-22 11:00:00", "", "yesterday", None])
def test_a_date_in_another_notation_is_a_temporary_error(time: str | None) -> None:
    with pytest.raises(TemporaryError):
        read_ticket(ticket_row(Created=time))
    with pytest.raises(TemporaryError):
        read_transaction(line(60, "1", "Create", Created=time))


def test_1970_means_never() -> None:
    assert read_time("1970-01-01T00:00:00Z") is None


# ---------------------------------------------------------------- lists


def test_rows_that_are_counted_and_not_shown_are_an_error(server: responses.RequestsMock, psa: RequestTracker) -> None:
    # So RT answers an unknown sort field: it would look like "nothing to do" for ever.
    server.get(f"{REST}/tickets", json=page(total=35))
    with pytest.raises(TemporaryError, match="counts 35 rows"):
        psa.changed(None)


def test_a_refused_query_is_an_error_without_rts_text(server: responses.RequestsMock, psa: RequestTracker) -> None:
    # RT's own message names files of the server.
    server.get(f"{REST}/tickets", status=400, json={"message": "Wrong query at /usr/share/request-tracker5/lib/x.pm"})
    with pytest.raises(TemporaryError, match="refused the search") as failed:
        psa.changed(None)
    assert "/usr/share" not in str(failed.value)


def test_a_ticket_on_two_pages_is_told_once(server: responses.RequestsMock, psa: RequestTracker) -> None:
    first, second = ticket_row(), ticket_row(id="2")
    for rows in ((first,), (first, second)):
        server.get(f"{REST}/tickets", json=page(*rows, total=101, pages=2))
    assert [one.id for one in psa.changed(None).tickets] == ["1", "2"]
    assert [query["page"] for query in queries(server)] == [["1"], ["2"]]
    assert {query["per_page"][0] for query in queries(server)} == {"100"}


def test_an_endless_list_ends(server: responses.RequestsMock, psa: RequestTracker) -> None:
    server.get(f"{REST}/tickets", json=page(ticket_row(), total=10**6, pages=10**4))
    with pytest.raises(TemporaryError, match="more than 100 pages"):
        psa.changed(None)


def answer_history(server: responses.RequestsMock, *pages: list[dict[str, Any]]) -> None:
    for rows in pages:
        server.get(f"{REST}/transactions", json=page(*rows, total=None))


def test_a_page_of_hidden_rows_is_not_the_end_of_a_history(server: responses.RequestsMock, psa: RequestTracker) -> None:
    server.get(f"{REST}/tickets", json=page(ticket_row()))
    change = line(70, "1", "CustomField", Field="3", Created="2026-11-22T11:30:00Z")
    answer_history(server, [], [change], [], [], [line(60, "1", "Create")])

    assert psa.read("1").request_changed_at == datetime.fromisoformat("2026-11-22T11:30:00Z")
    assert len(server.calls) == 6


def test_a_history_whose_beginning_is_not_shown_is_not_trusted(
    server: responses.RequestsMock, psa: RequestTracker
) -> None:
    server.get(f"{REST}/tickets", json=page(ticket_row()))
    answer_history(server, [line(70, "1", "Set", Field="Queue")], [])
    with pytest.raises(PermanentError, match="whole history of ticket 1"):
        psa.read("1")


def test_a_note_is_looked_for_behind_hidden_rows(server: responses.RequestsMock, psa: RequestTracker) -> None:
    note = line(70, "1", "Comment", Data="connector\n ref=abcd1234\n")
    answer_history(server, [], [], [note, line(60, "1", "Create")])
    assert psa.has_note("1", "abcd1234")


@pytest.mark.parametrize("data", ["connector ref=abcd12345", "ref=xabcd1234", "pref=abcd1234", "abcd1234", ""])
def test_a_marker_within_another_word_is_not_found(
    server: responses.RequestsMock, psa: RequestTracker, data: str
) -> None:
    answer_history(server, [line(70, "1", "Comment", Data=data), line(60, "1", "Create")])
    assert not psa.has_note("1", "abcd1234")


# ---------------------------------------------------------------- polls


def test_the_question_reaches_back_over_a_downtime(server: responses.RequestsMock, tmp_path: Path, token: str) -> None:
    now = [NOW]

    def around(**more: Any) -> Surroundings:
        return Surroundings(**{**more, "clock": lambda: now[0]})

    psa = build_adapter(tmp_path, RT, token, around=around)
    server.get(f"{REST}/tickets", json=page(total=0, pages=0.0))
    cursor = psa.changed(None).cursor
    for later, minutes in ((timedelta(seconds=15), 6), (timedelta(hours=3), 185), (timedelta(days=2), 2885)):
        now[0] = NOW + later
        psa.changed(cursor)
        assert queries(server)[-1]["query"][0].endswith(f"AND LastUpdated > '{minutes} minutes ago'")

    now[0] = NOW - timedelta(hours=1)  # a clock that was set back: everything is asked for
    psa.changed(cursor)
    assert "minutes ago" not in queries(server)[-1]["query"][0]
    assert "Status = '__Active__'" in queries(server)[-1]["query"][0]


@pytest.mark.parametrize(
    "cursor",
    ["", "{}", "[]", "null", "17", '{"at": "2026-11-22T12:00:00", "told": {}, "watched": []}', '{"at": 5}', "\x00"],
)
def test_a_cursor_that_cannot_be_read_asks_for_everything(
    server: responses.RequestsMock, psa: RequestTracker, cursor: str
) -> None:
    server.get(f"{REST}/tickets", json=page(ticket_row()))
    assert [one.id for one in psa.changed(cursor).tickets] == ["1"]
    assert "__Active__" in queries(server)[0]["query"][0]


def test_a_failed_poll_gives_no_cursor_so_that_nothing_is_lost(
    server: responses.RequestsMock, psa: RequestTracker
) -> None:
    server.get(f"{REST}/tickets", json=page(total=0, pages=0.0))
    cursor = psa.changed(None).cursor
    server.replace(responses.GET, f"{REST}/tickets", status=403)
    with pytest.raises(AuthenticationError):
        psa.changed(cursor)
    server.replace(responses.GET, f"{REST}/tickets", json=page(ticket_row()))
    assert [one.id for one in psa.changed(cursor).tickets] == ["1"]


def test_an_idle_poll_is_one_call_whatever_waits(server: responses.RequestsMock, psa: RequestTracker) -> None:
    many = [ticket_row(id=str(number)) for number in range(1, 101)]
    server.get(f"{REST}/tickets", json=page(*many))
    polled = psa.changed(None)
    assert len(polled.tickets) == 100
    server.replace(responses.GET, f"{REST}/tickets", json=page(total=0, pages=0.0))
    calls = len(server.calls)
    assert psa.changed(polled.cursor).tickets == ()
    assert len(server.calls) == calls + 1


# ---------------------------------------------------------------- writes


def answer_ticket(server: responses.RequestsMock, *statuses: str, **more: Any) -> None:
    for status in statuses:
        body = {"id": 1, "Status": status, "Subject": "Password reset", "Owner": user("Nobody"), **more}
        server.get(f"{REST}/ticket/1", json=body, headers={"ETag": '"62"'})


@pytest.mark.parametrize("key", ["1 OR id > 0", "1'", "", "0", "-1", "1/../2", "１", "1\n", "9" * 40])
def test_what_is_no_number_is_never_sent(server: responses.RequestsMock, psa: RequestTracker, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: psa.read(key),
        lambda: psa.add_note(key, Note("x", "abcd1234")),
        lambda: psa.has_note(key, "abcd1234"),
        lambda: psa.move(key, StatusTarget.CLOSED),
    ]
    for call in calls:
        with pytest.raises(TicketGone):
            call()
    assert len(server.calls) == 0


@pytest.mark.parametrize("marker", ["", "two words", "x' OR id > 0", "%", "a\nb"])
def test_a_marker_that_is_no_word_is_a_mistake_of_ours(
    server: responses.RequestsMock, psa: RequestTracker, marker: str
) -> None:
    with pytest.raises(ValueError, match="no marker"):
        psa.has_note("1", marker)
    assert len(server.calls) == 0


def test_a_ticket_that_changes_meanwhile_is_not_moved_and_tried_again(
    server: responses.RequestsMock, psa: RequestTracker
) -> None:
    answer_ticket(server, "open")
    move = server.put(f"{REST}/ticket/1", status=412, json={"message": "Precondition Failed"})
    with pytest.raises(TemporaryError, match="changed while"):
        psa.move("1", StatusTarget.CLOSED)
    assert server.calls[-1].request.headers["If-Match"] == '"62"'
    assert move.call_count == 1


def test_a_note_is_never_sent_twice_by_itself(server: responses.RequestsMock, psa: RequestTracker) -> None:
    answer_ticket(server, "open")
    sent = server.post(f"{REST}/ticket/1/comment", body=requests.exceptions.ConnectionError("cut"))
    with pytest.raises(TemporaryError):
        psa.add_note("1", Note("x", "abcd1234"))
    assert sent.call_count == 1


def test_a_move_that_rt_answers_with_200_is_believed_only_after_a_look(
    server: responses.RequestsMock, psa: RequestTracker
) -> None:
    answer_ticket(server, "open", "open")
    server.put(f"{REST}/ticket/1", json=["Ticket 1: Status changed from 'open' to 'resolved'"])
    with pytest.raises(PermanentError, match="left ticket 1 in the status open instead of resolved"):
        psa.move("1", StatusTarget.CLOSED)


def test_rts_reason_is_cut_to_a_plain_line(server: responses.RequestsMock, psa: RequestTracker) -> None:
    answer_ticket(server, "open", "open")
    server.put(f"{REST}/ticket/1", json=["No\x1b[31m\r\nway " + "x" * 500])
    with pytest.raises(PermanentError) as failed:
        psa.move("1", StatusTarget.CLOSED)
    assert "\x1b" not in str(failed.value)
    assert "\n" not in str(failed.value)
    assert len(str(failed.value)) < 500


def test_a_ticket_that_is_known_but_not_listed_is_tried_again(
    server: responses.RequestsMock, psa: RequestTracker
) -> None:
    server.get(f"{REST}/tickets", json=page(total=0, pages=0.0))
    answer_ticket(server, "new")
    with pytest.raises(TemporaryError, match="does not list it"):
        psa.read("1")


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_a_server_that_is_away_or_refuses_us_stops_no_start(
    server: responses.RequestsMock, psa: RequestTracker, status: int
) -> None:
    server.get(f"{REST}/rt", status=status, json={"message": "no"})
    problems = [finding for finding in psa.check() if finding.level is Level.ERROR]
    assert problems
    assert all(problem.temporary for problem in problems)


@pytest.mark.parametrize("booked", [None, "0", "6", "text"])
def test_time_that_was_not_booked_is_told(
    server: responses.RequestsMock, psa: RequestTracker, booked: str | None
) -> None:
    answer_ticket(server, "open")
    server.post(f"{REST}/ticket/1/comment", status=201, json=[], headers={"Location": "/REST/2.0/transaction/70"})
    server.get(f"{REST}/transaction/70", json={"TimeTaken": booked} if booked else {})
    with pytest.raises(PermanentError, match="time_entry"):
        psa.add_note("1", Note("x", "abcd1234", time_spent=timedelta(minutes=5)))


@pytest.mark.parametrize("place", ["", "/REST/2.0/transaction/", "/REST/2.0/transaction/1/../2", "https://x.example/"])
def test_a_note_that_rt_does_not_name_is_looked_for_before_a_repeat(
    server: responses.RequestsMock, psa: RequestTracker, place: str
) -> None:
    answer_ticket(server, "open")
    sent = server.post(f"{REST}/ticket/1/comment", status=201, json=[], headers={"Location": place})
    with pytest.raises(TemporaryError, match="form that is not known"):
        psa.add_note("1", Note("x", "abcd1234", time_spent=timedelta(minutes=5)))
    assert sent.call_count == 1


def test_a_ticket_taken_by_somebody_in_between_is_not_taken_from_them(
    server: responses.RequestsMock, tmp_path: Path, token: str
) -> None:
    psa = build_adapter(tmp_path, RT, token, claim=True)
    answer_ticket(server, "new")
    answer_ticket(server, "new", Owner=user("hanna"))
    take = server.put(f"{REST}/ticket/1/take", json=["You can only take tickets that are unowned"])
    server.get(f"{REST}/tickets", json=page(total=0, pages=0.0))  # none of the current user's

    assert psa.move("1", StatusTarget.WORKING) is False
    assert take.call_count == 1
    assert [call.request.method for call in server.calls].count("PUT") == 1, "no status was set"


def test_a_ticket_that_changes_hands_between_two_looks_makes_nobody_us(
    server: responses.RequestsMock, tmp_path: Path, token: str
) -> None:
    psa = build_adapter(tmp_path, RT, token, claim=True)
    answer_ticket(server, "new", Owner=user("hanna"))
    server.get(f"{REST}/tickets", json=page(ticket_row(Owner=user("svc-reset"))))  # taken from her meanwhile
    assert psa.move("1", StatusTarget.WORKING) is False
    answer_ticket(server, "new", Owner=user("hanna"))
    assert psa.move("1", StatusTarget.WORKING) is False, "and she is not taken for us from then on"


def test_a_ticket_that_changed_since_the_look_is_not_taken(
    server: responses.RequestsMock, tmp_path: Path, token: str
) -> None:
    psa = build_adapter(tmp_path, RT, token, claim=True)
    answer_ticket(server, "new")
    take = server.put(f"{REST}/ticket/1/take", status=412, json={"message": "Precondition Failed"})
    with pytest.raises(TemporaryError, match="changed while we looked"):
        psa.move("1", StatusTarget.WORKING)
    assert [call.request.headers.get("If-Match") for call in take.calls] == ['"62"']


# ---------------------------------------------------------------- words of the mapping


@pytest.mark.parametrize(
    ("name", "sql"),
    [
        ("Service Desk", "'Service Desk'"),
        ("O'Brien", r"'O\'Brien'"),
        ("back\\slash", r"'back\\slash'"),
        (r"\' OR id > 0 OR Subject = \'", r"'\\\' OR id > 0 OR Subject = \\\''"),
    ],
)
def test_quotes_and_backslashes_are_escaped(name: str, sql: str) -> None:
    assert quoted(name) == sql
    assert any_of("Queue", [name, "B"]) == f"(Queue = {sql} OR Queue = 'B')"


MAPPED = RequestTrackerMapping.model_validate({"requests": [{"queue": "Service Desk", **FIELDS}], "statuses": {}})


@pytest.mark.parametrize(
    ("values", "mapped", "action"),
    [
        (["Password reset"], True, Action.PASSWORD),
        (["  password   RESET "], True, Action.PASSWORD),
        (["Other"], False, None),
        ([], False, None),
        (["Password reset", "MFA reset"], True, None),
        (["Password reset", "Other"], True, Action.PASSWORD),
    ],
)
def test_what_a_ticket_asks_for(values: list[str], mapped: bool, action: Action | None) -> None:
    row = read_ticket(ticket_row(CustomFields=[{"id": "2", "name": "Request type", "values": values}]))
    request = request_of(MAPPED, row)
    assert (request is not None) == mapped
    if request is not None:
        assert action_of(request, row) is action


def test_two_fields_of_one_name_say_nothing() -> None:
    fields = [{"id": id_, "name": "Request type", "values": ["Password reset"]} for id_ in ("2", "9")]
    assert request_of(MAPPED, read_ticket(ticket_row(CustomFields=fields))) is None


def test_fields_and_queues_may_be_named_by_id() -> None:
    request = {"queue": 3, "action": "mfa", "subject": {"field": 3}}
    mapping = RequestTrackerMapping.model_validate({"requests": [request], "statuses": {}})
    row = read_ticket(ticket_row())
    found = request_of(mapping, row)
    assert isinstance(found, RequestTrackerRequest)
    assert texts(row, found.subject.field) == ("wanda@contoso.example",)


def test_the_subject_line_may_be_a_field() -> None:
    row = read_ticket(ticket_row(Subject="Reset wanda@contoso.example"))
    assert texts(row, "Subject") == ("Reset wanda@contoso.example",)
    own = ticket_row(CustomFields=[{"id": "5", "name": "Subject", "values": ["own"]}])
    assert texts(read_ticket(own), "subject") == ("own",)
    assert texts(row, "Nonsense") == ()


def test_an_approval_is_never_a_request() -> None:
    assert request_of(MAPPED, read_ticket(ticket_row(Type="approval"))) is None
    assert request_of(MAPPED, read_ticket(ticket_row(Type="reminder"))) is None


def test_a_user_whose_name_is_an_address_is_known_by_both_addresses() -> None:
    person = read_person(user("Rita@Contoso.example", EmailAddress="rita.private@example.com"))
    assert person.is_same(Person("x", "rita@contoso.example"))
    assert person.is_same(Person("x", "rita.private@example.com"))
    assert person.email == "rita.private@example.com"


def test_group_requestors_are_passed_over() -> None:
    group = {"id": "28", "type": "group", "Name": "Staff"}
    assert [one.name for one in read_ticket(ticket_row(Requestor=[group, user("rita")])).requestors] == ["rita"]


def test_a_field_with_several_values_stays_several() -> None:
    several = ticket_row(CustomFields=[{"id": "3", "name": "Target user", "values": ["a@x.example", "b@x.example"]}])
    assert text(read_ticket(several), FieldSource(field="Target user")) == "a@x.example\nb@x.example"


# ---------------------------------------------------------------- configuration


def test_a_wrong_section_is_told_with_every_place(tmp_path: Path) -> None:
    (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(MAPPING), encoding="utf-8")
    place = Place(folder=tmp_path, production=True, environ={})
    section = {"kind": "requesttracker", "url": "http://rt.example.com", "token": "plain", "maping": "mapping.yaml"}
    with pytest.raises(ConfigError) as failed:
        RequestTracker.from_config("rt", section, Surroundings(place=place, http=HttpSection(), clock=lambda: NOW))
    told = "\n".join(failed.value.problems)
    assert "psa.rt: maping: unknown key. Did you mean mapping?" in told
    assert "must be https" in told
    assert "a secret is never written here" in told
    assert "psa.rt: mapping: missing" in told
    assert "plain" not in told


def test_the_token_is_not_in_the_adapters_representation(psa: RequestTracker, token: str) -> None:
    assert token not in repr(vars(psa)) + repr(vars(psa._rest))


def test_the_shipped_mapping_is_read(token: str) -> None:
    place = Place(folder=ROOT, production=True, environ={"TOKEN": token})
    section = {
        "kind": "requesttracker",
        "url": RT,
        "token": {"env": "TOKEN"},
        "mapping": "mappings/requesttracker.yaml",
    }
    psa = RequestTracker.from_config("rt", section, Surroundings(place=place, http=HttpSection(), clock=lambda: NOW))
    assert psa.name == "rt"
    assert psa.rules.approvers_listed


@pytest.mark.parametrize(
    ("status", "place"), [(401, "psa.rt.token"), (403, "psa.rt.token"), (404, "psa.rt.url"), (500, "psa.rt.url")]
)
def test_check_names_the_place_of_a_trouble(
    server: responses.RequestsMock, psa: RequestTracker, status: int, place: str
) -> None:
    server.get(f"{REST}/rt", status=status, body=json.dumps({"message": "no"}))
    (finding,) = psa.check()
    assert (finding.level, finding.about) == (Level.ERROR, place)
    assert finding.todo


def test_check_warns_of_a_version_that_was_never_tried(server: responses.RequestsMock, psa: RequestTracker) -> None:
    server.get(f"{REST}/rt", json={"Version": "6.0.1"})
    server.get(f"{REST}/queues/all", status=500)
    server.get(f"{REST}/queue/___Approvals", status=500)
    findings = list(psa.check())
    assert any(finding.level is Level.WARNING and "6.0.1" in finding.text for finding in findings)
    assert sum(finding.level is Level.ERROR for finding in findings) == 2
