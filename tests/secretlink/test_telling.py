"""Numbers and cursors for services that have neither: each event is told until it is kept, and stays the same one."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from connector.core.ports import LinkEvent, LinkEventKind
from connector.secretlink.telling import EARLIEST, LATEST, Teller, number

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def an_event(minutes: int, link_id: str = "lnk_1") -> LinkEvent:
    at = NOW + minutes * MINUTE
    return LinkEvent(seq=number(at, link_id), link_id=link_id, kind=LinkEventKind.REVEALED, at=at)


@given(
    first=st.timedeltas(timedelta(0), timedelta(days=60_000)).map(lambda age: NOW + age),
    later=st.timedeltas(timedelta(milliseconds=1), timedelta(days=9)),
)
def test_a_later_event_has_a_greater_number_and_it_fits_every_database(first: datetime, later: timedelta) -> None:
    ids = [f"lnk_{secrets.token_hex(12)}" for _ in range(2)]
    assert number(first, ids[0]) < number(first + later, ids[1]) < 2**63
    assert number(first, ids[0]) == number(first, ids[0])


def test_of_one_link_every_event_has_a_number_of_its_own() -> None:
    seq, seen = 0, set()
    for _ in range(50):
        seq = number(NOW, "lnk_1", after=seq)
        seen.add(seq)
    assert len(seen) == 50


def test_links_in_one_millisecond_have_different_numbers() -> None:
    assert number(NOW, "lnk_1") != number(NOW, "lnk_2")


def test_what_was_kept_is_not_told_again() -> None:
    teller = Teller()
    first = teller.tell("", [an_event(1)])
    assert [event.at for event in first.events] == [NOW + MINUTE]
    assert teller.tell(first.cursor, [an_event(1)]) == type(first)((), first.cursor)


def test_what_was_not_kept_is_told_again_and_again() -> None:
    teller = Teller()
    for _ in range(3):
        assert len(teller.tell("", [an_event(1)]).events) == 1


def test_a_number_fits_into_a_database_from_the_earliest_time_to_the_latest() -> None:
    assert number(EARLIEST, "lnk_1") >= 0
    assert number(LATEST - timedelta(milliseconds=1), "lnk_1") < 2**63


def test_a_row_that_turns_up_late_is_told_and_told_until_it_is_kept() -> None:
    teller = Teller()
    cursor = teller.tell("", [an_event(5)]).cursor
    late = [an_event(1, "lnk_2"), an_event(5)]
    offer = teller.tell(cursor, late)
    assert [event.link_id for event in offer.events] == ["lnk_2"]
    again = teller.tell(cursor, late)
    assert [event.link_id for event in again.events] == ["lnk_2"], "whoever asked did not keep it"
    assert teller.tell(again.cursor, late).events == ()


def test_an_older_cursor_brings_everything_after_it() -> None:
    teller = Teller()
    both = [an_event(1), an_event(2)]
    old = teller.tell("", both[:1]).cursor
    new = teller.tell(old, both).cursor
    assert teller.tell(new, both).events == ()
    assert [event.at for event in teller.tell(old, both).events] == [NOW + 2 * MINUTE]
    assert len(teller.tell("", both).events) == 2


def test_a_new_process_tells_what_it_finds_once_more() -> None:
    cursor = Teller().tell("", [an_event(1)]).cursor
    assert len(Teller().tell(cursor, [an_event(1)]).events) == 1


def test_a_cursor_of_another_kind_of_service_is_no_trouble() -> None:
    for cursor in ("1841", "1841:0b0b", "nonsense", "-3"):
        assert len(Teller().tell(cursor, [an_event(1)]).events) == 1


def test_several_readers_each_keep_what_they_were_given() -> None:
    teller = Teller()
    poll = teller.tell("", [an_event(1)])
    beside = teller.tell("", [an_event(1)])  # somebody who reads at the same moment, and never comes back
    assert poll.cursor != beside.cursor
    assert teller.tell(poll.cursor, [an_event(1)]).events == ()
