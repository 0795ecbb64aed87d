"""The work that nobody asks for: links end in time, old ones are forgotten, the history is checked, old pages wiped.

All of it in slices of some milliseconds, because one process serves requests and does this in turns. After each it
rests for a multiple of what the slice took, so that it is as polite on a slow disk; a long one while there are people.
Several processes on one database each have a caretaker; what one has done, the others find done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from connector.secretlink.service.store.ages import CLOCK_IS_RIGHT_AGAIN
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
LARGEST_STEP: Final = timedelta(minutes=5)
"""By more a clock that is right is not set."""
_LOOK_EVERY: Final = timedelta(seconds=1)
_LOOK_AT_EVENTS_EVERY: Final = timedelta(minutes=30)
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
        self._trust = Trust(vault)
        self._newest_event: int | None = None
        self._is_purged = False
        self._check: Check | None = None
        self._chores = [
            _Chore(self._forget, every=timedelta(hours=1)),
            _Chore(self._go_on_checking, every=timedelta(hours=24)),
            _Chore(self._tidy, every=timedelta(minutes=1)),
        ]
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
        now = self._clock()
        self._trust.note(now, began)
        busy, sleep = self._do_what_is_due(now)
        return self._pace.rest(began, self._timer(), busy=busy, sleep=sleep)

    def _do_what_is_due(self, now: datetime) -> tuple[bool, timedelta]:
        """Whether there is more to do now, and when there is something to do again."""
        next_expiry = self._vault.next_expiry()
        if next_expiry is not None and next_expiry <= now:
            self._vault.expire_due()
            next_expiry = self._vault.next_expiry()
            if next_expiry is not None and next_expiry <= now:
                return True, _NOTHING
        if due := [chore for chore in self._chores if chore.is_due(now)]:
            # That for which there was least time: none waits for hours because another one takes hours.
            chore = min(due, key=lambda chore: chore.spent)
            began = self._timer()
            spent, chore.spent = chore.spent, math.inf  # if it fails, the others come first
            chore.do(now)
            chore.spent = spent + self._timer() - began
            if not chore.is_due(now):
                for each in self._chores:
                    each.spent = 0.0
        if any(chore.is_due(now) for chore in self._chores):
            return True, _NOTHING
        longest = _LOOK_EVERY if self._vault.is_shared else LONGEST_SLEEP
        return False, longest if next_expiry is None else min(next_expiry - now, longest)

    def _look_for_news(self, _: datetime) -> bool:
        """Tell of events that other processes wrote: whoever waits for news here would not hear of them."""
        newest, before = self._vault.newest_event(), self._newest_event
        self._newest_event = newest
        if before is not None and newest > before:
            self._announce()
        return False

    def _forget(self, now: datetime) -> bool:
        """Forget, then blank, a slice of what is old, as far as the clock is trusted; whether there is more."""
        known = self._trust.known(now, self._timer())
        if known is None:
            return False
        if not self._is_purged:
            self._is_purged = not self._vault.purge(older_than=now - known + self._retention).more
            return True
        # What is as old, but behind the first events of a link that lived long, has to wait to be forgotten.
        more = self._vault.blank(older_than=now - known + (self._ip_retention or self._retention)).more
        self._is_purged = more
        return more

    def _tidy(self, _: datetime) -> bool:
        self._vault.checkpoint()
        return False

    def _go_on_checking(self, _: datetime) -> bool:
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
    """Something to do once in a while, slice by slice.

    Attributes:
        spent: Seconds that it took since one of all chores was done.
    """

    def __init__(self, act: Callable[[datetime], bool], *, every: timedelta) -> None:
        """It is due at once.

        Args:
            act: Does one slice, and says whether there is more.
        """
        self._act = act
        self._every = every
        self._done: datetime | None = None
        self.spent = 0.0

    def is_due(self, now: datetime) -> bool:
        """Also when it was done in the future: then the clock has been set back."""
        return self._done is None or not _NOTHING <= now - self._done < self._every

    def do(self, now: datetime) -> None:
        """Do one slice."""
        self._done = None if self._act(now) else now


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


class Trust:
    """What time it surely is past. What cannot be taken back is done by that, not by what the clock says just now.

    A clock that is wrong is taken to be right again within `CLOCK_IS_RIGHT_AGAIN`. So it is believed when it has gone
    on evenly for so long. Until then, after a start and after it was set, it is past the newest event from so long ago:
    a clock that has been ahead for a shorter time has not written that one.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._noted: tuple[datetime, float] | None = None
        self._even_since = math.inf
        self._event: tuple[datetime, float] | None = None

    def note(self, now: datetime, timer: float) -> None:
        """Compare the clock with a timer that nobody sets. To be called often."""
        if self._noted is None:
            self._even_since = timer
        else:
            before, timer_before = self._noted
            step = now - before - timedelta(seconds=timer - timer_before)
            if abs(step) > LARGEST_STEP:
                self._even_since = timer
                todo = "is the clock right? Nothing is forgotten by it for some hours"
                log.warning("link_clock_set", by_seconds=round(step.total_seconds()), todo=todo)
        self._noted = now, timer

    def known(self, now: datetime, timer: float) -> datetime | None:
        """An instant that is over, never after `now`; `None` when nothing is known."""
        if timer - self._even_since >= CLOCK_IS_RIGHT_AGAIN.total_seconds():
            return now
        if self._event is None or timer - self._event[1] >= _LOOK_AT_EVENTS_EVERY.total_seconds():
            at = self._newest_event_before(now - CLOCK_IS_RIGHT_AGAIN)
            self._event = None if at is None else (at, timer)
        return min(now, self._event[0]) if self._event else None

    def _newest_event_before(self, instant: datetime) -> datetime | None:
        """When the newest event before an instant was; `None`: there is none.

        Looked for by halves among the newest eight, 64, 512 …, as if they were in order; if some are not, an older one
        may be found.
        """
        newest = self._vault.newest_event()
        young, back = 0, min(8, newest)
        while back and (found := self._at(newest - back)) > instant:
            if back == newest:
                return None
            young, back = back, min(8 * back, newest)
        if not back:
            return None
        while back - young > 1:
            middle = (young + back) // 2
            at = self._at(newest - middle)
            if at > instant:
                young = middle
            else:
                back, found = middle, at
        return found

    def _at(self, after: int) -> datetime:
        """When the first kept event with a higher number was."""
        at_ms = self._vault.at_ms_behind(after)
        return datetime.fromtimestamp((at_ms or 0) / 1000, UTC)
