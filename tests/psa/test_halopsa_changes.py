"""HaloPSA's list of tickets: what a poll tells, what it leaves out, and how it survives a list that moves."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from requests import PreparedRequest

from connector.core.ports import Changes
from connector.errors import TemporaryError
from connector.psa.halopsa.adapter import HaloPsa
from connector.psa.watermark import MOST_REMEMBERED, OVERLAP, Cursor
from tests.psa.halopsa_make import MovableClock, make_psa

HALO = "https://msp.example.com"
STATUSES = ("New", "Closed", "Awaiting", "Approved", "Rejected", "Needs technician", "Retry reset", "Security alarm")
START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

Row = dict[str, Any]
Page = Callable[[int, list[Row]], list[Row]]


def at(**later: float) -> str:
    """A list row's date: without zone, three decimals."""
    return f"{START + timedelta(**later):%Y-%m-%dT%H:%M:%S.%f}"[:-3]


@dataclass
class List:
    """GET /Tickets. Filters by `lastupdatefromdate` and `open_only` as far as it is told to.

    Attributes:
        spoil: Changes a page before it is sent.
        page_limit: Rows of a page, whatever is asked for.
    """

    rows: dict[int, Row] = field(default_factory=dict)
    queries: list[dict[str, str]] = field(default_factory=list)
    page_limit: int = 100
    filters: bool = True
    counts: bool = True
    spoil: Page = lambda _, rows: rows
    date: str | None = None

    def put(self, key: int, updated: str | None = None, **more: Any) -> None:
        row = {"id": key, "tickettype_id": 25, "status_id": 1, "last_update": updated, **more}
        self.rows[key] = {name: value for name, value in row.items() if value is not None}

    def answer(self, request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        query = {key: values[0] for key, values in parse_qs(urlsplit(request.url or "").query).items()}
        self.queries.append(query)
        since = query.get("lastupdatefromdate", "")
        found = [row for _, row in sorted(self.rows.items()) if not self.filters or self._fits(row, since, query)]
        number = int(query["page_no"])
        size = min(int(query["page_size"]), self.page_limit)
        page = self.spoil(number, found[(number - 1) * size : number * size])
        body = {"tickets": page, **({"record_count": len(found)} if self.counts else {})}
        return 200, {"Date": self.date} if self.date else {}, json.dumps(body)

    @staticmethod
    def _fits(row: Row, since: str, query: dict[str, str]) -> bool:
        is_open = not (query.get("open_only") == "true" and row.get("hasbeenclosed"))
        return is_open and str(row.get("last_update", "9")) >= since


@pytest.fixture
def tickets() -> Iterator[List]:
    found = List()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        token = {"access_token": secrets.token_urlsafe(), "expires_in": 3600}
        mock.post(f"{HALO}/auth/token", json=token)
        types = [{"id": 25, "name": "Password Reset"}, {"id": 26, "name": "MFA Reset"}]
        mock.get(f"{HALO}/api/TicketType", json=[*types, {"id": 27, "name": "Account Reset"}])
        mock.get(f"{HALO}/api/Status", json=[{"id": n, "name": name} for n, name in enumerate(STATUSES, start=1)])
        mock.add_callback(responses.GET, f"{HALO}/api/Tickets", found.answer)
        yield found


@pytest.fixture
def psa(tickets: List) -> HaloPsa:
    return make_psa(HALO, client_id="reset", client_secret=secrets.token_urlsafe(), clock=MovableClock())


def told(changes: Changes) -> list[int]:
    return [int(ticket.id) for ticket in changes.tickets]


# ---------------------------------------------------------------- what is asked


def test_the_first_poll_asks_for_open_tickets_of_the_mapped_types_page_by_page(tickets: List, psa: HaloPsa) -> None:
    psa.changed(None)
    assert tickets.queries == [
        {"requesttype": "25,26,27", "open_only": "true", "pageinate": "true", "page_size": "100", "page_no": "1",
         "order": "id", "orderdesc": "false"}
    ]  # fmt: skip


def test_the_next_poll_asks_from_a_little_before_the_newest_row_by_halopsas_own_clock(
    tickets: List, psa: HaloPsa
) -> None:
    tickets.put(1, at(seconds=10.7))
    tickets.put(2, at(seconds=5))
    psa.changed(psa.changed(None).cursor)
    assert "open_only" not in tickets.queries[1]
    assert tickets.queries[1]["lastupdatefromdate"] == "2026-11-22T08:55:10"
    assert timedelta(minutes=5) == OVERLAP


def test_while_no_row_has_a_date_open_tickets_are_asked_for_and_old_ones_are_no_news(
    tickets: List, psa: HaloPsa
) -> None:
    tickets.put(1)
    first = psa.changed(None)
    second = psa.changed(first.cursor)
    assert (told(first), told(second)) == ([1], [])
    assert tickets.queries[1]["open_only"] == "true"
    tickets.put(1, status_id=4)
    assert told(psa.changed(second.cursor)) == [1]


def test_older_builds_name_the_date_otherwise(tickets: List, psa: HaloPsa) -> None:
    tickets.put(1, flastupdate=at(minutes=1))
    psa.changed(psa.changed(None).cursor)
    assert tickets.queries[1]["lastupdatefromdate"] == "2026-11-22T08:56:00"


# ---------------------------------------------------------------- what is told


def test_tickets_that_share_an_instant_are_all_told_and_each_once(tickets: List, psa: HaloPsa) -> None:
    tickets.put(1, at())
    first = psa.changed(None)
    tickets.put(2, at())
    tickets.put(3, at())
    second = psa.changed(first.cursor)
    third = psa.changed(second.cursor)
    assert (told(first), told(second), told(third)) == ([1], [2, 3], [])


def test_a_ticket_changed_twice_in_one_instant_is_told_by_its_status(tickets: List, psa: HaloPsa) -> None:
    tickets.put(1, at(), status_id=3)
    cursor = psa.changed(None).cursor
    tickets.put(1, at(), status_id=4)
    assert told(psa.changed(cursor)) == [1]


def test_what_runs_on_by_itself_in_a_row_is_no_news(tickets: List, psa: HaloPsa) -> None:
    tickets.put(1, at(), slatimeleft=3.99)
    cursor = psa.changed(None).cursor
    tickets.put(1, at(), slatimeleft=3.98)
    assert told(psa.changed(cursor)) == []


def test_a_late_row_within_the_overlap_is_told(tickets: List, psa: HaloPsa) -> None:
    """Halo's servers write at the same time; a change may show up after a newer one."""
    tickets.put(1, at(minutes=4))
    cursor = psa.changed(None).cursor
    tickets.put(2, at())
    assert told(psa.changed(cursor)) == [2]


def sent(**later: float) -> str:
    """HaloPSA's `Date` so much later."""
    return f"{START + timedelta(**later):%a, %d %b %Y %H:%M:%S GMT}"


def asked_from(tickets: List) -> str:
    return tickets.queries[-1]["lastupdatefromdate"].partition("T")[2]


def test_the_overlap_shrinks_while_nothing_changes_and_is_whole_again_after_a_change(
    tickets: List, psa: HaloPsa
) -> None:
    """A burst of 500 changes would else cost six pages at every poll until something newer happens."""
    tickets.put(1, at())
    tickets.date = sent(seconds=10)
    cursor = psa.changed(None).cursor
    asked = []
    for minutes in (1, 3, 10, 20):
        tickets.date = sent(minutes=minutes, seconds=10)
        cursor = psa.changed(cursor).cursor
        asked.append(asked_from(tickets))
    # Each from what the walk before it had seen: at 0, 1, 3 and 10 minutes of quiet.
    assert asked == ["08:55:00", "08:56:00", "08:58:00", "08:59:59"]
    tickets.put(2, at(minutes=30))
    tickets.date = sent(minutes=30, seconds=5)
    changes = psa.changed(cursor)
    assert told(changes) == [2]
    psa.changed(changes.cursor)
    assert asked_from(tickets) == "09:25:00"


def test_a_row_that_shows_up_late_after_quiet_minutes_is_told(tickets: List, psa: HaloPsa) -> None:
    tickets.put(1, at())
    tickets.date = sent()
    cursor = psa.changed(None).cursor
    tickets.date = sent(minutes=3)
    cursor = psa.changed(cursor).cursor
    tickets.put(2, at(minutes=-1, seconds=-59))  # written five minutes, less a second, before the last walk
    tickets.date = sent(minutes=3, seconds=15)
    assert told(psa.changed(cursor)) == [2]


def test_without_halopsas_clock_the_overlap_stays_whole(tickets: List, psa: HaloPsa) -> None:
    tickets.put(1, at())
    cursor = psa.changed(None).cursor
    tickets.date = sent(minutes=9)
    cursor = psa.changed(cursor).cursor
    psa.changed(cursor)
    assert asked_from(tickets) == "08:55:00"


def test_a_halopsa_clock_that_goes_back_makes_no_overlap_longer_than_the_usual(tickets: List, psa: HaloPsa) -> None:
    tickets.put(1, at())
    tickets.date = sent()
    cursor = psa.changed(None).cursor
    tickets.date = sent(hours=-2)
    cursor = psa.changed(cursor).cursor
    psa.changed(cursor)
    assert asked_from(tickets) == "08:55:00"


def test_an_incomplete_walk_takes_nothing_off_the_overlap(tickets: List, psa: HaloPsa) -> None:
    fill(tickets, 150)
    tickets.date = sent(seconds=150)
    cursor = psa.changed(None).cursor
    tickets.spoil = lambda number, rows: rows if number == 1 else rows[1:]
    tickets.date = sent(minutes=20)
    cursor = psa.changed(cursor).cursor
    tickets.spoil = lambda _, rows: rows
    psa.changed(cursor)
    assert asked_from(tickets) == "08:57:30"


def test_a_ticket_closed_by_hand_is_told(tickets: List, psa: HaloPsa) -> None:
    tickets.put(1, at())
    cursor = psa.changed(None).cursor
    tickets.put(1, at(minutes=1), hasbeenclosed=True, status_id=2)
    assert told(psa.changed(cursor)) == [1]


def test_rows_of_other_types_are_left_out_even_where_halopsa_sends_them(tickets: List, psa: HaloPsa) -> None:
    tickets.put(1, at())
    tickets.put(2, at(), tickettype_id=30)
    tickets.put(3, at(), tickettype_id=None)
    tickets.put(4, at(), tickettype_id="26")
    assert told(psa.changed(None)) == [1, 4]


def test_a_list_that_ignores_the_filter_is_not_news_at_every_poll(tickets: List, psa: HaloPsa) -> None:
    tickets.filters = False
    tickets.put(1, at(days=-30))
    tickets.put(2, at())
    tickets.put(3, at(days=-3), hasbeenclosed=True)
    first = psa.changed(None)
    second = psa.changed(first.cursor)
    third = psa.changed(second.cursor)
    assert (told(first), told(second), told(third)) == ([1, 2], [3], [])


@pytest.mark.parametrize("cursor", ["", "{}", "[]", "nonsense", '{"newest": "soon"}', '{"newest": 5}', '{"told": 7}'])
def test_a_cursor_that_is_none_of_ours_asks_for_everything(tickets: List, psa: HaloPsa, cursor: str) -> None:
    tickets.put(1, at())
    assert told(psa.changed(cursor)) == [1]
    assert tickets.queries[0]["open_only"] == "true"


def test_the_cursor_stays_small(tickets: List, psa: HaloPsa) -> None:
    for key in range(1, MOST_REMEMBERED + 50):
        tickets.put(key, at(seconds=key / 100))
    cursor = psa.changed(None).cursor
    assert len(Cursor.read(cursor).told) == MOST_REMEMBERED
    assert told(psa.changed(cursor)) == list(range(1, 50))


# ---------------------------------------------------------------- a ticket of the future


def test_one_ticket_of_next_year_does_not_hide_every_change_until_then(tickets: List, psa: HaloPsa) -> None:
    tickets.date = "Sun, 22 Nov 2026 09:00:30 GMT"
    tickets.put(1, at(days=365))
    tickets.put(2, at())
    cursor = psa.changed(None).cursor
    tickets.put(2, at(seconds=20), status_id=4)
    assert told(psa.changed(cursor)) == [2]


def test_rows_in_a_local_time_ahead_of_ours_still_move_the_cursor(tickets: List, psa: HaloPsa) -> None:
    tickets.date = "Sun, 22 Nov 2026 09:00:30 GMT"
    tickets.put(1, at(hours=13))
    psa.changed(psa.changed(None).cursor)
    assert tickets.queries[1]["lastupdatefromdate"] == "2026-11-22T21:55:00"


# ---------------------------------------------------------------- pages


def fill(tickets: List, count: int) -> list[int]:
    for key in range(1, count + 1):
        tickets.put(key, at(seconds=key))
    return list(range(1, count + 1))


# Without a count a short page is the only sign of the end, so then the pages have to be whole.
@pytest.mark.parametrize(("limit", "counts"), [(100, True), (50, True), (100, False)])
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_every_ticket_is_told_once_however_the_pages_fall(
    tickets: List, psa: HaloPsa, count: int, counts: bool, limit: int
) -> None:
    tickets.page_limit, tickets.counts = limit, counts
    wanted = fill(tickets, count)
    assert told(psa.changed(None)) == wanted
    if counts:
        assert len(tickets.queries) == max(1, -(-count // limit))


def test_a_ticket_on_two_pages_is_told_once(tickets: List, psa: HaloPsa) -> None:
    wanted = fill(tickets, 150)
    tickets.spoil = lambda number, rows: rows if number == 1 else [tickets.rows[100], *rows]
    assert told(psa.changed(None)) == wanted


def test_a_ticket_that_slipped_between_two_pages_is_found_by_walking_again(tickets: List, psa: HaloPsa) -> None:
    """A row that moves to an earlier page while later ones are read is on none of the pages."""
    wanted = fill(tickets, 150)
    walks = 0

    def slip(number: int, rows: list[Row]) -> list[Row]:
        nonlocal walks
        walks += number == 1
        return [tickets.rows[100], *rows[1:]] if number == 2 and walks == 1 else rows

    tickets.spoil = slip
    assert told(psa.changed(None)) == wanted
    assert walks == 2


def test_while_a_ticket_stays_missing_the_cursor_stays_where_it_was(tickets: List, psa: HaloPsa) -> None:
    tickets.put(500, at(days=-1))
    before = psa.changed(None).cursor
    fill(tickets, 150)
    tickets.spoil = lambda number, rows: rows if number == 1 else rows[1:]
    after = psa.changed(before)
    assert told(after) == [key for key in range(1, 151) if key != 101]
    assert Cursor.read(after.cursor).newest == Cursor.read(before).newest
    tickets.spoil = lambda _, rows: rows
    assert told(psa.changed(after.cursor)) == [101]


def test_a_server_that_ignores_the_page_number_does_not_keep_us_walking(tickets: List, psa: HaloPsa) -> None:
    fill(tickets, 250)
    tickets.spoil = lambda *_: [tickets.rows[key] for key in range(1, 101)]
    assert len(told(psa.changed(None))) == 100
    assert len(tickets.queries) == 6


# ---------------------------------------------------------------- past tickets


def test_past_tickets_are_told_oldest_first_the_closed_ones_too(tickets: List, psa: HaloPsa) -> None:
    tickets.put(1, dateoccurred=at(hours=3))
    tickets.put(2, dateoccurred=at(hours=1), hasbeenclosed=True)
    tickets.put(3, dateoccurred=at(hours=2))
    assert [one.id for one in psa.raised_since(START)] == ["2", "3", "1"]
    (query,) = tickets.queries
    assert query["datesearch"] == "dateoccured"
    assert query["startdate"] == "2026-11-21T09:00:00"
    assert query["enddate"] > "2090"
    assert "open_only" not in query


@pytest.mark.parametrize(
    "row",
    [{"dateoccurred": at(seconds=-1)}, {"dateoccurred": "1900-01-01T00:00:00"}, {}, {"dateoccurred": "soon"},
     {"dateoccurred": at(hours=1), "tickettype_id": 99}],
    ids=["older", "never", "no date", "nonsense", "another type"],
)  # fmt: skip
def test_what_halopsa_sends_beyond_what_was_asked_for_is_left_out(tickets: List, psa: HaloPsa, row: Row) -> None:
    """It ignores parameters that it does not know, and then it sends every ticket."""
    tickets.put(1, **row)
    tickets.put(2, dateoccurred=at())
    assert [one.id for one in psa.raised_since(START)] == ["2"]


def test_a_long_past_comes_page_by_page(tickets: List, psa: HaloPsa) -> None:
    for key in range(1, 251):
        tickets.put(key, dateoccurred=at(minutes=key))
    assert [int(one.id) for one in psa.raised_since(START)] == list(range(1, 251))
    assert len(tickets.queries) == 3


def test_a_past_with_holes_is_no_past(tickets: List, psa: HaloPsa) -> None:
    for key in range(1, 151):
        tickets.put(key, dateoccurred=at(minutes=key))
    tickets.spoil = lambda number, rows: rows if number == 1 else rows[1:]
    with pytest.raises(TemporaryError, match="were missing"):
        psa.raised_since(START)
