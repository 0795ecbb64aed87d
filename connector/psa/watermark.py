"""How far a poll has come, for PSAs whose list can be asked for by the date of the last change.

The cursor remembers the newest date that any row bore, by the PSA's own clock. The next walk asks from a little before
it, because a change may show up late, and leaves out the rows that it was told before and that look the same. While
nothing changes the overlap shrinks by the time that has gone by on that clock: otherwise a burst of changes would be
read again at every poll until something newer happens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

OVERLAP = timedelta(minutes=5)
"""How late a change may show up in the list."""

LEAST_OVERLAP = timedelta(seconds=1)
MOST_REMEMBERED = 2000


@dataclass(frozen=True)
class Cursor:
    """Where the last poll ended.

    Attributes:
        newest: The newest date of a change seen; `None` while no row had one. Then every open ticket is asked for.
        told: The rows of the last walk: ticket id to a digest of what the row said.
        newest_at, walked_at: The PSA's `Date` when `newest` was first seen, and at the last complete walk; `None` where
            it sends none. They are only compared with each other: rows may be dated in another zone.
    """

    newest: datetime | None = None
    told: Mapping[int, str] = field(default_factory=dict)
    newest_at: datetime | None = None
    walked_at: datetime | None = None

    def written(self) -> str:
        moments = {"newest": self.newest, "newest_at": self.newest_at, "walked_at": self.walked_at}
        dates = {name: moment.isoformat() if moment else None for name, moment in moments.items()}
        return json.dumps({**dates, "told": {str(key): value for key, value in self.told.items()}})

    @classmethod
    def read(cls, written: str | None) -> Cursor:
        """Anything that is not a cursor of ours counts as none: that costs a longer walk and loses nothing."""
        try:
            data = json.loads(written or "{}")
            told = {int(key): str(value) for key, value in data.get("told", {}).items()}
            return cls(_date(data, "newest"), told, _date(data, "newest_at"), _date(data, "walked_at"))
        except (ValueError, TypeError, AttributeError, OverflowError):
            return cls()

    @property
    def overlap(self) -> timedelta:
        """How far before `newest` the next walk must begin.

        What shows up now and did not at the last walk is at most `OVERLAP` older than that walk, so each quiet
        minute since `newest` appeared takes a minute off.
        """
        quiet = self.walked_at - self.newest_at if self.walked_at and self.newest_at else timedelta(0)
        return min(OVERLAP, max(LEAST_OVERLAP, OVERLAP - quiet))


def remember(digests: Mapping[int, str], dates: Mapping[int, datetime | None]) -> dict[int, str]:
    """What this walk told or had told before; the newest where there are too many. The next walk may leave it out."""
    oldest = datetime.min.replace(tzinfo=UTC)
    newest_first = sorted(digests, key=lambda key: dates[key] or oldest, reverse=True)
    return {key: digests[key] for key in newest_first[:MOST_REMEMBERED]}


def _date(data: Mapping[str, str], name: str) -> datetime | None:
    written = data.get(name)
    return datetime.fromisoformat(written).astimezone(UTC) if written else None
