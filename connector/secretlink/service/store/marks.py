"""What is old, although the clock was wrong at times.

About hourly a mark is written: how far the history has come, and what the clock says. A clock that is wrong is taken to
be right again within half a day, so of `IN_A_ROW` marks in a row one at least is right. Therefore

- it is now surely no earlier than the earliest that the newest `IN_A_ROW` marks say;
- what stood there before `IN_A_ROW` marks in a row that all say "long ago" surely happened longer ago.

By nothing else is anything forgotten or blanked. Marks count the hours in which the service runs: while it is off, no
clock proves anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

IN_A_ROW: Final = 13
LEAST_APART: Final = timedelta(hours=1)
"""So a clock that is wrong for less than twelve hours leaves less than `IN_A_ROW` of them."""


def newest_old(marks_ms: Sequence[int], age: timedelta) -> int | None:
    """Which is the newest mark whose events are surely older than `age`; `None` while no one surely is.

    Args:
        marks_ms: What the clock said at each mark, in the order in which they were written.
    """
    if len(marks_ms) < IN_A_ROW:
        return None
    before_ms = min(marks_ms[-IN_A_ROW:]) - age // timedelta(milliseconds=1)
    agree = 0
    for place in reversed(range(len(marks_ms))):
        agree = agree + 1 if marks_ms[place] < before_ms else 0
        if agree == IN_A_ROW:
            return place
    return None
