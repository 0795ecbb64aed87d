"""When people are at work: in which hours of a week somebody can be expected to answer.

A wait of 24 hours means a business day to the people who write mappings, and one of 4 hours means four hours at work.
So whole days of a wait are counted in business days, and the rest in open hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

DAY = timedelta(days=1)
MONDAY_TO_FRIDAY = frozenset(range(5))
LONGEST_CLOSURE = 400
"""Days in a row without an opening; nobody waits longer than that for a reminder."""


@dataclass(frozen=True, kw_only=True)
class BusinessHours:
    """The hours of one service desk or customer.

    Attributes:
        days: Weekdays, Monday is 0. At least one.
        start, end: Local times of day; `end` is later than `start` (a night shift takes two mappings).
        zone: Whose clocks; daylight saving is the zone's.
        holidays: Local dates on which nobody answers.
    """

    days: frozenset[int] = MONDAY_TO_FRIDAY
    start: time = time(8)
    end: time = time(17)
    zone: tzinfo = UTC
    holidays: frozenset[date] = frozenset()

    def is_open(self, moment: datetime) -> bool:
        """Whether somebody is at work at this moment."""
        opens, closes = self._hours(moment.astimezone(self.zone).date())
        return self._works(moment.astimezone(self.zone).date()) and opens <= moment < closes

    def next_open(self, moment: datetime) -> datetime:
        """This moment, if somebody is at work then; else the next opening."""
        day = moment.astimezone(self.zone).date()
        for _ in range(LONGEST_CLOSURE):
            opens, closes = self._hours(day)
            if self._works(day) and moment < closes:
                return max(moment, opens)
            day += DAY
        return moment  # every day is a holiday: hours that never come count for nothing

    def after(self, start: datetime, wait: timedelta) -> datetime:
        """The moment at which `wait` has gone by since `start`, counted in business days and open hours.

        It is always an open moment. A wait of zero gives the next opening.
        """
        moment = self.next_open(start)
        days, rest = divmod(wait, DAY)
        for _ in range(days):
            moment = self._next_business_day(moment)
        return self._add_open_hours(moment, rest)

    def _next_business_day(self, moment: datetime) -> datetime:
        local = moment.astimezone(self.zone)
        day = local.date()
        for _ in range(LONGEST_CLOSURE):
            day += DAY
            if self._works(day):
                return datetime.combine(day, local.time(), self.zone).astimezone(UTC)
        return moment

    def _add_open_hours(self, moment: datetime, wait: timedelta) -> datetime:
        for _ in range(LONGEST_CLOSURE):
            moment = self.next_open(moment)
            _, closes = self._hours(moment.astimezone(self.zone).date())
            left = closes - moment
            if wait < left:
                return moment + wait
            wait -= left
            moment = closes
        return moment

    def _works(self, day: date) -> bool:
        return day.weekday() in self.days and day not in self.holidays

    def _hours(self, day: date) -> tuple[datetime, datetime]:
        """Opening and closing as instants: two local times of a night when clocks change are not as far apart."""
        return (
            datetime.combine(day, self.start, self.zone).astimezone(UTC),
            datetime.combine(day, self.end, self.zone).astimezone(UTC),
        )
