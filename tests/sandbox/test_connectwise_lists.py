"""ConnectWise's conditions, order, projection and both kinds of paging; a full desk is polled as an empty one."""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from sandbox.connectwise_call import Call
from sandbox.connectwise_conditions import compiled, parse
from sandbox.connectwise_index import Index
from sandbox.connectwise_records import Rejected, Ticket
from sandbox.world import World
from tests.sandbox.conftest import Stage

FORWARD = {"pagination-type": "forward-only"}


def ids(stage: Stage, conditions: str = "", **query: Any) -> list[int]:
    answer = stage.connectwise("GET", "service/tickets", params={"conditions": conditions, "pageSize": 1000} | query)
    assert answer.ok, answer.text
    return [row["id"] for row in answer.json()]


@pytest.fixture
def four(stage: Stage) -> list[int]:
    """A password reset, an MFA reset, an incident of Fabrikam and a closed one, a minute apart."""
    numbers = []
    for changes in (
        {"summary": "Locked out", "what": "Password"},
        {"type": "MFA Reset", "summary": "New phone [urgent]"},
        {"type": "Incident", "requester": "gus@fabrikam.com", "status": "New", "summary": "Printer's jam"},
        {"summary": "Old one", "status": "Closed"},
    ):
        numbers.append(stage.connectwise_ticket(**changes))
        stage.clock.forward(minutes=1)
    return numbers


WANTED: list[tuple[str, list[int]]] = [
    ("", [0, 1, 2, 3]),
    ("id = {0}", [0]),
    ("id in ({0},{2}, 1)", [0, 2]),
    ("id not in ({0},{2})", [1, 3]),
    ("id > {1}", [2, 3]),
    ("id >= {1} and id < {3}", [1, 2]),
    ("id <= {0}", [0]),
    ("id != {0}", [1, 2, 3]),
    ("board/id in (1,2) and type/id in (11,12) and closedFlag=false", [0, 1]),
    ("type/id=11 and closedFlag = True", [3]),
    ('board/name="service desk"', [0, 1, 2, 3]),
    ("board/name = 'Service Desk' AND status/name != 'Closed'", [0, 1, 2]),
    ("closedFlag=true or type/id=14", [2, 3]),
    ("closedFlag=true or type/id=14 and status/id=1", [3]),
    ("(closedFlag=true or type/id=14) and status/id=501", [2]),
    ("((closedFlag=true))", [3]),
    ('summary like "locked*"', [0]),
    ('summary like "%one"', [3]),
    ('summary LIKE "o*"', [3]),
    ('summary like "locked"', []),
    ('summary contains "o"', [0, 1, 3]),
    ('summary not contains "o"', [2]),
    ('summary not like "*o*"', [2]),
    ('summary contains "[[]urgent]"', [1]),
    ("""summary = "Printer's jam\"""", [2]),
    ('company/identifier="Contoso"', [0, 1, 3]),
    ('company/identifier in ("fabrikam", "Northwind")', [2]),
    ("lastUpdated >= [2026-11-22T09:01:00Z]", [1, 2, 3]),
    ("LastUpdated > [2026-11-22T09:01:00Z]", [2, 3]),
    ("lastupdated >= [2026-11-22T10:01:00+01:00]", [1, 2, 3]),
    ("lastUpdated>=[2026-11-22T09:00:00Z] and lastUpdated<=[2026-11-22T09:01:00Z]", [0, 1]),
    ("dateEntered < [2026-11-22T09:01:00Z]", [0]),
    ("owner = null", [0, 1, 2, 3]),
    ("owner/id != null", []),
    ("contact/id = null or closedDate != null", [3]),
    ("owner/id != 5", []),
    ('recordType="ServiceTicket" and mergedParentTicket = null', [0, 1, 2, 3]),
    ("approved = true", [0, 1, 2, 3]),
]


