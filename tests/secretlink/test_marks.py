"""However a clock is wrong for less than half a day: nothing counts as old too early, and nothing for long too late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.secretlink.service.store.marks import IN_A_ROW, newest_old

HOUR_MS = 3_600_000
AGE = timedelta(days=2)
AGE_HOURS = 48
YEARS = 4 * 8766


@dataclass(frozen=True)
class Written:
    """A mark: the hour in which it was written, and that which the clock said."""

    truly: float
    says: float


errors = st.sampled_from([-3 * YEARS, -120 * 24, -3 * AGE_HOURS, -1, 1, AGE_HOURS, 50 * 24, YEARS])
hours_off = st.sampled_from([0, 0, 0, 0, 0.5, 16, 700])


@st.composite
def histories(draw: st.DrawFn) -> list[Written]:
    """A service that runs and is off, with a clock that is wrong for up to twelve marks at a time."""
    marks: list[Written] = []
    now = 0.0
    for _ in range(draw(st.integers(0, 5))):
        first, second = draw(errors), draw(errors)
        wrong = draw(st.sampled_from([0, 1, 6, IN_A_ROW - 1]))
        other = draw(st.sampled_from([6, IN_A_ROW]))  # from then on wrong in another way
        right = draw(st.integers(1, 30))
        now += draw(hours_off)
        for number in range(wrong + right):
            now += 1 + (draw(hours_off) if number in (1, wrong) else 0)
            error = 0 if number >= wrong else second if number >= other else first
            marks.append(Written(now, now + error))
    return marks


def oldest_known(marks: Sequence[Written]) -> Written | None:
    place = newest_old([int(mark.says * HOUR_MS) for mark in marks], AGE)
    return None if place is None else marks[place]


@given(histories())
def test_nothing_counts_as_old_too_early(marks: list[Written]) -> None:
    for count in range(1, len(marks) + 1):
        found = oldest_known(marks[:count])
        assert found is None or marks[count - 1].truly - found.truly > AGE_HOURS


@given(histories())
def test_a_day_after_its_time_everything_counts_as_old_while_the_clock_is_right(marks: list[Written]) -> None:
    # All of the time that it is about; what the clock did before does not matter.
    began = marks[-1].truly if marks else 0.0
    for hour in range(1, AGE_HOURS + 60):
        marks.append(Written(began + hour, began + hour))
    found = oldest_known(marks)
    assert found is not None
    assert AGE_HOURS < marks[-1].truly - found.truly <= AGE_HOURS + 2 * IN_A_ROW


@given(histories(), st.integers(0, 100))
def test_marks_that_are_dropped_are_of_no_use_later(marks: list[Written], later: int) -> None:
    place = newest_old([int(mark.says * HOUR_MS) for mark in marks], AGE) or 0
    now = marks[-1].truly if marks else 0.0
    after = [Written(now + hour, now + hour) for hour in range(1, later)]
    found = oldest_known(marks + after)
    if found is not None and (not marks or found.truly >= marks[place].truly):
        assert oldest_known(marks[place:] + after) == found


def test_times_at_which_the_clock_was_behind_do_not_add_up() -> None:
    marks = [Written(hour, hour - (YEARS if hour % 12 < 6 else 0)) for hour in range(AGE_HOURS)]
    assert sum(mark.says < 0 for mark in marks) > IN_A_ROW
    right = [Written(AGE_HOURS + hour, AGE_HOURS + hour) for hour in range(IN_A_ROW)]
    assert oldest_known(marks + right) is None


@pytest.mark.parametrize("wrong", [YEARS, -YEARS])
def test_a_clock_that_is_wrong_for_longer_is_believed(wrong: float) -> None:
    right = [Written(hour, hour) for hour in range(20)]
    said = [Written(20 + hour, 20 + hour + wrong) for hour in range(IN_A_ROW)]
    after = [Written(40 + hour, 40 + hour) for hour in range(IN_A_ROW)] if wrong < 0 else []
    assert oldest_known(right + said + after) is not None
    assert oldest_known(right + said[1:] + after) is None


def test_before_there_are_enough_marks_nothing_is_old() -> None:
    ages = [0] * IN_A_ROW + [10**12] * IN_A_ROW
    assert newest_old([], AGE) is None
    assert newest_old(ages[1:], AGE) is None
    assert newest_old(ages[:-1], AGE) is None
    assert newest_old(ages, AGE) == 0
