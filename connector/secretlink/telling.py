"""Numbers and cursors for the events of link services that have neither.

Our port wants events with growing numbers, and a cursor to ask from. Other services keep rows with a time and nothing
else, so both are made here: the number from the time and the link, the same at every reading and in every process; the
cursor from the newest number that was told.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from connector.core.ports import LinkEvent, LinkNews

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2262, 1, 1, tzinfo=UTC)
"""From then on `number` needs more than the 64 bits that a database gives it. Beyond either nothing has happened."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_PER_MILLISECOND: Final = 1_000_000
_PER_LINK: Final = 16
_MOST_OFFERS: Final = 64  # several threads read at the same time, and not every cursor comes back


def number(at: datetime, link_id: str, *, after: int = 0) -> int:
    """The number of an event: by its time, in milliseconds, and within one by the link. Fits into 64 bits: `LATEST`.

    Two links share a number only if something happens to both in one millisecond, and then once in 62,500 times.

    Args:
        after: The number of the link's event before this one; this one is greater, whatever the time says.
    """
    slot = int.from_bytes(hashlib.sha256(link_id.encode()).digest()[:8]) % (_PER_MILLISECOND // _PER_LINK)
    return max(((at - EARLIEST) // _MILLISECOND) * _PER_MILLISECOND + slot * _PER_LINK, after + 1)


class Teller:
    """Tells each event to the store, and again until the store has it. Safe to use from several threads.

    An event counts as kept once somebody comes back with the cursor that was given out with it: the caller saves the
    events before the cursor. A row that turns up late, with a number below the cursor, is told all the same. After a
    start everything that is given is told once more; the store knows each by its number.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: frozenset[tuple[str, int]] = frozenset()
        self._offers: OrderedDict[str, frozenset[tuple[str, int]]] = OrderedDict()

    def tell(self, cursor: str, events: Iterable[LinkEvent]) -> LinkNews:
        """What of these events the owner of the cursor does not have yet.

        Args:
            cursor: As it was given out before; one of another kind of service counts as the empty one.
            events: Everything that is known of the links that are of interest.
        """
        known = {(event.link_id, event.seq): event for event in events}
        with self._lock:
            self._kept |= self._offers.pop(cursor, frozenset())
            self._kept &= known.keys()  # what nobody asks for any more is forgotten
            after = _read(cursor)
            fresh = {key for key in known if key[1] > after or key not in self._kept}
            if not fresh:
                return LinkNews((), cursor)
            following = f"{max(after, *(seq for _, seq in fresh))}.{secrets.token_hex(4)}"
            self._offers[following] = frozenset(fresh)
            if len(self._offers) > _MOST_OFFERS:
                self._offers.popitem(last=False)
        return LinkNews(tuple(sorted((known[key] for key in fresh), key=lambda event: event.seq)), following)


def _read(cursor: str) -> int:
    digits = cursor.partition(".")[0]
    return int(digits) if digits.isascii() and digits.isdigit() else 0