@pytest.mark.parametrize(("conditions", "places"), WANTED)
def test_conditions_choose(stage: Stage, four: list[int], conditions: str, places: list[int]) -> None:
    wanted = [four[place] for place in places]
    assert ids(stage, conditions.format(*four)) == wanted
    assert stage.connectwise(
        "GET", "service/tickets/count", params={"conditions": conditions.format(*four)}
    ).json() == {"count": len(wanted)}


@pytest.mark.parametrize("name", ["colour", "board/colour", "note", "_info/lastUpdated", "customFields"])
def test_an_unknown_field_is_refused_as_the_real_one_does(stage: Stage, four: list[int], name: str) -> None:
    answer = stage.connectwise("GET", "service/tickets", params={"conditions": f"{name} = 1"})
    if name.startswith("_"):
        assert answer.status_code == 400
        return
    assert (answer.status_code, answer.json()["code"]) == (400, "ApiFindCondition")
    assert answer.json()["message"] == f"{name.lower()} is not a recognized name."


@pytest.mark.parametrize(
    "conditions",
    [
        "id",
        "id =",
        "id = (1",
        "id in 1",
        "id in ()",
        "id in (1,)",
        "(id = 1",
        "id = 1)",
        "id = 1 and",
        "id = 1 id = 2",
        "not id = 1",
        "summary like 5",
        "summary = word",
        'summary = "one "quote" too many"',
        'summary = "open',
        "lastUpdated > 2026-11-22",
        "lastUpdated > [yesterday]",
        "lastUpdated > 'text'",
        "id = 'text'",
        "summary = 5",
        "closedFlag = 1",
        "id like null",
        "id > null",
        "id = 1; drop",
        "id = 1 xor id = 2",
    ],
)
def test_what_cannot_be_read_is_refused(stage: Stage, four: list[int], conditions: str) -> None:
    answer = stage.connectwise("GET", "service/tickets", params={"conditions": conditions})
    assert (answer.status_code, answer.json()["code"]) == (400, "ApiFindCondition")


