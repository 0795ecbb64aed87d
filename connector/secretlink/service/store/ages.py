"""What is old, although the clock was wrong at times.

A clock that was wrong leaves instants that are wrong. It is taken to be right again within `CLOCK_IS_RIGHT_AGAIN`. So a
single instant proves nothing against those around it, but two that far apart do:

- An event is old when it says so itself and nothing young stands in front of it, or when two events behind it, so far
  apart, are old both: it happened before them. So nothing waits for the day that a clock once said too early, and
  nothing young is forgotten because a clock was behind.
- A link that has ended is old when it says so itself, or when its last event is old in the second way.
- A link that lives long after it may (`NOTHING_LIVES_SO_LONG`) was made to live until a day that such a clock reckoned.
  It is ended. An alarm of that kind counts as made when it was first seen by a clock that was right.

Whether the clock is right just now is not known here: see `caretaker.Trust`.
"""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, select

from connector.secretlink.service.store import tables

CLOCK_IS_RIGHT_AGAIN: Final = timedelta(hours=12)
NOTHING_LIVES_SO_LONG: Final = timedelta(days=40)
"""Longer than the API lets a link or an alarm live."""
_FURTHEST_PROBE: Final = 30

_EVENT: Final = tables.event.c
_LAST_OF_LINK: Final = select(func.max(_EVENT.seq)).where(_EVENT.link_id == bindparam("link_id"))
_AT: Final = select(_EVENT.seq, _EVENT.at_ms).where(_EVENT.seq.in_(bindparam("seqs", expanding=True)))


class History:
    """What is old in the chain, seen from one instant. See the module."""

    def __init__(self, connection: Connection, *, before_ms: int) -> None:
        self.connection: Final = connection
        self.before_ms: Final = before_ms
        self._proven = 0

    def is_old(self, row: Any) -> bool:
        """Whether an event with nothing young in front of it is old."""
        return bool(row.at_ms < self.before_ms) or self.is_proven_old(row.seq)

    def is_proven_old(self, seq: int) -> bool:
        """Whether two old events, far enough apart, stand behind this one."""
        if seq > self._proven:
            self._proven = max(self._proven, self._prove(seq))
        return seq <= self._proven

    def _prove(self, seq: int) -> int:
        """Up to where everything is old because of events behind `seq`; 0 where nothing is known.

        Only some are looked at, each twice as far away as the one before: it is enough to find as many old ones as are
        passed over.
        """
        seqs = [seq + (1 << step) for step in range(_FURTHEST_PROBE)]
        old = [row for row in self.connection.execute(_AT, {"seqs": seqs}) if row.at_ms < self.before_ms]
        apart_ms = milliseconds(CLOCK_IS_RIGHT_AGAIN)
        proven = 0
        for first, second in itertools.combinations(sorted(old, key=lambda row: row.seq), 2):
            if second.at_ms - first.at_ms >= apart_ms:
                proven = max(proven, first.seq)
        return proven

    def last_of(self, link_id: str) -> int:
        """The number of the last event of a link that has some."""
        return int(self.connection.execute(_LAST_OF_LINK, {"link_id": link_id}).scalar_one())


def before(instant_ms: int, age: timedelta) -> int:
    """An instant so long before another one."""
    return instant_ms - milliseconds(age)


def milliseconds(length: timedelta) -> int:
    """Whole ones."""
    return length // timedelta(milliseconds=1)
