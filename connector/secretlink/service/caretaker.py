"""The work that nobody asks for: links end in time, old ones are forgotten, the history is checked, old pages wiped.

All of it in slices of some milliseconds, because one process serves requests and does this in turns. Several processes
on one database each have a caretaker; what one has done, the others find done.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from connector.secretlink.service.store.chain import Check
from connector.secretlink.service.store.vault import Vault

LONGEST_SLEEP: Final = timedelta(seconds=60)
_BETWEEN_SLICES: Final = timedelta(milliseconds=50)
_LOOK_EVERY: Final = timedelta(seconds=1)
_TIDY_EVERY: Final = timedelta(minutes=1)
_FORGET_EVERY: Final = timedelta(hours=1)
_CHECK_EVERY: Final = timedelta(hours=24)

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
    ) -> None:
        """Nothing is done yet; the first slices do what was left undone while nobody was there.

        Args:
            retention: How long links that have ended, and their events, are kept.
            ip_retention: When what is personal in events is blanked; `None`: after `retention` too.
            announce: Called when another process on the same database has written events.
        """
        self._vault = vault
        self._clock = clock
        self._retention = retention
        self._ip_retention = ip_retention
        self._announce = announce
        self._newest_event: int | None = None
        self._worked: datetime | None = None
        self._tidied: datetime | None = None
        self._forgot: datetime | None = None
        self._checked: datetime | None = None
        self._check: Check | None = None

    def work(self) -> timedelta:
        """Do what is due, at most one slice of each sort.

        Returns:
            When to call again. An announcement of news may come first: then call at once.

        Raises:
            SQLAlchemyError: The database is away. Call again later.
        """
        now = self._clock()
        if self._worked is not None and timedelta(0) <= now - self._worked < _BETWEEN_SLICES:
            # Called early, by news: under load they come by the hundred in a second.
            return _BETWEEN_SLICES - (now - self._worked)
        self._worked = now
        busy = False
        next_expiry = self._vault.next_expiry()
        if next_expiry is not None and next_expiry <= now:
            self._vault.expire_due()
            next_expiry = self._vault.next_expiry()
        if _is_due(self._forgot, _FORGET_EVERY, now):
            busy = self._forget()
            self._forgot = None if busy else now
        if _is_due(self._checked, _CHECK_EVERY, now):
            busy = self._go_on_checking() or busy
            self._checked = None if self._check else now
        if _is_due(self._tidied, _TIDY_EVERY, now):
            self._vault.checkpoint()
            self._tidied = now
        if busy:
            return _BETWEEN_SLICES
        longest = self._look_for_news()
        if next_expiry is not None:
            return min(max(next_expiry - now, _BETWEEN_SLICES), longest)
        return longest

    def _look_for_news(self) -> timedelta:
        """Tell of events that other processes wrote: whoever waits for news here would not hear of them."""
        if not self._vault.is_shared:
            return LONGEST_SLEEP
        newest, before = self._vault.newest_event(), self._newest_event
        self._newest_event = newest
        if before is not None and newest > before:
            self._announce()
        return _LOOK_EVERY

    def _forget(self) -> bool:
        purged = self._vault.purge(older_than=self._retention)
        if self._ip_retention is None and purged.more:
            return True
        # What is as old, but behind the first events of a link that lived long, has to wait to be forgotten.
        return self._vault.blank(older_than=self._ip_retention or self._retention).more or purged.more

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


def _is_due(last: datetime | None, every: timedelta, now: datetime) -> bool:
    return last is None or now - last >= every
