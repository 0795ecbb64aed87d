"""What one process remembers of the pushes that it made or found, their tokens among it. No calls."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from connector.core.ports import LinkEvent
from connector.core.secret import Secret
from connector.secretlink.foreign import is_due

LOOK_AGAIN_AFTER: Final = timedelta(minutes=5)
"""How often pushes of ours are looked for that nobody watches, left by a process that died between two steps; and how
long after a fruitless search a watched one is looked for again."""

UNWATCHED_FOR: Final = timedelta(minutes=15)
"""How long after its creation a link may take to be watched; then it was given up, and its address is forgotten."""

READ_AGAIN_EVERY: Final = timedelta(minutes=3)
"""How often an audit is read of which the list shows nothing new: a look by somebody signed in there moves no count."""

MOST_READ_AGAIN: Final = 5
"""So many of them in one call of `news`, those first that waited longest: with polls of 15 s, 20 calls a minute."""


@dataclass(frozen=True)
class Known:
    """What this process knows of a link.

    Attributes:
        views_left: As the list showed it when the audit was read; `None`: read it again.
        dead: The push was seen to be dead.
        ran_out: It was alive when its time was over, by our clock: so that is its end, whatever time its rows have.
        over: Nothing will follow.
        since: When this process came to know it.
        read_at: When its audit was last read, or its turn was to be read again; `None` before.
        not_shown_at: When the service last said that it does not know it, or did not show it; `None`: it does.
    """

    token: Secret
    since: datetime
    read_at: datetime | None = None
    events: tuple[LinkEvent, ...] = ()
    views_left: int | None = None
    dead: bool = False
    ran_out: bool = False
    not_shown_at: datetime | None = None
    over: bool = False

    def is_left_alone(self, now: datetime) -> bool:
        """Whether the service is not asked about it for a while, as it did not show it."""
        return not is_due(self.not_shown_at, now, LOOK_AGAIN_AFTER)


class Memory:
    """The links of one process, by our id. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Known] = {}
        self._looked_at: datetime | None = None
        self._lost: dict[str, datetime] = {}

    def of(self, link_id: str) -> Known | None:
        """What is known of a link."""
        with self._lock:
            return self._known.get(link_id)

    def keep(self, link_id: str, known: Known) -> None:
        """Know this of a link from now on."""
        with self._lock:
            self._known[link_id] = known

    def found_dead(self, link_id: str, token: Secret, now: datetime) -> None:
        """Know of a link that it is dead; of one that is known already nothing changes."""
        with self._lock:
            self._known.setdefault(link_id, Known(token, since=now, dead=True))

    def died(self, link_id: str) -> None:
        """Its push was ended just now. Of a link that is not known there is nothing to remember."""
        with self._lock:
            known = self._known.get(link_id)
            if known is not None:
                self._known[link_id] = replace(known, dead=True, views_left=None)

    def ran_out(self, link_id: str, token: Secret, now: datetime) -> None:
        """This push of a link was ended just now because its time was over. Of a twin of it nothing is concluded."""
        with self._lock:
            known = self._known.get(link_id) or Known(token, since=now)
            if known.token == token:
                self._known[link_id] = replace(known, dead=True, ran_out=True, views_left=None)

    def looked(self, now: datetime) -> None:
        """All living pushes were looked at."""
        with self._lock:
            self._looked_at = now

    def is_time_to_look(self, now: datetime) -> bool:
        """Whether it is time to look at them though nobody watches one."""
        with self._lock:
            return is_due(self._looked_at, now, LOOK_AGAIN_AFTER)

    def take_turns(self, watched: Sequence[str], now: datetime) -> frozenset[str]:
        """The links whose audit is to be read again though nothing may be new; each has had its turn by that.

        So one that cannot be read is not before the others each time.
        """
        with self._lock:
            read = {link_id: known.read_at for link_id, known in self._known.items() if known.read_at}
            due = [link_id for link_id in watched if link_id in read and is_due(read[link_id], now, READ_AGAIN_EVERY)]
            turns = sorted(due, key=lambda link_id: read[link_id])[:MOST_READ_AGAIN]
            for link_id in turns:
                self._known[link_id] = replace(self._known[link_id], read_at=now)
        return frozenset(turns)

    def to_search(self, wanted: set[str], now: datetime) -> set[str]:
        """Which of these links are not known, and are not left alone after a fruitless search."""
        with self._lock:
            unknown = wanted - self._known.keys()
            return {link_id for link_id in unknown if is_due(self._lost.get(link_id), now, LOOK_AGAIN_AFTER)}

    def not_found(self, missing: set[str], wanted: set[str], now: datetime) -> None:
        """Leave these alone for a while. Of those that nobody wants any more nothing is remembered."""
        with self._lock:
            self._lost = {link_id: searched for link_id, searched in self._lost.items() if link_id in wanted}
            self._lost |= dict.fromkeys(missing, now)

    def forget_all_but(self, watched: set[str], now: datetime) -> None:
        """Drop addresses of links that nobody watches any more; those that were just made are not watched yet."""
        with self._lock:
            for link_id in [link_id for link_id in self._known if link_id not in watched]:
                known = self._known[link_id]
                if known.over or known.dead or abs(now - known.since) > UNWATCHED_FOR:
                    del self._known[link_id]