@given(st.text(alphabet="""ids()=<>!"'[],andornotlike 15/""", max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    """It is read, or refused in the vendor's way."""
    with contextlib.suppress(Rejected):
        assert compiled(parse(text), {"id": lambda record: record})(5) in (True, False)


def test_custom_fields_are_asked_by_conditions_of_their_own(stage: Stage, four: list[int]) -> None:
    assert ids(stage, customFieldConditions='caption="Reset what" AND value="Password"') == [four[0]]
    assert ids(stage, customfieldconditions='caption="Approval" AND value="Password"') == [], "both about one field"
    refused = stage.connectwise("GET", "service/tickets", params={"conditions": 'customFields/value="Password"'})
    assert refused.status_code == 400


def test_long_conditions_go_by_post(stage: Stage, four: list[int]) -> None:
    body = {"conditions": f"id in ({','.join(map(str, [*range(100), *four]))})", "orderBy": "id desc"}
    answer = stage.connectwise("POST", "service/tickets/search", json=body)
    assert [row["id"] for row in answer.json()] == four[::-1]
    long = {"conditions": f"id in ({','.join(['1'] * 6000)})"}
    assert stage.connectwise("GET", "service/tickets", params=long).status_code == 414


def test_names_of_parameters_work_in_any_case_and_unknown_ones_are_ignored(stage: Stage, four: list[int]) -> None:
    # Exchanges with parameters that nobody described are no part of the contract.
    query = {"PAGESIZE": 2, "orderby": "id DESC", "Conditions": "id > 0"}
    assert [row["id"] for row in stage.connectwise("GET", "service/tickets/", params=query).json()] == four[:1:-1]
    stage.connectwise("GET", "service/tickets", params={"recordId": "x"})
    last = stage.world.record.exchanges.pop()
    assert last.status == 200


@pytest.mark.parametrize(
    ("order", "places"),
    [
        ("summary", [0, 1, 3, 2]),
        ("summary desc", [2, 3, 1, 0]),
        ("type/id desc, id desc", [2, 1, 3, 0]),
        ("lastUpdated desc", [3, 2, 1, 0]),
    ],
)
def test_order(stage: Stage, four: list[int], order: str, places: list[int]) -> None:
    assert ids(stage, orderBy=order) == [four[place] for place in places]


def test_an_order_by_nothing_known_is_refused(stage: Stage) -> None:
    assert stage.connectwise("GET", "service/tickets", params={"orderBy": "colour"}).status_code == 400


@pytest.mark.parametrize("kept", [True, False])
def test_a_projection_has_what_was_asked_for(stage: Stage, four: list[int], kept: bool) -> None:
    stage.control("POST", "connectwise/habits", info_in_fields=kept)
    query = {"fields": "id,status/id,company/identifier,company/name,_info,nothing", "pageSize": 1}
    row = stage.connectwise("GET", "service/tickets", params=query).json()[0]
    info = row.pop("_info", None)
    assert row == {"id": four[0], "status": {"id": 503}, "company": {"identifier": "Contoso", "name": "Contoso"}}
    assert (info is not None) == kept


# -- paging -----------------------------------------------------------------------------------------------------


def links(answer: Any) -> dict[str, dict[str, list[str]]]:
    found = re.findall(r'<([^>]*)>; rel="(\w+)"', answer.headers.get("Link", ""))
    return {rel: parse_qs(urlsplit(url).query) for url, rel in found}


@pytest.fixture
def sixty(stage: Stage) -> list[int]:
    return list(stage.control("POST", "connectwise/bulk-tickets", count=60)["ids"])


def test_navigable_paging_links_where_there_is_something(stage: Stage, sixty: list[int]) -> None:
    pages = [stage.connectwise("GET", "service/tickets", params={"page": page}) for page in (1, 2, 3, 4)]
    assert [len(page.json()) for page in pages] == [25, 25, 10, 0]
    assert [row["id"] for page in pages for row in page.json()] == sixty
    assert {rel: query["page"] for rel, query in links(pages[0]).items()} == {"next": ["2"], "last": ["3"]}
    assert set(links(pages[1])) == {"first", "prev", "next", "last"}
    assert set(links(pages[2])) == {"first", "prev"}
    assert "Link" not in stage.connectwise("GET", "service/tickets", params={"pageSize": 60}).headers


def test_links_repeat_the_question(stage: Stage, sixty: list[int]) -> None:
    query = {"conditions": 'summary like "Incident*"', "pagesize": 20}
    following = links(stage.connectwise("GET", "service/tickets", params=query))["next"]
    assert following == {"conditions": ['summary like "Incident*"'], "pagesize": ["20"], "page": ["2"]}


def test_forward_only_paging_ends_with_an_empty_link(stage: Stage, sixty: list[int]) -> None:
    seen: list[int] = []
    after, link = 0, "yes"
    while link:
        # `page` and `orderBy` mean nothing here.
        query = {"pageId": after, "pageSize": 25, "page": 2, "orderBy": "id desc"}
        answer = stage.connectwise("GET", "service/tickets", params=query, headers=FORWARD)
        seen += [row["id"] for row in answer.json()]
        link = answer.headers["Link"]
        after = int(links(answer)["next"]["pageId"][0]) if link else 0
    assert seen == sixty


def test_forward_only_paging_loses_nothing_while_tickets_change(stage: Stage, sixty: list[int]) -> None:
    first = stage.connectwise("GET", "service/tickets", params={"pageSize": 50}, headers=FORWARD).json()
    stage.control("POST", f"connectwise/tickets/{sixty[55]}/close")
    rest = stage.connectwise("GET", "service/tickets", params={"pageId": first[-1]["id"]}, headers=FORWARD).json()
    assert [row["id"] for row in first + rest] == sixty


def test_the_audit_trail_knows_no_forward_only_paging(stage: Stage) -> None:
    number = stage.connectwise_ticket()
    for status in ("Approved", "In Progress", "New"):
        stage.control("PATCH", f"connectwise/tickets/{number}", status=status)
    query = {"type": "Ticket", "id": number, "pageSize": 2, "pageId": 1}
    answer = stage.connectwise("GET", "system/audittrail", params=query, headers=FORWARD)
    assert len(answer.json()) == 2
    assert links(answer)["next"]["page"] == ["2"]
    assert stage.connectwise("GET", "system/audittrail/count", params=query).json() == {"count": 4}


def test_a_link_may_name_another_host(stage: Stage, sixty: list[int]) -> None:
    stage.control("POST", "connectwise/habits", link_host="https://elsewhere.example")
    answer = stage.connectwise("GET", "service/tickets")
    assert answer.headers["Link"].startswith("<https://elsewhere.example/v4_6_release/apis/3.0/service/tickets?")


def test_a_page_has_a_thousand_at_most(stage: Stage) -> None:
    stage.control("POST", "connectwise/bulk-tickets", count=1005)
    assert len(stage.connectwise("GET", "service/tickets", params={"pageSize": 5000}).json()) == 1000
    assert stage.connectwise("GET", "service/tickets", params={"pageSize": "many"}).status_code == 400


def test_an_unkind_world_shows_a_ticket_on_two_pages_and_loses_none() -> None:
    world = World(seed=3, gentle=False)
    records = [_Record(number) for number in range(10)]
    call, repeated = Call(world), 0
    for _ in range(30):
        pages = [call.page(_asking(page), records, lambda record: {"id": record.id}) for page in (1, 2, 3)]
        seen = [row["id"] for page in pages for row in json.loads(bytes(page.body))]
        assert set(seen) == set(range(10))
        repeated += len(seen) > 10
    assert repeated


@dataclass
class _Record:
    id: int


def _asking(page: int) -> Request:
    query = f"page={page}&pageSize=4".encode()
    scope = {"type": "http", "method": "GET", "path": "/x", "outer_path": "/x", "query_string": query}
    return Request(scope | {"headers": [], "scheme": "http", "server": ("127.0.0.1", 80)})


# -- a full desk ------------------------------------------------------------------------------------------------


def test_a_poll_of_a_full_desk_reads_only_what_changed(stage: Stage) -> None:
    """Counted in records that are looked at, which no busy machine changes; a generous time guards the whole."""
    started = time.monotonic()
    stage.control("POST", "connectwise/bulk-tickets", count=100_000)
    number = stage.connectwise_ticket()
    index = stage.world.connectwise.tickets
    assert len(index) == 100_001
    looked_at = list(index.changed_since(datetime(2026, 11, 22, 8, 59, tzinfo=UTC)))
    assert [ticket.id for ticket in looked_at] == [number]
    since = "board/id in (1,2) and type/id in (11,12,14) and closedFlag=false and lastUpdated>=[2026-11-22T08:59:00Z]"
    assert ids(stage, since) == [number]
    assert ids(stage, "type/id in (11,12) and closedFlag=false") == [number]
    assert time.monotonic() - started < 60


def test_the_index_keeps_the_order_of_changes_whatever_happens() -> None:
    index, moment = Index(), datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

    def ticket(number: int, age: int) -> Ticket:
        at = moment - timedelta(minutes=age)
        new = Ticket(number, "x", 1, 501, 250, at, at, "a", "a", type_id=11)
        index.add(new)
        return new

    one, two, three = ticket(1, 30), ticket(2, 10), ticket(3, 20)
    assert [t.id for t in index.changed_since(moment - timedelta(minutes=25))] == [2, 3]
    index.touch(one, moment)
    assert [t.id for t in index.changed_since(moment - timedelta(minutes=15))] == [1, 2]
    index.touch(one, moment - timedelta(minutes=40))
    assert [t.id for t in index.changed_since(moment - timedelta(minutes=60))] == [2, 3, 1]
    index.retype(two, 12)
    assert [t.id for t in index.of_types({12})] == [2]
    assert index.count_of_types({11}) == 2
    index.remove(three)
    assert [t.id for t in index.values()] == [1, 2]
    assert index.get(3) is None
