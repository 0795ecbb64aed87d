"""The work that nobody asks for: links end in time, old ones are forgotten, the history is checked, old pages wiped.

All of it in slices of some milliseconds, because one process serves requests and does this in turns. After each it
rests for a multiple of what the slice took, so that it is as polite on a slow disk; a long one while there are people.
Several processes on one database each have a caretaker; what one has done, the others find done.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from connector.secretlink.service.store.chain import Check
from connector.secretlink.service.store.vault import Vault

LONGEST_SLEEP: Final = timedelta(seconds=60)
SHORTEST_SLEEP: Final = timedelta(milliseconds=50)
"""Except while there is more to do and nobody there."""
_LEAST: Final = timedelta(milliseconds=1)
REST_ALONE: Final = 1
REST_AMONG_PEOPLE: Final = 100
"""How many times as long as it worked it rests; among people so long that one in a hundred requests meets a slice."""
PEOPLE_STAY: Final = timedelta(seconds=2)
"""Who has opened a page reveals a little later."""
NOTHING_LIVES_SO_LONG: Final = timedelta(days=40)
"""Longer than the API lets a link or an alarm live."""
_LOOK_EVERY: Final = timedelta(seconds=1)
_MARK_EVERY: Final = timedelta(minutes=61)
"""A clock that is being slowed down has to reach the next hour too."""
_NOTHING: Final = timedelta(0)

log = structlog.get_logger(__name__)


class Caretaker:
    """Looks after one vault. Call `work` again after the time that it gives."""

    def __init__(
        self,
        vault: Vault,
        *,
        clock: Callable[[], datetime],
        retention: timedelta,
        ip_retention: timedelta | None = None,
        announce: Callable[[], None] = lambda: None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is done yet; the first slices do what was left undone while nobody was there.

        Args:
            retention: How long links that have ended, and their events, are kept.
            ip_retention: When what is personal in events is blanked; `None`: after `retention` too.
            announce: Called when another process on the same database has written events.
            timer: Seconds from some instant on, which nobody sets.
        """
        self._vault = vault
        self._clock = clock
        self._retention = retention
        self._ip_retention = ip_retention
        self._announce = announce
        self._timer = timer
        self._pace = Pace()
        self._newest_event: int | None = None
        self._old_up_to = self._blank_up_to = self._over_up_to = 0
        self._check: Check | None = None
        self._chores = deque(
            [
                _Chore(self._look_what_is_old, every=_MARK_EVERY),
                _Chore(self._forget, every=timedelta(hours=1)),
                _Chore(self._blank, every=timedelta(hours=1)),
                _Chore(self._go_on_checking, every=timedelta(hours=24)),
                _Chore(self._tidy, every=timedelta(minutes=1)),
            ]
        )
        if vault.is_shared:
            self._chores.append(_Chore(self._look_for_news, every=_LOOK_EVERY))

    def work(self) -> timedelta:
        """Do one slice of what is due.

        Returns:
            When to call again. An announcement of news may come first: then call at once.

        Raises:
            SQLAlchemyError: The database is away. Call again later.
        """
        began = self._timer()
        if rest := self._pace.left(began):
            return rest
        self._pace.rest(began, began, busy=False, sleep=LONGEST_SLEEP)  # if this fails
        busy, sleep = self._do_what_is_due(began)
        return self._pace.rest(began, self._timer(), busy=busy, sleep=sleep)

    def _do_what_is_due(self, moment: float) -> tuple[bool, timedelta]:
        """Whether there is more to do now, and when there is something to do again."""
        now = self._clock()
        next_expiry = self._vault.next_expiry()
        if next_expiry is not None and next_expiry <= now:
            self._vault.expire_due()
            next_expiry = self._vault.next_expiry()
            if next_expiry is not None and next_expiry <= now:
                return True, _NOTHING
        due = next((chore for chore in self._chores if chore.is_due(moment)), None)
        if due is not None:
            # In turns, also when this one fails: none waits for hours because another one takes hours.
            self._chores.remove(due)
            self._chores.append(due)
            due.do(moment)
        if any(chore.is_due(moment) for chore in self._chores):
            return True, _NOTHING
        longest = _LOOK_EVERY if self._vault.is_shared else LONGEST_SLEEP
        return False, longest if next_expiry is None else min(next_expiry - now, longest)

    def _look_for_news(self) -> bool:
        """Tell of events that other processes wrote: whoever waits for news here would not hear of them."""
        newest, before = self._vault.newest_event(), self._newest_event
        self._newest_event = newest
        if before is not None and newest > before:
            self._announce()
        return False

    def _look_what_is_old(self) -> bool:
        ages = self._retention, self._ip_retention or self._retention, NOTHING_LIVES_SO_LONG
        self._old_up_to, self._blank_up_to, self._over_up_to = self._vault.old_up_to(ages)
        return False

    def _forget(self) -> bool:
        return self._vault.purge(up_to=self._old_up_to, over_up_to=self._over_up_to).more

    def _blank(self) -> bool:
        return self._vault.blank(up_to=self._blank_up_to)

    def _tidy(self) -> bool:
        self._vault.checkpoint()
        return False

    def _go_on_checking(self) -> bool:
        """Check a slice of the history; `False` when that was the last."""
        check = self._vault.check_chain(self._check)
        self._check = None if check.done else check
        if not check.done:
            return True
        if check.report.broken_at is not None:
            # Links go on: nobody is served by a locked-out customer. But somebody must look.
            log.error("link_history_broken", at_seq=check.report.broken_at, checked=check.report.events)
        elif check.report.unchecked:
            log.warning("link_history_of_unknown_pepper", events=check.report.unchecked, checked=check.report.events)
        return False


