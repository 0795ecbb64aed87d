"""Business hours: waits are counted in business days and open hours, and end while somebody is at work."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.business_hours import BusinessHours

LONDON = BusinessHours(start=time(8), end=time(17), zone=ZoneInfo("Europe/London"))
HOUR = timedelta(hours=1)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("start", "wait", "end"),
    [
        ("2026-11-23T09:00", 4 * HOUR, "2026-11-23T13:00"),
        ("2026-11-23T15:00", 4 * HOUR, "2026-11-24T10:00"),  # two hours today, two tomorrow
        ("2026-11-27T16:00", 4 * HOUR, "2026-11-30T11:00"),  # over the weekend
        ("2026-11-28T12:00", 4 * HOUR, "2026-11-30T12:00"),  # raised on a Saturday
        ("2026-11-23T06:00", 4 * HOUR, "2026-11-23T12:00"),  # raised before anybody is there
        ("2026-11-23T09:00", 24 * HOUR, "2026-11-24T09:00"),  # a day is a business day
        ("2026-11-27T09:00", 24 * HOUR, "2026-11-30T09:00"),
        ("2026-11-27T09:00", 28 * HOUR, "2026-11-30T13:00"),
        ("2026-11-23T20:00", timedelta(0), "2026-11-24T08:00"),
        ("2026-11-23T08:00", 9 * HOUR, "2026-11-24T08:00"),  # the whole day: the first open moment after it
    ],
)
def test_a_wait_is_counted_in_business_days_and_open_hours(start: str, wait: timedelta, end: str) -> None:
    assert LONDON.after(at(start), wait) == at(end)


def test_a_holiday_is_a_day_on_which_nobody_answers() -> None:
    hours = BusinessHours(zone=ZoneInfo("Europe/London"), holidays=frozenset({date(2026, 12, 25), date(2026, 12, 28)}))
    assert hours.after(at("2026-12-24T16:00"), 4 * HOUR) == at("2026-12-29T11:00")
    assert not hours.is_open(at("2026-12-25T10:00"))


def test_the_clock_of_the_place_counts_on_both_sides_of_daylight_saving() -> None:
    berlin = BusinessHours(zone=ZoneInfo("Europe/Berlin"))
    friday = at("2026-10-23T10:00", "Europe/Berlin")  # the clocks go back on the 25th
    assert berlin.after(friday, 24 * HOUR) == at("2026-10-26T10:00", "Europe/Berlin")
    assert berlin.after(friday, 24 * HOUR) - friday == 73 * HOUR


def test_a_calendar_without_a_single_open_day_counts_for_nothing() -> None:
    year = frozenset(date(2026, 1, 1) + timedelta(days=n) for n in range(800))
    hours = BusinessHours(holidays=year)
    moment = at("2026-06-01T12:00")
    assert hours.next_open(moment) == moment
    assert hours.after(moment, 4 * HOUR) >= moment


calendars = st.builds(
    lambda days, start, length, zone: BusinessHours(
        days=days, start=time(start), end=time(min(start + length, 23)), zone=ZoneInfo(zone)
    ),
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 20),
    st.integers(1, 12),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
waits = st.timedeltas(timedelta(0), timedelta(days=9))


@given(hours=calendars, moment=moments, wait=waits)
def test_every_wait_ends_in_an_open_moment_and_not_before_it_would_around_the_clock_of_a_day(
    hours: BusinessHours, moment: datetime, wait: timedelta
) -> None:
    end = hours.after(moment, wait)
    assert hours.is_open(end)
    assert end >= moment
    assert end >= hours.next_open(moment)


@given(hours=calendars, moment=moments, shorter=waits, longer=waits)
def test_a_longer_wait_of_hours_never_ends_earlier(
    hours: BusinessHours, moment: datetime, shorter: timedelta, longer: timedelta
) -> None:
    short, long = sorted((shorter % timedelta(days=1), longer % timedelta(days=1)))
    assert hours.after(moment, short) <= hours.after(moment, long)
