"""ConnectWise's oddities and bad days, one answer at a time."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import responses

from connector.core.case import Action, Person
from connector.core.ports import Note, Stance, StatusTarget
from connector.errors import AuthenticationError, PermanentError, TemporaryError, TicketGone
from connector.psa.connectwise import conditions
from connector.psa.connectwise.people import read_contact, read_member
from connector.psa.connectwise.values import custom_field, field_text, flag, moment
from tests.psa.connectwise_make import changed_mapping
from tests.psa.connectwise_server import (
    APPROVED_BY_ANNA,
    CONTACT,
    HOST,
    STATUSES,
    Server,
    sample,
    ticket,
)

LATER = {"Date": "Sun, 22 Nov 2026 10:00:00 GMT"}


@pytest.fixture
def server() -> Iterator[Server]:
    with responses.RequestsMock() as mock:
        yield Server(mock)


def not_found(what: str = "Service Ticket 4242") -> dict[str, str]:
    return {"code": "NotFound", "message": f"{what} not found"}


# ---------------------------------------------------------------- where it is


@pytest.mark.parametrize(
    ("cloud", "is_cloud"), [("True", True), (True, True), ("False", False), (False, False), (None, False)]
)
def test_whether_it_is_the_cloud_comes_as_a_text_or_a_truth_value(
    server: Server, cloud: object, is_cloud: bool
) -> None:
    server.mock.reset()
    server.company_info({"Codebase": "v2026_1/", "VersionCode": "v2026.1", "IsCloud": cloud})
    assert server.api().company_info().cloud is is_cloud


def test_an_unknown_company_is_answered_with_null_and_told(server: Server) -> None:
    server.mock.reset()
    server.mock.get(f"{HOST}/login/companyinfo/msp", body="null")
    with pytest.raises(AuthenticationError, match=r"no company 'msp'.*psa\.cw\.company") as caught:
        server.psa().changed(None)
    assert caught.value.scope == "psa.cw"


@pytest.mark.parametrize("codebase", ["", "../evil/", "v2026_1/../x/", "//evil.example/", "v 1/", "a/b/"])
def test_a_code_base_that_is_no_word_never_becomes_part_of_an_address(server: Server, codebase: str) -> None:
    server.mock.reset()
    server.company_info({"Codebase": codebase})
    with pytest.raises(TemporaryError, match="code base"):
        server.psa().read("4242")
    assert len(server.mock.calls) == 1


def test_a_moved_code_base_is_asked_for_once_and_remembered(server: Server) -> None:
    psa = server.psa()
    server.with_ticket()
    psa.read("4242")
    server.mock.reset()
    page = "<html>404 - File or directory not found.</html>"
    server.get("service/tickets/4242", status=404, body=page)
    server.company_info({"Codebase": "v2026_2/", "IsCloud": True})
    for path in ("service/tickets/4242", "service/tickets/4243"):
        server.get(path, codebase="v2026_2", json=ticket(id=int(path[-4:]), type={"id": 99}))
    assert not psa.read("4242").mapped
    assert not psa.read("4243").mapped
    assert len(server.asked("/login/companyinfo/msp")) == 1


def test_a_404_that_stays_is_a_matter_of_address_or_keys_and_no_missing_ticket(server: Server) -> None:
    server.get("service/tickets/4242", status=404, json=sample("error-no-endpoint.amp-labs.json"))
    with pytest.raises(AuthenticationError, match="wrong keys"):
        server.psa().read("4242")
    assert len(server.asked("/service/tickets/4242")) == 1


def test_a_ticket_that_is_not_there_costs_no_search_for_the_code_base(server: Server) -> None:
    server.get("service/tickets/4242", status=404, json=not_found())
    with pytest.raises(TicketGone):
        server.psa().read("4242")
    assert len(server.asked("/login/companyinfo/msp")) == 1


# ---------------------------------------------------------------- keys and refusals


def test_the_keys_are_sent_as_company_plus_public_and_private(server: Server) -> None:
    server.with_ticket()
    server.psa().read("4242")
    (request,) = server.asked("/service/tickets/4242")
    scheme, _, token = request.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(token).decode() == f"msp+{server.public_key}:{server.private_key}"
    assert request.headers["clientId"] == "11111111-2222-3333-4444-555555555555"
    (discovery,) = server.asked("/login/companyinfo/msp")
    assert "Authorization" not in discovery.headers


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 302])
def test_no_refusal_repeats_a_key_or_the_vendors_words(server: Server, status: int) -> None:
    body = {"code": "InvalidObject", "message": f"canary {server.private_key}", "errors": [
        {"code": "canary <script>", "message": "canary", "field": "canary\n"}]}  # fmt: skip
    server.get("service/tickets", status=status, json=body)
    with pytest.raises((AuthenticationError, TemporaryError)) as caught:
        server.psa().changed(None)
    said = f"{caught.value!r} {caught.value.__cause__!r}"
    for secret in ("canary", server.private_key, server.public_key, "conditions"):
        assert secret not in said


def test_a_refusal_names_the_properties_that_it_is_about(server: Server) -> None:
    server.with_ticket(status={"id": 503})
    body = {"code": "InvalidObject", "message": "x", "errors": [{"code": "NotFound", "field": "status/id"}]}
    server.patch("service/tickets/4242", status=400, json=body)
    with pytest.raises(PermanentError, match="InvalidObject, NotFound about status/id"):
        server.psa().move("4242", StatusTarget.CLOSED)


def test_a_429_is_waited_out_although_its_body_has_another_shape(server: Server) -> None:
    server.with_ticket()
    body = sample("error-429.developer-guide.json")
    server.mock.get(
        f"{HOST}/v2026_1/apis/3.0/service/tickets/4243", status=429, json=body, headers={"Retry-After": "2"}
    )
    server.get("service/tickets/4243", json=ticket(id=4243, type={"id": 99}))
    assert server.psa().read("4243").id == "4243"
    assert server.waits == [2.0]


def test_plain_http_is_told(server: Server) -> None:
    server.get("service/tickets", status=403, json=sample("error-ssl-required.developer-guide.json"))
    with pytest.raises(AuthenticationError, match="403"):
        server.psa().changed(None)


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "", '{"id":'])
def test_what_is_no_json_is_temporary(server: Server, body: str) -> None:
    server.get("service/tickets", body=body)
    with pytest.raises(TemporaryError):
        server.psa().changed(None)


# ---------------------------------------------------------------- conditions


def test_conditions_hold_ids_dates_and_harmless_texts() -> None:
    moment_ = datetime(2026, 11, 22, 9, 0, 0, 500, tzinfo=UTC)
    assert conditions.all_of(
        conditions.is_one_of("board/id", {2, 1}),
        conditions.is_one_of("type/id", {7}),
        conditions.since("lastUpdated", moment_ + timedelta(hours=2)),
        conditions.is_true("closedFlag", truth=False),
        conditions.is_text("identifier", "o.neil+x@contoso.com"),
    ) == (
        "board/id in (1,2) and type/id=7 and lastUpdated>=[2026-11-22T11:00:00Z] and closedFlag=false "
        'and identifier="o.neil+x@contoso.com"'
    )


@pytest.mark.parametrize("value", ['a"b', "a'b", "a b", "a*", "a%", "[x]", "a\\", "", "a\n", "é", "a" * 101])
def test_a_text_that_could_break_out_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="condition"):
        conditions.is_text("identifier", value)


@pytest.mark.parametrize("field", ["id or 1", "", "a/b/", 'x"'])
def test_a_field_is_a_word_or_words_with_slashes(field: str) -> None:
    with pytest.raises(ValueError, match="no field"):
        conditions.is_one_of(field, {1})


def test_no_ids_select_nothing_instead_of_everything() -> None:
    with pytest.raises(ValueError, match="at least one"):
        conditions.is_one_of("board/id", set())


def test_a_poll_asks_for_mapped_boards_and_types_by_id(server: Server) -> None:
    server.get("service/tickets", json=[ticket(status={"id": 503})])
    psa = server.psa()
    cursor = psa.changed(None).cursor
    psa.changed(cursor)
    first, second = server.query("/service/tickets")
    assert first == {"conditions": "board/id=1 and type/id in (11,12,13) and closedFlag=false", "pageSize": "1000"}
    assert second["conditions"] == "board/id=1 and type/id in (11,12,13) and lastUpdated>=[2026-11-22T08:45:00Z]"
    assert {request.headers["pagination-type"] for request in server.asked("/service/tickets")} == {"forward-only"}


def test_many_types_are_left_to_our_own_test_so_that_the_address_stays_short(server: Server) -> None:
    types = [{"id": 100_000_000 + number, "name": f"Type {number}"} for number in range(150)]
    server.mock.replace("GET", f"{HOST}/v2026_1/apis/3.0/service/boards/1/types", json=types)
    wanted = [
        {"board": "Service Desk", "ticket_type": kind["name"], "action": "mfa", "subject": {"field": "Reset account"}}
        for kind in types
    ]
    rows = [ticket(id=1, type={"id": 100_000_007}), ticket(id=2, type={"id": 11})]
    server.get("service/tickets", json=rows)
    told = server.psa(mapping=changed_mapping(requests=wanted)).changed(None).tickets
    assert [one.id for one in told] == ["1"]
    assert server.query("/service/tickets")[0]["conditions"] == "board/id=1 and closedFlag=false"


# ---------------------------------------------------------------- the list


def rows_like(*ids: int, **more: Any) -> list[dict[str, Any]]:
    return [ticket(id=one, **more) for one in ids]


@pytest.mark.parametrize(
    "odd",
    [
        {"board": {"id": 2}},
        {"type": {"id": 99}},
        {"type": None},
        {"recordType": "ProjectTicket"},
        {"closedFlag": True},
        {"id": None},
    ],
)
def test_a_row_that_the_conditions_should_have_kept_out_is_not_told(server: Server, odd: dict[str, Any]) -> None:
    server.get("service/tickets", json=[ticket(id=1), {**ticket(id=2), **odd}, "no row"])
    assert [one.id for one in server.psa().changed(None).tickets] == ["1"]


def test_pages_go_on_with_the_highest_id_until_the_link_is_empty(server: Server) -> None:
    evil = '<https://evil.example/x?pageId=9>; rel="next"'
    server.get("service/tickets", json=rows_like(1, 2), headers={"Link": evil})
    server.get("service/tickets", json=rows_like(2, 3), headers={"Link": evil})
    server.get("service/tickets", json=rows_like(7), headers={"Link": ""})
    assert [one.id for one in server.psa().changed(None).tickets] == ["1", "2", "3", "7"]
    assert [query.get("pageId") for query in server.query("/service/tickets")] == [None, "2", "3"]
    assert {call.request.url.split("/")[2] for call in server.mock.calls if call.request.url} == {HOST[8:]}


def test_pages_that_make_no_progress_are_temporary_and_lose_nothing(server: Server) -> None:
    server.get("service/tickets", json=rows_like(5), headers={"Link": '<x>; rel="next"'})
    with pytest.raises(TemporaryError, match="no order that ends"):
        server.psa().changed(None)
    assert len(server.asked("/service/tickets")) == 2


def test_without_a_link_header_a_full_page_is_followed(server: Server) -> None:
    server.get("service/tickets", json=rows_like(*range(1, 1001)))
    server.get("service/tickets", json=rows_like(1001))
    assert len(server.psa().changed(None).tickets) == 1001


@pytest.mark.parametrize("row", [{"_info": {}}, {"_info": None}])
def test_rows_without_a_date_are_told_and_leave_the_cursor_where_it_is(server: Server, row: dict[str, Any]) -> None:
    server.get("service/tickets", json=[{**ticket(id=1), **row}])
    psa = server.psa()
    changes = psa.changed(None)
    assert [one.id for one in changes.tickets] == ["1"]
    psa.changed(changes.cursor)
    assert "closedFlag=false" in server.query("/service/tickets")[1]["conditions"]


def test_a_row_dated_far_ahead_does_not_hide_what_comes_before(server: Server) -> None:
    ahead = {"lastUpdated": "2028-01-01T00:00:00Z"}
    server.get("service/tickets", json=[ticket(id=1), ticket(id=2, _info=ahead)], headers=LATER)
    psa = server.psa()
    psa.changed(psa.changed(None).cursor)
    assert "2026-11-22T08:45:00Z" in server.query("/service/tickets")[1]["conditions"]


def test_while_nothing_changes_the_overlap_shrinks_by_connectwises_own_clock(server: Server) -> None:
    psa, cursor = server.psa(), None
    for minute in (0, 3, 30):
        server.mock.remove("GET", f"{HOST}/v2026_1/apis/3.0/service/tickets")
        date = f"Sun, 22 Nov 2026 09:{minute:02}:00 GMT"
        server.get("service/tickets", json=[ticket(id=1)], headers={"Date": date})
        cursor = psa.changed(cursor).cursor
    psa.changed(cursor)
    asked = [query["conditions"].rpartition("lastUpdated>=")[2] for query in server.query("/service/tickets")]
    assert asked[1:] == ["[2026-11-22T08:45:00Z]", "[2026-11-22T08:48:00Z]", "[2026-11-22T08:49:59Z]"]


@pytest.mark.parametrize(
    "change",
    [{"status": {"id": 505}}, {"summary": "x"}, {"closedFlag": True}, {"contact": {"id": 9}}, {"customFields": []}],
)
def test_a_second_change_within_the_same_second_is_told(server: Server, change: dict[str, Any]) -> None:
    psa = server.psa()
    server.get("service/tickets", json=[ticket(id=1)])
    server.get("service/tickets", json=[{**ticket(id=1), **change}])
    server.get("service/tickets", json=[{**ticket(id=1), **change}])
    cursor = psa.changed(None).cursor
    changes = psa.changed(cursor)
    assert [one.id for one in changes.tickets] == ["1"]
    assert psa.changed(changes.cursor).tickets == ()


@pytest.mark.parametrize("cursor", ["", "nonsense", "[]", '{"newest": 7}', '{"told": {"x": 1}}'])
def test_what_is_no_cursor_of_ours_asks_for_everything_open(server: Server, cursor: str) -> None:
    server.get("service/tickets", json=[ticket(id=1)])
    assert [one.id for one in server.psa().changed(cursor).tickets] == ["1"]
    assert "closedFlag=false" in server.query("/service/tickets")[0]["conditions"]


# ---------------------------------------------------------------- one ticket


def test_a_ticket_is_read_with_the_fields_that_a_person_would_read(server: Server) -> None:
    server.with_ticket()
    seen = server.psa().read("4242")
    assert (seen.id, seen.number, seen.title) == ("4242", "4242", "Please reset")
    assert (seen.client_id, seen.client_name) == ("250", "Contoso")
    assert (seen.subject_text, seen.action) == ("dana@contoso.com", Action.PASSWORD)
    assert seen.requester == Person("Ben", "ben@contoso.com", frozenset({"cw.contact:801", "mail:ben@contoso.com"}))
    assert seen.created_at == datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
    assert seen.updated_at == datetime(2026, 11, 22, 8, 50, tzinfo=UTC)
    assert seen.approval.stance is Stance.APPROVED
    assert seen.url == (
        "https://eu.myconnectwise.net/v4_6_release/services/system_io/Service/fv_sr100_request.rails"
        "?service_recid=4242&companyName=msp"
    )


@pytest.mark.parametrize(
    "changes", [{"id": 7}, {"status": None}, {"_info": {"lastUpdated": "2026-11-22T08:50:00Z"}}, {"_info": None}]
)
def test_half_a_ticket_is_temporary(server: Server, changes: dict[str, Any]) -> None:
    server.get("service/tickets/4242", json={k: v for k, v in {**ticket(), **changes}.items() if v is not None})
    with pytest.raises(TemporaryError, match="without number, status or date"):
        server.psa().read("4242")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mergedParentTicket": {"id": 7}}, "merged into 7"),
        ({"recordType": "ProjectTicket"}, "no service ticket"),
        ({"recordType": "ProjectIssue"}, "no service ticket"),
    ],
)
def test_merged_tickets_and_those_of_projects_are_gone(server: Server, changes: dict[str, Any], words: str) -> None:
    server.with_ticket(**changes)
    with pytest.raises(TicketGone, match=words):
        server.psa().read("4242")


@pytest.mark.parametrize("contact", [None, {"id": 801, "company": {"id": 999}}, {"id": 801}])
def test_without_a_contact_of_the_tickets_company_nobody_asks(server: Server, contact: dict[str, Any] | None) -> None:
    server.with_ticket(contactEmailAddress="ben@contoso.com", contactName="Ben")
    if contact is None:
        server.mock.replace("GET", f"{HOST}/v2026_1/apis/3.0/service/tickets/4242", json=ticket(contact=None))
    else:
        server.mock.replace("GET", f"{HOST}/v2026_1/apis/3.0/company/contacts/801", json=contact)
    assert server.psa().read("4242").requester is None


def test_a_contact_that_was_deleted_is_nobody(server: Server) -> None:
    server.with_ticket()
    server.mock.replace("GET", f"{HOST}/v2026_1/apis/3.0/company/contacts/801", status=404, json=not_found("Contact"))
    assert server.psa().read("4242").requester is None


def email(value: object, *, default: bool = False, kind: str = "Email") -> dict[str, object]:
    return {"value": value, "defaultFlag": default, "communicationType": kind}


@pytest.mark.parametrize(
    ("items", "address"),
    [
        (None, None),
        ([], None),
        ([email("5550100", default=True, kind="Phone")], None),
        ([email("a@contoso.com")], "a@contoso.com"),
        ([email("a@contoso.com"), email("b@contoso.com", default=True)], "b@contoso.com"),
        ([email("a@contoso.com"), email("b@contoso.com")], None),
        ([email("a@contoso.com", default=True), email("b@contoso.com", default=True)], None),
        ([email("", default=True)], None),
        ([{"value": " a@contoso.com ", "defaultFlag": True, "type": {"id": 1, "name": "Email"}}], "a@contoso.com"),
    ],
)
def test_a_contacts_address_is_the_default_one_or_the_only_one(items: object, address: str | None) -> None:
    contact = read_contact({**CONTACT, "communicationItems": items})
    assert contact is not None
    assert contact.person.email == address


def test_every_address_of_the_requester_serves_to_refuse(server: Server) -> None:
    server.with_ticket()
    items = [email("ben@contoso.com", default=True), email("Chief@Contoso.com")]
    server.mock.replace(
        "GET", f"{HOST}/v2026_1/apis/3.0/company/contacts/801", json={**CONTACT, "communicationItems": items}
    )
    requester = server.psa().read("4242").requester
    assert requester is not None
    assert requester.is_same(Person("", "chief@contoso.com"))


def test_the_reason_is_the_oldest_note_of_the_discussion(server: Server) -> None:
    server.with_ticket(status={"id": 503})
    notes = [
        {"id": 9, "text": "later", "detailDescriptionFlag": True},
        {"id": 7, "text": "lost phone", "detailDescriptionFlag": True},
        {"id": 6, "text": "private", "internalAnalysisFlag": True, "detailDescriptionFlag": False},
    ]
    server.mock.replace("GET", f"{HOST}/v2026_1/apis/3.0/service/tickets/4242/notes", json=notes)
    assert server.psa().read("4242").reason == "lost phone"


def test_the_subject_may_stand_in_what_the_requester_wrote(server: Server) -> None:
    wanted = [{"board": 1, "ticket_type": 11, "action": "password", "subject": {"field": "initialDescription"}}]
    server.with_ticket()
    server.mock.replace(
        "GET",
        f"{HOST}/v2026_1/apis/3.0/service/tickets/4242/notes",
        json=[{"id": 1, "text": "dana@contoso.com", "detailDescriptionFlag": True}],
    )
    assert server.psa(mapping=changed_mapping(requests=wanted)).read("4242").subject_text == "dana@contoso.com"


@pytest.mark.parametrize(("subtype", "action"), [("MFA", Action.MFA), ("Printer", None), (None, None)])
def test_a_subtype_may_say_what_is_asked_for(server: Server, subtype: str | None, action: Action | None) -> None:
    source = {"field": "subType", "values": {"MFA": "mfa"}}
    wanted = [{"board": 1, "ticket_type": 11, "action": source, "subject": {"field": "41"}}]
    server.with_ticket(subType={"id": 5, "name": subtype} if subtype else None)
    seen = server.psa(mapping=changed_mapping(requests=wanted)).read("4242")
    assert (seen.action, seen.subject_text) == (action, "dana@contoso.com")


# ---------------------------------------------------------------- custom fields


def test_a_custom_field_is_found_by_caption_or_id_and_two_of_a_name_are_none() -> None:
    fields = [
        {"id": 41, "caption": "Reset account ", "value": "a"},
        {"id": 42, "caption": "Twice", "value": "b"},
        {"id": 43, "caption": "twice", "value": "c"},
        {"id": 44, "caption": "45", "value": "d"},
        {"id": 45, "caption": "Other", "value": "e"},
    ]
    record = {"customFields": fields}
    assert [field_text(record, name) for name in ("reset  ACCOUNT", "41", "Twice", "43", "45")] == [
        "a",
        "a",
        "",
        "c",
        "d",
    ]
    assert custom_field({"customFields": None}, "41") is None


@pytest.mark.parametrize(
    ("value", "read"), [("x", "x"), (5, "5"), (True, "true"), (False, "false"), (None, ""), (1.5, "1.5"), ({}, "")]
)
def test_a_custom_fields_value_may_be_of_any_type(value: object, read: str) -> None:
    assert field_text({"customFields": [{"id": 1, "caption": "X", "value": value}]}, "X") == read
    assert field_text({"customFields": [{"id": 1, "caption": "X"}]}, "X") == ""


# ---------------------------------------------------------------- the trail's pages and lateness


def test_the_trail_is_paged_by_numbers_since_forward_only_does_not_work_there(server: Server) -> None:
    server.with_ticket()
    url = f"{HOST}/v2026_1/apis/3.0/system/audittrail"
    server.mock.remove("GET", url)
    filler = [{**APPROVED_BY_ANNA, "text": f"Owner {number}", "auditSubType": "Owner"} for number in range(1000)]
    server.get("system/audittrail", json=filler, headers={"Link": '<https://evil.example>; rel="next"'})
    server.get("system/audittrail", json=[APPROVED_BY_ANNA])
    assert server.psa().read("4242").approval.stance is Stance.APPROVED
    assert [query["page"] for query in server.query("/system/audittrail")] == ["1", "2"]
    assert not any("pagination-type" in request.headers for request in server.asked("/system/audittrail"))


def test_a_trail_without_end_is_no_yes(server: Server) -> None:
    server.with_ticket()
    url = f"{HOST}/v2026_1/apis/3.0/system/audittrail"
    server.mock.replace("GET", url, json=[APPROVED_BY_ANNA], headers={"Link": '<x>; rel="next"'})
    assert server.psa().read("4242").approval.stance is not Stance.APPROVED


@pytest.mark.parametrize(("date", "late"), [("08:50:30", True), ("08:52:00", False)])
def test_a_trail_that_may_only_be_late_is_looked_at_again_in_a_moment(server: Server, date: str, late: bool) -> None:
    server.with_ticket()
    url = f"{HOST}/v2026_1/apis/3.0"
    headers = {"Date": f"Sun, 22 Nov 2026 {date} GMT"}
    server.mock.replace("GET", f"{url}/service/tickets/4242", json=ticket(), headers=headers)
    server.mock.replace("GET", f"{url}/system/audittrail", json=[])
    if late:
        with pytest.raises(TemporaryError, match="does not show yet") as caught:
            server.psa().read("4242")
        assert caught.value.retry_after == timedelta(seconds=10)
    else:
        assert "does not show" in server.psa().read("4242").approval.reason


@pytest.mark.parametrize("status", [401, 500])
def test_a_trail_that_cannot_be_asked_now_is_no_answer_at_all(server: Server, status: int) -> None:
    server.with_ticket()
    server.mock.replace("GET", f"{HOST}/v2026_1/apis/3.0/system/audittrail", status=status)
    with pytest.raises((AuthenticationError, TemporaryError)):
        server.psa().read("4242")


def test_a_contacts_list_that_knows_no_types_is_read_whole(server: Server) -> None:
    server.with_ticket(status={"id": 503})
    server.mock.remove("GET", f"{HOST}/v2026_1/apis/3.0/company/contacts")
    server.get(
        "company/contacts", status=400, json={"code": "ApiFindCondition", "message": "types is not a recognized name."}
    )
    approver = {**CONTACT, "id": 802, "types": [{"id": 2}], "communicationItems": [email("anna@contoso.com")]}
    others = [
        {**approver, "id": 803, "types": None},
        {**approver, "id": 804, "company": {"id": 999}},
        {**approver, "id": 805, "inactiveFlag": True},
    ]
    server.get("company/contacts", json=[approver, *others])
    asked = server.psa().read("4242").approval.approvers
    assert [person.ids for person in asked] == [frozenset({"cw.contact:802"})]


@pytest.mark.parametrize("odd", [{"company": {"id": 999}}, {"company": None}, {"inactiveFlag": True}])
def test_a_contact_that_the_conditions_should_have_kept_out_decides_nothing(
    server: Server, odd: dict[str, Any]
) -> None:
    anna = {**CONTACT, "id": 802, "communicationItems": [email("anna@contoso.com", default=True)]}
    server.with_ticket()
    url = f"{HOST}/v2026_1/apis/3.0"
    server.mock.replace("GET", f"{url}/system/audittrail", json=[{**APPROVED_BY_ANNA, "enteredBy": "anna@contoso.com"}])
    server.mock.replace("GET", f"{url}/system/members", json=[])
    server.mock.replace("GET", f"{url}/company/contacts", json=[anna])
    assert server.psa().read("4242").approval.stance is Stance.APPROVED
    server.mock.replace("GET", f"{url}/company/contacts", json=[{**anna, **odd}])
    assert server.psa().read("4242").approval.stance is not Stance.APPROVED


# ---------------------------------------------------------------- writes


def test_a_move_is_a_bare_list_of_operations_with_the_id_of_this_board(server: Server) -> None:
    server.with_ticket(status={"id": 503})
    server.patch("service/tickets/4242", json=ticket(status={"id": 508, "name": "Closed"}, closedFlag=True))
    assert server.psa().move("4242", StatusTarget.CLOSED)
    (request,) = [one for one in server.asked("/service/tickets/4242") if one.method == "PATCH"]
    assert request.body == b'[{"op": "replace", "path": "status", "value": {"id": 508}}]'


def test_an_answer_that_does_not_show_the_status_is_followed_by_a_look(server: Server) -> None:
    server.get("service/tickets/4242", json=ticket(status={"id": 503}))
    server.get("service/tickets/4242", json=ticket(status={"id": 506}))
    server.patch("service/tickets/4242", json={})
    assert server.psa().move("4242", StatusTarget.HAND_OFF)


def test_a_workflow_rule_that_moves_a_ticket_back_is_told(server: Server) -> None:
    server.with_ticket(status={"id": 503})
    server.patch("service/tickets/4242", json=ticket(status={"id": 503}))
    with pytest.raises(PermanentError, match="workflow rule"):
        server.psa().move("4242", StatusTarget.HAND_OFF)


@pytest.mark.parametrize("status", [400, 404])
def test_a_note_for_a_ticket_that_is_gone_meanwhile_says_so(server: Server, status: int) -> None:
    server.post(
        "service/tickets/4242/notes", status=status, json={"code": "InvalidObject"} if status == 400 else not_found()
    )
    server.get("service/tickets/4242", status=404, json=not_found())
    with pytest.raises(TicketGone):
        server.psa().add_note("4242", Note("x", "m"))


def test_a_created_record_may_be_answered_with_200(server: Server) -> None:
    server.post("service/tickets/4242/notes", status=200, json={"id": 1})
    server.psa().add_note("4242", Note("x", "m"))
    assert len(server.asked("/service/tickets/4242/notes")) == 1


@pytest.mark.parametrize("ticket_id", ["0", "-1", "4242/notes", "4242?x=1", "１２", "9" * 19, "4242 "])
def test_what_is_no_number_never_becomes_part_of_an_address(server: Server, ticket_id: str) -> None:
    psa = server.psa()
    for call in (psa.read, lambda one: psa.has_note(one, "m"), lambda one: psa.add_note(one, Note("x", "m")),
                 lambda one: psa.move(one, StatusTarget.CLOSED)):  # fmt: skip
        with pytest.raises(TicketGone):
            call(ticket_id)
    assert len(server.mock.calls) == 0


# ---------------------------------------------------------------- bodies that were really seen


def test_the_published_ticket_gives_the_fields_that_a_person_would_read(server: Server) -> None:
    body = sample("ticket.django-connectwise.json")
    server.mock.replace("GET", f"{HOST}/v2026_1/apis/3.0/service/boards", json=[body["board"]])
    server.mock.replace(
        "GET",
        f"{HOST}/v2026_1/apis/3.0/service/boards/1/statuses",
        json=[*sample("statuses.django-connectwise.json"), *STATUSES],
    )
    types = sample("types.django-connectwise.json")
    server.mock.replace("GET", f"{HOST}/v2026_1/apis/3.0/service/boards/1/types", json=types)
    server.get("service/tickets/69", json=body)
    server.get("service/tickets/69/notes", json=sample("notes.django-connectwise.json"))
    (contact,) = sample("contacts.django-connectwise.json")
    server.get("company/contacts/2", json=contact)
    server.get("company/contacts", json=[])
    mapping = changed_mapping(
        requests=[
            {
                "board": "Service A",
                "ticket_type": "Admin",
                "action": {"field": "subType", "values": {"Repair": "both"}},
                "subject": {"field": "Story Points"},
                "reason": {"field": "initialDescription"},
            }
        ]
    )
    seen = server.psa(mapping=mapping).read("69")
    assert (seen.number, seen.title, seen.status) == ("69", "Schedule and Execute Conversion", "New")
    assert (seen.mapped, seen.action, seen.subject_text) == (True, Action.BOTH, "5")
    assert (seen.client_id, seen.client_name) == ("2", "Contoso")
    # Not the address that somebody typed, but the contact's own.
    assert seen.requester == Person(
        "Anna Approver", "anna@contoso.com", frozenset({"cw.contact:2", "mail:anna@contoso.com"})
    )
    assert seen.reason == "Some Text On This Note"
    assert (seen.closed, seen.approval.stance, seen.approval.decisions) == (False, Stance.PENDING, ())
    assert seen.created_at == datetime(2005, 5, 27, 17, 30, 19, tzinfo=UTC)
    assert seen.updated_at == datetime(2016, 3, 8, 21, 59, 20, tzinfo=UTC)


def test_the_published_member_company_information_and_dates_are_read(server: Server) -> None:
    member = read_member(sample("member.django-connectwise.json"))
    assert member is not None
    assert (member.id, member.identifier, member.active, member.program) == (176, "User1", True, False)
    assert member.person.email == "trainer@example.com"
    for name, cloud in (("companyinfo.developer-guide.json", True), ("companyinfo.django-connectwise.json", True)):
        server.mock.reset()
        server.company_info(sample(name))
        info = server.api().company_info()
        assert (info.codebase, info.version, info.cloud) == ("v2017_3", "v2017.3", cloud)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-22T09:00:00Z", datetime(2026, 11, 22, 9, tzinfo=UTC)),
        ("2026-11-22T10:00:00+01:00", datetime(2026, 11, 22, 9, tzinfo=UTC)),
        ("2026-11-22T09:00:00", None),
        ("Resolve by Tue 10/04 11:00 PM UTC-05", None),
        ("9999-12-31T23:59:59-05:00", None),
        ("0001-01-01T00:00:00+05:00", None),
        (None, None),
    ],
)
def test_a_date_without_a_zone_or_beyond_the_calendar_is_none(written: object, read: datetime | None) -> None:
    assert moment({"at": written}, "at") == read


def test_flags_come_in_several_forms() -> None:
    assert [flag({"x": value}, "x") for value in (True, "True", "true", 1, None, "no")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


def test_no_answer_is_temporary(server: Server) -> None:
    server.get("service/tickets", body=requests.ConnectionError())
    with pytest.raises(TemporaryError):
        server.psa().changed(None)