class _Chore:
    """Something to do once in a while, slice by slice."""

    def __init__(self, act: Callable[[], bool], *, every: timedelta) -> None:
        """It is due at once.

        Args:
            act: Does one slice, and says whether there is more.
        """
        self._act = act
        self._every = every.total_seconds()
        self._due = -math.inf

    def is_due(self, moment: float) -> bool:
        """Whether there is a slice to do, by a timer that nobody sets."""
        return moment >= self._due

    def do(self, moment: float) -> None:
        """Do one slice."""
        if not self._act():
            self._due = moment + self._every


class Pace:
    """When to work, in seconds of a timer.

    Who is called before the time has been woken by news: somebody is there.
    """

    def __init__(self) -> None:
        self._ended = -math.inf
        self._worked = 0.0
        self._busy = False
        self._called_for = -math.inf
        self._people_until = -math.inf

    def left(self, moment: float) -> timedelta:
        """How long to rest on; nothing when it is time to work."""
        if moment < self._called_for - 0.001:  # a timer may be early by its own precision
            self._people_until = moment + PEOPLE_STAY.total_seconds()
        left = self._ended + self._rest(moment) - moment
        if left <= 0:
            return _NOTHING
        self._called_for = moment + left
        return timedelta(seconds=left)

    def rest(self, began: float, ended: float, *, busy: bool, sleep: timedelta) -> timedelta:
        """How long to rest after a slice.

        Args:
            busy: Whether there is more to do.
            sleep: When there is something to do again, if not.
        """
        self._ended, self._worked, self._busy = ended, ended - began, busy
        length = max(self._rest(ended), sleep.total_seconds())
        self._called_for = ended + length
        return timedelta(seconds=length)

    def _rest(self, moment: float) -> float:
        alone = self._busy and moment >= self._people_until
        factor, least = (REST_ALONE, _LEAST) if alone else (REST_AMONG_PEOPLE, SHORTEST_SLEEP)
        return min(max(factor * self._worked, least.total_seconds()), LONGEST_SLEEP.total_seconds())
